/** A reuse matrix in decades below each column's largest entry. */
import { decoded } from "../core/numbers";
import type { Reuse } from "./records";

/** [source][consumer]: log10 of (energy, or mean |w|) over the column's largest; null where nothing is read. */
export function relativeRows(reuse: Reuse, what: "energy" | "weight"): (number | null)[][] {
  const logs = what === "energy" ? logEnergies(reuse) : logWeights(reuse);
  const largest = reuse.consumers.map((_, column) => {
    const most = Math.max(...logs.map((row) => row[column] ?? -Infinity));
    return most === -Infinity ? 0 : most; // all of them exactly 0
  });
  return logs.map((row) => row.map((value, column) => (value === null ? null : value - (largest[column] ?? 0))));
}

/** Twice the log10 of a norm is the log10 of its square. */
const logEnergies = (reuse: Reuse): (number | null)[][] =>
  reuse.log10_norms.map((row) => row.map((cell) => scaled(decoded(cell), 2)));

const logWeights = (reuse: Reuse): (number | null)[][] =>
  reuse.mean_weights.map((row) => row.map((cell) => scaled(decoded(cell) === null ? null : Math.log10(decoded(cell) ?? 0), 1)));

const scaled = (value: number | null, times: number): number | null =>
  value === null || Number.isNaN(value) ? null : times * value;

const MOST_DECADES = 10;

/** The decades that a matrix's colours span: what its cells need, at least one and at most ten. */
export function spanOf(cells: readonly (readonly (number | null)[])[]): number {
  const known = cells.flat().filter((cell): cell is number => cell !== null && Number.isFinite(cell));
  return Math.min(Math.max(1, -Math.floor(Math.min(0, ...known) * 2) / 2), MOST_DECADES);
}

/** Class 0 … 9 of a cell: 9 is the column's largest. */
export const classOf = (cell: number, span: number): number => Math.max(9 + Math.ceil((cell / span) * 9), 0);
