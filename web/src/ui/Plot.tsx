/** Lines and points over a linear axis, with a logarithmic or linear y axis. Every plot has its table. */
import { scaleLinear } from "d3-scale";
import { curveLinear, curveStep, line } from "d3-shape";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { fromLog10, short, signed } from "../core/numbers";
import { texts } from "../core/i18n";
import { fitted, widthOf } from "./letters";
import { useWidth } from "./useWidth";

const t = texts({
  en: { table: "The numbers as a table", none: "none" },
  zh: { table: "数据表", none: "无" },
});

export interface Series {
  readonly name: string;
  /** (x, y); y is log10 of the quantity where the plot is logarithmic; null: no value. */
  readonly points: readonly (readonly [number, number | null])[];
  /** Index of its look: colour, dash and mark, so that colour is never the only cue. */
  readonly look: number;
  /** A line of theory: thin and dotted, without marks. */
  readonly isTheory?: boolean;
  /** Stairs with their area filled, without marks. */
  readonly isStairs?: boolean;
}

interface Props {
  readonly label: string;
  readonly series: readonly Series[];
  readonly xTitle: string;
  readonly yTitle: string;
  readonly logarithmic?: boolean;
  readonly yDomain?: readonly [number, number];
  readonly xTicks?: readonly number[];
  readonly xText?: (tick: number) => string;
  /** Where they are not a few round numbers. */
  readonly yTicks?: readonly number[];
  readonly yText?: (value: number) => string;
  /** A place to mark, and what happens when a place is chosen. */
  readonly selected?: number | null;
  readonly onSelect?: (x: number) => void;
  /** The place under the pointer; null: it has left. */
  readonly onPoint?: (x: number | null) => void;
  /** More drawing, in the plot's own coordinates. */
  readonly overlay?: (x: (value: number) => number, y: (value: number) => number, frame: { readonly top: number; readonly bottom: number }) => ComponentChildren;
  readonly height?: number;
}

/** At most; a narrow frame gets a narrower drawing. */
const WIDEST = 736; // 46rem, as wide as a paragraph
const LEFT = 74;
const RIGHT = 16;
const TOP = 12;
const BOTTOM = 44;
/** Of the looks, in their order (report/_figures.py). */
export const MARKS = ["●", "■", "◆", "✖", "▲", "▼", "✚", "⬟"] as const;

export function Plot(props: Props) {
  const { label, series, xTitle, yTitle, logarithmic = false, selected = null, onSelect, onPoint, overlay, height = 320 } = props;
  const [frame, width] = useWidth(WIDEST);
  const shown = series.flatMap((one) => one.points);
  const x = scaleLinear(extent(shown.map(([at]) => at)), [LEFT, width - RIGHT]);
  const y = scaleLinear(props.yDomain ?? padded(shown.map(([, value]) => value)), [height - BOTTOM, TOP]);
  const xText = (tick: number) => props.xText?.(tick) ?? String(tick);
  const xTicks = apart(props.xTicks ?? x.ticks(width / 80).filter(Number.isInteger), x, xText);
  const text = (value: number) => props.yText?.(value) ?? (logarithmic ? fromLog10(value, 2) : signed(short(value, 3)));
  const placeOf = (event: MouseEvent) => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    const at = x.invert(((event.clientX - box.left) / box.width) * width);
    const places = shown.map(([place]) => place);
    return places.reduce((best, place) => (Math.abs(place - at) < Math.abs(best - at) ? place : best), NaN);
  };
  const ticks = props.yTicks ?? y.ticks(6).filter((tick) => !logarithmic || Number.isInteger(tick));
  const yTicks = ticks.filter((tick, i) => i === 0 || text(tick) !== text(ticks[i - 1] ?? NaN)); // 100 and 100.2 read the same
  const choose = (event: MouseEvent) => shown.length && onSelect?.(placeOf(event));
  const point = (event: MouseEvent) => shown.length && onPoint?.(placeOf(event));
  // of thousands of rows: made anew only when what it says has changed
  const table = useMemo(() => <PlotTable label={label} series={series} xTitle={xTitle} text={text} xText={xText} />, [label, series, xTitle, logarithmic]);
  return (
    <div class="plot" ref={frame}>
      <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label} onClick={onSelect && choose} onPointerMove={onPoint && point} onPointerLeave={onPoint && (() => onPoint(null))}>
        {yTicks.map((tick) => (
          <g key={tick} class="tick">
            <line x1={LEFT} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
            <text x={LEFT - 8} y={y(tick) + 4} text-anchor="end">
              {text(tick)}
            </text>
          </g>
        ))}
        {xTicks.map((tick) => (
          <text key={tick} class="tick" x={Math.min(x(tick), width - widthOf(xText(tick)) / 2)} y={height - BOTTOM + 18} text-anchor="middle">
            {xText(tick)}
          </text>
        ))}
        <text class="axis" x={(LEFT + width - RIGHT) / 2} y={height - 6} text-anchor="middle" {...fitted(xTitle, width - LEFT - RIGHT)}>
          {xTitle}
        </text>
        <text class="axis" transform={`translate(14,${(TOP + height - BOTTOM) / 2}) rotate(-90)`} text-anchor="middle" {...fitted(yTitle, height - TOP - BOTTOM)}>
          {yTitle}
        </text>
        {selected !== null && <line class="selected" x1={x(selected)} x2={x(selected)} y1={TOP} y2={height - BOTTOM} />}
        {series.map((one) => (
          <Line key={one.name} series={one} x={x} y={y} bottom={height - BOTTOM} />
        ))}
        {overlay?.(x, y, { top: TOP, bottom: height - BOTTOM })}
      </svg>
      <Key series={series} />
      <details class="numbers">
        <summary>{t("table")}</summary>
        {table}
      </details>
    </div>
  );
}

interface LineProps {
  readonly series: Series;
  readonly x: (value: number) => number;
  readonly y: (value: number) => number;
  /** Of the axis. */
  readonly bottom: number;
}

function Line({ series, x, y, bottom }: LineProps) {
  const known = (value: number | null): value is number => value !== null && Number.isFinite(value);
  const path = line<readonly [number, number | null]>()
    .defined(([, value]) => known(value))
    .x(([at]) => x(at))
    .y(([, value]) => y(value ?? 0))
    .curve(series.isStairs ? curveStep : curveLinear);
  const every = Math.ceil(series.points.length / 16);
  const drawn = path([...series.points]) ?? "";
  const [first, last] = [series.points[0], series.points.at(-1)];
  return (
    <g class={`series ${classOf(series)}`}>
      {series.isStairs && first && last && <path class="area" d={`${drawn}L${x(last[0])},${bottom}L${x(first[0])},${bottom}Z`} />}
      <path d={drawn} />
      {!isPlain(series) &&
        series.points.map(([at, value], i) =>
          known(value) && i % every === 0 ? (
            <text key={at} class="mark" x={x(at)} y={y(value) + 4} text-anchor="middle">
              {MARKS[series.look % MARKS.length]}
            </text>
          ) : null,
        )}
    </g>
  );
}

const isPlain = (series: Series): boolean => Boolean(series.isTheory || (series.isStairs && series.points.length > 1));

const classOf = (series: Series): string =>
  [`look${series.look}`, series.isTheory && "theory", series.points.length === 1 && "alone"].filter(Boolean).join(" ");

function Key({ series }: { series: readonly Series[] }) {
  return (
    <ul class="key">
      {series.map((one) => (
        <li key={one.name} class={classOf(one)}>
          <svg viewBox="0 0 36 12" width="36" height="12" aria-hidden="true">
            <path d="M0,6H36" />
            {!isPlain(one) && (
              <text class="mark" x="18" y="10" text-anchor="middle">
                {MARKS[one.look % MARKS.length]}
              </text>
            )}
          </svg>
          {one.name}
        </li>
      ))}
    </ul>
  );
}

interface TableProps extends Pick<Props, "label" | "series" | "xTitle"> {
  readonly text: (value: number) => string;
  readonly xText: (value: number) => string;
}

function PlotTable({ label, series, xTitle, text, xText }: TableProps) {
  const rows = [...new Set(series.flatMap((one) => one.points.map(([at]) => at)))].sort((a, b) => a - b);
  const columns = series.map((one) => new Map(one.points));
  return (
    <div class="table" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">{xTitle}</th>
            {series.map((one) => (
              <th key={one.name} scope="col">
                {one.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row}>
              <th scope="row">{xText(row)}</th>
              {columns.map((column, i) => {
                const value = column.get(row);
                return <td key={i}>{value === undefined || value === null ? t("none") : text(value)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Those of some ticks whose texts do not touch each other, from the left. */
function apart(ticks: readonly number[], x: (value: number) => number, text: (tick: number) => string): number[] {
  let free = -Infinity;
  return ticks.filter((tick) => {
    const half = widthOf(text(tick)) / 2;
    if (x(tick) - half < free) return false;
    free = x(tick) + half + 4;
    return true;
  });
}

function extent(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
}

function padded(values: readonly (number | null)[]): [number, number] {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value));
  const [low, high] = known.length ? extent(known) : [0, 1];
  const pad = 0.06 * (high - low);
  return [low - pad, high + pad];
}
