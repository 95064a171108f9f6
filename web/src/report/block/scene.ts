/** Where a block's stops stand and what is written beside its wires: from top to bottom, as in the graph. No drawing. */
import { decoded, fromLog10 } from "../../core/numbers";
import type { FlowView } from "../flowview";
import type { Block, Stop, Way } from "./block";
import { shareText } from "./shares";

export interface StopMark {
  readonly stop: Stop;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  /** Name as it fits. */
  readonly label: string;
  /** What stands beside it: of a tensor that forks, the sum of what comes back. */
  readonly sum: string;
}

export interface WireMark {
  readonly key: string;
  readonly points: readonly (readonly [number, number])[];
  /** Forward and backward; '' where nothing was measured. */
  readonly value: string;
  readonly gradient: string;
  readonly share: string;
  readonly labelX: number;
  readonly labelY: number;
  readonly isLane: boolean;
}

export interface BlockScene {
  readonly stops: readonly StopMark[];
  readonly wires: readonly WireMark[];
  readonly width: number;
  readonly height: number;
}

export const STOP_HEIGHT = 30;
const PITCH = 64;
const TOP = 24;
/** Of the main line: values stand left of it, gradients right. */
const AXIS = 92;
const LANE = 165;
const LABEL = 150;
const MOST_CHARACTERS = 14;
const MOST_IN_LANE = 11;
const CHARACTER = 9.2;
const STUB = 46;

export function blockScene(view: FlowView, block: Block): BlockScene {
  const fork = view.flow.forks[block.fork];
  const last = block.main.length - 1;
  const y = (i: number) => TOP + PITCH * i;
  const stops = block.main.map((stop, i) => marked(stop, AXIS, y(i), i === 0 && fork ? `= ∂ ${fromLog10(decoded(fork.log10_norm))}` : "", MOST_CHARACTERS));
  const wires = block.main.map((stop, i): WireMark => {
    const texts = i === 0 && block.use ? edgeTexts(view, block, block.use) : texted(view, stop);
    const end = i < last ? y(i + 1) : y(last) + STUB; // what leaves the block
    const middle = (i < last ? y(i) + end : y(i) + STOP_HEIGHT / 2 + end) / 2;
    return { key: `${i}`, points: [[AXIS, y(i)], [AXIS, end]], ...texts, labelX: AXIS, labelY: middle, isLane: false };
  });
  block.lanes.forEach((lane, i) => {
    const x = AXIS + LANE * (i + 1);
    const found = laneMarks(view, block, lane, { x, top: y(0), bottom: y(last), name: `lane${i}` });
    stops.push(...found.stops);
    wires.push(...found.wires);
  });
  return { stops, wires, width: AXIS + LANE * block.lanes.length + LABEL, height: y(last) + STUB + 4 };
}

interface Room {
  readonly x: number;
  readonly top: number;
  readonly bottom: number;
  readonly name: string;
}

/** Out to the side, down past its own stops, and back in to the merge. */
function laneMarks(view: FlowView, block: Block, { edge, stops }: Way, { x, top, bottom, name }: Room): Pick<BlockScene, "stops" | "wires"> {
  const step = (bottom - top) / (stops.length + 1);
  const at = (i: number) => top + step * i;
  const marks = stops.map((stop, i) => marked(stop, x, at(i + 1), "", MOST_IN_LANE));
  const wires = Array.from({ length: stops.length + 1 }, (_, i): WireMark => {
    const texts = i === 0 ? edgeTexts(view, block, edge) : texted(view, stops[i - 1]);
    const from = i === 0 ? ([[AXIS, top], [x, top]] as const) : ([[x, at(i)]] as const);
    const to = i === stops.length ? ([[x, bottom], [AXIS, bottom]] as const) : ([[x, at(i + 1)]] as const);
    return { key: `${name}.${i}`, points: [...from, ...to], ...texts, labelX: x, labelY: (at(i) + at(i + 1)) / 2, isLane: true };
  });
  return { stops: marks, wires };
}

function marked(stop: Stop, x: number, y: number, sum: string, most: number): StopMark {
  const name = stop.kind === "gap" ? `… ${stop.name} …` : stop.name;
  const label = name.length > most ? `${name.slice(0, most - 1)}…` : name;
  const isRound = stop.kind === "input" || stop.kind === "merge";
  return { stop, x, y, label, sum, width: Math.max(label.length * CHARACTER + 20, isRound ? STOP_HEIGHT + 4 : 56) };
}

/** What leaves a layer, and what comes back to it. */
function texted(view: FlowView, stop: Stop | undefined): Pick<WireMark, "value" | "gradient" | "share"> {
  const layer = view.flow.layers[stop?.layer ?? -1];
  if (!layer) return { value: "", gradient: "", share: "" };
  return { value: `${fromLog10(decoded(layer.log10_activation_rms))} ▾`, gradient: back(layer.log10_gradient_norm), share: "" };
}

function edgeTexts(view: FlowView, block: Block, edge: Way["edge"]): Pick<WireMark, "value" | "gradient" | "share"> {
  const fork = view.flow.forks[block.fork];
  return { value: "", gradient: back(edge.log10_norm), share: fork ? shareText(fork, edge) : "" };
}

const back = (norm: Way["edge"]["log10_norm"]): string => (decoded(norm) === null ? "" : `▴ ∂ ${fromLog10(decoded(norm))}`);
