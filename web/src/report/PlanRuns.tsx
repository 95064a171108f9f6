/** Runs of blocks that are alike and keep the same, patterns that repeat folded, as a table. */
import { useMemo } from "preact/hooks";
import { texts } from "../core/i18n";
import { short } from "../core/numbers";
import { Panel } from "./Panel";
import { type Plan, type Run, runsOf } from "./plans";
import { choose, chosenBlock, pointed } from "./planWords";

const t = texts({
  en: {
    title: "Runs of equal blocks", blocks: "blocks", mode: "mode", forwards: "forwards", segments: "segments", kind: "what they are",
    more: "{n} more runs are in the record.", times: "{n} × {what}",
  },
  zh: {
    title: "相同块的连续段", blocks: "块", mode: "模式", forwards: "前向次数", segments: "段数", kind: "类型",
    more: "另有 {n} 段在记录里。", times: "{n} × {what}",
  },
});
const MOST_RUNS = 200;

export function PlanRuns({ plan }: { plan: Plan }) {
  const runs = useMemo(() => runsOf(plan), [plan]);
  const block = pointed.value >= 0 ? pointed.value : chosenBlock(plan);
  return (
    <Panel id="runs" title={t("title")}>
      <div class="table" role="region" aria-labelledby="runs-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("blocks")}</th>
              <th scope="col" class="left">{t("mode")}</th>
              <th scope="col">{t("forwards")}</th>
              <th scope="col">{t("segments")}</th>
              <th scope="col" class="left">{t("kind")}</th>
            </tr>
          </thead>
          <tbody>
            {runs.slice(0, MOST_RUNS).map((run) => (
              <RunRow key={run.first} plan={plan} run={run} isChosen={run.first <= block && block <= run.last} />
            ))}
          </tbody>
        </table>
      </div>
      {runs.length > MOST_RUNS && <p class="pale">{t("more", { n: runs.length - MOST_RUNS })}</p>}
    </Panel>
  );
}

function RunRow({ plan, run, isChosen }: { plan: Plan; run: Run; isChosen: boolean }) {
  const { first, last, parts, times, forwards, segments } = run;
  const several = times > 1 ? t("times", { n: times, what: "" }) : "";
  return (
    <tr class={isChosen ? "chosen" : ""}>
      <th scope="row">
        <button type="button" class="link" onClick={() => choose(plan, first)}>{first === last ? first : `${first}–${last}`}</button>
      </th>
      <td class="left">{several + parts.map((part) => part.mode).join(", ")}</td>
      <td>{short(forwards, 3)}</td>
      <td>{segments}</td>
      <td class="left">{several + [...new Set(parts.map(({ blocks, label }) => (blocks > 1 ? t("times", { n: blocks, what: label }) : label)))].join(", ")}</td>
    </tr>
  );
}
