/** A watched run: what its log says at each report, as rows and lines. */
import { decoded } from "../core/numbers";
import type { Series } from "../ui/Plot";
import type { Num } from "./records";

export interface WatchReport {
  readonly step: number;
  readonly seconds: Num;
  /** The loss of this step alone, if there is one. */
  readonly losses: readonly Num[];
  readonly log10_activation_rms: readonly Num[];
  readonly log10_gradient_rms: readonly Num[];
  readonly log10_parameter_gradient_norm: readonly Num[];
  readonly learning_rate: Num;
  readonly loss_scale: Num;
  readonly overhead: Num;
}

export interface WatchEvent {
  readonly step: number;
  readonly what: "spike" | "trace" | "warning";
  readonly text: string;
  readonly file: string | null;
}

export interface Watch {
  readonly kind: "watch-log";
  readonly header: { readonly model: string; readonly layers: readonly { readonly scope: string; readonly module: string; readonly weighted: boolean }[] };
  readonly reports: readonly WatchReport[];
  readonly events: readonly WatchEvent[];
  /** (step, loss) of every step, or means of neighbours. */
  readonly losses: readonly (readonly [number, Num])[];
  /** Reports in the log, of which these are some. */
  readonly seen: number;
}

export const isWatch = (record: { readonly kind: string }): record is Watch => record.kind === "watch-log";

export const WATCHED = ["gradient", "activation", "parameter"] as const;
export type Watched = (typeof WATCHED)[number];
const FIELDS = { gradient: "log10_gradient_rms", activation: "log10_activation_rms", parameter: "log10_parameter_gradient_norm" } as const;

/** The layers that depth counts; all of them where none is known to be weighted. */
export function watchedLayers(watch: Watch): number[] {
  const weighted = watch.header.layers.flatMap((layer, i) => (layer.weighted ? [i] : []));
  return weighted.length ? weighted : watch.header.layers.map((_, i) => i);
}

/** log10 of a quantity at each of these layers in a report. */
export const valuesAt = (report: WatchReport, layers: readonly number[], what: Watched): (number | null)[] =>
  layers.map((layer) => decoded(report[FIELDS[what]][layer]));

/** The half decades that finite values of all reports span, so that a colour means the same at every step. */
export function watchRange(watch: Watch, layers: readonly number[], what: Watched): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const report of watch.reports) {
    for (const value of valuesAt(report, layers, what)) {
      if (value === null || !Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return low > high ? [-1, 0] : [Math.floor(2 * low) / 2, Math.max(Math.ceil(2 * high) / 2 + 0, Math.floor(2 * low) / 2 + 0.5)];
}

/** Decades of a colour: a tenth of the range, so that also a calm run has a picture. */
export const classWidth = ([low, high]: readonly [number, number]): number => (high - low) / 10;

/** Colour class 0 … 9 of a finite value. */
export const watchClass = (value: number, range: readonly [number, number]): number =>
  Math.min(Math.max(Math.floor((value - range[0]) / classWidth(range) + 1e-9), 0), 9);

export const lossAt = (report: WatchReport | undefined): number | null => decoded(report?.losses.at(-1));

export const lossPoints = (watch: Watch): Series["points"] => watch.losses.map(([step, loss]) => [step, decoded(loss)] as const);

/** The report at a step, or the last one before it; 0 where there is none. */
export function reportAt(watch: Watch, step: number): number {
  let found = 0;
  watch.reports.forEach((report, i) => {
    if (report.step <= step) found = i;
  });
  return found;
}

/** Where a column of the map begins and ends, in parts of its width: one column per report, all alike. */
export const columnOf = (at: number, width: number, columns: number): number =>
  Math.min(Math.max(Math.floor((at / width) * columns), 0), columns - 1);
