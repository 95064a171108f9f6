/** Memory per layer under plain autograd, as a tree: what a module's layers keep together. */
import { useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { memory, percent } from "../core/numbers";
import { blockOfLayers, modesOf, type Plan } from "./plans";
import { pointed } from "./planWords";
import { type Row, treeRows } from "./rows";
import { select, selection } from "./state";
import { type Column, TreeTable } from "./TreeTable";

const t = texts({
  en: {
    title: "Memory per layer, everything kept", output: "output", parameters: "parameters", kept: "forward keeps", part: "of all layers", backward: "backward adds",
    mode: "its block keeps",
  },
  zh: { title: "各层的内存（全部保留时）", output: "输出", parameters: "参数", kept: "前向保留", part: "占全部层", backward: "反向另需", mode: "所在块保留" },
});

export function PlanLayers({ plan }: { plan: Plan }) {
  const rows = useMemo(() => treeRows(plan.layers.map(({ name, kind }) => ({ scope: name, module: kind }))), [plan]);
  const blocks = useMemo(() => blockOfLayers(plan), [plan]);
  const columns = useMemo(() => columnsOf(plan, blocks), [plan, blocks, language()]);
  const chosen = selection();
  const block = pointed.value >= 0 ? pointed.value : chosen?.what === "block" ? chosen.index : -1;
  const isChosen = (layer: number) => (chosen?.what === "layer" && chosen.index === layer) || (block >= 0 && blocks[layer] === block);
  const choose = (row: Row) => select({ what: "layer", index: row.layer }, row.name);
  return <TreeTable title={t("title")} rows={rows} columns={columns} isChosen={isChosen} onChoose={choose} />;
}

function columnsOf(plan: Plan, blocks: readonly number[]): Column[] {
  const { layers } = plan;
  const modes = modesOf(plan);
  const whole = Math.max(layers.reduce((all, layer) => all + layer.kept_bytes, 0), 1);
  const output = (row: Row) => layers[row.layer]?.output ?? "";
  const mode = (row: Row) => modes[blocks[row.layer] ?? -1] ?? "";
  const counted = (key: Count, name: string, together: (values: readonly number[]) => number, text: (value: number) => string): Column => ({
    key, name,
    text: (row, isTree) => text(isTree ? together(layers.slice(row.first, row.last + 1).map((layer) => layer[key])) : (layers[row.layer]?.[key] ?? 0)),
    value: (row) => layers[row.layer]?.[key] ?? null,
  });
  return [
    { key: "output", name: t("output"), isFixed: true, text: output, value: output },
    counted("parameter_bytes", t("parameters"), sumOf, (bytes) => (bytes ? memory(bytes) : "-")),
    counted("kept_bytes", t("kept"), sumOf, memory),
    { ...counted("kept_bytes", t("part"), sumOf, (bytes) => percent(bytes / whole)), key: "part", value: (row) => (layers[row.layer]?.kept_bytes ?? 0) / whole },
    counted("backward_bytes", t("backward"), (values) => values.reduce((most, one) => Math.max(most, one), 0), memory),
    ...(modes.length ? [{ key: "mode", name: t("mode"), text: mode, value: mode }] : []),
  ];
}

type Count = "parameter_bytes" | "kept_bytes" | "backward_bytes";
const sumOf = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0);
