/** What the graph's lines mean. */
import { texts } from "../../core/i18n";

const t = texts({
  en: { skip: "skip", projection: "projection", branch: "branch", gated: "gated", exit: "exit", only: "only use", width: "Lines: gradient's share; wider carries more" },
  zh: { skip: "跳跃", projection: "投影", branch: "分支", gated: "门控", exit: "离开", only: "唯一用途", width: "线条：梯度占比，越粗传回越多" },
});
const KINDS = [["skip", ""], ["projection", "7 3"], ["branch", ""], ["gated", "2 3"], ["exit", "1 4"], ["only", ""]] as const;

export function Lines() {
  return (
    <p class="legend lines">
      <span>{t("width")}</span>
      {KINDS.map(([kind, dash]) => (
        <span key={kind} class={`class ${kind}`}>
          <svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">
            <path d="M0,4H28" stroke-dasharray={dash} />
          </svg>{" "}
          {t(kind)}
        </span>
      ))}
    </p>
  );
}
