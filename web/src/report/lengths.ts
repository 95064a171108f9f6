/** Path lengths in the terms of gradpath.record.PathLengths: norm masses, quantiles, what each length carries. */
import { decoded } from "../core/numbers";
import type { Num } from "./records";

export interface LengthBar {
  readonly length: number;
  /** Signed; null where the record has none. */
  readonly share: number | null;
  readonly mass: number;
}

export function normMasses(log10Norms: readonly Num[]): number[] {
  const logs = log10Norms.map((value) => decoded(value) ?? -Infinity);
  const largest = Math.max(-Infinity, ...logs);
  if (largest === -Infinity) return logs.map(() => 0);
  const scaled = logs.map((value) => 10 ** (value - largest));
  const sum = scaled.reduce((a, b) => a + b, 0);
  return scaled.map((value) => value / sum);
}

interface Parts {
  readonly lengths: readonly number[];
  readonly shares: readonly Num[] | null;
  readonly log10_norms: readonly Num[];
}

export function lengthBars({ lengths, shares, log10_norms }: Parts): LengthBar[] {
  const masses = normMasses(log10_norms);
  return lengths.map((length, i) => ({ length, share: decoded(shares?.[i]), mass: masses[i] ?? 0 }));
}

/** The smallest length that, with all shorter ones, holds at least the part q of the norm mass. */
export function quantile(bars: readonly LengthBar[], q: number): number | null {
  for (const [i, bar] of bars.entries()) {
    const beyond = bars.slice(i + 1).reduce((sum, { mass }) => sum + mass, 0);
    if (bar.mass > 0 && beyond <= (1 - q) * (1 + 1e-12)) return bar.length;
  }
  return null;
}
