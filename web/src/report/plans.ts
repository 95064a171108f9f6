/** A plan as what its views draw: moves, runs of blocks, the trade-off, layers. As gradpath/report/_plan_*.py count them. */
import { decoded } from "../core/numbers";
import type { Num } from "./records";

export const MODES = ["full", "lean", "raw", "last", "input", "none"] as const;
export type Mode = (typeof MODES)[number];
const BACKWARD = "backward";

/** (block, mode or 'backward', drop). */
type PlanMove = readonly [block: number, mode: string, drop: boolean];

export interface Segment {
  readonly start: number;
  readonly stop: number;
  readonly mode: Mode;
  readonly forward: readonly PlanMove[];
  readonly backward: readonly PlanMove[];
}

export interface StepBytes {
  readonly parameters: number;
  readonly gradients: number;
  readonly optimizer: number;
  readonly buffers: number;
  readonly activations: number;
  readonly temporaries: number;
}
export const KINDS = ["parameters", "gradients", "optimizer", "buffers", "activations", "temporaries"] as const satisfies readonly (keyof StepBytes)[];

export interface LayerBytes {
  readonly name: string;
  readonly kind: string;
  readonly output: string;
  readonly parameter_bytes: number;
  readonly kept_bytes: number;
  readonly backward_bytes: number;
}

interface BlockCost {
  readonly label: string;
  readonly input_bytes: number;
  readonly plain_bytes: number;
  readonly modes: readonly { readonly mode: string; readonly kept_bytes: number }[];
}

export interface Plan {
  readonly kind: "plan";
  readonly name: string;
  readonly batch: string;
  readonly memory_bytes: number;
  readonly blocks: readonly string[];
  readonly signatures: readonly number[];
  readonly costs: readonly BlockCost[];
  readonly segments: readonly Segment[];
  readonly predicted: StepBytes;
  readonly keep_all: StepBytes;
  readonly time_ratio: Num;
  readonly smallest_bytes: number;
  readonly curve: readonly { readonly memory_bytes: number; readonly time_ratio: Num }[];
  readonly live_bytes: readonly number[];
  readonly layers: readonly LayerBytes[];
  readonly measured: readonly { readonly peak_bytes: number }[];
}

export const isPlan = (record: { readonly kind: string }): record is Plan => record.kind === "plan";
export const totalOf = (bytes: StepBytes): number => KINDS.reduce((sum, kind) => sum + bytes[kind], 0);
/** What no plan changes. */
export const alwaysOf = ({ predicted }: Plan): number => predicted.parameters + predicted.gradients + predicted.optimizer + predicted.buffers;
/** As measured in a real step; as predicted where none was run. */
export const peakOf = (plan: Plan): number => plan.measured.at(-1)?.peak_bytes ?? totalOf(plan.predicted);
export const timeOf = (plan: Plan): number => decoded(plan.time_ratio) ?? NaN;

/** What happens at one place of the step, and the bytes at its peak. */
export interface Move {
  readonly bytes: number;
  readonly pass: "forward" | "backward";
  readonly what: "forward" | "again" | "backward";
  /** Index of its block, or of its layer where no block is planned. */
  readonly index: number;
}

/** The step from the first forward to the last backward; where nothing is planned, added up from the layers. */
export function movesOf(plan: Plan): Move[] {
  const forward = plan.segments.flatMap((segment) => segment.forward);
  const all = [...forward, ...[...plan.segments].reverse().flatMap((segment) => segment.backward)];
  if (!all.length || all.length !== plan.live_bytes.length) return plainMoves(plan);
  return all.map(([index, mode], i) => {
    const pass = i < forward.length ? "forward" : "backward";
    return { bytes: plan.live_bytes[i] ?? 0, pass, what: mode === BACKWARD ? "backward" : pass === "forward" ? "forward" : "again", index };
  });
}

/** Plain autograd: what is there always, and what the layers have kept so far. */
function plainMoves(plan: Plan): Move[] {
  let held = alwaysOf(plan);
  const there = plan.layers.map((layer) => (held += layer.kept_bytes));
  const forward = there.map((bytes, index) => ({ bytes, pass: "forward", what: "forward", index }) as const);
  const backward = plan.layers.map((layer, index) => ({ bytes: (there[index] ?? 0) + layer.backward_bytes, pass: "backward", what: "backward", index }) as const);
  return [...forward, ...backward.reverse()];
}

/** Places of at most so many moves of a range: of each part the one with the most bytes. */
export function peaksOf(moves: readonly Move[], from: number, to: number, most: number): number[] {
  const parts = Math.min(most, to - from);
  return Array.from({ length: parts }, (_, i) => {
    const [first, last] = [i, i + 1].map((k) => from + Math.floor((k * (to - from)) / parts)) as [number, number];
    let best = first;
    for (let at = first; at < last; at += 1) if ((moves[at]?.bytes ?? 0) > (moves[best]?.bytes ?? 0)) best = at;
    return best;
  });
}

/** For each block, what it keeps between its first forward and its backward. */
export function modesOf(plan: Plan): Mode[] {
  const modes = plan.blocks.map((): Mode => "none");
  for (const segment of plan.segments) {
    for (let block = segment.start; block < segment.stop; block += 1) modes[block] = segment.mode;
    for (const [block, mode] of segment.forward) modes[block] = mode as Mode;
  }
  return modes;
}

/** How often a step runs each block forward. */
export function forwardsOf(plan: Plan): number[] {
  const counts = plan.blocks.map(() => 0);
  for (const { forward, backward } of plan.segments) {
    for (const [block, mode] of [...forward, ...backward]) if (mode !== BACKWARD) counts[block] = (counts[block] ?? 0) + 1;
  }
  return counts;
}

/** Bytes of a block's tape in this plan, its input not counted; null where its cost is not known. */
export function tapeOf(plan: Plan, block: number, mode: Mode): number | null {
  return plan.costs[plan.signatures[block] ?? -1]?.modes.find((cost) => cost.mode === mode)?.kept_bytes ?? null;
}

/** Blocks that follow each other, are alike and keep the same. */
export interface Part {
  readonly blocks: number;
  readonly mode: Mode;
  /** Type and shapes of its blocks. */
  readonly label: string;
}

/** One or several parts, so many times one after the other. */
export interface Run {
  readonly first: number;
  readonly last: number;
  readonly parts: readonly Part[];
  readonly times: number;
  /** A step's forwards per block. */
  readonly forwards: number;
  /** Segments that begin in it. */
  readonly segments: number;
}

/** The blocks from the stem to the head, what repeats folded. */
export function runsOf(plan: Plan): Run[] {
  const forwards = forwardsOf(plan);
  let stop = 0;
  return folded(partsOf(plan)).map(({ parts, times }) => {
    const first = stop;
    stop += times * parts.reduce((sum, part) => sum + part.blocks, 0);
    const segments = plan.segments.filter(({ start }) => first <= start && start < stop).length;
    const run = forwards.slice(first, stop);
    return { first, last: stop - 1, parts, times, forwards: run.reduce((sum, one) => sum + one, 0) / run.length, segments };
  });
}

function partsOf(plan: Plan): Part[] {
  const modes = modesOf(plan);
  const labels = plan.signatures.map((kind) => plan.costs[kind]?.label ?? "");
  const isNew = (block: number) => modes[block] !== modes[block - 1] || plan.signatures[block] !== plan.signatures[block - 1];
  const starts = modes.flatMap((_, block) => (isNew(block) ? [block] : []));
  return starts.map((start, i) => ({ blocks: (starts[i + 1] ?? modes.length) - start, mode: modes[start] ?? "none", label: labels[start] ?? "" }));
}

const LONGEST_PATTERN = 6;
const LEAST_TIMES = 3;

/** Patterns that come several times in a row, once: the one that covers most, from the front. */
function folded(parts: readonly Part[]): { parts: Part[]; times: number }[] {
  const keys = parts.map(({ blocks, mode, label }) => `${blocks} ${mode} ${label}`);
  const found: { parts: Part[]; times: number }[] = [];
  for (let at = 0; at < parts.length; ) {
    let best = { length: 1, times: 1 };
    for (let length = 2; length <= LONGEST_PATTERN; length += 1) {
      let same = 0;
      while (at + length + same < parts.length && keys[at + same] === keys[at + length + same]) same += 1;
      const times = 1 + Math.floor(same / length);
      if (times >= LEAST_TIMES && times * length > best.times * best.length) best = { length, times };
    }
    found.push({ parts: parts.slice(at, at + best.length), times: best.times });
    at += best.length * best.times;
  }
  return found;
}

export type Trade = readonly [bytes: number, time: number];

export const curveOf = (plan: Plan): Trade[] => plan.curve.map((point) => [point.memory_bytes, decoded(point.time_ratio) ?? NaN] as const);

/** The rule of thumb, whole blocks kept or run twice: 1 + (1 − x)/3 of the kept part x of the tape, down to its knee. */
export function theoryOf(plan: Plan, points: number): Trade[] {
  const [fixed, whole] = [alwaysOf(plan), totalOf(plan.keep_all)];
  const sum = (of: (cost: BlockCost) => number) => plan.signatures.reduce((all, kind) => all + (plan.costs[kind] ? of(plan.costs[kind]) : 0), 0);
  const [inputs, tapes] = [sum((cost) => cost.input_bytes), sum((cost) => cost.plain_bytes)];
  const knee = Math.sqrt((2 * inputs) / (tapes * plan.signatures.length)); // √(2aL) / (aL), a: tape over input, L: blocks
  if (!inputs || !tapes || whole <= fixed || !(knee < 1)) return [];
  const kept = Array.from({ length: points }, (_, i) => knee + ((1 - knee) * i) / (points - 1));
  return kept.map((x) => [fixed + x * (whole - fixed), 1 + (1 - x) / 3] as const);
}

/** For each layer the block that it lies in; -1: none. Several modules that run as one block are joined by '+'. */
export function blockOfLayers(plan: Plan): number[] {
  const blocks = new Map(plan.blocks.flatMap((name, i) => name.split("+").map((part) => [part, i] as const)));
  return plan.layers.map(({ name }) => {
    for (let path = name; path; path = path.slice(0, Math.max(path.lastIndexOf("."), 0))) {
      const block = blocks.get(path);
      if (block !== undefined) return block;
    }
    return -1;
  });
}

const STEPS = [1, 2, 2.5, 5, 10];

/** Round sizes from 0 to the top, in one unit. */
export function byteTicks(top: number): number[] {
  const unit = 2 ** (10 * Math.min(Math.floor(Math.log2(Math.max(top, 1)) / 10), 3));
  const ideal = top / unit / 5;
  const power = 10 ** Math.floor(Math.log10(ideal));
  const size = (STEPS.find((step) => step * power >= ideal) ?? 10) * power * unit;
  return Array.from({ length: Math.floor(top / size) + 1 }, (_, i) => i * size);
}

/** Logarithms to base 2 of a few sizes in a range: powers of two, quarters between them where they are few. */
export function log2Ticks(low: number, high: number): number[] {
  const step = Math.max(Math.ceil((high - low) / 6), 1);
  const whole = Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => Math.ceil(low) + i);
  const powers = whole.filter((power) => power % step === 0);
  if (powers.length >= 3) return powers;
  const quarters = [Math.floor(low), ...whole].flatMap((power) => [1, 1.25, 1.5, 1.75].map((part) => power + Math.log2(part)));
  const inside = quarters.filter((tick) => low <= tick && tick <= high);
  return inside.filter((_, i) => i % Math.ceil(inside.length / 6) === 0);
}
