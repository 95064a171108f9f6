/** Flows side by side as lines: each over its relative depth, so that nets of different depth lie on one axis. */
import { decoded } from "../core/numbers";
import type { Series } from "../ui/Plot";
import type { Finding, Flow, Num } from "./records";
import { valueOf } from "./quantities";

export interface LayerDiff {
  readonly scope_a: string;
  readonly scope_b: string;
  readonly call: number;
  readonly matched: "name" | "depth";
  readonly depth: number;
  readonly log10_rms_a: Num;
  readonly log10_rms_b: Num;
  readonly decades: Num;
}

export interface QuantityDiff {
  readonly name: string;
  readonly a: Num;
  readonly b: Num;
  readonly decades: Num;
}

export interface FlowDiff {
  readonly kind: "diff";
  readonly name_a: string;
  readonly name_b: string;
  readonly tolerance: number;
  readonly quantities: readonly QuantityDiff[];
  readonly layers: readonly LayerDiff[];
  readonly only_a: readonly string[];
  readonly only_b: readonly string[];
  readonly appeared: readonly Finding[];
  readonly disappeared: readonly Finding[];
}

/** Place of entry i of n, from 0 (stem) to 100 (head). */
const depthOf = (i: number, n: number): number => (n > 1 ? rounded((100 * i) / (n - 1)) : 0);

/** To a hundredth of a per cent: these are also the rows of a table. */
const rounded = (value: number): number => Number(value.toFixed(2));

/** The gradient RMS at the weighted layers of a flow over its relative depth in per cent. */
export function flowPoints(flow: Flow): (readonly [number, number | null])[] {
  const weighted = flow.layers.filter((layer) => layer.weighted);
  return weighted.map((layer, i) => [depthOf(i, weighted.length), valueOf(layer, "gradient")] as const);
}

/** The same from a difference alone: what it holds of the layers of A (or B). */
export function diffPoints(diff: FlowDiff, side: "a" | "b"): (readonly [number, number | null])[] {
  return diff.layers.map((layer) => [rounded(100 * layer.depth), decoded(layer[`log10_rms_${side}`])] as const);
}

/** A look per line: no two neighbours alike, the first solid. */
export const lookOf = (i: number): number => [5, 0, 4, 1, 3, 6, 7, 2][i % 8] ?? 5;

export const lineOf = (name: string, i: number, points: Series["points"]): Series => ({ name, points, look: lookOf(i) });

/** Whether a ratio lies outside the tolerance; what is not finite does. As `FlowDiff.beyond`. */
export function isBeyond(diff: FlowDiff, decades: Num): boolean {
  const value = decoded(decades);
  return value !== null && !(Math.abs(value) <= diff.tolerance);
}

/** Layers beyond the tolerance, largest change first, those that a gradient reaches in one of the two before them. */
export function changedLayers(diff: FlowDiff): LayerDiff[] {
  const lost = diff.layers.filter((layer) => (layer.log10_rms_a === null) !== (layer.log10_rms_b === null));
  const found = diff.layers.filter((layer) => isBeyond(diff, layer.decades));
  const size = (layer: LayerDiff) => Math.abs(decoded(layer.decades) ?? 0);
  return [...lost, ...found.sort((x, y) => size(y) - size(x))];
}

export interface Absent {
  readonly name: string;
  readonly missing: number;
  readonly zero: number;
  readonly broken: number;
}

/** What a logarithmic line cannot show: places without a value, exact zeros, values that are not finite. */
export function absent(series: readonly Series[]): Absent[] {
  return series.flatMap(({ name, points }) => {
    const values = points.map(([, value]) => value);
    const missing = values.filter((value) => value === null).length;
    const zero = values.filter((value) => value === -Infinity).length;
    const broken = values.filter((value) => value !== null && !Number.isFinite(value)).length - zero;
    return missing + zero + broken ? [{ name, missing, zero, broken }] : [];
  });
}
