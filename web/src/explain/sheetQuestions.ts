/** The questions of the print sheet. Numbers are drawn with a seed; answers come from the engine that drives the page. */
import { blocks, denseBlock, oneGate, plainBlock, residualBlock } from "../circuit/build";
import { type Circuit, walk, type Walk } from "../circuit/engine";
import { show } from "../core/numbers";
import type { Slots } from "../core/i18n";
import { uniform } from "./random";

export interface Question {
  readonly key: QuestionKey;
  readonly slots: Slots;
  /** One for each blank, in the order of the text. */
  readonly answers: readonly string[];
  /** Drawn above the question: leaves alone; in the answers, all of it. */
  readonly walked?: Walk;
}

export const QUESTION_KEYS = [
  "multiply", "add", "max", "fork", "forward", "backward", "residual", "chain", "paths", "depth", "dense", "norm",
] as const;
export type QuestionKey = (typeof QUESTION_KEYS)[number];

/** Energy of the gradient per layer, backward, in a wide plain ReLU net with BatchNorm (Yang et al. 2019). */
export const NORM_GROWTH = Math.PI / (Math.PI - 1);

export function questions(seed: number): Question[] {
  const next = uniform(seed);
  const draw = (choices: readonly number[]): number => choices[Math.floor(next() * choices.length)] ?? NaN;
  return [...gates(draw), ...blockQuestions(draw), ...chains(draw)];
}

type Draw = (choices: readonly number[]) => number;
const SMALL = [2, 3, 4, 5, 6];
const SIGNED = [-4, -3, -2, 2, 3, 4, 5];
const WEIGHTS = [0.1, 0.2, 0.5, 2];

function answered(circuit: Circuit, set: Readonly<Record<string, number>>, names: readonly string[]): string[] {
  const { gradients } = walk(circuit, set);
  return names.map((name) => show(gradients[name] ?? NaN));
}

function gates(draw: Draw): Question[] {
  const both = (key: "multiply" | "add" | "max"): Question => {
    const upstream = draw(SIGNED);
    const x = draw(SMALL);
    const y = key === "max" ? x + draw([-1, 1]) * draw(SMALL) : draw(SIGNED);
    return { key, slots: { x: show(x), y: show(y), u: show(upstream) }, answers: answered(oneGate(key, 2, upstream), { x, y }, ["x", "y"]) };
  };
  const [a, b] = [draw(SMALL), draw(SIGNED)];
  const fork: Question = { key: "fork", slots: { a: show(a), b: show(b) }, answers: [show(a + b)] };
  return [both("multiply"), both("add"), both("max"), fork];
}

function blockQuestions(draw: Draw): Question[] {
  const set = { x: draw([2, 5, 10, 20]), w1: draw(WEIGHTS), w2: draw(WEIGHTS), w3: draw(WEIGHTS), w4: draw(WEIGHTS) };
  const slots = Object.fromEntries(Object.entries(set).map(([name, value]) => [name, show(value)]));
  const plain = walk(plainBlock(), set);
  const skipped = walk(residualBlock(), set);
  const into = (gate: string) => show(skipped.wires.find((wire) => wire.target === gate && wire.source === "x")?.gradient ?? NaN);
  const values = ["z1", "z2", "z3", "z4"].map((name) => show(plain.values[name] ?? NaN));
  return [
    { key: "forward", slots, answers: values, walked: plain },
    { key: "backward", slots, answers: ["x", "w1"].map((name) => show(plain.gradients[name] ?? NaN)) },
    { key: "residual", slots, answers: [into("h"), into("z1"), ...answered(residualBlock(), set, ["x", "w1"])], walked: skipped },
  ];
}

function chains(draw: Draw): Question[] {
  const n = draw([3, 4, 5]);
  const factor = draw([0.1, 0.2, 0.5]);
  const row = Array.from({ length: n }, (_, i) => [`F${i + 1}`, factor] as const);
  const ends = [false, true].flatMap((skips) => answered(blocks(row, skips), {}, ["x"]));
  const many = draw([4, 5, 6, 8, 10]);
  const k = draw([1, 2, 3]);
  const deep = draw([10, 18, 27, 54]);
  const share = draw([0.1, 0.25, 0.5, 1]);
  const w = draw([0.1, 0.5, 1]);
  const layers = draw([10, 20, 50]);
  const dense = Object.fromEntries([1, 2, 3].map((i) => [`w${i}`, w]));
  return [
    { key: "chain", slots: { n, factor: show(factor) }, answers: ends },
    { key: "paths", slots: { n: many, k }, answers: [show(2 ** many), show(binomial(many, k))] },
    { key: "depth", slots: { n: deep, share: show(share) }, answers: [show(meanBranches(deep, share))] },
    { key: "dense", slots: { w: show(w) }, answers: answered(denseBlock(3), dense, ["x"]) },
    { key: "norm", slots: { n: layers, growth: NORM_GROWTH.toFixed(2) }, answers: [show(Number((NORM_GROWTH ** layers).toPrecision(3)))] },
  ];
}

export function binomial(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return Math.round(result);
}

/** Mean of k over paths weighed by C(n,k)·F^k: n·F/(1+F). */
export const meanBranches = (n: number, factor: number): number => (n * factor) / (1 + factor);
