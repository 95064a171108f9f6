/** Layers × steps as a canvas: a column per report, a row per layer, the stem at the top. */
import { useEffect, useRef } from "preact/hooks";
import { texts } from "../core/i18n";
import { rampColour } from "../core/theme";
import { savePng } from "../core/save";
import { useWidth } from "../ui/useWidth";
import { columnOf, valuesAt, type Watch, watchClass, type Watched } from "./watched";

const t = texts({
  en: {
    label: "{what} of {layers} layers (rows, the stem at the top) at {n} reports (columns), from step {first} to step {last}",
    save: "Save PNG", stem: "stem", head: "head",
  },
  zh: {
    label: "{layers} 层（行，输入端在上）在 {n} 次报告（列）中的{what}，从第 {first} 步到第 {last} 步",
    save: "保存 PNG", stem: "输入端", head: "输出端",
  },
});
const WIDEST = 1160;

interface Props {
  readonly watch: Watch;
  readonly layers: readonly number[];
  readonly what: Watched;
  /** The quantity's name. */
  readonly named: string;
  readonly range: readonly [number, number];
  readonly at: number;
  readonly onChange: (report: number) => void;
}

export function WatchMap(props: Props) {
  const { watch, layers, what, named, range, at, onChange } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [frame, width] = useWidth(WIDEST);
  const height = Math.min(Math.max(4 * layers.length, 160), 420);
  useEffect(() => {
    if (canvas.current) paint(canvas.current, props, width, height);
  });
  const pick = (event: MouseEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    onChange(columnOf(event.clientX - box.left, box.width, watch.reports.length));
  };
  const label = t("label", {
    what: named, layers: layers.length, n: watch.reports.length, first: watch.reports[0]?.step ?? 0, last: watch.reports.at(-1)?.step ?? 0,
  });
  const column = 100 / Math.max(watch.reports.length, 1);
  return (
    <div class="watch-map">
      <div class="canvas" ref={frame} style={{ height: `${height}px` }}>
        <canvas ref={canvas} role="img" aria-label={label} onClick={pick} data-what={what} data-range={range.join()} />
        <i class="now" style={{ left: `${(at + 0.5) * column}%` }} aria-hidden="true" />
        {watch.events.map((event, i) => (
          <i key={i} class={`event ${event.what}`} style={{ left: `${(placeOf(watch, event.step) + 0.5) * column}%` }} title={`${event.step}: ${event.text}`} aria-hidden="true" />
        ))}
      </div>
      <div class="tools">
        <button type="button" onClick={() => canvas.current && void savePng(canvas.current, "watched")}>
          {t("save")}
        </button>
      </div>
    </div>
  );
}

const placeOf = (watch: Watch, step: number): number => {
  const found = watch.reports.findIndex((report) => report.step >= step);
  return found < 0 ? watch.reports.length - 1 : found;
};

/** One rectangle per value. What is missing, exactly 0 or not finite has a mark of its own, not a colour of the ramp. */
function paint(canvas: HTMLCanvasElement, { watch, layers, what, range }: Props, width: number, height: number): void {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  if (!context) return;
  const style = getComputedStyle(document.documentElement);
  const [page, line, broken] = ["--page", "--line", "--backward"].map((name) => style.getPropertyValue(name));
  const [w, h] = [canvas.width / Math.max(watch.reports.length, 1), canvas.height / Math.max(layers.length, 1)];
  context.fillStyle = page ?? "";
  context.fillRect(0, 0, canvas.width, canvas.height);
  watch.reports.forEach((report, column) => {
    valuesAt(report, layers, what).forEach((value, row) => {
      if (value === null) return;
      context.fillStyle = value === -Infinity ? (line ?? "") : Number.isFinite(value) ? rampColour(watchClass(value, range)) : (broken ?? "");
      const isThin = !Number.isFinite(value) && value !== -Infinity;
      const [left, top] = [Math.round(column * w), Math.round(row * h)];
      const [right, bottom] = [Math.round((column + 1) * w), Math.round((row + 1) * h)];
      const inset = isThin ? Math.floor((bottom - top) / 4) : 0;
      context.fillRect(left, top + inset, right - left, bottom - top - 2 * inset);
    });
  });
}
