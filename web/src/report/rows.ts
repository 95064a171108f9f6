/** The tree-table's rows: module calls and their layers, in the order of the forward pass; sorted and searched. */
import { type FlowView, layerName } from "./flowview";
import { valueOf, type Quantity } from "./quantities";

export interface Row {
  /** Full path; what is searched. */
  readonly name: string;
  /** The last part of the path, what stands in the tree. */
  readonly label: string;
  readonly level: number;
  readonly module: string;
  /** Index of its layer; -1: a module without a layer of its own. */
  readonly layer: number;
  /** Index of its parent's row; -1: top. */
  readonly parent: number;
  readonly hasChildren: boolean;
}

/** One row per layer, under a row for each module on its path ('stages' > '0' > 'conv1'). */
export function treeRows(view: FlowView): Row[] {
  const rows: (Omit<Row, "hasChildren"> & { hasChildren: boolean })[] = [];
  const modules = new Map<string, string>();
  const graph = view.flow.graph;
  graph?.calls.name.forEach((name, i) => modules.set(name, graph.calls.module[i] ?? ""));
  let open: { path: string; row: number }[] = [];
  view.flow.layers.forEach((layer, index) => {
    const parts = layer.scope === "" ? [] : layer.scope.split(".");
    const shared = open.filter(({ path }, depth) => path === parts.slice(0, depth + 1).join(".") && depth < parts.length - 1);
    const gap = open.findIndex(({ path }, depth) => path !== parts.slice(0, depth + 1).join("."));
    open = gap < 0 ? shared : shared.slice(0, gap);
    for (let depth = open.length; depth < parts.length - 1; depth += 1) {
      const path = parts.slice(0, depth + 1).join(".");
      const parent = open.at(-1)?.row ?? -1;
      const row = rows.push({ name: path, label: parts[depth] ?? "", level: depth + 1, module: modules.get(path) ?? "", layer: -1, parent, hasChildren: true }) - 1;
      open.push({ path, row });
    }
    const label = (parts.at(-1) ?? layer.module) + (layer.call ? ` (${layer.call})` : "");
    rows.push({ name: layerName(layer), label, level: Math.max(parts.length, 1), module: layer.module, layer: index, parent: open.at(-1)?.row ?? -1, hasChildren: false });
  });
  return rows;
}

export interface Order {
  readonly by: Quantity | "module";
  readonly down: boolean;
}

/** Rows to show: those whose ancestors are open; with a search or an order a flat list of layers. */
export function visibleRows(view: FlowView, rows: readonly Row[], closed: ReadonlySet<number>, search: string, order: Order | null): Row[] {
  if (!search && !order) {
    return rows.filter((row) => {
      for (let up = row.parent; up >= 0; up = rows[up]?.parent ?? -1) if (closed.has(up)) return false;
      return true;
    });
  }
  const wanted = search.toLowerCase();
  const found = rows.filter((row) => row.layer >= 0 && `${row.name} ${row.module}`.toLowerCase().includes(wanted));
  if (!order) return found;
  const sign = order.down ? -1 : 1;
  const key = (row: Row) => sortKey(view, row, order.by);
  return [...found].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (typeof x === "string" || typeof y === "string") return sign * String(x).localeCompare(String(y));
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : sign * (x - y);
  });
}

/** What is missing or not finite goes last, whatever the direction. */
function sortKey(view: FlowView, row: Row, by: Order["by"]): number | string {
  if (by === "module") return row.module;
  const layer = view.flow.layers[row.layer];
  return (layer ? valueOf(layer, by) : null) ?? NaN;
}
