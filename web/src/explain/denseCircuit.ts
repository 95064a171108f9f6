/** A dense block of one number per layer: every layer multiplies the sum of all that came before it by its weight.
 *
 * The block's output is the sum of all, as a DenseNet's is all of them side by side. So a layer hears back from every
 * later layer, and from the output directly: with n layers of weight w, layer i's gradient is (1 + w)^(n − i).
 */
import { type Circuit, type Part, walk } from "../circuit/engine";
import { ARTICLE_X } from "../circuit/build";

/** x, h1 … hn. */
export const sourceNames = (layers: number): string[] => ["x", ...Array.from({ length: layers }, (_, i) => `h${i + 1}`)];

export function denseWithOutput(layers: number, weight: number): Circuit {
  const leaf = (name: string, gate: string, value: number): Part => ({ name, gate, inputs: [], value, index: 0, lane: 0, column: 0 });
  const gate = (name: string, kind: string, inputs: readonly string[]): Part => ({
    name, gate: kind, inputs, value: 0, index: 0, lane: 0, column: 0,
  });
  const sources = sourceNames(layers);
  const parts = [leaf("x", "input", ARTICLE_X)];
  for (let i = 1; i <= layers; i += 1) {
    parts.push(leaf(`w${i}`, "weight", weight), gate(`s${i}`, "add", sources.slice(0, i)));
    parts.push(gate(`h${i}`, "multiply", [`s${i}`, `w${i}`]));
  }
  return { parts: [...parts, gate("out", "add", sources)], output: "out", upstream: 1 };
}

/** What source s (0: x) gets back from each of its consumers: layers s + 1 … n, then the output. */
export function partsOfGradients(layers: number, weight: number): number[][] {
  const walked = walk(denseWithOutput(layers, weight));
  const sent = new Map(walked.wires.map((wire) => [`${wire.source}>${wire.target}`, wire.gradient]));
  return sourceNames(layers).map((source, s) =>
    [...Array.from({ length: layers - s }, (_, i) => `s${s + 1 + i}`), "out"].map((consumer) => sent.get(`${source}>${consumer}`) ?? NaN),
  );
}
