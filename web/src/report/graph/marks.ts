/** What the graph shows of each box and line: names, values, kinds, shares. Numbers of the record, no pixels, no colours. */
import { decoded, fromLog10, percent } from "../../core/numbers";
import { type FlowView, gradientOf } from "../flowview";
import type { Group } from "../layout";
import type { EdgeKind, Flow } from "../records";
import type { Box, Line } from "./place";

export interface BoxMark {
  readonly name: string;
  readonly value: string;
  /** log10 of the gradient RMS; null: none arrived; undefined: not a layer. */
  readonly gradient: number | null | undefined;
  readonly isOpaque: boolean;
  /** 'Conv2d', 'Add', 'Bottleneck'. */
  readonly kind: string;
  /** How many blocks it stands for. */
  readonly count: number;
}

/** 'conv1'; of a box that stands for several: 'layer3 (× 23)'. */
export const boxLabel = ({ name, count }: BoxMark): string => (count > 1 ? `${name} (× ${count})` : name);

/** Of a frame, in at most so many characters: 'layer3: 23 × Bottleneck', 'attn: Attention'. */
export function frameTitle({ name, kind, count }: BoxMark, room: number): string {
  const what = count > 1 ? `${count} × ${kind}` : kind;
  if (!what) return shortened(name, room);
  const left = room - name.length - 2;
  if (left < LEAST_KIND) return shortened(name, room);
  return `${name}: ${what.length > left ? `${what.slice(0, left - 1)}…` : what}`;
}
const LEAST_KIND = 5;

/** 'stages.0 … conv1': the middle goes first. */
export function shortened(name: string, room: number): string {
  if (name.length <= room) return name;
  const head = Math.ceil((room - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(name.length - (room - 1 - head))}`;
}

export function boxMarks(view: FlowView, boxes: readonly Box[]): BoxMark[] {
  const opaque = new Set(view.flow.graph?.opaque);
  return boxes.map((box) => (box.kind === "node" ? nodeMark(view, box, opaque) : groupMark(view, box)));
}

/** What to call a box. */
export const boxName = (view: FlowView, box: Box): string => boxMarks(view, [box]).map(boxLabel)[0] ?? "";

/** A box in words: where it lies, what it is, the gradient there. */
export function boxTitle(view: FlowView, box: Box): string {
  const [mark] = boxMarks(view, [box]);
  const graph = view.flow.graph;
  const scope = box.kind === "node" ? (graph?.calls.name[graph.nodes.scope[box.id] ?? -1] ?? "") : (view.layout?.groups[box.id]?.name ?? "");
  const kind = mark && mark.count > 1 ? `${mark.count} × ${mark.kind}` : mark?.kind;
  return [scope || mark?.name, kind, mark?.value && `∂ ${mark.value}`].filter(Boolean).join(" · ");
}

function nodeMark(view: FlowView, box: Box, opaque: ReadonlySet<number>): BoxMark {
  const graph = view.flow.graph;
  const operation = graph?.operations[graph.nodes.operation[box.id] ?? -1] ?? "";
  const index = graph?.nodes.layer[box.id] ?? -1;
  const layer = view.nodeOfLayer[index] === box.id ? view.flow.layers[index] : undefined;
  const gradient = layer && gradientOf(layer);
  return {
    name: /^\d+$/.test(box.name) ? `${box.name} ${operation}` : box.name || operation,
    value: gradient === undefined ? "" : gradientText(gradient),
    gradient,
    isOpaque: opaque.has(box.id),
    kind: operation,
    count: 1,
  };
}

function groupMark(view: FlowView, box: Box): BoxMark {
  const group = view.layout?.groups[box.id] as Group;
  const { sums } = group;
  const value = decoded(sums.log10_gradient_rms);
  const gradient = sums.layers + sums.without_gradient === 0 ? undefined : value;
  return {
    name: box.name,
    value: gradient === undefined ? "" : gradientText(gradient),
    gradient,
    isOpaque: sums.opaque > 0,
    kind: group.module,
    count: group.count,
  };
}

function gradientText(value: number | null): string {
  if (value === null) return "–";
  return Number.isFinite(value) || value === -Infinity ? fromLog10(value, 2) : value > 0 ? "inf" : "NaN";
}

export interface LineMark {
  readonly kind: EdgeKind | "only" | "inner";
  /** Summed over the edges of the line, which all leave the same tensor; null where there is none. */
  readonly share: number | null;
  readonly isLane: boolean;
  /** "91 %", where it is worth reading. */
  readonly label: string;
}

const LEAST_LABELLED = 0.05;
const TRUNK: Omit<LineMark, "isLane"> = { kind: "only", share: null, label: "" };

/** `shown`: which group's inside stands in which frame. */
export function lineMark(view: FlowView, line: Line, shown: ReadonlyMap<number, number>): LineMark {
  const inside = view.layout?.groups[shown.get(line.group) ?? line.group];
  const target = inside?.wires[line.wire]?.targets[line.target];
  return { ...edgesMark(view.flow, target?.edges ?? []), isLane: target?.lane ?? false };
}

/** Of edges that leave one tensor and run together. Where ways of several kinds do, they are the trunk: no share. */
function edgesMark(flow: Flow, edges: readonly number[]): Omit<LineMark, "isLane"> {
  const uses = edges.flatMap((edge) => {
    const fork = flow.forks[flow.graph?.edges.fork[edge] ?? -1];
    const use = fork?.edges[flow.graph?.edges.edge[edge] ?? -1];
    return fork && use ? [{ fork, use }] : [];
  });
  const [first] = uses;
  if (!first || new Set(uses.map(({ use }) => use.kind)).size > 1) return TRUNK;
  const shares = uses.map(({ use }) => decoded(use.share));
  const share = shares.some((one) => one === null) ? null : shares.reduce<number>((sum, one) => sum + (one ?? 0), 0);
  if (first.fork.kind !== "residual") return { kind: "inner", share, label: "" };
  const isCancelled = (decoded(first.fork.cancellation) ?? 0) > 0.99;
  const label = share === null || isCancelled || Math.abs(share) < LEAST_LABELLED ? "" : percent(share, 0);
  return { kind: first.use.kind, share, label };
}
