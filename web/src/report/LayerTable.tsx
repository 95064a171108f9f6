/** Everything as a table: a flow's layers under their modules, with their numbers. */
import { useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { fromLog10, percent } from "../core/numbers";
import { type FlowView, layerOf } from "./flowview";
import { isLogarithmic, type Quantity, valueOf } from "./quantities";
import { modulesOf, type Row, treeRows } from "./rows";
import { select, selection } from "./state";
import { valueText } from "./Strip";
import { type Column, TreeTable } from "./TreeTable";

const t = texts({
  en: {
    title: "All layers as a table", shape: "output",
    gradient: "gradient RMS", activation: "activation RMS", parameter: "parameter gradient", update: "update ratio", zeros: "zeros",
  },
  zh: {
    title: "全部层的表格", shape: "输出",
    gradient: "梯度均方根", activation: "激活值均方根", parameter: "参数梯度", update: "更新比", zeros: "零",
  },
});
const SHOWN = ["gradient", "activation", "parameter", "update", "zeros"] as const satisfies readonly Quantity[];
const TERMS: Partial<Record<Quantity, string>> = { gradient: "RMS", activation: "RMS", update: "update ratio" };

export function LayerTable({ view }: { view: FlowView }) {
  const rows = useMemo(() => treeRows(view.flow.layers, modulesOf(view)), [view]);
  const columns = useMemo(() => columnsOf(view), [view, language()]);
  const chosen = selection();
  const at = chosen?.what === "layer" ? layerOf(view, chosen) : -1;
  const choose = (row: Row) => select({ what: "layer", index: row.layer }, row.name);
  return <TreeTable title={t("title")} rows={rows} columns={columns} isChosen={(layer) => layer === at} onChoose={choose} />;
}

function columnsOf({ flow: { layers } }: FlowView): Column[] {
  const shape: Column = {
    key: "shape", name: t("shape"), isFixed: true,
    text: (row) => layers[row.layer]?.shape.join("×") ?? "",
    value: (row) => layers[row.layer]?.shape.join("x") ?? "",
  };
  return [shape, ...SHOWN.map((by) => quantityColumn(layers, by))];
}

function quantityColumn(layers: FlowView["flow"]["layers"], by: Quantity & (typeof SHOWN)[number]): Column {
  const value = (row: Row) => {
    const layer = layers[row.layer];
    return layer ? valueOf(layer, by) : null;
  };
  return {
    key: isLogarithmic(by) ? `log10_${by}` : by, name: t(by), term: TERMS[by], value,
    text: (row) => (row.layer < 0 ? "" : cellText(value(row), by)),
  };
}

function cellText(value: number | null, by: Quantity): string {
  if (by === "gradient") return valueText(value);
  return isLogarithmic(by) ? fromLog10(value, 3) : percent(value);
}
