import assert from "node:assert/strict";
import { test } from "node:test";
import { centralDifference } from "../src/circuit/engine";
import { denseBlock } from "../src/circuit/build";
import { parse } from "../src/core/numbers";
import { binomial, meanBranches, NORM_GROWTH, type Question, QUESTION_KEYS, questions } from "../src/explain/sheetQuestions";

const SEEDS = Array.from({ length: 200 }, (_, i) => i + 1);
const value = (text: string | number | undefined): number => parse(String(text)) ?? NaN;
const of = (asked: readonly Question[], key: string): Question => asked.find((one) => one.key === key) as Question;
const answers = (question: Question): number[] => question.answers.map(value);
const slot = (question: Question, name: string): number => value(question.slots[name]);
const close = (a: number, b: number, digits = 1e-4): boolean => Math.abs(a - b) <= digits * Math.max(1e-300, Math.abs(b));

test("every sheet has the same questions, with finite answers, and is the same each time", () => {
  for (const seed of SEEDS) {
    const asked = questions(seed);
    assert.deepEqual(asked.map((one) => one.key), [...QUESTION_KEYS]);
    assert.ok(asked.every((one) => answers(one).every(Number.isFinite)), `${seed}`);
    assert.deepEqual(questions(seed), asked);
  }
  assert.notEqual(JSON.stringify(questions(1)), JSON.stringify(questions(2)));
});

test("answers about gates are the rules of calculus", () => {
  for (const seed of SEEDS) {
    const asked = questions(seed);
    const [product, sum, most, fork] = [of(asked, "multiply"), of(asked, "add"), of(asked, "max"), of(asked, "fork")];
    const u = slot(product, "u");
    assert.deepEqual(answers(product), [u * slot(product, "y"), u * slot(product, "x")]);
    assert.deepEqual(answers(sum), [slot(sum, "u"), slot(sum, "u")]);
    const isX = slot(most, "x") > slot(most, "y");
    assert.notEqual(slot(most, "x"), slot(most, "y"));
    assert.deepEqual(answers(most), isX ? [slot(most, "u"), 0] : [0, slot(most, "u")]);
    assert.deepEqual(answers(fork), [slot(fork, "a") + slot(fork, "b")]);
  }
});

test("answers about the block are products of its weights; the lane adds 1 and leaves the weight alone", () => {
  for (const seed of SEEDS) {
    const asked = questions(seed);
    const forward = of(asked, "forward");
    const [x, ...weights] = ["x", "w1", "w2", "w3", "w4"].map((name) => slot(forward, name)) as [number, ...number[]];
    const product = weights.reduce((a, b) => a * b, 1);
    const values = weights.map((_, i) => weights.slice(0, i + 1).reduce((a, b) => a * b, x));
    const expected = [product, (x * product) / (weights[0] ?? NaN)] as const;
    answers(forward).forEach((shown, i) => assert.ok(close(shown, values[i] ?? NaN), `${seed}`));
    answers(of(asked, "backward")).forEach((shown, i) => assert.ok(close(shown, expected[i] ?? NaN), `${seed}`));
    const whole = [1, product, 1 + product, expected[1]];
    answers(of(asked, "residual")).forEach((shown, i) => assert.ok(close(shown, whole[i] ?? NaN), `${seed} ${i}`));
  }
});

test("answers about many blocks are the closed forms", () => {
  for (const seed of SEEDS) {
    const asked = questions(seed);
    const row = of(asked, "chain");
    const [n, factor] = [slot(row, "n"), slot(row, "factor")];
    assert.ok(close(answers(row)[0] ?? NaN, factor ** n) && close(answers(row)[1] ?? NaN, (1 + factor) ** n), `${seed}`);
    const paths = of(asked, "paths");
    const lengths = Array.from({ length: slot(paths, "n") + 1 }, (_, k) => binomial(slot(paths, "n"), k));
    assert.equal(answers(paths)[0], lengths.reduce((a, b) => a + b, 0));
    assert.equal(answers(paths)[1], lengths[slot(paths, "k")]);
    const dense = of(asked, "dense");
    const w = slot(dense, "w");
    const nudged = centralDifference(denseBlock(3), { w1: w, w2: w, w3: w }, "x");
    assert.ok(close(answers(dense)[0] ?? NaN, nudged, 1e-3), `${seed}`);
    const norm = of(asked, "norm");
    assert.ok(close(answers(norm)[0] ?? NaN, NORM_GROWTH ** slot(norm, "n"), 1e-2), `${seed}`);
  }
});

test("the mean length is that of the binomial weights", () => {
  for (const [n, factor] of [[10, 0.25], [27, 0.5], [54, 1]] as const) {
    const weights = Array.from({ length: n + 1 }, (_, k) => binomial(n, k) * factor ** k);
    const mean = weights.reduce((sum, weight, k) => sum + k * weight, 0) / weights.reduce((a, b) => a + b, 0);
    assert.ok(close(meanBranches(n, factor), mean, 1e-9));
  }
});
