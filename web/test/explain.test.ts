import assert from "node:assert/strict";
import { test } from "node:test";
import gallery from "../../bench/results/gallery.json";
import { oneGate, residualBlock } from "../src/circuit/build";
import { type Circuit, walk } from "../src/circuit/engine";
import { GATES, WORDS } from "../src/circuit/gates";
import { show } from "../src/core/numbers";
import { curve, nudge, sideSlopes } from "../src/explain/gateCurve";
import { effectiveDepth, factorFor, MEASURED, pathCount, pathLengths, products, quantile } from "../src/explain/pathLengths";
import { comparison, skipParts, WIRES } from "../src/explain/skipParts";
import { allSame, cargoScale, crateSide, ownGradients, type Round, truckRound } from "../src/explain/truckStops";
import golden from "./golden/explain.json";

const close = (a: number, b: number, tolerance = 1e-12) => Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(a), Math.abs(b));
const gate = (kind: string, upstream = 1): Circuit => oneGate(kind, WORDS[kind]?.inputs ?? null, upstream);
const named = (inputs: readonly number[]) => Object.fromEntries(inputs.map((value, i) => ["xyuv"[i] ?? "", value]));

test("every gate agrees with torch, at corners too", () => {
  for (const one of golden.gates) {
    const walked = walk(gate(one.gate, golden.upstream), named(one.inputs));
    const where = `${one.gate} at ${one.inputs.join(", ")}`;
    assert.ok(close(walked.values["z"] ?? NaN, one.value), where);
    one.gradients.forEach((gradient, i) => assert.ok(close(walked.gradients["xyuv"[i] ?? ""] ?? NaN, gradient), `${where}, input ${i}`));
  }
  assert.deepEqual([...new Set(golden.gates.map((one) => one.gate))].sort(), Object.keys(GATES).sort());
});

test("at a corner the slopes from both sides differ, elsewhere they do not", () => {
  const corner = sideSlopes(gate("max"), { x: 2, y: 2 }, "x");
  assert.ok(close(corner.below, 0, 1e-6) && close(corner.above, 1, 1e-6));
  const smooth = sideSlopes(gate("square"), { x: 3 }, "x");
  assert.ok(close(smooth.below, 6, 1e-4) && close(smooth.above, 6, 1e-4));
});

test("a nudge of a product is foretold exactly, of a square up to h squared", () => {
  const product = nudge(gate("multiply", 0.5), { x: 3, y: 2 }, "x", 0.25);
  assert.ok(close(product.measured, 0.25) && close(product.predicted, 0.25));
  const square = nudge(gate("square", 2), { x: 3 }, "x", 0.5);
  assert.ok(close(square.measured - square.predicted, 2 * 0.5 ** 2));
});

test("a curve has no points where its gate has no value, and its window holds the present point", () => {
  const { points, x, z } = curve(gate("log"), { x: 0.5 }, "x", 2);
  assert.ok(points.length > 10 && points.every(([at]) => at > 0));
  assert.ok(x[0] < 0.5 && 0.5 < x[1] && z[0] < Math.log(0.5) && Math.log(0.5) < z[1]);
});

test("the article's list: skip, block, dL/dw1; only the first two are one sum", () => {
  const { skip, block, weight, total } = skipParts(walk(residualBlock()));
  assert.deepEqual([skip, block, weight, total].map(show), ["1", "0.0001", "0.01", "1.0001"]);
  const edited = skipParts(walk(residualBlock(), { x: -2, w1: 3, w2: 0.5, w3: -1, w4: 2 }));
  assert.ok(close(edited.block, -3) && close(edited.total, -2) && close(edited.weight, 2));
});

test("the three numbers lie on the skip, on the wire into the block and on the first weight's", () => {
  const source = (key: string) => walk(residualBlock()).wires.find((wire) => `${wire.target}.${wire.slot}` === key);
  assert.deepEqual([source(WIRES.skip)?.source, source(WIRES.skip)?.target], ["x", "h"]);
  assert.deepEqual([source(WIRES.block)?.source, source(WIRES.block)?.target], ["x", "z1"]);
  assert.equal(source(WIRES.weight)?.source, "w1");
});

test("the skip changes dL/dx by one and no weight's gradient", () => {
  for (const row of comparison({ w2: -0.7, x: 4 })) {
    assert.ok(close(row.withSkip - row.without, row.name === "x" ? 1 : 0), row.name);
  }
});

for (const one of golden.chains) {
  test(`paths through ${one.blocks} blocks of ${one.factor}, as counted one by one`, () => {
    const lengths = pathLengths(one.blocks, one.factor);
    one.lengths.forEach(({ paths, together }, k) => {
      assert.equal(lengths[k]?.paths, paths);
      assert.ok(close((lengths[k]?.together ?? NaN) / one.whole, together / one.whole));
      assert.ok(close(lengths[k]?.share ?? NaN, together / one.whole));
      assert.ok(close(lengths[k]?.shareOfPaths ?? NaN, paths / 2 ** one.blocks));
    });
    assert.ok(close(effectiveDepth(one.blocks, one.factor), one.depth));
    assert.equal(quantile(lengths, 0.95), one.quantile95);
    const { plain, residual } = products(one.blocks, one.factor);
    assert.ok(close(10 ** (residual[one.blocks] ?? NaN), one.whole, 1e-10));
    assert.ok(close(10 ** (plain[one.blocks] ?? NaN), one.factor ** one.blocks));
  });
}

test("no path is lost at 50 blocks, nor at a factor of 0", () => {
  for (const factor of [0, 1e-4, 0.5, 1, 10]) {
    const lengths = pathLengths(50, factor);
    assert.ok(close(lengths.reduce((sum, one) => sum + one.share, 0), 1), String(factor));
    assert.equal(lengths.reduce((sum, one) => sum + one.paths, 0), 2 ** 50);
  }
  assert.deepEqual(products(2, 0).plain, [0, -Infinity, -Infinity]);
  assert.equal(pathCount(50).replaceAll("\u202f", ""), "1125899906842624");
});

test("the factor for a depth has that depth", () => {
  assert.ok(close(effectiveDepth(54, factorFor(54, 10.61)), 10.61));
});

test("the depths of real nets are those of the committed gallery", () => {
  for (const { net, blocks, depth } of MEASURED) {
    const found = gallery.nets.find((one) => one.net === net);
    assert.equal(found?.residual_forks, blocks, net);
    assert.equal(Number((found?.effective_depth?.mean ?? NaN).toPrecision(depth > 10 ? 4 : 3)), depth, net);
  }
});

/** The page's numbers in the order and in the words of `gradpath explain truck`. */
function findings(round: Round): Record<string, string>[] {
  const numbers = ({ without, express }: { without: number; express: number }) => ({ without: show(without), express: show(express) });
  const customers = round.stops.slice(0, -1);
  const own = { without: ownGradients(round, "without", "en"), express: ownGradients(round, "express", "en") };
  return [
    ...customers.map((stop) => ({ customer: stop.name, ...numbers(stop.arrives) })),
    ...round.stops.slice(-1).map((stop) => numbers(stop.arrives)),
    ...(customers.length > 1 ? [own] : []),
    { delivered: show(round.delivered.express) },
    { factor: show(customers[0]?.weight ?? NaN) },
  ];
}

for (const one of golden.rounds) {
  test(`the truck's round past ${one.customers} customers ${JSON.stringify(one.set)} says what gradpath explain truck says`, () => {
    assert.deepEqual(findings(truckRound(one.customers, one.set as Record<string, number>)), one.findings);
  });
}

test("all weights get the same where all are equal, and not where one differs", () => {
  assert.equal(allSame(truckRound(4, {})), true);
  assert.equal(allSame(truckRound(4, { c4: 2 })), false);
});

test("a crate's area grows by the same amount with every decade", () => {
  const scale = cargoScale(truckRound(4, {}).stops);
  const area = (cargo: number) => crateSide(cargo, scale) ** 2;
  const steps = [1e-3, 1e-2, 1e-1, 1].map((cargo) => area(cargo) - area(cargo / 10));
  steps.forEach((step) => assert.ok(close(step, steps[0] ?? NaN, 1e-9)));
  assert.equal(crateSide(0, scale), 0);
  assert.equal(crateSide(-0.1, scale), crateSide(0.1, scale));
  assert.ok(crateSide(1e-30, scale) >= 6);
});
