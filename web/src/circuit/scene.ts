/** Where everything of a circuit stands and what is written there after k steps: a pure function, no drawing. */
import { show } from "../core/numbers";
import { isLeaf, type Part, type Walk, type Wire } from "./engine";
import { WORDS } from "./gates";

export interface NodeMark {
  readonly name: string;
  readonly gate: string;
  readonly label: string;
  readonly x: number;
  readonly y: number;
  readonly active: boolean;
  /** "= ∂1.0001" under a node that several wires leave, once all of them have answered. */
  readonly sum: string | null;
}

export interface WireMark {
  readonly key: string;
  readonly source: string;
  readonly target: string;
  readonly points: readonly (readonly [number, number])[];
  readonly value: string | null;
  readonly gradient: string | null;
  readonly labelX: number;
  /** The value stands above this line, the gradient below it; for a hanging leaf both stand to its right. */
  readonly labelY: number;
  readonly hanging: boolean;
  readonly skip: boolean;
  readonly active: boolean;
}

export interface Scene {
  readonly nodes: readonly NodeMark[];
  readonly wires: readonly WireMark[];
  readonly width: number;
  readonly height: number;
}

export const RADIUS = 20;
const PITCH = 132;
const MARGIN = 56;
const HANG = 96;
const BUS = 62;
const LIFT = 36;

/** All nodes of lane 0 stand on one line, leaves of other lanes hang below their gate, longer wires run above. */
export function scene(walked: Walk, k: number): Scene {
  const { circuit, steps } = walked;
  const done = steps.slice(0, k);
  const current = steps[k - 1];
  const computed = new Set(done.filter((step) => step.direction === "forward").map((step) => step.node));
  const passed = new Set(done.filter((step) => step.direction === "backward").map((step) => step.node));
  const main = circuit.parts.filter((part) => part.lane === 0).sort((a, b) => a.column - b.column);
  const place = new Map(main.map((part, i) => [part.name, i]));
  const inputs = allWires(circuit.parts);
  const buses = busLevels(inputs, place);
  const levels = 1 + Math.max(-1, ...buses.values());
  const y = levels ? MARGIN + LIFT + BUS * (levels - 1) + 12 : 36;
  const hasHanging = circuit.parts.some((part) => part.lane !== 0);

  const position = (name: string): [number, number] => {
    const index = place.get(name);
    if (index !== undefined) return [MARGIN + PITCH * index, y];
    const target = inputs.find((wire) => wire.source === name)?.target ?? "";
    return [MARGIN + PITCH * (place.get(target) ?? 0), y + HANG];
  };
  const isKnown = (name: string) => computed.has(name) || circuit.parts.some((part) => part.name === name && isLeaf(part));
  const valueText = (name: string) => (isKnown(name) ? `${show(walked.values[name] ?? NaN)} ▸` : null);

  const wires = inputs.map((wire): WireMark => {
    const { source, target, slot } = wire;
    const [x1, y1] = position(source);
    const [x2, y2] = position(target);
    const level = buses.get(key(wire));
    const hanging = !place.has(source);
    // Near its source, where its gradient arrives and a narrow screen begins; several of one source would meet there.
    const isOnlyBus = level !== undefined && inputs.filter((one) => one.source === source && buses.has(key(one))).length === 1;
    const answer = walked.wires.find((one) => one.target === target && one.slot === slot);
    const points: [number, number][] =
      level === undefined ? [[x1, y1], [x2, y2]] : [[x1, y1], [x1, y - LIFT - BUS * level - 12], [x2, y - LIFT - BUS * level - 12], [x2, y2]];
    return {
      key: key(wire), source, target, points, hanging, skip: level !== undefined,
      value: valueText(source),
      gradient: passed.has(target) && answer ? `◂ ∂${show(answer.gradient)}` : null,
      labelX: hanging ? x1 + 12 : isOnlyBus ? x1 + PITCH / 2 : (x1 + x2) / 2,
      labelY: hanging ? (y1 + y2) / 2 : level === undefined ? y : y - LIFT - BUS * level - 12,
      active: current?.node === target,
    };
  });
  const [lastX] = position(circuit.output);
  wires.push({
    key: "output", source: circuit.output, target: "", points: [[lastX, y], [lastX + PITCH * 0.8, y]],
    value: computed.has(circuit.output) ? valueText(circuit.output) : null,
    gradient: passed.size ? `◂ ∂${show(circuit.upstream)}` : null,
    labelX: lastX + PITCH * 0.45, labelY: y, hanging: false, skip: false, active: false,
  });
  const nodes = circuit.parts.map((part): NodeMark => {
    const [x, nodeY] = position(part.name);
    const leaving = inputs.filter((wire) => wire.source === part.name);
    const answered = leaving.length > 1 && leaving.every((wire) => passed.has(wire.target));
    return {
      name: part.name, gate: part.gate, x, y: nodeY, active: current?.node === part.name,
      label: isLeaf(part) ? part.name : (WORDS[part.gate]?.label ?? part.gate),
      sum: answered ? `= ∂${show(walked.gradients[part.name] ?? NaN)}` : null,
    };
  });
  return { nodes, wires, width: lastX + PITCH * 0.8 + 24, height: y + (hasHanging ? HANG + RADIUS + 16 : 64) };
}

const key = (wire: Pick<Wire, "target" | "slot">): string => `${wire.target}.${wire.slot}`;

function allWires(parts: readonly Part[]): Pick<Wire, "source" | "target" | "slot">[] {
  return parts.flatMap((part) => part.inputs.map((source, slot) => ({ source, target: part.name, slot })));
}

/** Wires over other nodes get a level each, the shortest lowest; wires of one source share theirs. */
function busLevels(wires: Pick<Wire, "source" | "target" | "slot">[], place: Map<string, number>): Map<string, number> {
  const spans = new Map<string, { first: number; last: number; wires: string[] }>();
  const neighbours = new Set<string>();
  for (const wire of wires) {
    const from = place.get(wire.source);
    const to = place.get(wire.target);
    if (from === undefined || to === undefined) continue;
    const pair = `${wire.source}>${wire.target}`;
    if (to === from + 1 && !neighbours.has(pair)) {
      neighbours.add(pair);
      continue;
    }
    const span = spans.get(wire.source) ?? { first: from, last: to, wires: [] };
    span.last = Math.max(span.last, to);
    span.wires.push(key(wire));
    spans.set(wire.source, span);
  }
  const levels: { first: number; last: number }[][] = [];
  const found = new Map<string, number>();
  for (const span of [...spans.values()].sort((a, b) => a.last - a.first - (b.last - b.first) || a.first - b.first)) {
    let level = levels.findIndex((taken) => taken.every((other) => other.last <= span.first || span.last <= other.first));
    if (level < 0) level = levels.push([]) - 1;
    levels[level]?.push(span);
    span.wires.forEach((wire) => found.set(wire, level));
  }
  return found;
}
