/** Bars of parameter counts, drawn to one scale. */
import { count } from "../core/numbers";
import { rems } from "../ui/rems";

export interface Bar {
  readonly name: string;
  readonly parameters: number;
  /** Index of its look: colour and hatching. */
  readonly look: number;
}

const ROW = 52;
const TOP = 8;
const BAR = 20;

export function BillView({ bars, width, label }: { bars: readonly Bar[]; width: number; label: string }) {
  const highest = Math.max(...bars.map(({ parameters }) => parameters));
  const room = width - 96;
  const height = TOP + ROW * bars.length;
  return (
    <svg class="bill" viewBox={`0 0 ${width} ${height}`} style={rems(width, height)} role="img" aria-label={label}>
      {bars.map(({ name, parameters, look }, i) => (
        <g key={name} class={`look${look}`}>
          <text class="axis" x={0} y={TOP + ROW * i + 12}>
            {name}
          </text>
          <rect x={0} y={TOP + ROW * i + 18} width={Math.max((room * parameters) / highest, 2)} height={BAR} rx={2} />
          <text class="count" x={Math.max((room * parameters) / highest, 2) + 8} y={TOP + ROW * i + 33}>
            {count(parameters)}
          </text>
        </g>
      ))}
    </svg>
  );
}
