/** The trade-off: the fastest plan for each memory, with this plan, everything kept, the rule of thumb and the budget. */
import { useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { memory, percent } from "../core/numbers";
import { wholeParam } from "../core/state";
import { RangeField } from "../ui/Field";
import { Plot, type Series } from "../ui/Plot";
import { Panel } from "./Panel";
import { curveOf, log2Ticks, type Plan, theoryOf, timeOf, totalOf, type Trade } from "./plans";

const t = texts({
  en: {
    title: "Time against memory", memory: "peak memory of a step (log scale)", time: "time of a step, everything kept = 1",
    drawing: "The fastest plan for each memory: × {slowest} the time at {least}, × 1 at {whole}", fastest: "fastest plan for each memory, predicted",
    own: "this plan: {size}, × {time}", all: "everything kept: {size}", theory: "whole blocks run twice: 1 + (1 − x)/3", budget: "budget {size}",
    point: "Point", told: "{size}, {part} of everything kept: × {time} the time", ask: "To plan it: gradpath plan TARGET --memory {size}MiB",
  },
  zh: {
    title: "时间与内存", memory: "一步的峰值内存（对数刻度）", time: "一步的用时，全部保留 = 1",
    drawing: "各内存下最快的方案：{least} 时用时 × {slowest}，{whole} 时 × 1", fastest: "各内存下最快的方案（预测）",
    own: "本方案：{size}，× {time}", all: "全部保留：{size}", theory: "整块前向两次：1 + (1 − x)/3", budget: "预算 {size}",
    point: "位置", told: "{size}，为全部保留的 {part}：用时 × {time}", ask: "规划此点：gradpath plan TARGET --memory {size}MiB",
  },
});
const THEORY_POINTS = 12;
const place = wholeParam("plan.point", 0, 0, 9999);

export function PlanCurve({ plan }: { plan: Plan }) {
  const curve = useMemo(() => curveOf(plan), [plan]);
  const series = useMemo(() => seriesOf(plan, curve), [plan, curve, language()]);
  const sizes = series.flatMap(({ points }) => points.map(([x]) => x));
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const [whole, budget] = [totalOf(plan.keep_all), Math.log2(plan.memory_bytes)];
  const at = place.value > 0 ? Math.min(place.value, curve.length) - 1 : nearest(curve, Math.log2(totalOf(plan.predicted)));
  const chosen = curve[at];
  const choose = (x: number) => place.set(1 + nearest(curve, x));
  const told = (i: number) => {
    const [size, time] = curve[i] ?? [whole, 1];
    return t("told", { size: memory(size), part: percent(size / whole), time: time.toFixed(2) });
  };
  return (
    <Panel id="curve" title={t("title")} drawn>
      <Plot
        label={t("drawing", { least: memory(2 ** low), slowest: (curve[0]?.[1] ?? timeOf(plan)).toFixed(2), whole: memory(whole) })}
        series={series} xTitle={t("memory")} yTitle={t("time")} xTicks={log2Ticks(low, high)} xText={(x) => memory(2 ** x)}
        selected={chosen ? Math.log2(chosen[0]) : null} {...(curve.length ? { onSelect: choose } : {})}
        overlay={(x, _, { top, bottom }) =>
          low <= budget && budget <= high && (
            <>
              <line class="budget" x1={x(budget)} x2={x(budget)} y1={bottom} y2={top} />
              <text class="note" x={x(budget) + (budget > (low + high) / 2 ? -6 : 6)} y={top + 10} text-anchor={budget > (low + high) / 2 ? "end" : "start"}>
                {t("budget", { size: memory(plan.memory_bytes) })}
              </text>
            </>
          )
        }
      />
      {curve.length > 0 && (
        <RangeField label={t("point")} value={at + 1} min={1} max={curve.length} onChange={(x) => place.set(x)} spoken={(x) => told(x - 1)} />
      )}
      {chosen && <p class="pale"><code>{t("ask", { size: Math.ceil(chosen[0] / 2 ** 20) })}</code></p>}
    </Panel>
  );
}

const line = (trades: readonly Trade[]): Series["points"] => trades.map(([size, time]) => [Math.log2(size), time] as const);

function seriesOf(plan: Plan, curve: readonly Trade[]): Series[] {
  const [own, whole] = [totalOf(plan.predicted), totalOf(plan.keep_all)];
  const theory = theoryOf(plan, THEORY_POINTS);
  return [
    ...(curve.length ? [{ name: t("fastest"), points: line(curve), look: 5 }] : []),
    { name: t("own", { size: memory(own), time: timeOf(plan).toFixed(2) }), points: line([[own, timeOf(plan)]]), look: 0 },
    { name: t("all", { size: memory(whole) }), points: line([[whole, 1]]), look: 1 },
    ...(theory.length ? [{ name: t("theory"), points: line(theory), look: 3, isTheory: true }] : []),
  ];
}

/** The point of the curve that is nearest to a logarithm of bytes. */
function nearest(curve: readonly Trade[], x: number): number {
  const away = curve.map(([size]) => Math.abs(Math.log2(size) - x));
  return away.indexOf(Math.min(...away));
}
