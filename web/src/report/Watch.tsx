/** A watched run over its steps: layers × steps, the loss, what happened, and the profile at one step. */
import { texts } from "../core/i18n";
import { fromLog10, short } from "../core/numbers";
import { choiceParam, textParam } from "../core/state";
import { rampColour } from "../core/theme";
import { Select } from "../ui/Field";
import { Plot } from "../ui/Plot";
import { Panel } from "./Panel";
import { Steps } from "./Steps";
import { Unseen } from "./Unseen";
import { classWidth, lossAt, lossPoints, reportAt, valuesAt, type Watch, WATCHED, watchedLayers, watchRange } from "./watched";
import { WatchMap } from "./WatchMap";

const t = texts({
  en: {
    map: "Every layer at every step", quantity: "Quantity", gradient: "gradient at the output (RMS)", activation: "activation (RMS)",
    parameter: "gradient of the parameters (norm)", thinned: "{shown} of {seen} reports: evenly in the logarithm of the step, with the first, the last and those at events. The log holds all.",
    spoken: "step {step} of {last}, loss {loss}", silent: "step {step} of {last}", profile: "Profile at step {step}", now: "step {step}",
    first: "step {step}, the first", layer: "layer, from the stem", drawing: "{quantity} over {n} layers at step {step}, and at the first report",
    loss: "Loss", steps: "optimiser step", lossDrawing: "Loss over {n} steps; events are marked", events: "What happened", none: "No report yet.", missing: "no gradient", zero: "exactly 0", broken: "not finite",
    mark: "Marks: ▼ a spike, ◆ a trace, ! a warning. Click the map to choose a step.",
  },
  zh: {
    map: "每一步、每一层", quantity: "量", gradient: "输出处的梯度（均方根）", activation: "激活值（均方根）",
    parameter: "参数的梯度（范数）", thinned: "显示 {seen} 次报告中的 {shown} 次：按步数的对数均匀抽取，首次、末次和事件处的报告都保留。完整内容在日志里。",
    spoken: "第 {step} 步（共 {last} 步），损失 {loss}", silent: "第 {step} 步（共 {last} 步）", profile: "第 {step} 步的剖面", now: "第 {step} 步",
    first: "第 {step} 步（首次）", layer: "层（从输入端数起）", drawing: "第 {step} 步与首次报告时 {n} 层的{quantity}",
    loss: "损失", steps: "优化器步数", lossDrawing: "{n} 步的损失；事件有标记", events: "发生的事件", none: "尚无报告。", missing: "无梯度", zero: "恰好为 0", broken: "非有限值",
    mark: "标记：▼ 损失突增，◆ 跟踪，! 警告。点击图可选择步数。",
  },
});
const quantity = choiceParam("watch.metric", "gradient", WATCHED);
/** The step, not the report: it stays what it is when the log has grown. Empty: the last one. */
const step = textParam("watch.step");
const SIGNS = { spike: "▼", trace: "◆", warning: "!" } as const;

export function WatchPage({ watch }: { watch: Watch }) {
  const last = watch.reports.length - 1;
  const at = step.value === "" ? last : reportAt(watch, Number(step.value));
  const go = (to: number) => step.set(to === last ? "" : String(watch.reports[to]?.step ?? ""));
  if (last < 0) return <p>{t("none")}</p>;
  const layers = watchedLayers(watch);
  const what = quantity.value;
  const range = watchRange(watch, layers, what);
  return (
    <div class="views">
      <div class="wide">
        <Panel id="watched" title={t("map")}>
          <div class="controls">
            <Select legend={t("quantity")} choices={WATCHED.map((name) => [name, t(name)] as const)} value={what} onChange={quantity.set} />
          </div>
          <Steps at={at} count={last + 1} onChange={go} spoken={(i) => spoken(watch, i)} />
          <WatchMap watch={watch} layers={layers} what={what} named={t(what)} range={range} at={at} onChange={go} />
          <Legend range={range} named={t(what)} />
          <p class="pale">
            {t("mark")}
            {watch.reports.length < watch.seen && ` ${t("thinned", { shown: watch.reports.length, seen: watch.seen })}`}
          </p>
        </Panel>
      </div>
      <ProfileAt watch={watch} layers={layers} at={at} range={range} />
      <Losses watch={watch} at={at} onChange={(wanted) => go(reportAt(watch, wanted))} />
      {watch.events.length > 0 && <Events watch={watch} onChange={(wanted) => go(reportAt(watch, wanted))} />}
    </div>
  );
}

/** The map's colours with the values at which they begin, and what is not on the ramp. */
function Legend({ range, named }: { range: readonly [number, number]; named: string }) {
  return (
    <p class="legend">
      <span>{named}</span>
      {Array.from({ length: 10 }, (_, i) => (
        <span key={i} class="class">
          <i style={{ background: rampColour(i) }} />≥ {fromLog10(range[0] + i * classWidth(range), 2)}
        </span>
      ))}
      <span class="class"><i />{t("missing")}</span>
      <span class="class"><i class="zero" />{t("zero")}</span>
      <span class="class"><i class="thin" />{t("broken")}</span>
    </p>
  );
}

function spoken(watch: Watch, i: number): string {
  const slots = { step: watch.reports[i]?.step ?? 0, last: watch.reports.at(-1)?.step ?? 0 };
  const loss = lossAt(watch.reports[i]);
  return loss === null ? t("silent", slots) : t("spoken", { ...slots, loss: short(loss, 3) });
}

interface AtProps {
  readonly watch: Watch;
  readonly layers: readonly number[];
  readonly at: number;
  readonly range: readonly [number, number];
}

function ProfileAt({ watch, layers, at, range }: AtProps) {
  const [first, now] = [watch.reports[0], watch.reports[at]];
  if (!first || !now) return null;
  const points = (report: typeof first) => valuesAt(report, layers, quantity.value).map((value, i) => [i, value] as const);
  const ghost = { name: t("first", { step: first.step }), points: points(first), look: 3, isTheory: true };
  const series = [{ name: t("now", { step: now.step }), points: points(now), look: 5 }, ...(at > 0 ? [ghost] : [])];
  return (
    <Panel id="profile-at" title={t("profile", { step: now.step })} drawn>
      <Plot
        label={t("drawing", { quantity: t(quantity.value), n: layers.length, step: now.step })}
        series={series}
        yDomain={range}
        xTitle={t("layer")}
        yTitle={t(quantity.value)}
        logarithmic
      />
      <Unseen series={series} />
    </Panel>
  );
}

function Losses({ watch, at, onChange }: { watch: Watch; at: number; onChange: (step: number) => void }) {
  if (!watch.losses.length) return null;
  return (
    <Panel id="loss" title={t("loss")} drawn>
      <Plot
        label={t("lossDrawing", { n: watch.reports.at(-1)?.step ?? 0 })}
        series={[{ name: t("loss"), points: lossPoints(watch), look: 5 }]}
        xTitle={t("steps")}
        yTitle={t("loss")}
        selected={watch.reports[at]?.step ?? null}
        onSelect={onChange}
        overlay={(x) => watch.events.map((event, i) => (
          <text key={i} class={`event ${event.what}`} x={x(event.step)} y={22} text-anchor="middle">
            {SIGNS[event.what]}
          </text>
        ))}
      />
    </Panel>
  );
}

function Events({ watch, onChange }: { watch: Watch; onChange: (step: number) => void }) {
  return (
    <div class="wide">
      <Panel id="events" title={t("events")}>
        <ul class="events">
          {watch.events.map((event, i) => (
            <li key={i}>
              <button type="button" onClick={() => onChange(event.step)}>
                {SIGNS[event.what]} {t("now", { step: event.step })}
              </button>{" "}
              {event.text}
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}
