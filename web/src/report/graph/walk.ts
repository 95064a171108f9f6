/** Which groups are open, which box stands for a selection, and where the arrow keys lead. */
import { type FlowView, gradientOf } from "../flowview";
import type { Layout } from "../layout";
import type { Selection } from "../state";
import type { Box, Placed } from "./place";

/** The layout's own choice, with the groups named in `changed` ("3,17") the other way round. */
export function openGroups(layout: Layout, changed: string): Set<number> {
  const open = new Set(layout.open);
  for (const text of changed.split(",").filter(Boolean)) {
    const id = Number(text);
    if (!open.delete(id)) open.add(id);
  }
  return open;
}

/** What then differs from the layout's choice, after a group was opened or closed. A repeat shows its prototype's inside first; closing closes both. */
export function flipped(layout: Layout, group: number, open: ReadonlySet<number>): string {
  const found = layout.groups[group];
  const prototype = found?.prototype ?? -1;
  const next = new Set(open);
  if (prototype >= 0 && !open.has(group)) {
    if (!next.delete(prototype)) next.add(prototype);
  } else if (!next.delete(group)) next.add(group);
  return differing(layout, next);
}

/** The groups that are open, as what differs from the layout's own choice. */
export function differing(layout: Layout, wanted: ReadonlySet<number>): string {
  const own = new Set(layout.open);
  return layout.groups.map(({ id }) => id).filter((id) => own.has(id) !== wanted.has(id)).join(",");
}

/** The weighted layer with the smallest gradient, an exact zero before all; -1: no gradient is known. */
export function smallestLayer(view: FlowView): number {
  let [best, least] = [-1, Infinity];
  for (const index of view.weighted) {
    const layer = view.flow.layers[index];
    const value = layer ? gradientOf(layer) : null;
    if (value !== null && value < least) [best, least] = [index, value];
  }
  return best;
}

/** The groups around a box, the innermost first. */
export function ancestors(view: FlowView, box: Pick<Box, "kind" | "id">): number[] {
  const groups = view.layout?.groups ?? [];
  const found: number[] = [];
  let group = box.kind === "node" ? (view.groupOfNode[box.id] ?? -1) : box.id;
  while (group >= 0) {
    found.push(group);
    group = groups[group]?.parent ?? -1;
  }
  return found;
}

/** Index of the box that is selected, or of the smallest shown one that it lies in; -1: none. */
export function boxOf(view: FlowView, placed: Placed, chosen: Selection | null): number {
  if (!chosen) return -1;
  if (chosen.what === "group") return shownGroup(view, placed, { kind: "closed", id: chosen.index });
  const node = chosen.what === "node" ? chosen.index : ((chosen.what === "layer" ? view.nodeOfLayer : view.nodeOfFork)[chosen.index] ?? -1);
  if (node < 0) return -1;
  const itself = placed.boxes.findIndex((box) => box.kind === "node" && box.id === node);
  return itself >= 0 ? itself : shownGroup(view, placed, { kind: "node", id: node });
}

function shownGroup(view: FlowView, placed: Placed, box: Pick<Box, "kind" | "id">): number {
  for (const group of ancestors(view, box)) {
    const found = placed.boxes.findIndex((shown) => shown.kind !== "node" && shown.id === group);
    if (found >= 0) return found;
  }
  return -1;
}

/** The box that an arrow key leads to: the nearest one further down or up, or beside in the same row. */
export function step(placed: Placed, from: number, right: number, down: number): Box | undefined {
  const boxes = placed.boxes.filter((box) => box.kind === "node" || box.kind === "closed");
  const here = placed.boxes[from];
  if (!here) return boxes.reduce<Box | undefined>((best, box) => (best && best.y <= box.y ? best : box), undefined); // the topmost
  const middle = here.x + Math.min(here.w, 148) / 2;
  const isAhead = (box: Box) => (down ? (box.y - here.y) * down > 0.5 : (box.x - here.x) * right > 0.5 && Math.abs(box.y - here.y) < 13);
  const distance = (box: Box) =>
    down ? Math.abs(box.y - here.y) * 1000 + Math.abs(box.x + box.w / 2 - middle) : Math.abs(box.x - here.x);
  const ahead = boxes.filter((box) => box !== here && isAhead(box));
  return ahead.length ? ahead.reduce((best, box) => (distance(box) < distance(best) ? box : best)) : undefined;
}

/** All nodes in a group, however deep. */
export function descendants(view: FlowView, group: number): number[] {
  const groups = view.layout?.groups ?? [];
  const found: number[] = [];
  const stack = [group];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    for (const item of groups[next]?.items ?? []) {
      if (item.kind === "node") found.push(item.id);
      else stack.push(item.id);
    }
  }
  return found;
}
