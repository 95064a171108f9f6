import assert from "node:assert/strict";
import { test } from "node:test";
import { percent, fromLog10 } from "../src/core/numbers";
import { classSteps, decadeClass, decadeRange } from "../src/report/classes";
import { flowView, layerOf } from "../src/report/flowview";
import { lengthBars, normMasses, quantile } from "../src/report/lengths";
import { classOf, relativeRows, spanOf } from "../src/report/matrices";
import { theoryLines, valueOf } from "../src/report/quantities";
import type { Expectation, Flow, Layer, Num } from "../src/report/records";
import { type Row, treeRows, visibleRows } from "../src/report/rows";

function layer(scope: string, rms: Num, more: Partial<Layer> = {}): Layer {
  return {
    scope, call: 0, module: "Conv2d", weighted: true, shape: [2, 3], resolution: "8x8", log10_activation_rms: 0,
    log10_gradient_rms: rms, log10_gradient_norm: rms, log10_parameter_gradient_norm: -2, log10_parameter_norm: 1,
    numerics: null, ...more,
  };
}

function flow(layers: readonly Layer[], more: Partial<Flow> = {}): Flow {
  return {
    kind: "flow", model: "Net", mode: "train", dtype: "float32", autocast: null, device: "cpu", loss: 1, at: null,
    stem_over_head: 1, log10_stem_gradient_norm: 0, gain_per_layer: [], skip_share: null, effective_depth: null, forks: [],
    layers, reuse: [], expected: [], findings: [], tried: [], graph: null, ...more,
    unseen: { modules_not_called: [], layers_without_gradient: [], parameters_without_gradient: [], opaque: [], notes: [] },
  };
}

const expectation = (gain: number): Expectation =>
  ({ resolution: "8x8", rule: "test", energy_gain: gain, tolerance: 0.1, measured: gain, source: "", unit: "layer" });

test("theory's line has half the log10 of its energy gain as its slope, and passes the middle of what was measured", () => {
  const gain = 0.01; // energy: the RMS changes by a factor of 0.1 a layer, going backward
  const [line] = theoryLines(flow([layer("a", -5), layer("b", -4), layer("c", -3)], { expected: [expectation(gain)] }));
  assert.deepEqual(line?.points.map(([x]) => x), [0, 2]);
  assert.deepEqual(line?.points.map(([, y]) => Number(y.toFixed(12))), [-5, -3]);
});

test("theory of blocks, and of resolutions that were not met, has no line", () => {
  const layers = [layer("a", -5), layer("b", -4)];
  assert.equal(theoryLines(flow(layers, { expected: [{ ...expectation(2), unit: "block" }] })).length, 0);
  assert.equal(theoryLines(flow(layers, { expected: [{ ...expectation(2), resolution: "4x4" }] })).length, 0);
});

test("the update ratio is a difference of logarithms, and missing where the gradient is", () => {
  assert.equal(valueOf(layer("a", 0), "update"), -3);
  assert.equal(valueOf(layer("a", 0, { log10_parameter_gradient_norm: null }), "update"), null);
  assert.equal(valueOf(layer("a", "-Infinity"), "gradient"), -Infinity);
});

test("colours: a class per decade while ten suffice, two where they do; together they span the ramp", () => {
  const range = decadeRange(flow([layer("a", -7.2), layer("b", -0.5), layer("c", "NaN"), layer("d", "-Infinity"), layer("e", null)]));
  assert.deepEqual(range, [-8, 0]);
  assert.equal(decadeClass(-0.5, range), 9);
  assert.equal(decadeClass(-7.2, range), 0);
  assert.equal(decadeClass(-6.9, range), 1);
  assert.equal(decadeClass(-30, [-40, 0]), 2);
  assert.deepEqual([-0.9, -0.5, -0.1].map((value) => decadeClass(value, [-1, 0])), [0, 9, 9]);
  assert.deepEqual(classSteps([-2, 0]).map(({ from, colour }) => [from, colour]), [[-2, 0], [-1.5, 3], [-1, 6], [-0.5, 9]]);
  for (const { from, colour } of classSteps([-8, 0])) assert.equal(decadeClass(from, [-8, 0]), colour);
});

test("norm masses sum to 1 at any scale, and quantiles are those of the Python record", () => {
  const masses = normMasses([-300, -300.30103, "-Infinity"]);
  assert.ok(Math.abs(masses.reduce((a, b) => a + b) - 1) < 1e-12);
  assert.ok(Math.abs((masses[0] ?? 0) - 2 / 3) < 1e-6);
  const bars = lengthBars({ lengths: [0, 1, 2, 3], shares: [0.1, 0.4, 0.6, -0.1], log10_norms: [-1, 0, 0, -1] });
  assert.equal(quantile(bars, 0.5), 1);
  assert.equal(quantile(bars, 1), 3);
  assert.equal(quantile([], 0.5), null);
  assert.equal(bars[3]?.share, -0.1);
});

test("a matrix is relative to each column's largest: energies are squares of norms", () => {
  const reuse = { sources: ["a", "b"], consumers: ["c", "d"], log10_norms: [[0, -1], [-1, null]], mean_weights: [[0.1, 0.1], [0.01, null]] };
  assert.deepEqual(relativeRows(reuse, "energy"), [[0, 0], [-2, null]]);
  assert.deepEqual(relativeRows(reuse, "weight").map((row) => row.map((cell) => cell && Math.round(cell))), [[0, 0], [-1, null]]);
  assert.equal(spanOf([[0, -2.2], [null, -Infinity]]), 2.5);
  assert.deepEqual([classOf(0, 2), classOf(-2, 2), classOf(-9, 2)], [9, 0, 0]);
});

test("an all-zero column stays readable", () => {
  const zero = { sources: ["a"], consumers: ["c"], log10_norms: [["-Infinity"]], mean_weights: [[null]] };
  assert.deepEqual(relativeRows(zero, "energy"), [[-Infinity]]);
});

const NAMES = ["stem.conv", "stages.0.conv1", "stages.0.norm1", "stages.1.conv1", "head"];
const tree = flowView(flow(NAMES.map((name, i) => layer(name, i === 2 ? "NaN" : -i))), null);

test("the tree has a row for each module on a layer's path, once", () => {
  const rows = treeRows(tree.flow.layers);
  assert.deepEqual(rows.map((row) => `${".".repeat(row.level)}${row.label}`),
    [".stem", "..conv", ".stages", "..0", "...conv1", "...norm1", "..1", "...conv1", ".head"]);
  assert.deepEqual(rows.filter((row) => row.layer >= 0).map((row) => row.name), NAMES);
  assert.deepEqual(rows.find((row) => row.name === "stages.0") && [rows[3]?.first, rows[3]?.last], [1, 2], "the layers of a module");
});

const byGradient = (row: Row): number | null => {
  const found = tree.flow.layers[row.layer];
  return found ? valueOf(found, "gradient") : null;
};

test("closing a module hides all that is in it; searching and sorting list layers alone", () => {
  const rows = treeRows(tree.flow.layers);
  const closed = new Set([rows.findIndex((row) => row.name === "stages")]);
  assert.deepEqual(visibleRows(rows, closed, "", null, byGradient).map((row) => row.label), ["stem", "conv", "stages", "head"]);
  assert.deepEqual(visibleRows(rows, closed, "CONV1", null, byGradient).map((row) => row.name), ["stages.0.conv1", "stages.1.conv1"]);
  const up = visibleRows(rows, closed, "", { by: "gradient", down: false }, byGradient).map((row) => row.name);
  assert.deepEqual(up, ["head", "stages.1.conv1", "stages.0.conv1", "stem.conv", "stages.0.norm1"]); // NaN last
  const down = visibleRows(rows, closed, "", { by: "gradient", down: true }, byGradient).map((row) => row.name);
  assert.equal(down.at(-1), "stages.0.norm1");
  assert.equal(down[0], "stem.conv");
});

test("a module called many times gives a row for each call", () => {
  const cell = flowView(flow([layer("cell", -1), layer("cell", -2, { call: 1 })]), null);
  assert.deepEqual(treeRows(cell.flow.layers).map((row) => row.label), ["cell", "cell (1)"]);
});

test("a selected group stands for its layer with the smallest gradient", () => {
  assert.equal(layerOf(tree, { what: "layer", index: 3 }), 3);
  assert.equal(layerOf(tree, { what: "group", index: 0 }), -1); // no layout
  assert.equal(layerOf(tree, null), -1);
});

test("shares and powers are printed without surprises", () => {
  assert.equal(percent(-0.00001), "0.0 %");
  assert.equal(percent(-0.123), "−12.3 %");
  assert.equal(percent(null), "-");
  assert.equal(fromLog10(-400.5), "3.16e−401");
  assert.equal(fromLog10(-Infinity), "0");
  assert.equal(fromLog10(NaN), "NaN");
});
