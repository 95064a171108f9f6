/** One row per thing: a full dot where it is, a hollow one where it could be, and its number. With a table below. */
import { scaleLinear } from "d3-scale";
import { texts } from "../core/i18n";
import { fitted, widthOf } from "./letters";
import { useWidth } from "./useWidth";

const t = texts({
  en: { table: "The numbers as a table" },
  zh: { table: "数据表" },
});

export interface DotRow {
  readonly name: string;
  readonly value: number;
  /** The hollow dot; null: none. */
  readonly other?: number | null;
  /** What stands at the right. */
  readonly text: string;
  /** Square and in another colour. */
  readonly isMarked?: boolean;
  readonly cells: readonly string[];
}

interface Props {
  readonly label: string;
  readonly rows: readonly DotRow[];
  readonly axis: string;
  /** Heads of the table: the name's, then one for each of a row's cells. */
  readonly heads: readonly string[];
}

const WIDEST = 720;
const ROW = 24;
const TOP = 8;
const BOTTOM = 44;

export function DotRows({ label, rows, axis, heads }: Props) {
  const [frame, width] = useWidth(WIDEST);
  const left = 16 + Math.max(...rows.map((row) => widthOf(row.name)));
  const right = 12 + Math.max(...rows.map((row) => widthOf(row.text)));
  const highest = Math.max(...rows.flatMap((row) => [row.value, row.other ?? 0]));
  const x = scaleLinear([0, highest], [left + 8, width - right - 8]);
  const bottom = TOP + ROW * rows.length;
  return (
    <div class="plot dot-rows" ref={frame}>
      <svg viewBox={`0 0 ${width} ${bottom + BOTTOM}`} role="img" aria-label={label}>
        {x.ticks(Math.max(2, (width - left - right) / 60)).map((tick) => (
          <g key={tick} class="tick">
            <line x1={x(tick)} x2={x(tick)} y1={TOP} y2={bottom} />
            <text x={x(tick)} y={bottom + 16} text-anchor="middle">
              {tick}
            </text>
          </g>
        ))}
        <text class="axis" x={width / 2} y={bottom + BOTTOM - 8} text-anchor="middle" {...fitted(axis, width - 8)}>
          {axis}
        </text>
        {rows.map((row, i) => (
          <Row key={row.name} row={row} y={TOP + ROW * (i + 0.5)} x={x} left={left} width={width} />
        ))}
      </svg>
      <details class="numbers">
        <summary>{t("table")}</summary>
        <RowTable label={label} rows={rows} heads={heads} />
      </details>
    </div>
  );
}

function Row({ row, y, x, left, width }: { row: DotRow; y: number; x: (value: number) => number; left: number; width: number }) {
  const { name, value, other = null, text, isMarked = false } = row;
  return (
    <g class={isMarked ? "row marked" : "row"}>
      <text class="axis" x={left} y={y + 4} text-anchor="end">
        {name}
      </text>
      {other !== null && <line class="reach" x1={x(value)} x2={x(other)} y1={y} y2={y} />}
      {other !== null && <circle class="hollow" cx={x(other)} cy={y} r={4.5} />}
      {isMarked ? (
        <rect class="full" x={x(value) - 5} y={y - 5} width={10} height={10} />
      ) : (
        <circle class="full" cx={x(value)} cy={y} r={5.5} />
      )}
      <text class="number" x={width - 4} y={y + 4} text-anchor="end">
        {text}
      </text>
    </g>
  );
}

function RowTable({ label, rows, heads }: { label: string; rows: readonly DotRow[]; heads: readonly string[] }) {
  return (
    <div class="table" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {heads.map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row">{row.name}</th>
              {row.cells.map((cell, i) => (
                <td key={i}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
