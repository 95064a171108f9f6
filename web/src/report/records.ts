/** Records as they stand in the page: the JSON of the files (schema-1.json), field by field. Only what is shown is named.
 *
 * Numbers that are not finite are strings ("NaN", "-Infinity": an exact zero of a log10); `decoded` reads both.
 */
export type Num = number | string | null;

export interface Numerics {
  readonly sampled: number;
  readonly zero_activations: Num;
  readonly zero_gradients: Num;
  readonly not_finite: Num;
  readonly float16_underflow: Num;
  readonly bfloat16_underflow: Num;
}

export interface Layer {
  readonly scope: string;
  readonly call: number;
  readonly module: string;
  readonly weighted: boolean;
  readonly shape: readonly number[];
  readonly resolution: string;
  readonly log10_activation_rms: Num;
  readonly log10_gradient_rms: Num;
  readonly log10_gradient_norm: Num;
  readonly log10_parameter_gradient_norm: Num;
  readonly log10_parameter_norm: Num;
  readonly numerics: Numerics | null;
}

export type EdgeKind = "skip" | "gated" | "projection" | "branch" | "exit";

export interface Edge {
  readonly consumer: string;
  readonly kind: EdgeKind;
  readonly share: Num;
  readonly norm_mass: Num;
  readonly log10_norm: Num;
  readonly line: string | null;
}

export interface Fork {
  readonly name: string;
  readonly kind: "residual" | "inner" | "shared" | "other";
  readonly merge: "add" | "concat" | "multiply" | "other";
  readonly shape: readonly number[];
  readonly cancellation: Num;
  readonly log10_norm: Num;
  readonly edges: readonly Edge[];
  readonly line: string | null;
}

export interface Gain {
  readonly resolution: string;
  readonly layers: number;
  readonly energy_gain: Num;
  readonly r_squared: Num;
}

export interface Expectation {
  readonly resolution: string;
  readonly rule: string;
  readonly energy_gain: Num;
  readonly tolerance: Num;
  readonly measured: Num;
  readonly source: string;
  readonly unit: "layer" | "block";
}

export interface Finding {
  readonly kind: string;
  readonly where: string;
  readonly sentence: string;
  readonly evidence: string;
  readonly remedy: string;
  readonly severity: Num;
  readonly cures: readonly string[];
}

export interface TriedChange {
  readonly change: string;
  readonly sentence: string;
  readonly notes: readonly string[];
  readonly findings: readonly string[] | null;
  readonly stem_over_head: Num;
  readonly effective_depth: Num;
  /** At the weighted layers, in the order of the forward pass. */
  readonly log10_gradient_rms: readonly Num[];
}

export interface Reuse {
  readonly sources: readonly string[];
  readonly consumers: readonly string[];
  readonly log10_norms: readonly (readonly Num[])[];
  readonly mean_weights: readonly (readonly Num[])[];
}

export interface Unseen {
  readonly modules_not_called: readonly string[];
  readonly layers_without_gradient: readonly string[];
  readonly parameters_without_gradient: readonly string[];
  readonly opaque: readonly string[];
  readonly notes: readonly string[];
}

/** Columns: entry i of each list is node (edge, call) i. -1: none. */
export interface Graph {
  readonly operations: readonly string[];
  readonly shapes: readonly (readonly number[])[];
  readonly calls: Readonly<Record<"name" | "module", readonly string[]>> & Readonly<Record<"call" | "parent", readonly number[]>>;
  readonly nodes: Readonly<Record<"operation" | "scope" | "layer" | "shape", readonly number[]>>;
  readonly opaque: readonly number[];
  readonly edges: Readonly<Record<"source" | "target" | "fork" | "edge", readonly number[]>>;
}

export interface Flow {
  readonly kind: "flow";
  readonly model: string;
  readonly mode: string;
  readonly dtype: string;
  readonly autocast: string | null;
  readonly device: string;
  readonly loss: Num;
  readonly at: string | null;
  readonly stem_over_head: Num;
  readonly log10_stem_gradient_norm: Num;
  readonly gain_per_layer: readonly Gain[];
  readonly skip_share: Num;
  readonly effective_depth: Num;
  readonly forks: readonly Fork[];
  readonly layers: readonly Layer[];
  readonly unseen: Unseen;
  readonly reuse: readonly Reuse[];
  readonly expected: readonly Expectation[];
  readonly findings: readonly Finding[];
  readonly tried: readonly TriedChange[];
  readonly graph: Graph | null;
}

export interface PathsAt {
  readonly scope: string;
  readonly call: number;
  readonly lengths: readonly number[];
  readonly shares: readonly Num[] | null;
  readonly log10_norms: readonly Num[];
}

export interface PathLengths {
  readonly kind: "paths";
  readonly model: string;
  readonly at: string;
  readonly unit: "branches" | "layers" | "blocks";
  readonly method: "exact" | "mean" | "veit";
  readonly lengths: readonly number[];
  readonly shares: readonly Num[] | null;
  readonly log10_norms: readonly Num[];
  readonly mean_length: Num;
  readonly deviation: Num;
  readonly effective_depth: Num;
  readonly relative_error: Num;
  readonly log10_gradient_norm: Num;
  readonly shortest_path: number | null;
  readonly longest_path: number | null;
  readonly branches: number;
  readonly by_depth: readonly PathsAt[];
  readonly notes: readonly string[];
}

/** Other kinds are shown by what Python says of them; their own views read more of them. */
export interface OtherRecord {
  readonly kind: string;
  readonly [field: string]: unknown;
}

export type AnyRecord = Flow | PathLengths | OtherRecord;

export const isFlow = (record: AnyRecord): record is Flow => record.kind === "flow";
export const isPaths = (record: AnyRecord): record is PathLengths => record.kind === "paths";
