/** The quantities of a layer that a profile can show, all as log10 but the shares. */
import { decoded } from "../core/numbers";
import type { Expectation, Flow, Layer, Num } from "./records";

export const QUANTITIES = ["gradient", "norm", "activation", "parameter", "update", "zeros", "float16"] as const;
export type Quantity = (typeof QUANTITIES)[number];
const SHARES: readonly Quantity[] = ["zeros", "float16"];
export const isLogarithmic = (quantity: Quantity): boolean => !SHARES.includes(quantity);

const minus = (a: Num, b: Num): number | null => {
  const [x, y] = [decoded(a), decoded(b)];
  return x === null || y === null ? null : x - y;
};

const READ: Readonly<Record<Quantity, (layer: Layer) => number | null>> = {
  gradient: (layer) => decoded(layer.log10_gradient_rms),
  norm: (layer) => decoded(layer.log10_gradient_norm),
  activation: (layer) => decoded(layer.log10_activation_rms),
  parameter: (layer) => decoded(layer.log10_parameter_gradient_norm),
  update: (layer) => minus(layer.log10_parameter_gradient_norm, layer.log10_parameter_norm),
  zeros: (layer) => decoded(layer.numerics?.zero_gradients),
  float16: (layer) => decoded(layer.numerics?.float16_underflow),
};

export const valueOf = (layer: Layer, quantity: Quantity): number | null => READ[quantity](layer);

export interface Theory {
  readonly expected: Expectation;
  readonly points: readonly (readonly [number, number])[];
}

/** Theory's line for each resolution: its gain as a slope, laid through the middle of what was measured there.
 *
 * The gain is of energy and per weighted layer, going backward: log10 of the RMS changes by half its log10 a layer.
 */
export function theoryLines(flow: Flow): Theory[] {
  const weighted = flow.layers.filter((layer) => layer.weighted);
  return flow.expected.flatMap((expected) => {
    const gain = decoded(expected.energy_gain);
    const seen = weighted.flatMap((layer, i) => {
      const value = valueOf(layer, "gradient");
      return layer.resolution === expected.resolution && value !== null && Number.isFinite(value) ? [[i, value] as const] : [];
    });
    const [first, last] = [seen[0], seen.at(-1)];
    if (expected.unit !== "layer" || !gain || gain <= 0 || !first || !last || seen.length < 2) return [];
    const middle = seen.reduce((sum, [i]) => sum + i, 0) / seen.length;
    const level = seen.reduce((sum, [, value]) => sum + value, 0) / seen.length;
    const at = (i: number) => [i, level + 0.5 * Math.log10(gain) * (middle - i)] as const;
    return [{ expected, points: [at(first[0]), at(last[0])] }];
  });
}
