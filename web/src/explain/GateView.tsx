/** One gate, large: values above the wires, gradients below, and the two factors of the chain rule in boxes. */
import type { Walk } from "../circuit/engine";
import { part } from "../circuit/engine";
import { WORDS } from "../circuit/gates";
import { show } from "../core/numbers";
import { rems } from "../ui/rems";

const ROW = 84;
const TOP = 46;
const LEAF = 30;
const RADIUS = 26;
const CHARACTER = 8.4;
const NARROW = 420;
const ROOM = 7;

interface Props {
  readonly walked: Walk;
  readonly label: string;
  readonly width: number;
}

export function GateView({ walked, label, width }: Props) {
  const { circuit } = walked;
  const gate = part(circuit, circuit.output);
  const gateX = Math.round(width * 0.57);
  const gateY = TOP + (ROW * (gate.inputs.length - 1)) / 2;
  const height = 2 * TOP + ROW * (gate.inputs.length - 1) + 10;
  const end = width - 34;
  return (
    <svg class="circuit gate" viewBox={`0 0 ${width} ${height}`} style={rems(width, height)} role="img" aria-label={label}>
      {gate.inputs.map((name, i) => (
        <Input key={name} walked={walked} slot={i} y={TOP + ROW * i} gateX={gateX} gateY={gateY} isNarrow={width < NARROW} />
      ))}
      <Wire points={`M${gateX},${gateY}H${end}`} />
      <circle class="body" cx={gateX} cy={gateY} r={RADIUS} />
      <text class="name" x={gateX} y={gateY + 5} text-anchor="middle">
        {WORDS[gate.gate]?.label}
      </text>
      <text class="value" x={(gateX + RADIUS + end) / 2} y={gateY - 17} text-anchor="middle">
        {walked.broken ? "?" : `${show(walked.values[gate.name] ?? NaN)} ▸`}
      </text>
      <Factor right={(gateX + RADIUS + end) / 2 + boxWidth(rounded(circuit.upstream)) / 2} y={gateY + 24} text={rounded(circuit.upstream)} kind="upstream" caption="dL/dz" />
      <rect class="leaf" x={end} y={gateY - 15} width={30} height={30} rx={4} />
      <text class="name" x={end + 15} y={gateY + 5} text-anchor="middle">
        L
      </text>
    </svg>
  );
}

interface InputProps {
  readonly walked: Walk;
  readonly slot: number;
  readonly y: number;
  readonly gateX: number;
  readonly gateY: number;
  /** No room for five digits and an exponent. */
  readonly isNarrow: boolean;
}

function Input({ walked, slot, y, gateX, gateY, isNarrow }: InputProps) {
  const { circuit } = walked;
  const name = part(circuit, circuit.output).inputs[slot] ?? "";
  const wire = walked.wires.find((one) => one.slot === slot);
  const elbow = gateX - RADIUS - 26;
  const isStraight = y === gateY;
  return (
    <g data-wire={`${circuit.output}.${slot}`}>
      <Wire points={`M${LEAF},${y}H${isStraight ? gateX : elbow}L${gateX},${gateY}`} />
      <rect class="leaf" x={LEAF - 24} y={y - 15} width={48} height={30} rx={15} />
      <text class="name" x={LEAF} y={y + 5} text-anchor="middle">
        {name}
      </text>
      <text class="value" x={LEAF + 30} y={y - 17}>
        {brief(walked.values[name] ?? NaN, isNarrow)} ▸
      </text>
      <text class="gradient result" x={LEAF + 30} y={y + 27}>
        {wire ? `◂ ∂${show(wire.gradient)}` : "◂ ∂ ?"}
      </text>
      {wire && (
        <Factor right={elbow + 12} y={y} text={`× ${rounded(wire.local)}`} kind="local" caption={`dz/d${name}`} />
      )}
    </g>
  );
}

/** Forward solid, backward dashed beside it. */
function Wire({ points }: { points: string }) {
  return (
    <>
      <path class="line" d={points} />
      <path class="back" d={points} transform="translate(0,4)" />
    </>
  );
}

/** Three digits: the formulas beside the drawing have all five. */
const rounded = (value: number) => show(Number(value.toPrecision(3)));
/** The field of an input has all of its digits. */
const brief = (value: number, isNarrow: boolean) => (isNarrow && show(value).length > ROOM ? rounded(value) : show(value));
const boxWidth = (text: string) => 14 + CHARACTER * text.length;

interface FactorProps {
  /** Its right edge. */
  readonly right: number;
  readonly y: number;
  readonly text: string;
  readonly kind: "upstream" | "local";
  readonly caption: string;
}

/** One factor in its box: dL/dz square and solid, the gate's own slope round and dashed. */
function Factor({ right, y, text, kind, caption }: FactorProps) {
  const width = boxWidth(text);
  const x = right - width / 2;
  const isLocal = kind === "local";
  return (
    <g class={`factor ${kind}`}>
      <rect x={x - width / 2} y={y - 13} width={width} height={26} rx={isLocal ? 13 : 2} />
      <text x={x} y={y + 5} text-anchor="middle">
        {text}
      </text>
      <text class="caption" x={isLocal ? right : x} y={isLocal ? y - 18 : y + 29} text-anchor={isLocal ? "end" : "middle"}>
        {caption}
      </text>
    </g>
  );
}
