/** ResNets and their plain twins at initialisation, as gradpath traced them (scripts/write_web_nets.py). */
import nets from "../generated/nets.json";

/** `residual`: a ResNet. `plain`: without skips. `bare`: without skips and norms, in PyTorch's own initialisation. */
export const STACKS = ["residual", "plain", "bare"] as const;
export type Stack = (typeof STACKS)[number];

export interface Traced {
  readonly n: number;
  /** log10 of the gradient's norm at each block's input over that at the last block's output. */
  readonly log10: Readonly<Record<Stack, readonly number[]>>;
  /** What each block's skip carries of the gradient at its fork, 0 to 1. */
  readonly skip: readonly number[];
  /** Mean number of branches that the gradient at the stem passed. */
  readonly effective: number;
}

export const TRACED: readonly Traced[] = nets.stacks;
export const ABOUT = nets.about;
export const MOST_BLOCKS = Math.max(...TRACED.map(({ n }) => n));

export function traced(n: number): Traced {
  const found = TRACED.find((one) => one.n === n);
  if (!found) throw new Error(`no net with ${n} blocks a stage was traced`);
  return found;
}

/** Ways from the output to the input: each of the 3n blocks is passed or gone around (Veit et al. 2016). */
export const wayCount = (n: number): number => 2 ** (3 * n);
