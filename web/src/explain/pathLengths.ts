/** n equal blocks in a row, each of which multiplies the gradient by F: one product without skips, a sum over 2ⁿ paths with
 * them. (1 + F)ⁿ = Σₖ C(n, k) Fᵏ: choose which k of the n blocks a path passes. F ≥ 0 here, so nothing cancels.
 */

export interface PathLength {
  /** Blocks passed. */
  readonly length: number;
  /** C(n, k): how many paths do so. */
  readonly paths: number;
  /** Of all 2ⁿ paths. */
  readonly shareOfPaths: number;
  /** Fᵏ: what one of them brings. */
  readonly each: number;
  /** C(n, k) Fᵏ. */
  readonly together: number;
  /** Of the whole gradient, (1 + F)ⁿ. */
  readonly share: number;
}

/** C(n, 0) … C(n, n), exact up to n = 56 in float64. */
export function choose(n: number): number[] {
  let row = [1];
  for (let i = 0; i < n; i++) row = [1, ...row.slice(1).map((value, k) => value + (row[k] ?? 0)), 1];
  return row;
}

export function pathLengths(n: number, factor: number): PathLength[] {
  const sum = (1 + factor) ** n;
  return choose(n).map((paths, length) => {
    const each = factor ** length;
    return { length, paths, shareOfPaths: paths / 2 ** n, each, together: paths * each, share: (paths * each) / sum };
  });
}

/** The mean of the path length, weighted by what the paths bring: n·F/(1 + F), the mean of a binomial distribution. */
export const effectiveDepth = (n: number, factor: number): number => (n * factor) / (1 + factor);

/** The factor at which n blocks have this effective depth. */
export const factorFor = (n: number, depth: number): number => depth / (n - depth);

/** The smallest length up to which paths bring at least `part` of the gradient. */
export function quantile(lengths: readonly PathLength[], part: number): number {
  let sum = 0;
  for (const { length, share } of lengths) {
    sum += share;
    if (sum >= part - 1e-12) return length;
  }
  return lengths.length - 1;
}

/** log10 of what is left after i = 0 … n blocks, without skips and with them. */
export function products(n: number, factor: number): { plain: number[]; residual: number[] } {
  const up = Array.from({ length: n + 1 }, (_, i) => i);
  return {
    plain: up.map((i) => (i === 0 ? 0 : i * Math.log10(factor))),
    residual: up.map((i) => i * Math.log10(1 + factor)),
  };
}

/** 2ⁿ written out, in groups of three. */
export function pathCount(n: number): string {
  return (2n ** BigInt(n)).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Effective depths of real nets at initialisation, mean over 3 batches (docs/gallery.md; a test compares them). */
export const MEASURED = [
  { net: "resnet-20", blocks: 9, depth: 4.75 },
  { net: "resnet-110", blocks: 54, depth: 10.61 },
  { net: "preresnet-110", blocks: 54, depth: 13.9 },
] as const;
