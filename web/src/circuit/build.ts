/** The article's circuits, as `gradpath.circuits` builds them. */
import type { Circuit, Part } from "./engine";

export const ARTICLE_X = 10;
export const ARTICLE_W = 0.1;

function leaf(name: string, gate: "input" | "weight", value: number, column: number, lane = 0): Part {
  return { name, gate, inputs: [], value, index: 0, lane, column };
}

function gate(name: string, kind: string, inputs: readonly string[], column: number): Part {
  return { name, gate: kind, inputs, value: 0, index: 0, lane: 0, column };
}

const weight = (name: string, value: number, column: number): Part => leaf(name, "weight", value, column, 1);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

/** z = f(x, y). */
export function oneGate(kind: string, inputs: number | null, upstream = 0.5): Circuit {
  const values: [string, number][] = [["x", 3], ["y", 2], ["u", 7], ["v", 1]];
  const chosen = values.slice(0, kind === "dot" ? 4 : (inputs ?? 3));
  const leaves = chosen.map(([name, value], i) => leaf(name, "input", value, Math.min(i, 1), Math.min(i, 1)));
  const z = gate("z", kind, chosen.map(([name]) => name), 1);
  return { parts: [...leaves, z], output: "z", upstream };
}

function products(count: number): Part[] {
  const pairs = upTo(count).flatMap((i) => [
    weight(`w${i}`, ARTICLE_W, i),
    gate(`z${i}`, "multiply", [i > 1 ? `z${i - 1}` : "x", `w${i}`], i),
  ]);
  return [leaf("x", "input", ARTICLE_X, 0), ...pairs];
}

/** x × w1 × w2 × w3 × w4. */
export function plainBlock(): Circuit {
  return { parts: products(4), output: "z4", upstream: 1 };
}

/** The same with a skip around it: h = F(x) + x. */
export function residualBlock(): Circuit {
  return { parts: [...products(4), gate("h", "add", ["z4", "x"], 5)], output: "h", upstream: 1 };
}

/** Blocks that multiply by a factor, one after the other, with or without a skip around each. */
export function blocks(factors: readonly (readonly [string, number])[], skips: boolean): Circuit {
  const parts: Part[] = [leaf("x", "input", 1, 0)];
  let before = "x";
  let column = 0;
  factors.forEach(([name, value], i) => {
    column += 1;
    parts.push(weight(name, value, column), gate(`p${i + 1}`, "multiply", [before, name], column));
    if (skips) parts.push(gate(`h${i + 1}`, "add", [`p${i + 1}`, before], (column += 1)));
    before = skips ? `h${i + 1}` : `p${i + 1}`;
  });
  return { parts, output: before, upstream: 1 };
}

/** n of the article's blocks in a row: each multiplies by w⁴. */
export function chain(count: number, w: number, skips: boolean): Circuit {
  return blocks(upTo(count).map((i) => [`F${i}`, w ** 4] as const), skips);
}

/** The truck's queue of customers, with or without the express lane. */
export function truck(customers: number, express: boolean): Circuit {
  return blocks(upTo(customers).map((i) => [`c${i}`, ARTICLE_W] as const), express);
}

/** Every layer multiplies the sum of x and all earlier outputs by its weight. */
export function denseBlock(layers: number): Circuit {
  const parts: Part[] = [leaf("x", "input", ARTICLE_X, 0)];
  const fed = ["x"];
  let column = 0;
  for (const i of upTo(layers)) {
    let source = "x";
    if (fed.length > 1) {
      source = `s${i}`;
      parts.push(gate(source, "add", [...fed].reverse(), (column += 1)));
    }
    column += 1;
    parts.push(weight(`w${i}`, ARTICLE_W, column), gate(`h${i}`, "multiply", [source, `w${i}`], column));
    fed.push(`h${i}`);
  }
  return { parts, output: fed.at(-1) ?? "x", upstream: 1 };
}
