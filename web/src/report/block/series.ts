/** A part of the graph in series: nodes that every way through it passes, and what lies side by side between two of them. */
import type { Flow } from "../records";

export interface Step {
  readonly nodes: readonly number[];
  /** Every way passes the one node; else these lie side by side, in any arrangement. */
  readonly isPoint: boolean;
}

export interface Series {
  readonly steps: readonly Step[];
  /** The node where all ways met again; -1: they were followed to the end. */
  readonly end: number;
}

export type Successors = (node: number) => readonly number[];

/** The graph's edges by where they begin. */
export interface Ways {
  /** The nodes that use a node's tensor. Numbers of nodes rise along every edge (`Graph` checks it). */
  readonly after: Successors;
  /** How many edges end at a node. */
  readonly inputs: (node: number) => number;
  /** [fork][edge]: where that use arrives. */
  readonly uses: readonly (readonly (readonly number[])[])[];
}

export function waysOf({ graph, forks }: Pick<Flow, "graph" | "forks">): Ways | null {
  if (!graph) return null;
  const after: number[][] = graph.nodes.operation.map(() => []);
  const inputs = graph.nodes.operation.map(() => 0);
  const uses: number[][][] = forks.map((fork) => fork.edges.map(() => []));
  const { source, target, fork, edge } = graph.edges;
  source.forEach((from, i) => {
    const to = target[i] ?? -1;
    after[from]?.push(to);
    inputs[to] = (inputs[to] ?? 0) + 1;
    uses[fork[i] ?? -1]?.[edge[i] ?? -1]?.push(to);
  });
  return { after: (node) => after[node] ?? [], inputs: (node) => inputs[node] ?? 0, uses };
}

/** Follow all ways from `starts` up to the node `end`, which is not among the steps. */
export function series(starts: readonly number[], after: Successors, end = Infinity): Series {
  const waiting = new Set(starts);
  const steps: Step[] = [];
  let between: number[] = [];
  const close = () => {
    if (between.length) steps.push({ nodes: between, isPoint: false });
    between = [];
  };
  for (let node = Math.min(...starts); waiting.size; node += 1) {
    if (!waiting.delete(node)) continue;
    const isPoint = waiting.size === 0;
    if (isPoint) close();
    if (node >= end) return { steps, end: node };
    if (isPoint) steps.push({ nodes: [node], isPoint });
    else between.push(node);
    for (const next of after(node)) if (next <= end) waiting.add(next);
  }
  close();
  return { steps, end: -1 };
}

/** The first node that every way from `starts` passes (their immediate post-dominator), and all nodes before it; -1: none. */
export function meeting(starts: readonly number[], after: Successors): { node: number; inside: ReadonlySet<number> } {
  const waiting = new Set(starts);
  const inside = new Set<number>();
  for (let node = Math.min(...starts); waiting.size; node += 1) {
    if (!waiting.delete(node)) continue;
    if (waiting.size === 0) return { node, inside };
    inside.add(node);
    const users = after(node);
    if (!users.length) return { node: -1, inside }; // a way ends here, others go on
    for (const next of users) waiting.add(next);
  }
  return { node: -1, inside };
}
