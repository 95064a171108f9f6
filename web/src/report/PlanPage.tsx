/** A plan: how much memory for how much time, which block keeps what, the step and the trade-off, the layers. */
import { texts } from "../core/i18n";
import { memory, percent, short } from "../core/numbers";
import { Panel } from "./Panel";
import { PlanCurve } from "./PlanCurve";
import { PlanLayers } from "./PlanLayers";
import { PlanRuns } from "./PlanRuns";
import { PlanStep } from "./PlanStep";
import { PlanStrip } from "./PlanStrip";
import { KINDS, peakOf, type Plan, timeOf, totalOf } from "./plans";

const t = texts({
  en: {
    peak: "at the peak of a step, of {budget}", time: "the time of keeping everything", whole: "with everything kept", least: "the least memory with a plan",
    bytes: "Bytes at the peak", kind: "kind", plan: "this plan", all: "all kept", part: "part", total: "total", measured: "measured",
    parameters: "parameters", gradients: "gradients", optimizer: "optimiser", buffers: "buffers", activations: "kept for backward", temporaries: "temporaries",
    fits: "It fits: {peak} at the peak, of {budget}, in {time} × the time of keeping everything ({whole}).",
    over: "It does not fit: {peak} at the peak, more than {budget} (everything kept: {whole}).",
    kept: "Everything kept takes {whole} of {budget}: no block is planned.",
    source: "The sentences in English are the record's own.",
  },
  zh: {
    peak: "一步的峰值（预算 {budget}）", time: "倍于全部保留时的用时", whole: "全部保留时", least: "可行方案的最小内存",
    bytes: "峰值处的字节数", kind: "类别", plan: "本方案", all: "全部保留", part: "占比", total: "合计", measured: "实测",
    parameters: "参数", gradients: "梯度", optimizer: "优化器", buffers: "缓冲区", activations: "为反向保留", temporaries: "临时张量",
    fits: "放得下：峰值 {peak}，预算 {budget}，用时为全部保留时的 {time} 倍（全部保留需 {whole}）。",
    over: "放不下：峰值 {peak}，超出预算 {budget}（全部保留需 {whole}）。",
    kept: "全部保留需 {whole}，预算 {budget}：没有任何块被规划。",
    source: "英文句子是记录的原文。",
  },
});

interface Props {
  readonly plan: Plan;
  /** Whether the heading is in the reader's language. */
  readonly isSaid: boolean;
}

export function PlanPage({ plan, isSaid }: Props) {
  const isPlanned = plan.segments.length > 0;
  return (
    <>
      {!isSaid && <Gist plan={plan} />}
      <Numbers plan={plan} />
      <div class="views">
        {isPlanned && (
          <div class="wide">
            <PlanStrip plan={plan} />
          </div>
        )}
        <div class="column">
          <PlanStep plan={plan} />
          {isPlanned && <PlanRuns plan={plan} />}
        </div>
        <div class="column">
          {isPlanned && <PlanCurve plan={plan} />}
          <Bytes plan={plan} />
        </div>
        {plan.layers.length > 0 && (
          <div class="wide">
            <PlanLayers plan={plan} />
          </div>
        )}
      </div>
    </>
  );
}

/** The heading in the page's own words, in the reader's language. */
function Gist({ plan }: { plan: Plan }) {
  const said = !plan.segments.length ? "kept" : peakOf(plan) > plan.memory_bytes ? "over" : "fits";
  const slots = { peak: memory(peakOf(plan)), budget: memory(plan.memory_bytes), time: short(timeOf(plan), 3), whole: memory(totalOf(plan.keep_all)) };
  return (
    <p class="gist">
      <strong>{t(said, slots)}</strong> <span class="pale">{t("source")}</span>
    </p>
  );
}

function Numbers({ plan }: { plan: Plan }) {
  const whole = [memory(totalOf(plan.keep_all)), t("whole")];
  const planned = [
    [memory(peakOf(plan)), t("peak", { budget: memory(plan.memory_bytes) })],
    [`× ${timeOf(plan).toFixed(2)}`, t("time")],
    whole,
    ...(plan.smallest_bytes > 0 ? [[memory(plan.smallest_bytes), t("least")]] : []),
  ];
  return (
    <div class="big-numbers">
      {(plan.segments.length ? planned : [whole]).map(([number, name]) => (
        <div key={name}>
          <span class="big">{number}</span>
          <span>{name}</span>
        </div>
      ))}
    </div>
  );
}

function Bytes({ plan }: { plan: Plan }) {
  const isPlanned = plan.segments.length > 0;
  const rows: readonly (readonly [string, number, number | null])[] = [
    ...KINDS.map((kind) => [t(kind), plan.predicted[kind], plan.keep_all[kind]] as const),
    [t("total"), totalOf(plan.predicted), totalOf(plan.keep_all)],
    ...(plan.measured.length && isPlanned ? [[t("measured"), peakOf(plan), null] as const] : []),
  ];
  return (
    <Panel id="bytes" title={t("bytes")}>
      <div class="table" role="region" aria-labelledby="bytes-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("kind")}</th>
              {isPlanned && <th scope="col">{t("plan")}</th>}
              <th scope="col">{t("all")}</th>
              {isPlanned && <th scope="col">{t("part")}</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map(([name, planned, kept], i) => (
              <tr key={name} class={i === KINDS.length ? "total" : ""}>
                <th scope="row">{name}</th>
                {isPlanned && <td>{memory(planned)}</td>}
                <td>{kept === null ? "-" : memory(kept)}</td>
                {isPlanned && <td>{kept ? percent(planned / kept) : "-"}</td>}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
