/** The block around a selection: which tensor forks, which layers its uses pass, where they meet; all of it from the record. */
import { type FlowView, layerOf } from "../flowview";
import { descendants } from "../graph/walk";
import type { Edge, Fork, Graph } from "../records";
import type { Selection } from "../state";
import { meeting, series, type Series, type Step, type Ways } from "./series";

export interface Stop {
  /** several: layers or operations side by side. gap: what is left out. */
  readonly kind: "input" | "layer" | "operation" | "several" | "gap" | "merge";
  /** 'conv1', 'Relu', '+': what is written in it. */
  readonly name: string;
  /** Index of its layer; -1: none, so nothing was measured there. */
  readonly layer: number;
  /** Number of layers that it stands for. */
  readonly layers: number;
}

export interface Way {
  readonly edge: Edge;
  readonly stops: readonly Stop[];
}

export interface Block {
  /** Index of the fork; -1: a part of the net in which nothing runs beside it. */
  readonly fork: number;
  /** From the tensor that forks (or comes in) to the merge. */
  readonly main: readonly Stop[];
  /** The use that the main line is; null without a fork. */
  readonly use: Edge | null;
  /** The other uses, beside the main line. */
  readonly lanes: readonly Way[];
  /** Uses that are not drawn. */
  readonly others: number;
}

const MOST_STOPS = 9;
const MOST_LANE_STOPS = 4;
const MOST_LANES = 2;
const MOST_TRIED = 60;
const SIGNS: Readonly<Record<Fork["merge"], string>> = { add: "+", concat: "cat", multiply: "×", other: "…" };
/** They move numbers and change none. */
const MOVES = new Set(["View", "UnsafeView", "ReshapeAlias", "Alias", "T", "Transpose", "Permute", "Expand", "Clone", "Squeeze", "Unsqueeze", "ToCopy", "Detach"]);

/** The block that a selection is or lies in; null where there is none. */
export function blockOf(view: FlowView, ways: Ways | null, chosen: Selection | null): Block | null {
  const { graph } = view.flow;
  if (!chosen || !graph || !ways) return null;
  if (chosen.what === "fork") return forkBlock(view, graph, ways, chosen.index);
  if (chosen.what === "group") return groupBlock(view, graph, ways, chosen.index);
  const layer = layerOf(view, chosen);
  const node = chosen.what === "node" ? chosen.index : (view.nodeOfLayer[chosen.index] ?? -1);
  if (node < 0) return null;
  const fork = forkAround(view, ways, node);
  return (fork >= 0 ? forkBlock(view, graph, ways, fork, layer) : null) ?? groupBlock(view, graph, ways, groupAround(view, node));
}

/** The nearest residual fork before a node whose ways meet behind it, and pass it. */
function forkAround(view: FlowView, ways: Ways, node: number): number {
  const before = view.flow.forks
    .map((fork, index) => ({ fork, index, at: view.nodeOfFork[index] ?? -1 }))
    .filter(({ fork, at }) => fork.kind === "residual" && at >= 0 && at < node)
    .sort((a, b) => b.at - a.at);
  for (const { index } of before.slice(0, MOST_TRIED)) {
    const met = meeting(targets(view, ways, index), ways.after);
    if (met.node === node || met.inside.has(node)) return index;
  }
  return -1;
}

/** The first residual fork that meets in the group; else the group's own operations, in series. */
function groupBlock(view: FlowView, graph: Graph, ways: Ways, group: number): Block | null {
  const found = view.layout?.groups[group];
  if (!found) return null;
  const nodes = new Set(descendants(view, found.prototype >= 0 ? found.prototype : group));
  const fork = view.flow.forks.findIndex((one, index) => {
    if (one.kind !== "residual") return false;
    const uses = targets(view, ways, index);
    if (!uses.some((use) => nodes.has(use))) return false;
    const met = meeting(uses, ways.after);
    return nodes.has(met.node) && [...met.inside].some((node) => nodes.has(node));
  });
  return fork >= 0 ? forkBlock(view, graph, ways, fork) : plainBlock(view, graph, ways, nodes);
}

/** The smallest group around a node that holds two layers: a block rather than a layer. */
function groupAround(view: FlowView, node: number): number {
  let group = view.groupOfNode[node] ?? -1;
  while (group > 0 && (view.layout?.groups[group]?.sums.layers ?? 0) < 2) group = view.layout?.groups[group]?.parent ?? -1;
  return group;
}

/** Where a fork's uses arrive, those that leave the block left out. */
const targets = (view: FlowView, ways: Ways, fork: number): readonly number[] =>
  (ways.uses[fork] ?? []).filter((_, edge) => view.flow.forks[fork]?.edges[edge]?.kind !== "exit").flat();

function forkBlock(view: FlowView, graph: Graph, ways: Ways, index: number, chosen = -1): Block | null {
  const fork = view.flow.forks[index];
  const uses = targets(view, ways, index);
  const end = uses.length ? meeting(uses, ways.after).node : -1;
  if (!fork || end < 0) return null;
  const found = fork.edges.flatMap((edge, i) => {
    const at = ways.uses[index]?.[i] ?? [];
    return edge.kind === "exit" || !at.length ? [] : [{ edge, stops: stopsOf(view, graph, ways, series(at, ways.after, end)) }];
  });
  const main = found.filter(({ edge }) => edge.kind === "branch").sort((a, b) => layersIn(b.stops) - layersIn(a.stops))[0] ?? found[0];
  if (!main) return null;
  const rank = (way: Way) => ["skip", "projection", "gated", "branch"].indexOf(way.edge.kind);
  const beside = found.filter((way) => way !== main).sort((a, b) => rank(a) - rank(b));
  const merge: Stop = { kind: "merge", name: SIGNS[fork.merge], layer: -1, layers: 0 };
  return {
    fork: index, use: main.edge, main: [INPUT, ...shortened(main.stops, MOST_STOPS, chosen), merge], others: fork.edges.length - 1 - Math.min(beside.length, MOST_LANES),
    lanes: beside.slice(0, MOST_LANES).map(({ edge, stops }) => ({ edge, stops: shortened(stops, MOST_LANE_STOPS, chosen) })),
  };
}

function plainBlock(view: FlowView, graph: Graph, ways: Ways, nodes: ReadonlySet<number>): Block | null {
  const fed = new Set<number>();
  graph.edges.target.forEach((target, i) => nodes.has(graph.edges.source[i] ?? -1) && fed.add(target));
  const starts = [...nodes].filter((node) => !fed.has(node));
  if (!starts.length) return null;
  const stops = stopsOf(view, graph, ways, series(starts, (node) => ways.after(node).filter((next) => nodes.has(next))));
  return layersIn(stops) ? { fork: -1, use: null, main: [INPUT, ...shortened(stops, MOST_STOPS, -1)], lanes: [], others: 0 } : null;
}

const INPUT: Stop = { kind: "input", name: "x", layer: -1, layers: 0 };
const layersIn = (stops: readonly Stop[]): number => stops.reduce((sum, stop) => sum + stop.layers, 0);

/** Steps as stops; what only moves numbers, and the inside of a layer, is not shown. */
function stopsOf(view: FlowView, graph: Graph, ways: Ways, { steps }: Series): Stop[] {
  return steps.flatMap((step) => {
    const layers = [...new Set(step.nodes.map((node) => graph.nodes.layer[node] ?? -1))].filter((layer) => layer >= 0);
    return step.isPoint ? pointStop(view, graph, ways, step, layers[0] ?? -1) : severalStop(view, graph, step, layers);
  });
}

function pointStop(view: FlowView, graph: Graph, ways: Ways, { nodes: [node = -1] }: Step, layer: number): Stop[] {
  if (layer >= 0 && view.nodeOfLayer[layer] !== node) return [];
  if (layer >= 0) return [{ kind: "layer", name: shortName(view, layer), layer, layers: 1 }];
  const name = operation(graph, node);
  const text = name === "Cat" ? `cat of ${ways.inputs(node)}` : name;
  return MOVES.has(name) ? [] : [{ kind: "operation", name: text, layer: -1, layers: 0 }];
}

function severalStop(view: FlowView, graph: Graph, { nodes }: Step, layers: readonly number[]): Stop[] {
  const made = layers.filter((layer) => nodes.includes(view.nodeOfLayer[layer] ?? -1)); // of others only an inner part is here
  const [only = -1] = made;
  if (made.length === 1) return [{ kind: "layer", name: shortName(view, only), layer: only, layers: 1 }];
  const names = counted(made.map((layer) => shortName(view, layer)));
  const free = nodes.filter((node) => (graph.nodes.layer[node] ?? -1) < 0).map((node) => operation(graph, node)).filter((name) => !MOVES.has(name));
  if (!made.length && !free.length) return [];
  return [{ kind: "several", name: (names.length ? names : counted(free)).join(" · "), layer: -1, layers: made.length }];
}

/** Each once, with how often: 'cell × 19'. */
function counted(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => (times > 1 ? `${name} × ${times}` : name));
}

const operation = (graph: Graph, node: number): string => graph.operations[graph.nodes.operation[node] ?? -1] ?? "";

/** 'stages.0.conv1' → 'conv1'; a number alone says little: '0' → 'Conv2d'. */
function shortName(view: FlowView, index: number): string {
  const layer = view.flow.layers[index];
  const last = layer?.scope.split(".").at(-1) ?? "";
  return /^\d*$/.test(last) ? (layer?.module ?? "") : last;
}

/** A long line keeps both of its ends, and what is around the chosen layer. */
export function shortened(stops: readonly Stop[], most: number, chosen: number): readonly Stop[] {
  if (stops.length <= most) return stops;
  const at = stops.findIndex((stop) => stop.layer >= 0 && stop.layer === chosen);
  const distance = (i: number) => Math.min(i, stops.length - 1 - i, at < 0 ? Infinity : Math.abs(i - at));
  const byDistance = stops.map((_, i) => i).sort((a, b) => distance(a) - distance(b) || a - b);
  const kept = new Set(byDistance.slice(0, most - 2)); // two places for gaps
  const found: Stop[] = [];
  for (let i = 0; i < stops.length; i += 1) {
    const from = i;
    while (i < stops.length && !kept.has(i)) i += 1;
    const left = stops.slice(from, i);
    if (left.length === 1) found.push(...left);
    else if (left.length) found.push({ kind: "gap", name: String(left.length), layer: -1, layers: layersIn(left) });
    const stop = stops[i];
    if (stop) found.push(stop);
  }
  return found;
}
