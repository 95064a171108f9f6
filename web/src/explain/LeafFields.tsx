/** A field for every leaf of a circuit. */
import { type Circuit, isLeaf } from "../circuit/engine";
import type { Param } from "../core/state";
import { NumberField } from "../ui/Field";

interface Props {
  readonly circuit: Circuit;
  readonly set: Param<Readonly<Record<string, number>>>;
}

export function LeafFields({ circuit, set }: Props) {
  const change = (name: string, value: number, fallback: number) => {
    const { [name]: _, ...others } = set.value;
    set.set(value === fallback ? others : { ...others, [name]: value });
  };
  return (
    <div class="fields">
      {circuit.parts.filter(isLeaf).map(({ name, value }) => (
        <NumberField key={name} label={name} value={set.value[name] ?? value} onChange={(to) => change(name, to, value)} />
      ))}
    </div>
  );
}
