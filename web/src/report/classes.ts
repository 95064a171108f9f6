/** The colours of a gradient: which class a value falls into, and what the legend says of each. */
import { DECADES as MOST } from "../core/theme";
import { type FlowView, gradientOf } from "./flowview";
import type { Flow } from "./records";

export type Range = readonly [low: number, high: number];

/** The decades that the layers' finite gradients span: the colours' range, the same in every view. */
export function decadeRange(flow: Flow): Range {
  const known = flow.layers.map(gradientOf).filter((value): value is number => value !== null && Number.isFinite(value));
  if (!known.length) return [-1, 0];
  const low = Math.floor(Math.min(...known));
  return [low, Math.max(Math.ceil(Math.max(...known)) + 0, low + 1)]; // + 0: ceil(−0.5) is −0
}

/** How many classes: two a decade where ten suffice for that, else one, else ten that are wider. */
function classCount([low, high]: Range): number {
  const decades = high - low;
  return 2 * decades <= MOST ? 2 * decades : Math.min(decades, MOST);
}

/** The ramp's colour, 0 … 9, of a value: however few the classes of a range are, they span the whole ramp. */
export function decadeClass(value: number, range: Range): number {
  const count = classCount(range);
  const place = Math.floor(((value - range[0]) / (range[1] - range[0])) * count + 1e-9);
  return colourOf(Math.min(Math.max(place, 0), count - 1), count);
}

const colourOf = (place: number, count: number): number => Math.round((place * (MOST - 1)) / (count - 1));

/** Each class: its least value as log10, and its colour. */
export function classSteps(range: Range): { readonly from: number; readonly colour: number }[] {
  const count = classCount(range);
  const width = (range[1] - range[0]) / count;
  return Array.from({ length: count }, (_, i) => ({ from: range[0] + i * width, colour: colourOf(i, count) }));
}

export type Oddity = "none" | "zero" | "broken";

/** What is among the layers and has no place on the ramp. */
export function oddities({ flow }: FlowView): ReadonlySet<Oddity> {
  const found = new Set<Oddity>();
  for (const layer of flow.layers) {
    const value = gradientOf(layer);
    if (value === null) found.add("none");
    else if (value === -Infinity) found.add("zero");
    else if (!Number.isFinite(value)) found.add("broken");
  }
  return found;
}
