/** What the sources of a dense block get back from their consumers: by hand, or in a DenseNet-BC that was traced. */
import nets from "../generated/nets.json";
import { partsOfGradients } from "./denseCircuit";

export const NUMBERS = ["hand", "real"] as const;
export type Numbers = (typeof NUMBERS)[number];

export const FEWEST_LAYERS = Math.min(...nets.dense.map(({ layers }) => layers));
export const MOST_LAYERS = Math.max(...nets.dense.map(({ layers }) => layers));

/** [source][consumer after it]: the parts of each source's gradient; for the real net, norms relative to the largest. */
export function partsOf(numbers: Numbers, layers: number, weight: number): number[][] {
  if (numbers === "hand") return partsOfGradients(layers, weight);
  const log10 = nets.dense.find((one) => one.layers === layers)?.log10 ?? [];
  const highest = Math.max(...log10.flat());
  return log10.map((row) => row.map((value) => 10 ** (value - highest)));
}
