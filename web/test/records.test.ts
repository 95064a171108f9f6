import assert from "node:assert/strict";
import { test } from "node:test";
import { absent, changedLayers, diffPoints, type FlowDiff, flowPoints, isBeyond, type LayerDiff } from "../src/report/compared";
import { at } from "../src/report/data";
import type { AnyRecord, Flow, Num } from "../src/report/records";
import { classRows, epochLines, hasCurves, isValidated, momentLines, netNames, netProfiles, type RunRecord, testAccuracy } from "../src/report/runs";
import { classWidth, columnOf, lossAt, reportAt, type Watch, watchClass, watchedLayers, watchRange, type WatchReport } from "../src/report/watched";

const flow = (...values: readonly Num[]): Flow =>
  ({ kind: "flow", layers: values.map((value) => ({ weighted: true, log10_gradient_rms: value })) }) as unknown as Flow;

const pair = (scope: string, a: Num, b: Num, decades: Num, depth = 0): LayerDiff =>
  ({ scope_a: scope, scope_b: scope, call: 0, matched: "name", depth, log10_rms_a: a, log10_rms_b: b, decades });

function diff(...layers: readonly LayerDiff[]): FlowDiff {
  return { kind: "diff", name_a: "a", name_b: "b", tolerance: 0.3, quantities: [], layers, only_a: [], only_b: [], appeared: [], disappeared: [] };
}

test("nets of different depth lie on one axis: 0 is the stem, 100 the head", () => {
  assert.deepEqual(flowPoints(flow(-3, -2, -1)), [[0, -3], [50, -2], [100, -1]]);
  assert.deepEqual(flowPoints(flow(-3)), [[0, -3]]);
  assert.deepEqual(diffPoints(diff(pair("x", -1, -2, -1, 0.25)), "b"), [[25, -2]]);
});

test("the layers that differ: lost ones first, then by size; what is within the tolerance is none of them", () => {
  const found = changedLayers(diff(pair("near", 0, 0.2, 0.2), pair("far", 0, -2, -2), pair("further", 0, "NaN", "Infinity"), pair("lost", 0, null, null)));
  assert.deepEqual(found.map((layer) => layer.scope_a), ["lost", "further", "far"]);
  assert.equal(isBeyond(diff(), null), false);
  assert.equal(isBeyond(diff(), "NaN"), true);
});

test("a place leads into the records; none leads nowhere", () => {
  const records = [{ kind: "x", nets: [{ gradient: { initial: { kind: "flow" } } }] }] as unknown as AnyRecord[];
  assert.deepEqual(at(records, [0, "nets", 0, "gradient", "initial"]), { kind: "flow" });
  assert.equal(at(records, [0, "nets", 3, "gradient"]), undefined);
  assert.equal(at(records, null), undefined);
});

test("what a logarithmic line cannot show is counted", () => {
  const series = [{ name: "n", look: 0, points: [[0, -1], [1, null], [2, -Infinity], [3, NaN], [4, Infinity]] as const }];
  assert.deepEqual(absent(series), [{ name: "n", missing: 1, zero: 1, broken: 2 }]);
  assert.deepEqual(absent([{ name: "n", look: 0, points: [[0, 1]] }]), []);
});

const epoch = (loss: Num, accuracy: Num) => ({ train_loss: loss, train_accuracy: accuracy, test_accuracy: accuracy, seconds: 1 });
const NO_CLASSES = { classes: [], class_images: [], class_right: [], confusion: [] };
const net = (name: string, epochs: RunRecord["epochs"], gradient: RunRecord["gradient"] = null) => ({ name, epochs, gradient }) as unknown as RunRecord;

test("curves over epochs: loss as it is, accuracy in per cent, what is not finite stays so", () => {
  const nets = [net("a", [epoch(2.3, 0.1), epoch("NaN", 0.5)]), net("b", []), net("a", [epoch(1, 1)])];
  const names = netNames(nets);
  assert.deepEqual(names, ["a (1)", "b", "a (3)"]);
  assert.deepEqual(epochLines(nets, names, "train_loss")[0]?.points, [[1, 2.3], [2, NaN]]);
  assert.deepEqual(epochLines(nets, names, "test_accuracy").map((line) => [line.name, line.points.at(-1)]), [["a (1)", [2, 50]], ["a (3)", [1, 100]]]);
  assert.equal(hasCurves(nets), true);
  assert.equal(hasCurves([net("c", [epoch(1, 1)])]), false);
});

test("a run whose test images wait for the end shows those held out", () => {
  const held = { ...epoch(1, 0.5), test_accuracy: null, validation_accuracy: 0.25 };
  const run = net("a", [held]);
  assert.deepEqual(epochLines([run], ["a"], "test_accuracy")[0]?.points, [[1, 25]]);
  assert.deepEqual([isValidated([run]), isValidated([net("b", [epoch(1, 1)])])], [true, false]);
  assert.deepEqual([testAccuracy(run), testAccuracy({ ...run, test: { ...NO_CLASSES, right: 3, images: 4 } })], [null, 0.75]);
});

test("a net keeps its look whichever nets were looked at", () => {
  const nets = [net("a", []), net("b", [], { initial: flow(-1, -2), final: null })];
  assert.deepEqual(netProfiles(nets, ["a", "b"], "initial").map((line) => [line.name, line.look]), [["b", 0]]);
  assert.equal(netProfiles(nets, ["a", "b"], "final").length, 0);
  assert.deepEqual(momentLines(nets.slice(1), (moment) => moment).map((line) => line.name), ["initial"]);
});

function watch(steps: readonly number[], values: readonly (readonly Num[])[], weighted: readonly boolean[] = [true, true]): Watch {
  const reports = steps.map((step, i) => ({ step, losses: i ? [i] : [], log10_gradient_rms: values[i] }) as unknown as WatchReport);
  const layers = weighted.map((one, i) => ({ scope: `l${i}`, module: "Conv2d", weighted: one }));
  return { kind: "watch-log", header: { model: "Net", layers }, reports, events: [], losses: [], seen: reports.length };
}

test("the map's colours span what is finite in all reports", () => {
  const log = watch([1, 2], [[-3.2, "-Infinity"], [null, -0.7]]);
  const range = watchRange(log, watchedLayers(log), "gradient");
  assert.deepEqual(range, [-3.5, -0.5]);
  assert.equal(classWidth(range), 0.3);
  assert.deepEqual([-3.5, -3.2, -0.7, -0.5].map((value) => watchClass(value, range)), [0, 1, 9, 9]);
  assert.deepEqual(watchRange(watch([1], [[null, "NaN"]]), [0, 1], "gradient"), [-1, 0]);
});

test("a step belongs to the last report at or before it; a click to the column under it", () => {
  const log = watch([5, 10, 40], [[0, 0], [0, 0], [0, 0]]);
  assert.deepEqual([0, 5, 12, 40, 99].map((step) => reportAt(log, step)), [0, 0, 1, 2, 2]);
  assert.deepEqual([-3, 0, 50, 99, 100, 500].map((x) => columnOf(x, 100, 3)), [0, 0, 1, 2, 2, 2]);
  assert.deepEqual([lossAt(log.reports[0]), lossAt(log.reports[2])], [null, 2]);
});

test("layers that depth counts stand in the map; all of them where none is known", () => {
  assert.deepEqual(watchedLayers(watch([1], [[0, 0]], [true, false])), [0]);
  assert.deepEqual(watchedLayers(watch([1], [[0, 0]], [false, false])), [0, 1]);
});

test("classes come with the hardest first, those without images last, and what they are mistaken for", () => {
  const rows = classRows({
    right: 9, images: 15, classes: ["cat", "dog", "owl", "eel"], class_images: [6, 5, 0, 4], class_right: [2, 5, 0, 2],
    confusion: [[2, 3, 1, 0, 0], [0, 5, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 2, 2]],
  });
  assert.deepEqual(rows.map(({ name }) => name), ["cat", "eel", "dog", "owl"]);
  assert.deepEqual(rows.map(({ mistake }) => mistake), [{ name: "dog", images: 3 }, { name: null, images: 2 }, null, null]);
  assert.deepEqual(rows.map(({ accuracy }) => accuracy), [2 / 6, 0.5, 1, null]);
});
