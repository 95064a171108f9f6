/** What Python puts into the page beside the figures: recorded runs and the gallery (see report/_explainer.py). */

export interface ExplainData {
  readonly version?: string;
  readonly runs?: Runs | null;
  readonly widths?: Widths | null;
  readonly gallery?: Gallery | null;
}

/** Where and when something was recorded: scripts/record_explainer.py. */
export interface About {
  readonly date: string;
  readonly gradpath: string;
  readonly data: string;
  readonly train_images: number;
  readonly test_images: number;
  readonly machine: { readonly processor: string; readonly threads: number; readonly torch: string; readonly python: string };
  readonly recipe: { readonly epochs: number; readonly batch_size: number; readonly learning_rate: number };
}

export interface NetShape {
  readonly family: "plain" | "residual" | "dense";
  readonly depth: number;
  readonly width: number;
  readonly norm: string;
  readonly init: string;
  readonly parameters: number;
  readonly macs: number;
}

/** One look at a net during its training. Profiles are over its weighted layers, in the order of the forward pass; null: exactly 0. */
export interface Look {
  readonly step: number;
  readonly train_loss: number | null;
  readonly test_accuracy: number | null;
  readonly stem_over_head: number | null;
  readonly effective_depth: number | null;
  readonly skip_share: number | null;
  readonly log10_gradient_norm: readonly (number | null)[];
  readonly log10_activation_rms: readonly (number | null)[];
}

/** The gradient at the first layer by the number of branches it passed. */
export interface Paths {
  readonly step: number;
  readonly branches: number;
  readonly effective_depth: number | null;
  readonly lengths: readonly number[];
  readonly shares: readonly number[];
  readonly norm_mass: readonly number[];
}

export interface Net extends NetShape {
  readonly name: string;
  readonly steps_per_epoch: number;
  readonly diverged_at_step: number | null;
  readonly looks: readonly Look[];
  readonly paths: readonly Paths[];
}

export interface Runs extends About {
  readonly seed: number;
  readonly probe_images: number;
  readonly nets: readonly Net[];
}

export interface WidthCell extends NetShape {
  readonly train_loss: readonly (number | null)[];
  readonly test_accuracy: readonly (number | null)[];
}

export interface Widths extends About {
  readonly seeds: number;
  /** Multiply-adds that every net was given. */
  readonly cost: number;
  readonly nets: readonly WidthCell[];
}

/** [mean, standard error] over batches. */
export type Spread = readonly [number, number];

export interface GalleryNet {
  readonly net: string;
  readonly library: string;
  readonly weighted_layers: number;
  readonly residual_forks: number;
  readonly effective_depth: Spread | null;
  readonly skip_share: Spread | null;
}

export interface Gallery {
  readonly batches: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly nets: readonly GalleryNet[];
}
