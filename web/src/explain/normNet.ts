/** A small dense ReLU net at initialisation: how large the signal and the gradient are at every layer.
 *
 * Three nets share the weights that were drawn: plain, with BatchNorm, with BatchNorm and a skip around every layer.
 * All arrays are row-major: batch × width for signals and gradients, width × width (output, input) for weights.
 */
import { normals, uniform } from "./random";

/** A multiple of four: see `product`. */
export const WIDTH = 64;
export const BATCH = 32;
export const MAX_DEPTH = 50;
export const EPSILON = 1e-5; // PyTorch's BatchNorm

export const KINDS = ["plain", "norm", "skip"] as const;
export type Kind = (typeof KINDS)[number];

/** What is random: standard normal weights of every layer, the input, and the gradient that arrives at the output. */
export interface Draw {
  readonly input: Float64Array;
  readonly upstream: Float64Array;
  readonly weights: readonly Float64Array[];
  readonly width: number;
  readonly batch: number;
}

/** log10 of the RMS after layers 1 … depth: of the activation, and of the gradient there. */
export interface Profile {
  readonly forward: readonly number[];
  readonly backward: readonly number[];
}

export function draw(seed: number, depth = MAX_DEPTH, width = WIDTH, batch = BATCH): Draw {
  const next = uniform(seed);
  const input = normals(batch * width, next);
  const upstream = normals(batch * width, next);
  const weights = Array.from({ length: depth }, () => normals(width * width, next));
  return { input, upstream, weights, width, batch };
}

/** A plain net's profile for other weights than those of σ² = 1, exactly: ReLU scales with what it is given. */
export function scaledPlain(atOne: Profile, sigma2: number): Profile {
  const step = Math.log10(sigma2) / 2;
  const depth = atOne.forward.length;
  return {
    forward: atOne.forward.map((value, i) => value + (i + 1) * step),
    backward: atOne.backward.map((value, i) => value + (depth - 1 - i) * step),
  };
}

interface Layer {
  /** Pre-activation as ReLU sees it. */
  readonly seen: Float64Array;
  /** 1/σ of each unit over the batch; null without a norm. */
  readonly scale: Float64Array | null;
}

/** A forward pass through all layers that were drawn; how deep the net is only matters on the way back. */
export interface Run {
  readonly drawn: Draw;
  readonly kind: Kind;
  /** Standard deviation of a weight. */
  readonly gain: number;
  readonly layers: readonly Layer[];
  /** log10 RMS of the activations. */
  readonly forward: readonly number[];
}

/** σ² is the variance of a weight times the width; ε stands beside the variance in BatchNorm. */
export function run(drawn: Draw, kind: Kind, sigma2: number, epsilon = EPSILON): Run {
  const { width, batch } = drawn;
  const gain = Math.sqrt(sigma2 / width);
  const step = kind === "skip" ? skipForward : stackForward;
  const layers: Layer[] = [];
  const forward: number[] = [];
  let signal = drawn.input;
  for (const weight of drawn.weights) {
    const { layer, out } = step(signal, weight, gain, kind === "plain" ? null : epsilon, width, batch);
    layers.push(layer);
    forward.push(log10Rms((signal = out)));
  }
  return { drawn, kind, gain, layers, forward };
}

/** The net of the first `depth` layers: its signal, and the gradient on its way back. */
export function profileOf({ drawn, kind, gain, layers, forward }: Run, depth: number): Profile {
  const step = kind === "skip" ? skipBackward : stackBackward;
  const backward = new Array<number>(depth);
  let gradient = drawn.upstream;
  for (let at = depth - 1; at >= 0; at -= 1) {
    backward[at] = log10Rms(gradient);
    const [layer, weight] = [layers[at], drawn.weights[at]];
    if (at > 0 && layer && weight) gradient = step(gradient, layer, weight, gain, drawn.width);
  }
  return { forward: forward.slice(0, depth), backward };
}

type Pass = { layer: Layer; out: Float64Array };

/** ReLU(norm(W a)); without ε there is no norm. */
function stackForward(a: Float64Array, weight: Float64Array, gain: number, epsilon: number | null, width: number, batch: number): Pass {
  const seen = product(a, weight, gain, width);
  const scale = epsilon === null ? null : normalise(seen, width, batch, epsilon);
  return { layer: { seen, scale }, out: relu(seen) };
}

/** a + W ReLU(norm(a)): a pre-activation residual block of one layer (He et al. 2016b). */
function skipForward(a: Float64Array, weight: Float64Array, gain: number, epsilon: number | null, width: number, batch: number): Pass {
  const seen = a.slice();
  const scale = normalise(seen, width, batch, epsilon ?? EPSILON);
  const out = product(relu(seen), weight, gain, width);
  for (let i = 0; i < out.length; i += 1) out[i] = out[i]! + a[i]!;
  return { layer: { seen, scale }, out };
}

function stackBackward(upstream: Float64Array, layer: Layer, weight: Float64Array, gain: number, width: number): Float64Array {
  return transposedProduct(throughNorm(throughRelu(upstream, layer.seen), layer, width), weight, gain, width);
}

function skipBackward(upstream: Float64Array, layer: Layer, weight: Float64Array, gain: number, width: number): Float64Array {
  const branch = transposedProduct(upstream, weight, gain, width);
  const sum = throughNorm(throughRelu(branch, layer.seen), layer, width);
  for (let i = 0; i < sum.length; i += 1) sum[i] = sum[i]! + upstream[i]!;
  return sum;
}

/** gain · a Wᵀ. Four outputs at a time: a single sum would wait for its own last addition. */
function product(a: Float64Array, weight: Float64Array, gain: number, width: number): Float64Array {
  const out = new Float64Array(a.length);
  for (let row = 0; row < a.length; row += width) {
    for (let j = 0; j < width; j += 4) {
      let [s0, s1, s2, s3] = [0, 0, 0, 0];
      const [w0, w1, w2, w3] = [j * width, (j + 1) * width, (j + 2) * width, (j + 3) * width];
      for (let i = 0; i < width; i += 1) {
        const value = a[row + i]!;
        s0 += value * weight[w0 + i]!;
        s1 += value * weight[w1 + i]!;
        s2 += value * weight[w2 + i]!;
        s3 += value * weight[w3 + i]!;
      }
      out[row + j] = gain * s0;
      out[row + j + 1] = gain * s1;
      out[row + j + 2] = gain * s2;
      out[row + j + 3] = gain * s3;
    }
  }
  return out;
}

/** gain · g W, four rows of W at a time. */
function transposedProduct(g: Float64Array, weight: Float64Array, gain: number, width: number): Float64Array {
  const out = new Float64Array(g.length);
  for (let row = 0; row < g.length; row += width) {
    for (let j = 0; j < width; j += 4) {
      const [g0, g1, g2, g3] = [gain * g[row + j]!, gain * g[row + j + 1]!, gain * g[row + j + 2]!, gain * g[row + j + 3]!];
      const [w0, w1, w2, w3] = [j * width, (j + 1) * width, (j + 2) * width, (j + 3) * width];
      for (let i = 0; i < width; i += 1) {
        out[row + i] = out[row + i]! + (g0 * weight[w0 + i]! + g1 * weight[w1 + i]! + (g2 * weight[w2 + i]! + g3 * weight[w3 + i]!));
      }
    }
  }
  return out;
}

const relu = (a: Float64Array) => a.map((value) => (value > 0 ? value : 0));
const throughRelu = (g: Float64Array, seen: Float64Array) => g.map((value, i) => (seen[i]! > 0 ? value : 0));

/** Each unit to mean 0 and variance 1 over the batch, in place; gives 1/σ of each unit. */
function normalise(a: Float64Array, width: number, batch: number, epsilon: number): Float64Array {
  const scale = new Float64Array(width);
  for (let j = 0; j < width; j += 1) {
    let sum = 0;
    for (let i = j; i < a.length; i += width) sum += a[i]!;
    const mean = sum / batch;
    let squares = 0;
    for (let i = j; i < a.length; i += width) squares += (a[i]! - mean) ** 2;
    scale[j] = 1 / Math.sqrt(squares / batch + epsilon);
    for (let i = j; i < a.length; i += width) a[i] = (a[i]! - mean) * scale[j]!;
  }
  return scale;
}

/** BatchNorm backward: (g − mean(g) − x̂ · mean(g · x̂)) / σ, means over the batch. `layer.seen` is x̂. */
function throughNorm(g: Float64Array, { seen, scale }: Layer, width: number): Float64Array {
  if (!scale) return g;
  const batch = g.length / width;
  for (let j = 0; j < width; j += 1) {
    let sum = 0;
    let along = 0;
    for (let i = j; i < g.length; i += width) {
      sum += g[i]!;
      along += g[i]! * seen[i]!;
    }
    for (let i = j; i < g.length; i += width) g[i] = (g[i]! - sum / batch - (seen[i]! * along) / batch) * scale[j]!;
  }
  return g;
}

function log10Rms(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return 0.5 * Math.log10(sum / values.length);
}
