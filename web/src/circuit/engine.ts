/** A circuit walked forward and backward, gate by gate: the same steps, numbers and sentences as `gp.circuit`. */
import { fill, type Language } from "../core/i18n";
import { show } from "../core/numbers";
import { GATES, total, WORDS } from "./gates";

export interface Part {
  readonly name: string;
  readonly gate: string;
  readonly inputs: readonly string[];
  readonly value: number;
  readonly index: number;
  readonly lane: number;
  readonly column: number;
}

export interface Circuit {
  readonly parts: readonly Part[];
  readonly output: string;
  /** The gradient that arrives at the output. */
  readonly upstream: number;
}

export interface Step {
  readonly direction: "forward" | "backward";
  readonly node: string;
  /** forward: the gate's value; backward: the gradient that arrived. */
  readonly value: number;
  /** backward: what goes to each input; forward: the inputs' values. */
  readonly sent: readonly number[];
}

export interface Wire {
  readonly source: string;
  readonly target: string;
  readonly slot: number;
  readonly gradient: number;
  readonly local: number;
}

export interface Walk {
  readonly circuit: Circuit;
  readonly values: Readonly<Record<string, number>>;
  readonly gradients: Readonly<Record<string, number>>;
  readonly wires: readonly Wire[];
  readonly steps: readonly Step[];
  /** The gate that has no finite value or slope here; then there are no gradients beyond it. */
  readonly broken: string | null;
}

export const isLeaf = (part: Part): boolean => part.gate === "input" || part.gate === "weight" || part.gate === "constant";

/** Forward through all gates, then backward through all gates. */
export function walk(circuit: Circuit, set: Readonly<Record<string, number>> = {}): Walk {
  const values: Record<string, number> = {};
  const gradients: Record<string, number> = {};
  const wires: Wire[] = [];
  const steps: Step[] = [];
  const given = (broken: string | null): Walk => ({ circuit, values, gradients, wires, steps, broken });
  for (const part of circuit.parts) {
    if (isLeaf(part)) {
      values[part.name] = set[part.name] ?? part.value;
      continue;
    }
    const inputs = part.inputs.map((name) => values[name] ?? NaN);
    const value = GATES[part.gate]?.forward(inputs, part.index) ?? NaN;
    if (!Number.isFinite(value)) return given(part.name);
    values[part.name] = value;
    steps.push({ direction: "forward", node: part.name, value, sent: inputs });
  }
  const arrived = new Map<string, number[]>(circuit.parts.map((part) => [part.name, []]));
  arrived.get(circuit.output)?.push(circuit.upstream);
  for (const part of [...circuit.parts].reverse()) {
    const upstream = (gradients[part.name] = total(arrived.get(part.name) ?? []));
    if (isLeaf(part)) continue;
    const inputs = part.inputs.map((name) => values[name] ?? NaN);
    const slopes = GATES[part.gate]?.local(inputs, values[part.name] ?? NaN, part.index) ?? [];
    const sent = slopes.map((slope) => upstream * slope);
    if (!sent.every(Number.isFinite)) return given(part.name);
    part.inputs.forEach((source, slot) => {
      arrived.get(source)?.push(sent[slot] ?? NaN);
      wires.push({ source, target: part.name, slot, gradient: sent[slot] ?? NaN, local: slopes[slot] ?? NaN });
    });
    steps.push({ direction: "backward", node: part.name, value: upstream, sent });
  }
  return given(null);
}

export function part(circuit: Circuit, name: string): Part {
  const found = circuit.parts.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`no part ${name}`);
  return found;
}

/** The sentence of a step, as Python says it. */
export function sentence(walked: Walk, step: Step, language: Language): string {
  const { name, gate, inputs, index } = part(walked.circuit, step.node);
  const words = WORDS[gate];
  const rules = GATES[gate];
  if (!words || !rules) return "";
  const numbers = inputs.map((input) => walked.values[input] ?? NaN);
  if (step.direction === "backward") {
    const text = words.atTie && rules.isTie?.(numbers) ? words.atTie : words.sends;
    return fill(text[language], { node: name, upstream: show(step.value) });
  }
  const symbols = rules.notation(inputs, index, language);
  const filled = rules.notation(numbers.map(show), index, language);
  const sides = [...new Set([symbols, filled, show(step.value)])];
  return fill(words.computes[language], { equation: [name, ...sides].join(" = ") });
}

/** (L(v + h) − L(v − h)) / 2h for a leaf, L being upstream × output: the chain rule checked without the chain rule. */
export function centralDifference(circuit: Circuit, set: Readonly<Record<string, number>>, name: string): number {
  const value = set[name] ?? part(circuit, name).value;
  const step = 1e-5 * Math.max(1, Math.abs(value)); // balances rounding (1e-16/h) against curvature (h²)
  const output = (moved: number) => walk(circuit, { ...set, [name]: moved }).values[circuit.output] ?? NaN;
  return (circuit.upstream * (output(value + step) - output(value - step))) / (2 * step);
}
