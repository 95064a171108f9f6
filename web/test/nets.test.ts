import assert from "node:assert/strict";
import { test } from "node:test";
import { comparison, matchingWidth } from "../src/explain/comparison";
import { partsOf } from "../src/explain/denseData";
import { partsOfGradients } from "../src/explain/denseCircuit";
import { channelsRead, densePlaces } from "../src/explain/denseLayout";
import { gradientWidth, isHairline, netPlaces } from "../src/explain/netLayout";
import { denseNet, imageNetDenseNet, inceptionNet, PUBLISHED, resnet, totalOf } from "../src/explain/netParameters";
import { MOST_BLOCKS, STACKS, TRACED, traced } from "../src/explain/netsData";
import { draw, EPSILON, type Kind, profileOf, run, scaledPlain } from "../src/explain/normNet";
import { BATCHNORM_GROWTH, backwardFactor, energyFactor, theory } from "../src/explain/normTheory";
import { inProse, superscript } from "../src/explain/prose";
import { normals, uniform } from "../src/explain/random";
import { AT_EQUAL_ERROR, PREACTIVATION_1001 } from "../src/explain/ParametersTable";
import nets from "../src/generated/nets.json";
import golden from "./golden/nets.json";

const profile = (drawn: ReturnType<typeof draw>, kind: Kind, depth: number, sigma2: number) => profileOf(run(drawn, kind, sigma2), depth);
const isClose = (a: number, b: number, tolerance: number) => Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b));

test("random numbers are those that Python draws", () => {
  const drawn = normals(golden.normals.length, uniform(1));
  golden.normals.forEach((value, i) => assert.ok(isClose(drawn[i] ?? NaN, value, 1e-14)));
});

for (const one of golden.norm) {
  test(`${one.kind}, ${one.depth} layers, σ² ${one.sigma2}: signal and gradient as torch's autograd has them`, () => {
    const { forward, backward } = profile(draw(one.seed, one.depth + 1), one.kind as Kind, one.depth, one.sigma2);
    assert.equal(forward.length, one.depth);
    one.forward.forEach((value, i) => assert.ok(isClose(forward[i] ?? NaN, value, 1e-9), `forward ${i}: ${forward[i]} ${value}`));
    one.backward.forEach((value, i) => assert.ok(isClose(backward[i] ?? NaN, value, 1e-9), `backward ${i}`));
  });
}

test("the first layers of a deeper draw are a shallower draw's", () => {
  assert.deepEqual(draw(7, 3).weights[2], draw(7, 5).weights[2]);
});

test("theory is near the mean of several draws, and a plain net scales exactly with its weights", () => {
  for (const kind of ["plain", "norm", "skip"] as const) {
    const seeds = [1, 2, 3, 4, 5, 6];
    const ends = seeds.map((seed) => profile(draw(seed, 20), kind, 20, 2));
    const expected = theory(kind, 20, 2);
    const mean = (of: (one: (typeof ends)[number]) => number) => ends.reduce((sum, one) => sum + of(one), 0) / seeds.length;
    assert.ok(Math.abs(mean((one) => one.forward[19] ?? NaN) - (expected.forward[19] ?? NaN)) < 0.25, `${kind} forward`);
    assert.ok(Math.abs(mean((one) => one.backward[0] ?? NaN) - (expected.backward[0] ?? NaN)) < 0.3, `${kind} backward`);
  }
  const [one, other] = [1, 0.3].map((sigma2) => profile(draw(1, 9), "plain", 9, sigma2));
  assert.ok(one && other);
  const scaled = scaledPlain(one, 0.3);
  scaled.forward.forEach((value, i) => assert.ok(isClose(value, other.forward[i] ?? NaN, 1e-12)));
  scaled.backward.forEach((value, i) => assert.ok(isClose(value, other.backward[i] ?? NaN, 1e-12)));
});

test("factors per layer are those of the theory's straight lines", () => {
  assert.ok(isClose(BATCHNORM_GROWTH, 1.4669, 1e-4));
  assert.ok(isClose(backwardFactor(theory("norm", 30, 1).backward) ?? NaN, BATCHNORM_GROWTH, 1e-12));
  assert.ok(isClose(energyFactor(theory("plain", 30, 0.5).forward) ?? NaN, 0.25, 1e-12));
  assert.ok(isClose(backwardFactor(theory("plain", 30, 0.5).backward) ?? NaN, 0.25, 1e-12));
  assert.equal(energyFactor([1]), null);
});

test("parameters are counted as torch counts them", () => {
  for (const [n, width, parameters] of golden.resnet as [number, number, number][]) assert.equal(totalOf(resnet(n, width)), parameters);
  for (const [n, width, parameters] of golden.inception as [number, number, number][]) {
    assert.equal(totalOf(inceptionNet(n, width)), parameters, `inception ${n} ${width}`);
  }
  for (const [n, growth, parameters, channels] of golden.dense as [number, number, number, number][]) {
    assert.equal(totalOf(denseNet(n, growth)), parameters);
    assert.equal(denseNet(n, growth).channels, channels);
  }
  assert.deepEqual(resnet(3, 24).blocks, golden.blocks.resnet);
  assert.deepEqual(denseNet(6, 12).blocks, golden.blocks.dense.map((stage, s) => (s ? stage.slice(1) : stage)));
  assert.equal(PREACTIVATION_1001, golden.preactivation1001);
});

test("the published counts come out to the digit", () => {
  const counts = PUBLISHED.map(({ layers, growth }) => totalOf(imageNetDenseNet(layers, growth)));
  assert.deepEqual(counts, [7_978_856, 14_149_480, 20_013_928, 28_681_000]);
  assert.equal(totalOf(denseNet(16, 12)), 769_162);
  assert.equal(totalOf(denseNet(41, 24)), 15_324_406);
  assert.equal(totalOf(denseNet(31, 40)), 25_624_430);
  assert.equal(totalOf(resnet(18, 16)), 1_727_962);
  assert.equal(totalOf(resnet(200, 16)), 19_421_274);
});

test("nets with equal channels at the head differ by at most four of them", () => {
  for (let n = 1; n <= 33; n += 1) {
    for (const growth of [4, 12, 31, 48]) {
      const { bills, width } = comparison(n, growth, 16, "channels");
      assert.ok(Math.abs(bills.resnet.channels - bills.dense.channels) <= 4 || width === 2, `${n} ${growth}`);
      assert.equal(width, matchingWidth(n, growth));
    }
  }
  assert.equal(comparison(9, 12, 32, "plan").totals.resnet, totalOf(resnet(9, 32)));
});

test("a dense layer's gradient is the sum over later ones: (1 + w)^later", () => {
  for (const [layers, weight] of [[2, 0.1], [6, 0.1], [5, -0.5], [12, 1]] as const) {
    const parts = partsOfGradients(layers, weight);
    parts.forEach((row, source) => {
      const sum = row.reduce((total, part) => total + part, 0);
      assert.ok(isClose(sum, (1 + weight) ** (layers - source), 1e-12), `source ${source}`);
      assert.equal(row.at(-1), 1);
      assert.equal(row.length, layers - source + 1);
    });
  }
});

test("every real dense block has a part for every link, the largest is 1", () => {
  for (const { layers } of nets.dense) {
    const parts = partsOf("real", layers, 0.1);
    assert.deepEqual(parts.map((row) => row.length), Array.from({ length: layers + 1 }, (_, s) => layers + 1 - s));
    assert.equal(Math.max(...parts.flat()), 1);
  }
  assert.deepEqual(channelsRead(3, 12), [24, 36, 48, 60]);
});

test("every ResNet was traced, block by block, with shares that are shares", () => {
  assert.deepEqual(TRACED.map(({ n }) => n), Array.from({ length: MOST_BLOCKS }, (_, i) => i + 1));
  for (const { n, log10, skip, effective } of TRACED) {
    assert.equal(skip.length, 3 * n);
    for (const stack of STACKS) assert.ok(log10[stack].length === 3 * n && log10[stack].every(Number.isFinite), `${stack} ${n}`);
    assert.ok(skip.every((share) => share > 0 && share < 1));
    assert.ok(effective > 0 && effective < 3 * n);
  }
  assert.ok((traced(9).log10.bare[0] ?? 0) < -15 && Math.abs(traced(9).log10.residual[0] ?? 9) < 2);
});

test("blocks stand in three rows without overlap, inside the drawing", () => {
  for (const width of [280, 344, 736, 1180]) {
    for (let n = 1; n <= MOST_BLOCKS; n += 1) {
      const { blocks, right, left, height } = netPlaces(n, width);
      assert.equal(blocks.length, 3 * n);
      assert.ok(left > 0 && right < width && height > 0);
      blocks.forEach((one, i) => {
        const next = blocks[i + 1];
        if (next?.stage === one.stage) assert.ok(one.boxX + one.boxWidth < next.boxX && isClose(one.x2, next.x1, 1e-9));
        assert.ok(one.boxX > one.x1 && one.boxX + one.boxWidth < one.x2 + 1e-9);
      });
    }
  }
  assert.equal(gradientWidth(0) - gradientWidth(-1), gradientWidth(1) - gradientWidth(0));
  assert.ok(isHairline(-20) && !isHairline(0));
});

test("a dense block's lanes and columns stay inside the drawing", () => {
  for (const width of [280, 344, 860]) {
    for (let layers = 2; layers <= 12; layers += 1) {
      const { column, right, lane, height } = densePlaces(layers, width);
      assert.ok(column(layers + 1) < right && right <= width && lane(layers) < height);
    }
  }
});

test("numbers in a sentence", () => {
  assert.deepEqual([4.424, -7.884, 0.875, 0, 6.99, 7.2, -21.73].map(inProse), ["27,000", "1.3×10⁻⁸", "7.5", "1", "9,800,000", "1.6×10⁷", "1.9×10⁻²²"]);
  assert.equal(superscript(-120), "⁻¹²⁰");
});

test("with ε in proportion to σ², BatchNorm's profile at σ² = 1 is that of every σ²", () => {
  const drawn = draw(1);
  const atOne = profileOf(run(drawn, "norm", 1), 50);
  for (const sigma2 of [0.2, 3]) {
    const other = profileOf(run(drawn, "norm", sigma2, sigma2 * EPSILON), 50);
    for (const way of ["forward", "backward"] as const) {
      atOne[way].forEach((value, i) => assert.ok(isClose(value, other[way][i] ?? NaN, 1e-7), `${way} ${i}: ${value} ${other[way][i]}`));
    }
  }
});

test("at equal published error the dense net's parameters are the fraction that the text states", () => {
  assert.deepEqual(AT_EQUAL_ERROR, { denseError: "4.51", otherError: "4.62", fewer: 13 }); // 10,327,706 / 769,162 = 13.4
});
