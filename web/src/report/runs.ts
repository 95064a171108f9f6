/** Training runs as lines: loss and accuracy over epochs, the gradient over depth before and after. */
import { decoded } from "../core/numbers";
import type { Series } from "../ui/Plot";
import { flowPoints, lineOf } from "./compared";
import type { Flow, Num } from "./records";

export interface Epoch {
  readonly train_loss: Num;
  readonly train_accuracy: Num;
  readonly test_accuracy: Num;
  readonly validation_accuracy?: Num;
  readonly seconds: Num;
}

/** Images classified once. */
export interface Evaluation {
  readonly right: number;
  readonly images: number;
  readonly classes: readonly string[];
  readonly class_images: readonly number[];
  readonly class_right: readonly number[];
  /** [true class][class that it was called]; empty for very many classes. */
  readonly confusion: readonly (readonly number[])[];
}

export interface RunRecord {
  readonly kind: "run";
  readonly name: string;
  readonly family: string;
  readonly depth: number;
  readonly norm: string;
  readonly parameters: number;
  readonly macs: number;
  readonly epochs: readonly Epoch[];
  readonly steps: number;
  readonly diverged_at_step: number | null;
  readonly interrupted: boolean;
  readonly recipe: { readonly learning_rate: Num };
  /** From 1: the epoch whose weights were kept. */
  readonly best_epoch?: number | null;
  readonly test?: Evaluation | null;
  readonly gradient: { readonly initial: Flow; readonly final: Flow | null } | null;
}

export interface Comparison {
  readonly kind: "comparison";
  readonly nets: readonly RunRecord[];
}

export const isRun = (record: { readonly kind: string }): record is RunRecord => record.kind === "run";
export const isComparison = (record: { readonly kind: string }): record is Comparison => record.kind === "comparison";

/** Names that tell the nets apart: what is there twice gets its number. */
export function netNames(nets: readonly RunRecord[]): string[] {
  const names = nets.map((net) => net.name);
  return names.map((name, i) => (names.filter((other) => other === name).length > 1 ? `${name} (${i + 1})` : name));
}

export type Moment = "initial" | "final";

/** A line per net that was looked at then: gradient RMS over relative depth. A net keeps its look whatever is shown. */
export function netProfiles(nets: readonly RunRecord[], names: readonly string[], moment: Moment): Series[] {
  return nets.flatMap((net, i) => {
    const flow = net.gradient?.[moment];
    return flow ? [lineOf(names[i] ?? net.name, i, flowPoints(flow))] : [];
  });
}

/** Of the first net: a line for each moment at which it was looked at. */
export function momentLines(nets: readonly RunRecord[], name: (moment: Moment) => string): Series[] {
  return (["initial", "final"] as const).flatMap((moment, i) => {
    const flow = nets[0]?.gradient?.[moment];
    return flow ? [lineOf(name(moment), i, flowPoints(flow))] : [];
  });
}

export type Measure = "train_loss" | "train_accuracy" | "test_accuracy";

/** A line per net over its epochs, from 1; accuracies in per cent. */
export function epochLines(nets: readonly RunRecord[], names: readonly string[], measure: Measure): Series[] {
  const factor = measure === "train_loss" ? 1 : 100;
  return nets.flatMap((net, i) => {
    const points = net.epochs.map((epoch, k) => [k + 1, scaled(measured(epoch, measure), factor)] as const);
    return points.length ? [lineOf(names[i] ?? net.name, i, points)] : [];
  });
}

/** Of images that were not trained on: the test images, or those held out where these are kept for the end. */
const measured = (epoch: Epoch, measure: Measure): Num =>
  measure === "test_accuracy" ? (epoch.test_accuracy ?? epoch.validation_accuracy ?? null) : epoch[measure];

/** Whether some epoch was looked at by images held out of training, not by the test images. */
export const isValidated = (nets: readonly RunRecord[]): boolean =>
  nets.some((net) => net.epochs.some((epoch) => epoch.test_accuracy === null && (epoch.validation_accuracy ?? null) !== null));

/** Of the test images: of the weights that were kept, else after the last epoch. */
export const testAccuracy = (net: RunRecord): Num =>
  net.test ? net.test.right / net.test.images : (net.epochs.at(-1)?.test_accuracy ?? null);

function scaled(value: Num, factor: number): number | null {
  const number = decoded(value);
  return number === null ? null : factor * number;
}

/** Whether anything changes over epochs: a curve of one point is a number, and stands in the table. */
export const hasCurves = (nets: readonly RunRecord[]): boolean => nets.some((net) => net.epochs.length > 1);

export interface ClassRow {
  readonly name: string;
  readonly images: number;
  /** Fraction of them that were called by their class; null: there are none. */
  readonly accuracy: number | null;
  /** What most of the others were called, and how many; null: nothing else, or not known. */
  readonly mistake: { readonly name: string | null; readonly images: number } | null;
}

/** Each class of an evaluation, the one with the least accuracy first. */
export function classRows(test: Evaluation): ClassRow[] {
  const rows = test.classes.map((name, i) => {
    const images = test.class_images[i] ?? 0;
    const others = (test.confusion[i] ?? []).map((count, k) => (k === i ? 0 : count));
    const most = Math.max(...others, 0);
    const mistake = most > 0 ? { name: test.classes[others.indexOf(most)] ?? null, images: most } : null;
    return { name, images, accuracy: images ? (test.class_right[i] ?? 0) / images : null, mistake };
  });
  return rows.sort((a, b) => (a.accuracy ?? 2) - (b.accuracy ?? 2));
}
