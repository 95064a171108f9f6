import assert from "node:assert/strict";
import { test } from "node:test";
import golden from "./golden/blocks.json";
import { decoded, fromLog10, percent } from "../src/core/numbers";
import { type Block, blockOf, shortened, type Stop } from "../src/report/block/block";
import { blockScene } from "../src/report/block/scene";
import { meeting, series, waysOf } from "../src/report/block/series";
import { shareText } from "../src/report/block/shares";
import { flowView, type FlowView } from "../src/report/flowview";
import type { Layout } from "../src/report/layout";
import type { Edge, Flow, Fork } from "../src/report/records";
import type { Selection } from "../src/report/state";

type Name = keyof typeof golden;
const NAMES = Object.keys(golden) as Name[];

function viewOf(name: Name): FlowView {
  const { record, layout } = golden[name];
  return flowView(record as unknown as Flow, layout as unknown as Layout);
}

function layerCalled(view: FlowView, scope: string): Selection {
  const index = view.flow.layers.findIndex((layer) => layer.scope === scope);
  assert.ok(index >= 0, scope);
  return { what: "layer", index };
}

function blockAt(name: Name, scope: string): { view: FlowView; block: Block } {
  const view = viewOf(name);
  const block = blockOf(view, waysOf(view.flow), layerCalled(view, scope));
  assert.ok(block, `${name} ${scope}`);
  return { view, block };
}

const names = (stops: readonly Stop[]): string[] => stops.map((stop) => stop.name);

// 0 → 1 → 4, 0 → 2 → 3 → 4 → 5
const DIAMOND: readonly (readonly number[])[] = [[1, 2], [4], [3], [4], [5], []];
const after = (node: number): readonly number[] => DIAMOND[node] ?? [];

test("a diamond meets at its lower end, and holds what lies between", () => {
  const met = meeting([1, 2], after);
  assert.equal(met.node, 4);
  assert.deepEqual([...met.inside], [1, 2, 3]);
});

test("in series: what every way passes is a point, the rest lies side by side", () => {
  const { steps, end } = series([0], after, 5);
  assert.equal(end, 5);
  assert.deepEqual(steps, [{ nodes: [0], isPoint: true }, { nodes: [1, 2, 3], isPoint: false }, { nodes: [4], isPoint: true }]);
});

test("ways that never meet end nowhere", () => {
  const apart = (node: number): readonly number[] => [[1, 2], [], []][node] ?? [];
  assert.equal(meeting([1, 2], apart).node, -1);
  assert.equal(series([1, 2], apart, 9).end, -1);
});

for (const name of NAMES) {
  test(`${name}: the ways of each residual fork meet in the operation that Python found`, () => {
    const { flow } = viewOf(name);
    const ways = waysOf(flow);
    flow.forks.forEach((fork, index) => {
      if (fork.kind !== "residual") return;
      const node = meeting((ways?.uses[index] ?? []).flat(), ways?.after ?? after).node;
      const operation = flow.graph?.operations[flow.graph.nodes.operation[node] ?? -1];
      assert.equal(operation, fork.merge === "add" ? "Add" : "Cat", fork.name);
    });
  });
}

test("a residual block: its layers in order, the skip beside them", () => {
  const { block } = blockAt("residual", "stages.0.0.conv2");
  assert.deepEqual(names(block.main), ["x", "conv1", "norm1", "Relu", "conv2", "norm2", "+"]);
  assert.deepEqual(block.lanes.map(({ edge, stops }) => [edge.kind, stops.length]), [["skip", 0]]);
  assert.equal(block.use?.kind, "branch");
});

test("a projection's own layers stand on its lane, and lead to the same block", () => {
  for (const scope of ["stages.1.0.norm1", "stages.1.0.shortcut.conv"]) {
    const { block } = blockAt("projection", scope);
    assert.deepEqual(names(block.main), ["x", "conv1", "norm1", "Relu", "conv2", "norm2", "+"]);
    assert.deepEqual(block.lanes.map((lane) => [lane.edge.kind, ...names(lane.stops)]), [["projection", "conv", "norm"]]);
  }
});

test("a dense layer ends in a concatenation", () => {
  const { block } = blockAt("dense", "stages.1.1.conv1");
  assert.deepEqual(names(block.main), ["x", "norm1", "Relu", "conv1", "norm2", "Relu", "conv2", "cat"]);
});

test("a plain block has no fork", () => {
  const { block } = blockAt("plain", "stages.0.0.conv2");
  assert.deepEqual([block.fork, block.use, block.lanes.length], [-1, null, 0]);
  assert.deepEqual(names(block.main), ["x", "conv1", "Relu", "conv2", "Relu"]);
});

test("a U-Net's skip runs around its inner part", () => {
  const { block } = blockAt("unet", "deep");
  assert.deepEqual(names(block.main), ["x", "down", "Relu", "deep", "Relu", "up", "cat"]);
});

test("a cell that is called again and again: calls whose states run side by side are not drawn as a chain", () => {
  const { block } = blockAt("lstm", "head");
  assert.ok(block.main.every((stop) => stop.kind !== "layer" || stop.layers === 1));
  assert.equal(block.main.reduce((sum, stop) => sum + stop.layers, 0), 5);
});

/** All that may be printed: what the record holds, as the page prints it. */
function printable({ flow }: FlowView): Set<string> {
  const found = new Set<string>([""]);
  const add = (text: string) => found.add(text);
  for (const layer of flow.layers) {
    add(`${fromLog10(decoded(layer.log10_activation_rms))} ▾`);
    add(`▴ ∂ ${fromLog10(decoded(layer.log10_gradient_norm))}`);
  }
  for (const fork of flow.forks) {
    add(`= ∂ ${fromLog10(decoded(fork.log10_norm))}`);
    for (const edge of fork.edges) {
      add(`▴ ∂ ${fromLog10(decoded(edge.log10_norm))}`);
      add(percent(decoded(edge.share), 0));
    }
  }
  return found;
}

for (const name of NAMES) {
  test(`${name}: every number in every block is in the record, nothing overlaps`, () => {
    const view = viewOf(name);
    const known = printable(view);
    view.flow.layers.forEach((_, index) => {
      const block = blockOf(view, waysOf(view.flow), { what: "layer", index });
      if (!block) return;
      const { stops, wires, width, height } = blockScene(view, block);
      for (const wire of wires) assert.ok([wire.value, wire.gradient, wire.share].every((text) => known.has(text)), JSON.stringify(wire));
      for (const stop of stops) {
        assert.ok(known.has(stop.sum));
        assert.ok(stop.x - stop.width / 2 >= 0 && stop.x + stop.width / 2 <= width && stop.y + 15 <= height);
        const others = stops.filter((other) => other !== stop && Math.abs(other.y - stop.y) < 30);
        for (const other of others) assert.ok(Math.abs(other.x - stop.x) >= (stop.width + other.width) / 2, `${stop.label} | ${other.label}`);
      }
    });
  });
}

test("the branch's edge and the lane's edge carry the fork's norms and shares", () => {
  const { view, block } = blockAt("residual", "stages.1.0.conv1");
  const fork = view.flow.forks[block.fork];
  const { wires, stops } = blockScene(view, block);
  const edge = (kind: Edge["kind"]) => fork?.edges.find((one) => one.kind === kind);
  const norm = (kind: Edge["kind"]) => `▴ ∂ ${fromLog10(decoded(edge(kind)?.log10_norm))}`;
  assert.equal(wires[0]?.gradient, norm("branch"));
  assert.equal(wires.find((wire) => wire.isLane)?.gradient, norm("skip"));
  assert.equal(stops[0]?.sum, `= ∂ ${fromLog10(decoded(fork?.log10_norm))}`);
});

test("a group, a repeat and a fork lead to a block as well; nothing selected, or no graph, to none", () => {
  const view = viewOf("residual");
  const ways = waysOf(view.flow);
  const group = view.layout?.groups.find((one) => one.name === "stages.1.0")?.id ?? -1;
  assert.deepEqual(names(blockOf(view, ways, { what: "group", index: group })?.main ?? []).slice(0, 3), ["x", "conv1", "norm1"]);
  assert.equal(blockOf(view, ways, { what: "fork", index: 2 })?.fork, 2);
  assert.equal(blockOf(view, ways, null), null);
  const bare = flowView({ ...view.flow, graph: null }, null);
  assert.equal(blockOf(bare, waysOf(bare.flow), { what: "layer", index: 0 }), null);
});

test("a long line keeps its ends and what is around the chosen layer", () => {
  const stops = Array.from({ length: 30 }, (_, i): Stop => ({ kind: "layer", name: `l${i}`, layer: i, layers: 1 }));
  const short = shortened(stops, 9, 15);
  assert.ok(short.length <= 9);
  assert.deepEqual([short[0]?.name, short.at(-1)?.name], ["l0", "l29"]);
  assert.ok(names(short).includes("l15"));
  assert.equal(short.reduce((sum, stop) => sum + stop.layers, 0), 30);
  assert.deepEqual(shortened(stops.slice(0, 9), 9, 4), stops.slice(0, 9));
});

test("a share is not printed where ways cancel, nor where there is none", () => {
  const [edge] = viewOf("residual").flow.forks[0]?.edges ?? [];
  const fork = viewOf("residual").flow.forks[0];
  assert.ok(edge && fork);
  assert.equal(shareText({ ...fork, cancellation: 0.995 } as Fork, edge), "");
  assert.equal(shareText(fork, { ...edge, share: null }), "");
  assert.equal(shareText({ ...fork, cancellation: 0.2 }, { ...edge, share: -0.25 }), "−25 %");
});
