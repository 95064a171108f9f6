/** The gate over each of its inputs: the curve, its slope where we are, and what a nudge does. */
import { type Circuit, part, type Walk } from "../circuit/engine";
import { bracketed, show } from "../core/numbers";
import { texts } from "../core/i18n";
import { rems } from "../ui/rems";
import { curve, nudge, outputAt, type Point } from "./gateCurve";

const t = texts({
  en: {
    curve: "z over {name}, with its slope {slope} at {name} = {value}",
    slope: "slope {slope}",
    nudge: "{name} {h}: the loss moves by {measured}; the chain rule says {predicted}.",
  },
  zh: {
    curve: "z 随 {name} 的变化，在 {name} = {value} 处的局部导数为 {slope}",
    slope: "导数 {slope}",
    nudge: "{name} {h}：损失变化 {measured}；链式法则给出 {predicted}。",
  },
});
const WIDTH = 232;
const HEIGHT = 150;
const PAD = 8;

interface Props {
  readonly circuit: Circuit;
  readonly set: Readonly<Record<string, number>>;
  readonly walked: Walk;
  readonly h: number;
}

export function GateCurves(props: Props) {
  if (props.walked.broken) return null;
  return (
    <div class="curves">
      {part(props.circuit, props.circuit.output).inputs.map((name) => (
        <CurveOf key={name} {...props} name={name} />
      ))}
    </div>
  );
}

function CurveOf({ circuit, set, walked, h, name }: Props & { name: string }) {
  const slope = walked.wires.find((wire) => wire.source === name)?.local ?? NaN;
  const value = walked.values[name] ?? NaN;
  const z = walked.values[circuit.output] ?? NaN;
  const { points, x: [left, right], z: [low, high] } = curve(circuit, set, name, slope);
  const x = (at: number) => PAD + ((at - left) / (right - left)) * (WIDTH - 2 * PAD);
  const y = (at: number) => HEIGHT - PAD - ((at - low) / (high - low)) * (HEIGHT - 2 * PAD);
  const tangent = [left, right].map((at): Point => [at, z + slope * (at - value)]);
  const isDrawable = right > left && high > low && [right - left, high - low, ...tangent.map(([, to]) => to)].every(Number.isFinite);
  if (!isDrawable) return null; // numbers so large that there is no axis for them
  const moved = outputAt(circuit, set, name, value + h);
  const path = (line: readonly Point[]) => line.map(([at, to], i) => `${i ? "L" : "M"}${x(at).toFixed(1)},${y(to).toFixed(1)}`).join("");
  const { measured, predicted } = nudge(circuit, set, name, h);
  const numbers = { name, slope: show(slope), value: show(value) };
  return (
    <figure class="curve">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} style={rems(WIDTH, HEIGHT)} role="img" aria-label={t("curve", numbers)}>
        <rect class="area" x={0.5} y={0.5} width={WIDTH - 1} height={HEIGHT - 1} />
        <path class="value" d={path(points)} />
        <path class="tangent" d={path(tangent)} />
        <circle class="here" cx={x(value)} cy={y(z)} r={5} />
        {Number.isFinite(moved) && <circle class="moved" cx={x(value + h)} cy={y(moved)} r={4} />}
        <text x={WIDTH - 6} y={HEIGHT - 8} text-anchor="end">
          {name} ▸
        </text>
        <text x={6} y={16}>
          z
        </text>
        <text class="gradient" x={WIDTH - 6} y={16} text-anchor="end">
          {t("slope", numbers)}
        </text>
      </svg>
      <figcaption>
        {t("nudge", { name, h: `${h < 0 ? "−" : "+"} ${bracketed(show(Math.abs(h)))}`, measured: rounded(measured), predicted: rounded(predicted) })}
      </figcaption>
    </figure>
  );
}

/** Four digits: a difference of two values has not many more. */
const rounded = (value: number) => show(Number(value.toPrecision(4)));
