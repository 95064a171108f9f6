/** The table of gates: what each computes and its slopes. Words and signs come from Python (generated/circuits.json). */
import { bracketed } from "../core/numbers";
import type { Bilingual, Language } from "../core/i18n";
import vocabulary from "../generated/circuits.json";

export interface Gate {
  /** (inputs, index) → value; index says which component a gate of vectors gives. */
  forward(x: readonly number[], index: number): number;
  /** (inputs, value, index) → derivative with respect to each input. */
  local(x: readonly number[], y: number, index: number): number[];
  notation(texts: readonly string[], index: number, language: Language): string;
  isTie?(x: readonly number[]): boolean;
}

export interface GateWords {
  label: string;
  inputs: number | null;
  word: Bilingual;
  computes: Bilingual;
  sends: Bilingual;
  atTie: Bilingual | null;
}

export const WORDS: Readonly<Record<string, GateWords>> = vocabulary.gates;
const EPSILON = 1e-5;
const ROUNDING = 1e-14;

/** The sum; 0 where the terms cancel up to their own rounding. */
export function total(terms: readonly number[]): number {
  const sum = exactSum(terms);
  return Math.abs(sum) < ROUNDING * Math.max(0, ...terms.map(Math.abs)) ? 0 : sum;
}

/** Σ without loss on the way (Shewchuk's partial sums, as Python's math.fsum). */
function exactSum(terms: readonly number[]): number {
  const partials: number[] = [];
  for (let x of terms) {
    let kept = 0;
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low) partials[kept++] = low;
      x = high;
    }
    partials.length = kept;
    partials.push(x);
  }
  return partials.reduce((sum, part) => sum + part, 0);
}

const at = (x: readonly number[], i: number): number => x[i] ?? NaN;
const mean = (x: readonly number[]) => exactSum(x) / x.length;
const variance = (x: readonly number[]) => exactSum(x.map((v) => (v - mean(x)) ** 2)) / x.length;
const scale = (x: readonly number[]) => Math.sqrt(variance(x) + EPSILON);
const sigmoid = (x: number) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

const infix =
  (sign: string): Gate["notation"] =>
  ([first = "", ...rest]) =>
    [first, ...rest.map(bracketed)].join(` ${sign} `);
const call =
  (name: string, chinese = name): Gate["notation"] =>
  (texts, _, language) =>
    `${language === "zh" ? chinese : name}(${texts.join(", ")})`;
const component =
  (name: string, chinese: string): Gate["notation"] =>
  (texts, index, language) =>
    `${call(name, chinese)(texts, index, language)}[${index + 1}]`;

/** A gate of one input: f, and its slope from (x, f(x)). */
const unary = (f: (x: number) => number, slope: (x: number, y: number) => number, notation: Gate["notation"]): Gate => ({
  forward: (x) => f(at(x, 0)),
  local: (x, y) => [slope(at(x, 0), y)],
  notation,
});

export const GATES: Readonly<Record<string, Gate>> = {
  add: { forward: total, local: (x) => x.map(() => 1), notation: infix("+") },
  subtract: { forward: (x) => total([at(x, 0), -at(x, 1)]), local: () => [1, -1], notation: infix("−") },
  multiply: { forward: (x) => at(x, 0) * at(x, 1), local: (x) => [at(x, 1), at(x, 0)], notation: infix("×") },
  divide: {
    forward: (x) => at(x, 0) / at(x, 1),
    local: (x, y) => [1 / at(x, 1), -y / at(x, 1)],
    notation: infix("÷"),
  },
  max: {
    forward: (x) => Math.max(...x),
    local: (x) => (x[0] === x[1] ? [0.5, 0.5] : [Number(at(x, 0) > at(x, 1)), Number(at(x, 1) > at(x, 0))]),
    notation: call("max"),
    isTie: (x) => x[0] === x[1],
  },
  relu: {
    ...unary((x) => Math.max(x, 0), (x) => Number(x > 0), call("relu")),
    isTie: (x) => x[0] === 0,
  },
  sigmoid: unary(sigmoid, (_, y) => y * (1 - y), call("sigmoid")),
  tanh: unary(Math.tanh, (_, y) => 1 - y * y, call("tanh")),
  exp: unary(Math.exp, (_, y) => y, call("exp")),
  log: unary(Math.log, (x) => 1 / x, call("log")),
  square: unary((x) => x * x, (x) => 2 * x, ([x = ""]) => `${bracketed(x)}²`),
  sqrt: unary(Math.sqrt, (_, y) => 0.5 / y, ([x = ""]) => `√${bracketed(x)}`),
  copy: unary((x) => x, () => 1, ([x = ""]) => x),
  mean: { forward: mean, local: (x) => x.map(() => 1 / x.length), notation: call("mean", "平均") },
  variance: {
    forward: variance,
    local: (x) => x.map((v) => (2 * (v - mean(x))) / x.length),
    notation: call("variance", "方差"),
  },
  dot: {
    forward: (x) => total(half(x, 0).map((value, i) => value * at(half(x, 1), i))),
    local: (x) => [...half(x, 1), ...half(x, 0)],
    notation: (texts) =>
      texts
        .slice(0, texts.length / 2)
        .map((text, i) => `${bracketed(text)} × ${bracketed(texts[i + texts.length / 2] ?? "")}`)
        .join(" + "),
  },
  normalise: {
    forward: (x, i) => (at(x, i) - mean(x)) / scale(x),
    local: (x, y, i) =>
      x.map((v, j) => (Number(j === i) - 1 / x.length - (y * (v - mean(x))) / scale(x) / x.length) / scale(x)),
    notation: component("norm", "归一化"),
  },
  concat: { forward: at, local: (x, _, i) => x.map((_, j) => Number(j === i)), notation: component("concat", "拼接") },
};

const half = (x: readonly number[], which: 0 | 1): readonly number[] =>
  which ? x.slice(x.length / 2) : x.slice(0, x.length / 2);
