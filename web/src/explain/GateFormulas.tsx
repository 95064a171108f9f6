/** dL/dx = dL/dz · dz/dx for every input of a gate, with its numbers filled in. */
import { part, type Walk } from "../circuit/engine";
import { bracketed, show } from "../core/numbers";

export function GateFormulas({ walked }: { walked: Walk }) {
  const { circuit } = walked;
  return (
    <ul class="formulas">
      {part(circuit, circuit.output).inputs.map((name, slot) => {
        const wire = walked.wires.find((one) => one.slot === slot);
        return (
          <li key={name}>
            <math displaystyle={true}>
              <Slope of="L" by={name} />
              <mo>=</mo>
              <Slope of="L" by="z" />
              <mo>·</mo>
              <Slope of="z" by={name} />
            </math>
            {wire && (
              <span>
                {"= "}
                <span class="factor upstream">{show(circuit.upstream)}</span>
                {" × "}
                <span class="factor local">{bracketed(show(wire.local))}</span>
                {" = "}
                <strong class="gradient">{show(wire.gradient)}</strong>
              </span>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** d of / d by. */
export function Slope({ of, by }: { of: string; by: string }) {
  return (
    <mfrac>
      <mrow>
        <mi mathvariant="normal">d</mi>
        <mi>{of}</mi>
      </mrow>
      <mrow>
        <mi mathvariant="normal">d</mi>
        <mi>{by}</mi>
      </mrow>
    </mfrac>
  );
}
