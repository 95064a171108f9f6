import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alwaysOf, blockOfLayers, byteTicks, forwardsOf, log2Ticks, modesOf, movesOf, peakOf, peaksOf, type Plan, runsOf, type Segment, theoryOf,
} from "../src/report/plans";
import { treeRows } from "../src/report/rows";

const ALWAYS = { parameters: 10, gradients: 10, optimizer: 5, buffers: 1, activations: 0, temporaries: 0 };
const COST = { label: "Block 4 → 4", input_bytes: 16, plain_bytes: 48, modes: [{ mode: "full", kept_bytes: 40 }, { mode: "none", kept_bytes: 0 }] };

function kept(start: number, stop: number, mode: Segment["mode"]): Segment {
  const blocks = Array.from({ length: stop - start }, (_, i) => start + i);
  return { start, stop, mode, forward: blocks.map((block) => [block, mode, false]), backward: blocks.reverse().map((block) => [block, "backward", false]) };
}

/** Blocks that keep nothing: the backward runs them forward again. */
function redone(start: number, stop: number): Segment {
  const { forward, backward } = kept(start, stop, "none");
  return { start, stop, mode: "none", forward, backward: [...forward.map(([block]) => [block, "full", false] as const), ...backward] };
}

function plan(segments: readonly Segment[], more: Partial<Plan> = {}): Plan {
  const count = segments.at(-1)?.stop ?? 0;
  const moves = segments.reduce((sum, { forward, backward }) => sum + forward.length + backward.length, 0);
  return {
    kind: "plan", name: "net", batch: "2×3", memory_bytes: 1000, blocks: Array.from({ length: count }, (_, i) => `body.${i}`),
    signatures: Array.from({ length: count }, () => 0), costs: [COST], segments, predicted: ALWAYS, keep_all: { ...ALWAYS, activations: 480 },
    time_ratio: 1.2, smallest_bytes: 100, curve: [], live_bytes: Array.from({ length: moves }, (_, i) => 100 + i), layers: [], measured: [], ...more,
  };
}

test("moves come in the order of the step, a forward in the backward pass is one done again", () => {
  const moves = movesOf(plan([kept(0, 1, "full"), redone(1, 3)]));
  const said = moves.map(({ what, index }) => `${what} ${index}`);
  assert.deepEqual(said, ["forward 0", "forward 1", "forward 2", "again 1", "again 2", "backward 2", "backward 1", "backward 0"]);
  assert.deepEqual(moves.map(({ bytes }) => bytes), [100, 101, 102, 103, 104, 105, 106, 107]);
  assert.deepEqual(moves.map(({ pass }) => pass === "forward"), [true, true, true, false, false, false, false, false]);
});

test("where nothing is planned the step is added up from the layers, on what is always there", () => {
  const layer = { kind: "Linear", output: "2", parameter_bytes: 4 };
  const layers = [{ ...layer, name: "a", kept_bytes: 7, backward_bytes: 3 }, { ...layer, name: "b", kept_bytes: 2, backward_bytes: 20 }];
  const found = plan([], { layers });
  assert.equal(alwaysOf(found), 26);
  assert.deepEqual(movesOf(found).map(({ bytes }) => bytes), [33, 35, 55, 36]);
  assert.deepEqual(movesOf(found).map(({ index }) => index), [0, 1, 1, 0]);
  assert.deepEqual(movesOf(plan([])), []);
});

test("of many moves each part shows the one with the most bytes", () => {
  const moves = movesOf(plan([kept(0, 4, "full")], { live_bytes: [1, 9, 2, 3, 4, 8, 1, 0] }));
  assert.deepEqual(peaksOf(moves, 0, 8, 4), [1, 3, 5, 6]);
  assert.deepEqual(peaksOf(moves, 2, 4, 9), [2, 3]);
});

test("modes are those of the first forward; forwards are counted in both passes", () => {
  const found = plan([kept(0, 1, "lean"), redone(1, 3)]);
  assert.deepEqual(modesOf(found), ["lean", "none", "none"]);
  assert.deepEqual(forwardsOf(found), [1, 2, 2]);
  assert.equal(peakOf(plan([], { measured: [{ peak_bytes: 3 }, { peak_bytes: 5 }] })), 5);
});

test("what repeats is folded", () => {
  const modes = ["lean", "full", "lean", "full", "lean", "full", "none"] as const;
  const runs = runsOf(plan(modes.map((mode, i) => kept(i, i + 1, mode))));
  assert.deepEqual(runs.map(({ first, last, times, segments }) => [first, last, times, segments]), [[0, 5, 3, 6], [6, 6, 1, 1]]);
  assert.deepEqual(runs[0]?.parts.map(({ mode, blocks }) => [mode, blocks]), [["lean", 1], ["full", 1]]);
  const same = runsOf(plan([kept(0, 4, "full"), redone(4, 6)]));
  assert.deepEqual(same.map(({ first, last, forwards }) => [first, last, forwards]), [[0, 3, 1], [4, 5, 2]]);
});

test("the rule of thumb ends at its knee, √(2 / (a L)) of the tape", () => {
  const found = plan([kept(0, 24, "full")]);
  const points = theoryOf(found, 5); // a = 48 / 16, L = 24
  const knee = Math.sqrt(2 / (3 * 24));
  assert.ok(Math.abs((points[0]?.[0] ?? 0) - (26 + knee * 480)) < 1e-9);
  assert.ok(Math.abs((points[0]?.[1] ?? 0) - (1 + (1 - knee) / 3)) < 1e-12);
  assert.deepEqual(points.at(-1), [506, 1]);
  assert.deepEqual(theoryOf(plan([]), 5), []);
});

test("a layer lies in the block whose name its own begins with, part by part", () => {
  const layers = ["stem", "body.1.conv", "body.10", "tail.0.x", "body.1"].map((name) => ({ name, kind: "", output: "", parameter_bytes: 0, kept_bytes: 0, backward_bytes: 0 }));
  const found = plan([kept(0, 2, "full")], { layers, blocks: ["body.0", "body.1+tail.0"] });
  assert.deepEqual(blockOfLayers(found), [-1, 1, -1, 1, 1]);
});

test("ticks are round and few", () => {
  for (const top of [700, 5000, 3 * 2 ** 20, 900 * 2 ** 20, 5 * 2 ** 30, 3 * 2 ** 40]) {
    const ticks = byteTicks(top);
    assert.ok(ticks.length >= 3 && ticks.length <= 9 && ticks[0] === 0 && (ticks.at(-1) ?? 0) <= top, `${top}: ${ticks}`);
  }
  for (const [low, high] of [[28, 30], [20.2, 20.9], [10, 40]] as const) {
    const ticks = log2Ticks(low, high);
    assert.ok(ticks.length >= 2 && ticks.length <= 9 && ticks.every((tick) => low <= tick && tick <= high), `${low}–${high}: ${ticks}`);
  }
});

test("what a module does itself stands in its own row, where it comes after all that is in it", () => {
  const rows = treeRows([{ scope: "a.x", module: "X" }, { scope: "a", module: "A" }, { scope: "b", module: "B" }, { scope: "a", module: "A" }]);
  assert.deepEqual(rows.map(({ name, module, layer, first, last }) => [name, module, layer, first, last]),
    [["a", "A", 1, 0, 1], ["a.x", "X", 0, 0, 0], ["b", "B", 2, 2, 2], ["a", "A", 3, 3, 3]]);
});

test("a row of a module spans the layers in it", () => {
  const rows = treeRows([{ scope: "a.x", module: "" }, { scope: "a.b.y", module: "" }, { scope: "c", module: "" }]);
  assert.deepEqual(rows.map(({ name, first, last }) => [name, first, last]), [["a", 0, 1], ["a.x", 0, 0], ["a.b", 1, 1], ["a.b.y", 1, 1], ["c", 2, 2]]);
});
