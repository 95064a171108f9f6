/** A tree-table's rows: modules and the layers in them, in the order of the forward pass; sorted and searched. */
import { type FlowView, layerName } from "./flowview";

/** A call of a layer, whatever is known of it. */
export interface Entry {
  readonly scope: string;
  readonly module: string;
  /** From 0; later calls of the same module are told apart by it. */
  readonly call?: number;
}

export interface Row {
  /** Full path; what is searched. */
  readonly name: string;
  /** The last part of the path, what stands in the tree. */
  readonly label: string;
  readonly level: number;
  readonly module: string;
  /** Index of its layer; -1: a module without one of its own. */
  readonly layer: number;
  /** Index of its parent's row; -1: top. */
  readonly parent: number;
  readonly hasChildren: boolean;
  /** Its layers, or the one that it is: from this one … */
  readonly first: number;
  /** … to this one. */
  readonly last: number;
}

type Growing = { -readonly [key in keyof Row]: Row[key] };

/** One row per layer, under a row for each module on its path ('stages' > '0' > 'conv1'). What a module does itself, after
 * all that is in it, stands in the module's own row. `modules`: path → class. */
export function treeRows(entries: readonly Entry[], modules: ReadonlyMap<string, string> = new Map()): Row[] {
  const rows: Growing[] = [];
  const rowOf = new Map<string, Growing>();
  let open: { path: string; row: number }[] = [];
  entries.forEach((entry, index) => {
    const own = rowOf.get(entry.scope);
    if (own && own.layer < 0 && own.last === index - 1 && !entry.call) {
      Object.assign(own, { layer: index, module: entry.module });
      for (let up: Growing | undefined = own; up; up = rows[up.parent]) up.last = index;
      return;
    }
    const parts = entry.scope === "" ? [] : entry.scope.split(".");
    const pathOf = (depth: number) => parts.slice(0, depth + 1).join(".");
    const kept = open.findIndex(({ path }, depth) => depth >= parts.length - 1 || path !== pathOf(depth));
    if (kept >= 0) open = open.slice(0, kept);
    for (let depth = open.length; depth < parts.length - 1; depth += 1) {
      const path = pathOf(depth);
      const parent = open.at(-1)?.row ?? -1;
      const made = { name: path, label: parts[depth] ?? "", level: depth + 1, module: modules.get(path) ?? "", layer: -1 };
      const row: Growing = { ...made, parent, hasChildren: true, first: index, last: index };
      rowOf.set(path, row);
      open.push({ path, row: rows.push(row) - 1 });
    }
    for (const { row } of open) {
      const above = rows[row];
      if (above) above.last = index;
    }
    const label = (parts.at(-1) ?? entry.module) + (entry.call ? ` (${entry.call})` : "");
    const made = { name: layerName(entry), label, level: Math.max(parts.length, 1), module: entry.module, layer: index };
    rows.push({ ...made, parent: open.at(-1)?.row ?? -1, hasChildren: false, first: index, last: index });
  });
  return rows;
}

/** The class of each module of a flow, by its path. */
export function modulesOf({ flow: { graph } }: FlowView): Map<string, string> {
  return new Map(graph?.calls.name.map((name, i) => [name, graph.calls.module[i] ?? ""]));
}

export interface Order {
  /** Which column. */
  readonly by: string;
  readonly down: boolean;
}

/** What a row is sorted by in a column; null: nothing. */
export type Key = (row: Row, by: string) => number | string | null;

/** Rows to show: those whose ancestors are open; with a search or an order a flat list of layers. */
export function visibleRows(rows: readonly Row[], closed: ReadonlySet<number>, search: string, order: Order | null, key: Key): Row[] {
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
  return found.sort((a, b) => {
    const [x, y] = [key(a, order.by) ?? NaN, key(b, order.by) ?? NaN];
    if (typeof x === "string" || typeof y === "string") return sign * String(x).localeCompare(String(y));
    return Number.isNaN(x) ? 1 : Number.isNaN(y) ? -1 : sign * (x - y); // what is missing goes last, whatever the direction
  });
}
