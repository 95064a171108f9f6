/** Words of a plan that several of its views use, and which block they point at together. */
import { signal } from "@preact/signals";
import { texts } from "../core/i18n";
import { memory } from "../core/numbers";
import { shortened } from "./graph/marks";
import { blockOfLayers, type Mode, modesOf, type Plan, tapeOf } from "./plans";
import { select, selection } from "./state";

export const modeText = texts<Mode>({
  en: {
    full: "all that the backward reads", lean: "input, raw convolution outputs", raw: "raw convolution outputs",
    last: "what the sweep back needs", input: "the input alone", none: "nothing",
  },
  zh: { full: "反向传播所需的全部", lean: "输入和卷积的原始输出", raw: "卷积的原始输出", last: "回扫所需的部分", input: "仅输入", none: "不保留" },
});
const t = texts({
  en: { block: "block {n}, {name}", told: "block {n}, {name}: {mode}, tape {size}", layer: "layer {n}, {name}" },
  zh: { block: "第 {n} 块 {name}", told: "第 {n} 块 {name}：{mode}，tape {size}", layer: "第 {n} 层 {name}" },
});
const MOST_NAME = 40;

/** The block under the pointer, in whichever view; -1: none. */
export const pointed = signal(-1);

export const blockName = (plan: Plan, block: number): string => t("block", { n: block, name: shortened(plan.blocks[block] ?? "", MOST_NAME) });

/** A layer by its number, from 0, and its name. */
export const layerName = (plan: Plan, layer: number): string => t("layer", { n: layer, name: shortened(plan.layers[layer]?.name ?? "", MOST_NAME) });

/** What a block keeps, in words. */
export function blockText(plan: Plan, block: number, modes: readonly Mode[] = modesOf(plan)): string {
  const mode = modes[block];
  if (!mode) return "";
  const tape = tapeOf(plan, block, mode);
  return t("told", { n: block, name: shortened(plan.blocks[block] ?? "", MOST_NAME), mode, size: tape === null ? "-" : memory(tape) });
}

export const choose = (plan: Plan, block: number): void => select({ what: "block", index: block }, blockText(plan, block));

/** The block that is selected, or in which the selected layer lies; -1: none. */
export function chosenBlock(plan: Plan): number {
  const chosen = selection();
  if (chosen?.what === "block") return chosen.index < plan.blocks.length ? chosen.index : -1;
  return chosen?.what === "layer" ? (blockOfLayers(plan)[chosen.index] ?? -1) : -1;
}
