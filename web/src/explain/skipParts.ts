/** What the skip changes and what it leaves alone: the same block walked without and with it. */
import { plainBlock, residualBlock } from "../circuit/build";
import { isLeaf, type Walk, walk } from "../circuit/engine";

type Numbers = Readonly<Record<string, number>>;

/** The article's list of three, each number by its own name. */
export interface SkipParts {
  /** dL/dx over the skip. */
  readonly skip: number;
  /** dL/dx through the block. */
  readonly block: number;
  /** dL/dx, the sum of both. */
  readonly total: number;
  /** dL/dw1. */
  readonly weight: number;
}

/** The wires of the residual block that carry them. */
export const WIRES = { skip: "h.1", block: "z1.0", weight: "z1.1" } as const;

export function skipParts(walked: Walk): SkipParts {
  const sent = (key: string) => walked.wires.find((wire) => `${wire.target}.${wire.slot}` === key)?.gradient ?? NaN;
  return { skip: sent(WIRES.skip), block: sent(WIRES.block), total: walked.gradients["x"] ?? NaN, weight: sent(WIRES.weight) };
}

export interface Comparison {
  readonly name: string;
  readonly without: number;
  readonly withSkip: number;
}

/** dL/d of every leaf, without and with the skip. */
export function comparison(set: Numbers): Comparison[] {
  const plain = walk(plainBlock(), set);
  const residual = walk(residualBlock(), set);
  return plain.circuit.parts.filter(isLeaf).map(({ name }) => ({
    name,
    without: plain.gradients[name] ?? NaN,
    withSkip: residual.gradients[name] ?? NaN,
  }));
}
