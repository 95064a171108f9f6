/** The truck's round: what arrives at every stop, without and with the express lane. The numbers are the circuit's. */
import { truck } from "../circuit/build";
import { type Walk, walk } from "../circuit/engine";
import type { Language } from "../core/i18n";
import { show } from "../core/numbers";

type Numbers = Readonly<Record<string, number>>;
export const ROADS = ["without", "express"] as const;
export type Road = (typeof ROADS)[number];
type OnBoth = Readonly<Record<Road, number>>;

export interface Stop {
  /** The customer, a weight: c4 first, since the truck comes from the loss; last of all x, the end of the queue. */
  readonly name: string;
  /** What the customer's gate multiplies by; null at x. */
  readonly weight: number | null;
  /** The gradient that arrives at the gate of this customer, or at x. */
  readonly arrives: OnBoth;
  /** The weight's own gradient, dL/dc; null at x. */
  readonly own: OnBoth | null;
}

export interface Round {
  readonly stops: readonly Stop[];
  /** The sum over what arrived at the customers' gates: the truck set out with 1. */
  readonly delivered: OnBoth;
  /** The gate without a finite value, if there is one. */
  readonly broken: string | null;
}

export function truckRound(customers: number, set: Numbers): Round {
  const walks = { without: walk(truck(customers, false), set), express: walk(truck(customers, true), set) };
  const both = (name: string): OnBoth => ({ without: gradient(walks.without, name), express: gradient(walks.express, name) });
  const stops = Array.from({ length: customers }, (_, i) => customers - i).map((i): Stop => ({
    name: `c${i}`,
    weight: walks.without.values[`c${i}`] ?? NaN,
    arrives: both(`p${i}`),
    own: both(`c${i}`),
  }));
  const sum = (road: Road) => stops.reduce((all, stop) => all + stop.arrives[road], 0);
  return {
    stops: [...stops, { name: "x", weight: null, arrives: both("x"), own: null }],
    delivered: { without: sum("without"), express: sum("express") },
    broken: walks.without.broken ?? walks.express.broken,
  };
}

const gradient = (walked: Walk, name: string): number => walked.gradients[name] ?? NaN;

/** Every weight's own gradient on a road: "0.001" where all are printed the same, else "c1: 0.02, c2: 0.1 …". */
export function ownGradients(round: Round, road: Road, language: Language): string {
  const weights = printed(round, road);
  const first = weights[0]?.[1] ?? "";
  if (weights.every(([, text]) => text === first)) return first;
  const [colon, comma] = language === "zh" ? ["：", "、"] : [": ", ", "];
  return weights.map(([name, text]) => `${name}${colon}${text}`).join(comma);
}

/** Are they the same on both roads, as printed? */
export function allSame(round: Round): boolean {
  return ROADS.every((road) => new Set(printed(round, road).map(([, text]) => text)).size === 1);
}

/** [c1, its gradient as text] … in the order of their names. */
function printed(round: Round, road: Road): [string, string][] {
  return [...round.stops].reverse().flatMap((stop): [string, string][] => (stop.own ? [[stop.name, show(stop.own[road])]] : []));
}

export interface CargoScale {
  /** log10 of the smallest and the largest cargo drawn. */
  readonly low: number;
  readonly high: number;
}

const SMALLEST = 6;
const LARGEST = 32;
/** At least so many decades, so that 1 and 1.4641 do not look as far apart as 1 and 0.0001. */
const DECADES = 4;

export function cargoScale(stops: readonly Stop[]): CargoScale {
  const sizes = stops.flatMap((stop) => ROADS.map((road) => Math.abs(stop.arrives[road])));
  const logs = [1, ...sizes].filter((size) => size > 0 && Number.isFinite(size)).map(Math.log10);
  const high = Math.max(...logs);
  return { low: Math.min(...logs, high - DECADES), high };
}

/** The side of a crate: its area goes up by the same amount with every decade; 0 for no cargo at all. */
export function crateSide(cargo: number, { low, high }: CargoScale): number {
  const size = Math.abs(cargo);
  if (!(size > 0)) return 0;
  const part = Math.min(Math.max((Math.log10(size) - low) / (high - low), 0), 1);
  return Math.sqrt(SMALLEST ** 2 + part * (LARGEST ** 2 - SMALLEST ** 2));
}
