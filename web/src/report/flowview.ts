/** A flow with its indices: which node belongs to which layer, which edge to which fork; and where a selection lies. */
import { decoded } from "../core/numbers";
import type { Layout } from "./layout";
import type { Flow, Layer } from "./records";
import type { Selection } from "./state";

export interface FlowView {
  readonly flow: Flow;
  readonly layout: Layout | null;
  /** Layer → the node that makes its output (the last of its nodes); -1: none in the graph. */
  readonly nodeOfLayer: readonly number[];
  /** Fork → the node whose tensor forks; -1 where the graph has none (parameters, no graph). */
  readonly nodeOfFork: readonly number[];
  /** Node → the group that it lies in; empty without a layout. */
  readonly groupOfNode: readonly number[];
  /** Indices of the layers that depth counts. */
  readonly weighted: readonly number[];
}

export function flowView(flow: Flow, layout: Layout | null): FlowView {
  const nodeOfLayer = flow.layers.map(() => -1);
  const nodeOfFork = flow.forks.map(() => -1);
  flow.graph?.nodes.layer.forEach((layer, node) => {
    if (layer >= 0) nodeOfLayer[layer] = node;
  });
  flow.graph?.edges.fork.forEach((fork, edge) => {
    if (fork >= 0) nodeOfFork[fork] = flow.graph?.edges.source[edge] ?? -1;
  });
  const groupOfNode: number[] = [];
  for (const group of layout?.groups ?? []) {
    for (const item of group.items) if (item.kind === "node") groupOfNode[item.id] = group.id;
  }
  const weighted = flow.layers.flatMap((layer, i) => (layer.weighted ? [i] : []));
  return { flow, layout, nodeOfLayer, nodeOfFork, groupOfNode, weighted };
}

/** 'stages.0.conv1', or 'cell (call 3)' for later calls. */
export function layerName(layer: { readonly scope: string; readonly module: string; readonly call?: number }): string {
  return layer.call ? `${layer.scope} (call ${layer.call})` : layer.scope || layer.module;
}

/** Index of the layer that a scope names; -1: none. */
export const layerNamed = (flow: Flow, scope: string | undefined): number => (scope ? flow.layers.findIndex((layer) => layer.scope === scope) : -1);

/** The layer that a selection is, or lies in; -1: none. Of a group: the one with the smallest gradient. */
export function layerOf(view: FlowView, chosen: Selection | null): number {
  if (!chosen) return -1;
  if (chosen.what === "layer") return chosen.index;
  if (chosen.what === "block") return -1;
  if (chosen.what === "node") return view.flow.graph?.nodes.layer[chosen.index] ?? -1;
  if (chosen.what === "group") return view.layout?.groups[chosen.index]?.sums.smallest_layer ?? -1;
  return view.flow.graph?.nodes.layer[view.nodeOfFork[chosen.index] ?? -1] ?? -1;
}

/** log10 of the gradient RMS at a layer; null where none arrived, -Infinity for an exact zero, NaN if not finite. */
export const gradientOf = (layer: Layer): number | null => decoded(layer.log10_gradient_rms);
