/** One gate looked at from one of its inputs: its curve, its slopes from both sides, and what a nudge does. */
import { type Circuit, part, walk } from "../circuit/engine";

type Numbers = Readonly<Record<string, number>>;
export type Point = readonly [number, number];

const CLOSE = 1e-6;
const POINTS = 81;

/** The output with one input set to `value`; NaN where it has none. */
export function outputAt(circuit: Circuit, set: Numbers, name: string, value: number): number {
  return walk(circuit, { ...set, [name]: value }).values[circuit.output] ?? NaN;
}

/** (z(v + h) − z(v)) / h from below and from above: they differ at a corner. */
export function sideSlopes(circuit: Circuit, set: Numbers, name: string): { below: number; above: number } {
  const value = set[name] ?? part(circuit, name).value;
  const h = CLOSE * Math.max(1, Math.abs(value));
  const at = (moved: number) => outputAt(circuit, set, name, moved);
  return { below: (at(value) - at(value - h)) / h, above: (at(value + h) - at(value)) / h };
}

export interface Nudge {
  /** How far the loss moves when the input does. */
  readonly measured: number;
  /** What the chain rule says: gradient × nudge. */
  readonly predicted: number;
}

/** Move one input by `h`, once for real, once by the chain rule. */
export function nudge(circuit: Circuit, set: Numbers, name: string, h: number): Nudge {
  const value = set[name] ?? part(circuit, name).value;
  const moved = outputAt(circuit, set, name, value + h) - outputAt(circuit, set, name, value);
  return { measured: circuit.upstream * moved, predicted: (walk(circuit, set).gradients[name] ?? NaN) * h };
}

export interface Curve {
  readonly points: readonly Point[];
  readonly x: Point;
  readonly z: Point;
}

/** The output over one input, and a window around the present point in which both curve and slope can be seen. */
export function curve(circuit: Circuit, set: Numbers, name: string, slope: number): Curve {
  const value = set[name] ?? part(circuit, name).value;
  const reach = Math.max(2, 0.75 * Math.abs(value));
  const xs = Array.from({ length: POINTS }, (_, i) => value - reach + (2 * reach * i) / (POINTS - 1));
  const points = xs.map((x): Point => [x, outputAt(circuit, set, name, x)]).filter(([, z]) => Number.isFinite(z));
  const here = outputAt(circuit, set, name, value);
  const far = Math.max(0, ...points.map(([, z]) => Math.abs(z - here)));
  const height = Math.max(0.25, Math.min(far, 3 * Math.max(Math.abs(slope) * reach, 0.5)));
  return { points, x: [value - reach, value + reach], z: [here - 1.1 * height, here + 1.1 * height] };
}
