/** The finding in one sentence of the page's own, for those who do not read the language of Python's sentences. */
import { texts } from "../core/i18n";
import { decoded, short } from "../core/numbers";
import { kindText } from "./kinds";
import type { Flow } from "./records";

const t = texts({
  en: {
    none: "No finding.", found: "Finding: {kind}.", where: "Finding: {kind}, at {where}.",
    deep: "{layers} weighted layers; the gradient passes {depth} of {n} branches on average; stem over head {stem}.",
    plain: "{layers} weighted layers; stem over head {stem}.",
    source: "The sentences in English are the record's own.",
  },
  zh: {
    none: "没有发现问题。", found: "发现的问题：{kind}。", where: "发现的问题：{kind}，位于 {where}。",
    deep: "共 {layers} 个加权层，梯度平均经过 {n} 个分支中的 {depth} 个；首尾之比 {stem}。",
    plain: "共 {layers} 个加权层；首尾之比 {stem}。",
    source: "英文句子是记录的原文。",
  },
});

export function Gist({ flow }: { flow: Flow }) {
  const [worst] = flow.findings;
  const depth = decoded(flow.effective_depth);
  const numbers = {
    layers: flow.layers.filter((layer) => layer.weighted).length,
    n: flow.forks.filter((fork) => fork.kind === "residual").length,
    depth: short(depth, 3),
    stem: short(decoded(flow.stem_over_head), 3),
  };
  const finding = worst ? t(worst.where ? "where" : "found", { kind: kindText(worst.kind), where: worst.where }) : t("none");
  return (
    <p class="gist">
      <strong>{finding}</strong> {t(depth === null ? "plain" : "deep", numbers)} <span class="pale">{t("source")}</span>
    </p>
  );
}
