import assert from "node:assert/strict";
import { test } from "node:test";
import golden from "./golden/blocks.json";
import { type Drawing, drawing, type Palette } from "../src/report/graph/draw";
import { boxMarks, lineMark } from "../src/report/graph/marks";
import { place, shownGroups } from "../src/report/graph/place";
import { asSvg } from "../src/report/graph/svg";
import { boxOf, differing, openGroups, smallestLayer, step } from "../src/report/graph/walk";
import { fittedScale, imageScale, indent, pointed, revealed, zoomed } from "../src/report/graph/window";
import { flowView, type FlowView } from "../src/report/flowview";
import type { Layout } from "../src/report/layout";
import type { Flow } from "../src/report/records";

const FRAME = { left: 30, top: 400, width: 500, height: 300 };
const TALL = { width: 900, height: 4000 };

test("zooming keeps the point under the pointer in its place", () => {
  for (const about of [[0, 0], [250, 150], [499, 12]] as const) {
    const before = pointed(TALL, FRAME, 0.8, about);
    const next = zoomed(TALL, FRAME, 0.8, 1.25, about);
    const after = pointed(TALL, { ...FRAME, left: next.left, top: next.top }, next.scale, about);
    assert.ok(Math.hypot(after[0] - before[0], after[1] - before[1]) < 1e-9);
  }
});

test("a narrow drawing stands in the middle; zooming it keeps the point as well", () => {
  const narrow = { width: 100, height: 100 };
  assert.equal(indent(narrow, FRAME, 1), 200);
  assert.equal(indent(TALL, FRAME, 1), 0);
  assert.deepEqual(pointed(narrow, { ...FRAME, left: 0, top: 0 }, 1, [250, 50]), [50, 50]);
});

test("the scale has ends, and an image can be held", () => {
  assert.equal(fittedScale(100, 2000), 1.2);
  assert.equal(fittedScale(1e6, 300), 0.08);
  assert.equal(zoomed(TALL, FRAME, 3, 10, [0, 0]).scale, 3);
  assert.equal(imageScale({ width: 300, height: 500 }), 2);
  const scale = imageScale({ width: 800, height: 250_000 });
  assert.ok(250_000 * scale <= 16_000 && 800 * 250_000 * scale ** 2 <= 40e6);
});

test("revealing scrolls only where it must, and no further", () => {
  const inside = { x: 100, y: 500, width: 50, height: 20 };
  assert.deepEqual(revealed(TALL, FRAME, 1, inside), [30, 400]);
  assert.deepEqual(revealed(TALL, FRAME, 1, { ...inside, y: 100 }), [30, 80]);
  assert.deepEqual(revealed(TALL, FRAME, 1, { ...inside, y: 900 }), [30, 900 + 20 - 300 + 20]);
});

const HOSTILE = `</script><b>&"'\u202e\u0001`;
const PALETTE: Palette = {
  page: "#ffffff", card: "#f6f7f9", ink: "#000000", pale: "#555555", line: "#777777", grid: "#dddddd", strong: "#006d5b", backward: "#b8321a", hatch: "#999999", mark: "#fff1c2",
};

function viewOf(change: (flow: Flow) => Flow = (flow) => flow): FlowView {
  const { record, layout } = golden.residual;
  return flowView(change(record as unknown as Flow), layout as unknown as Layout);
}

function drawn(view: FlowView, open: ReadonlySet<number>): Drawing {
  const layout = view.layout as Layout;
  const placed = place(layout, open);
  const shown = shownGroups(layout, open);
  const lines = placed.lines.map((line) => lineMark(view, line, shown));
  return drawing({ placed, boxes: boxMarks(view, placed.boxes), lines, range: [-6, 0], palette: PALETTE });
}

const allOf = (view: FlowView) => new Set(view.layout?.groups.map(({ id }) => id));

test("the saved file holds every box and line once, and every name as text", () => {
  const view = viewOf();
  const list = drawn(view, allOf(view));
  const svg = asSvg(list, PALETTE);
  const hatched = list.rects.filter((shape) => shape.hatch !== "none").length;
  assert.equal(svg.match(/<path /g)?.length, list.paths.length);
  assert.equal(svg.match(/<rect x=/g)?.length, list.rects.length + hatched);
  for (const name of ["conv1", "norm2", "shortcut", "linear"]) assert.ok(!view.flow.layers.some((layer) => layer.scope.endsWith(name)) || svg.includes(name), name);
});

test("names cannot leave their text, and control characters do not get in", () => {
  const view = viewOf();
  const groups = view.layout?.groups.map((group) => ({ ...group, items: group.items.map((item) => ({ ...item, name: HOSTILE })) }));
  const svg = asSvg(drawn({ ...view, layout: { ...(view.layout as Layout), groups: groups ?? [] } }, allOf(view)), PALETTE);
  assert.ok(!svg.includes("</script") && !svg.includes("<b>") && !svg.includes("\u0001"));
});

test("gradients without a place on the ramp are marked: none, zero, NaN, infinite, opaque", () => {
  const values = [null, "-Infinity", "NaN", "Infinity"];
  const view = viewOf((flow) => ({
    ...flow, layers: flow.layers.map((layer, i) => (i < values.length ? { ...layer, log10_gradient_rms: values[i] ?? null } : layer)),
    graph: flow.graph && { ...flow.graph, opaque: [flow.graph.nodes.layer.lastIndexOf(4)] },
  }));
  const list = drawn(view, allOf(view));
  const shape = (layer: number) => list.rects.find(({ box }) => box.kind === "node" && box.id === view.nodeOfLayer[layer]);
  assert.deepEqual([0, 1, 2, 3, 4].map((layer) => shape(layer)?.hatch), ["no gradient", "none", "not finite", "not finite", "opaque"]);
  assert.deepEqual([0, 1, 2, 3].map((layer) => shape(layer)?.right), ["–", "0", "NaN", "inf"]);
  assert.equal(shape(1)?.fill, PALETTE.line);
});

test("the smallest gradient: an exact zero before all, not a missing one", () => {
  const changed = (value: string | null) => viewOf((flow) => ({ ...flow, layers: flow.layers.map((layer, i) => (i === 6 ? { ...layer, log10_gradient_rms: value } : layer)) }));
  assert.equal(smallestLayer(changed("-Infinity")), 6);
  const known = changed(null);
  const values = known.weighted.map((i) => Number(known.flow.layers[i]?.log10_gradient_rms ?? Infinity));
  assert.equal(smallestLayer(known), known.weighted[values.indexOf(Math.min(...values))]);
});

test("arrows walk from the first box to the last and back, never out", () => {
  const view = viewOf();
  const placed = place(view.layout as Layout, allOf(view));
  const first = step(placed, -1, 0, 1);
  assert.equal(first?.y, Math.min(...placed.boxes.filter((box) => box.kind === "node").map((box) => box.y)));
  let at = placed.boxes.findIndex((box) => box === first);
  const seen = new Set<number>();
  for (let box = step(placed, at, 0, 1); box; box = step(placed, at, 0, 1)) {
    at = placed.boxes.indexOf(box);
    assert.ok(!seen.has(at));
    seen.add(at);
  }
  assert.equal(placed.boxes[at]?.y, Math.max(...placed.boxes.filter((box) => box.kind === "node").map((box) => box.y)));
  assert.ok(seen.size > 25, `${seen.size} boxes`); // shortcuts stand beside
});

test("what is open is written as what differs, and read back", () => {
  const layout = viewOf().layout as Layout;
  const wanted = new Set([0, 3, 5]);
  assert.deepEqual([...openGroups(layout, differing(layout, wanted))].sort(), [...wanted].sort());
  assert.equal(differing(layout, new Set(layout.open)), "");
});

test("a layer in a closed group is shown by that group", () => {
  const view = viewOf();
  const placed = place(view.layout as Layout, new Set([0]));
  const index = view.flow.layers.findIndex((layer) => layer.scope === "stages.1.0.conv1");
  const box = placed.boxes[boxOf(view, placed, { what: "layer", index })];
  assert.equal(box?.kind, "closed");
  assert.ok(box?.name.startsWith("stages"));
});
