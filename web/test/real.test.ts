import assert from "node:assert/strict";
import { test } from "node:test";
import gallery from "../../src/gradpath/report/assets/explain/gallery.json";
import runs from "../../src/gradpath/report/assets/explain/runs.json";
import type { Gallery, Net, Runs, WidthCell } from "../src/explain/data";
import { nextFigure, scrollWithin } from "../src/explain/navigate";
import { accuracies, domain, epochAt, meanLength, moments, pathSeries, profiles, ranked, spread, widthSeries } from "../src/explain/realData";

const nets = (runs as unknown as Runs).nets;
const all = new Set(nets.map((_, i) => i));
const name = (net: Net) => net.name;
const residual = nets.find((net) => net.family === "residual") as Net;

test("all nets were looked at at the same moments: before, early, and after each epoch", () => {
  const steps = moments(nets);
  assert.equal(steps[0], 0);
  assert.ok(steps.filter((step) => step > 0 && step < residual.steps_per_epoch).length >= 2);
  assert.equal(steps.at(-1), runs.recipe.epochs * residual.steps_per_epoch);
  for (const net of nets) assert.deepEqual(net.looks.map((look) => look.step), steps, net.name);
  assert.deepEqual(steps.map((step) => epochAt(residual, step)).filter((epoch) => epoch !== null), [0, 1, 2, 3]);
});

test("a profile has a point for each layer, on an axis that all moments share", () => {
  const [low, high] = domain(nets, all, "gradient");
  for (const step of moments(nets)) {
    const lines = profiles(nets, all, step, "gradient", name);
    assert.equal(lines.length, nets.length);
    lines.forEach(({ points, look }) => {
      assert.deepEqual(points.map(([layer]) => layer), points.map((_, i) => i + 1));
      assert.equal(points.length, nets[look]?.looks[0]?.log10_gradient_norm.length);
      for (const [, value] of points) assert.ok(value === null || (low < value && value < high));
    });
  }
});

test("a net that is hidden leaves the looks of the others alone", () => {
  const shown = new Set([...all].filter((i) => i !== 0));
  const lines = profiles(nets, shown, 0, "gradient", name);
  assert.deepEqual(lines.map((line) => line.look), [...shown]);
  assert.deepEqual(domain(nets, new Set(), "gradient"), [-1, 1]);
});

test("the signed mean of the path lengths is the effective depth that Python recorded", () => {
  for (const net of nets) for (const paths of net.paths) {
    assert.ok(Math.abs(meanLength(paths) - (paths.effective_depth ?? NaN)) < 0.02, net.name);
    const mass = pathSeries(net, () => "")[0]?.points.reduce((sum, [, percent]) => sum + (percent ?? 0), 0) ?? 0;
    assert.ok(Math.abs(mass - 100) < 1, net.name);
  }
});

test("accuracies are in per cent, one for each epoch", () => {
  for (const line of accuracies(nets, all, name)) assert.deepEqual(line.points.map(([epoch]) => epoch), [1, 2, 3]);
  const last = residual.looks.at(-1)?.test_accuracy ?? NaN;
  assert.equal(accuracies([residual], new Set([0]), name)[0]?.points.at(-1)?.[1], 100 * last);
});

test("mean and standard error: 1, 2, 3 have 2 and 1/√3; one run has no error; none has nothing", () => {
  const found = spread([1, null, 2, 3]);
  assert.equal(found?.mean, 2);
  assert.ok(Math.abs((found?.error ?? NaN) - 1 / Math.sqrt(3)) < 1e-15);
  assert.deepEqual(spread([5]), { mean: 5, error: null, n: 1 });
  assert.equal(spread([null]), null);
});

test("depth against width: a line for each family, in per cent", () => {
  const cell = (family: "plain" | "residual", depth: number, accuracy: number[]) =>
    ({ family, depth, width: 16, norm: "batch", init: "he", parameters: 1, macs: 1, train_loss: [], test_accuracy: accuracy }) satisfies WidthCell;
  const lines = widthSeries([cell("plain", 8, [0.5, 0.7]), cell("residual", 8, [0.8]), cell("plain", 56, [])], { plain: "P", residual: "R" });
  assert.deepEqual(lines.map((line) => [line.name, line.points.map(([at, value]) => [at, Math.round(value ?? NaN)])]), [["P", [[8, 60]]], ["R", [[8, 80]]]]);
});

test("the gallery is ranked by effective depth; nets without a residual fork stand apart", () => {
  const { deep, without } = ranked(gallery as unknown as Gallery);
  const depths = deep.map((net) => net.effective_depth?.[0] ?? NaN);
  assert.deepEqual(depths, [...depths].sort((a, b) => b - a));
  assert.ok(deep.every((net) => (net.effective_depth?.[0] ?? NaN) <= net.residual_forks));
  assert.ok(without.length >= 1 && without.every((net) => net.residual_forks === 0));
});

test("PageDown shows the rest of a figure that is higher than the window before the next one", () => {
  const tall = { top: 0, bottom: 2000 };
  assert.equal(scrollWithin([tall], 1, 1000), 850);
  assert.equal(scrollWithin([{ top: -850, bottom: 1150 }], 1, 1000), 150);
  assert.equal(scrollWithin([{ top: -1000, bottom: 1000 }, { top: 1000, bottom: 1500 }], 1, 1000), 0);
  assert.equal(scrollWithin([{ top: 300, bottom: 2300 }], 1, 1000), 0); // its top is not yet in its place
  assert.equal(scrollWithin([{ top: -1000, bottom: 1000 }], -1, 1000), -850);
  assert.equal(scrollWithin([{ top: -150, bottom: 1850 }], -1, 1000), -150);
  assert.equal(scrollWithin([tall], -1, 1000), 0);
});

test("PageDown and PageUp go to the neighbour of the figure that is in view", () => {
  const tops = [-900, 0, 700, 1500];
  assert.deepEqual([nextFigure(tops, 1), nextFigure(tops, -1)], [2, 0]);
  assert.deepEqual([nextFigure([-900, -300, 700], 1), nextFigure([-900, -300, 700], -1)], [2, 1]);
  assert.equal(nextFigure([-2000, -600, 100, 400], 1, 2, true), 3); // the end of the page holds figure 2 at 100
  assert.equal(nextFigure([-2000, -600, 100, 400], 1, 3, true), -1);
  assert.equal(nextFigure([-2000, -600, 100, 400], -1, 3, true), 2);
});
