import assert from "node:assert/strict";
import { test } from "node:test";
import denseAll from "../../tests/report/golden/layout/dense-all.json";
import denseFirst from "../../tests/report/golden/layout/dense-first.json";
import lstmFirst from "../../tests/report/golden/layout/lstm-first.json";
import residualAll from "../../tests/report/golden/layout/residual-all.json";
import residualFirst from "../../tests/report/golden/layout/residual-first.json";
import residualMembers from "../../tests/report/golden/layout/residual-members.json";
import type { Layout } from "../src/report/layout";
import { place, type Placed, shownGroups } from "../src/report/graph/place";
import { flipped, openGroups } from "../src/report/graph/walk";
import { labelPlace } from "../src/report/graph/draw";
import { shortened } from "../src/report/graph/marks";

interface Golden {
  readonly layout: unknown;
  readonly open: readonly number[];
  readonly placed: unknown;
}

/** Half of the last digit that the golden points are written with. */
const ROUNDED = 0.00051;
const CASES = { denseAll, denseFirst, lstmFirst, residualAll, residualFirst, residualMembers } as unknown as Record<string, Golden>;

for (const [name, one] of Object.entries(CASES)) {
  test(`${name} is placed as Python places it`, () => {
    const placed = place(one.layout as Layout, new Set(one.open));
    const wanted = one.placed as Placed;
    assert.equal(placed.boxes.length, wanted.boxes.length);
    assert.equal(placed.lines.length, wanted.lines.length);
    assert.ok(Math.abs(placed.width - wanted.width) + Math.abs(placed.height - wanted.height) < 1e-9);
    placed.boxes.forEach((box, i) => {
      const expected = wanted.boxes[i];
      assert.deepEqual([box.kind, box.id, box.name], [expected?.kind, expected?.id, expected?.name]);
      for (const side of ["x", "y", "w", "h"] as const) assert.ok(Math.abs(box[side] - (expected?.[side] ?? NaN)) < 1e-9, `${box.name} ${side}`);
    });
    placed.lines.forEach((line, i) => {
      const expected = wanted.lines[i];
      assert.deepEqual([line.group, line.wire, line.target], [expected?.group, expected?.wire, expected?.target]);
      line.points.forEach((value, j) => assert.ok(Math.abs(value - (expected?.points[j] ?? NaN)) < ROUNDED));
    });
  });
}

const layout = residualFirst.layout as unknown as Layout;
const repeat = layout.groups.find((group) => group.prototype >= 0);

test("a repeat opens to its prototype's inside, and closes again", () => {
  assert.ok(repeat);
  const closed = new Set(layout.open.filter((id) => id !== repeat.id && id !== repeat.prototype));
  const once = openGroups(layout, flipped(layout, repeat.id, closed));
  assert.equal(shownGroups(layout, once).get(repeat.id), repeat.prototype);
  const twice = openGroups(layout, flipped(layout, repeat.id, once));
  assert.equal(shownGroups(layout, twice).has(repeat.id), false);
});

test("what the URL holds is the difference from the layout's own choice", () => {
  const open = openGroups(layout, "");
  assert.deepEqual([...open].sort(), [...layout.open].sort());
  const inRepeats = new Set(layout.groups.map((group) => group.prototype));
  const other = layout.groups.find((group) => group.kind === "module" && group.id > 0 && !inRepeats.has(group.id));
  assert.ok(other);
  const changed = flipped(layout, other.id, open);
  assert.equal(changed, String(other.id));
  assert.equal(openGroups(layout, changed).has(other.id), !open.has(other.id));
});

test("long names lose their middle", () => {
  assert.equal(shortened("stages.0.conv1", 20), "stages.0.conv1");
  assert.equal(shortened("encoder.layers.11.attention", 11), "encod…ntion");
});

test("a label stands on the longest part of its line", () => {
  assert.deepEqual(labelPlace([0, 0, 10, 0, 10, 100, 0, 100]), [10, 50]);
  assert.deepEqual(labelPlace([3, 4]), [3, 4]);
});
