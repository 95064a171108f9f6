import assert from "node:assert/strict";
import { test } from "node:test";
import { chain, denseBlock, oneGate, plainBlock, residualBlock, truck } from "../src/circuit/build";
import { centralDifference, type Circuit, isLeaf, sentence, type Step, walk } from "../src/circuit/engine";
import { WORDS } from "../src/circuit/gates";
import { scene } from "../src/circuit/scene";
import { show } from "../src/core/numbers";
import golden from "./golden/circuits.json";

type Golden = (typeof golden.walks)[number];
const option = (options: object, name: string, fallback: number) =>
  (options as Record<string, number | undefined>)[name] ?? fallback;

function built(one: Golden): Circuit | null {
  const { name, options } = one;
  const kind = (options as { gate?: string }).gate ?? "multiply";
  if (name === "gate") return oneGate(kind, WORDS[kind]?.inputs ?? null, option(options, "upstream", 0.5));
  if (name === "plain") return plainBlock();
  if (name === "residual") return residualBlock();
  if (name === "dense") return denseBlock(option(options, "layers", 3));
  if (name === "truck") return truck(option(options, "customers", 4), !("lane" in options));
  if (name.endsWith("-chain")) return chain(option(options, "blocks", 5), option(options, "w", 0.1), name.startsWith("res"));
  return null;
}

const close = (a: number, b: number) => Math.abs(a - b) <= 1e-14 * Math.max(Math.abs(a), Math.abs(b));

for (const one of golden.walks) {
  test(`${one.name} ${JSON.stringify(one.options)} is walked as Python walks it`, () => {
    const own = built(one);
    if (own) assert.deepEqual({ parts: own.parts, output: own.output, upstream: own.upstream },
      { parts: one.parts, output: one.output, upstream: one.upstream });
    const walked = walk(one as Circuit);
    assert.equal(walked.broken, null);
    for (const node of one.nodes) {
      assert.ok(close(walked.values[node.name] ?? NaN, node.value), `value of ${node.name}`);
      assert.ok(close(walked.gradients[node.name] ?? NaN, node.gradient), `gradient of ${node.name}`);
    }
    assert.equal(walked.steps.length, one.steps.length);
    one.steps.forEach((step, i) => {
      const ours = walked.steps[i] as Step;
      assert.deepEqual([ours.direction, ours.node], [step.direction, step.node]);
      assert.equal(sentence(walked, ours, "en"), step.sentence);
      assert.equal(sentence(walked, ours, "zh"), one.zh[i]);
    });
  });
}

test("numbers are printed as Python prints them", () => {
  for (const [value, text] of golden.numbers as [number, string][]) assert.equal(show(value), text);
});

test("central differences confirm every leaf of the residual block", () => {
  const circuit = residualBlock();
  const walked = walk(circuit);
  for (const leaf of circuit.parts.filter(isLeaf)) {
    const analytic = walked.gradients[leaf.name] ?? NaN;
    assert.ok(Math.abs(centralDifference(circuit, {}, leaf.name) - analytic) < 1e-8, leaf.name);
  }
});

const FILMED: Readonly<Record<string, () => Circuit>> = {
  plain: plainBlock, residual: residualBlock,
  "plain-chain": () => chain(5, 0.1, false), "residual-chain": () => chain(5, 0.1, true),
};

for (const [name, frames] of Object.entries(golden.films)) {
  test(`step k of ${name} on the page shows the numbers of frame k of the moving picture`, () => {
    const walked = walk((FILMED[name] as () => Circuit)());
    assert.equal(frames.length, walked.steps.length + 1);
    frames.forEach((frame, k) => {
      const { wires, nodes } = scene(walked, k);
      const written = [...wires.flatMap((wire) => [wire.value, wire.gradient]), ...nodes.map((node) => node.sum)];
      assert.deepEqual(written.filter((text) => text !== null).sort(), [...frame].sort(), `step ${k}`);
    });
  });
}
