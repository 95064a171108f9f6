/** The page's state lives in the URL: `#plain&plain.x=3&lang=zh` is the figure in view and all that was changed.
 *
 * A parameter that has its default is not in the URL. Reading one is reading a signal, so what shows it follows.
 */
import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";

type Values = Readonly<Record<string, string>>;

export interface Param<T> {
  readonly value: T;
  set(value: T): void;
  reset(): void;
}

/** The anchor and the values of a hash. */
export function readHash(hash: string): { anchor: string; values: Values } {
  const tokens = hash.replace(/^#/, "").split("&").filter(Boolean);
  const values: Record<string, string> = {};
  let anchor = "";
  for (const token of tokens) {
    const [key = "", ...rest] = token.split("=");
    if (rest.length === 0) anchor = unescaped(key);
    else values[unescaped(key)] = unescaped(rest.join("="));
  }
  return { anchor, values };
}

export function writeHash(anchor: string, values: Values): string {
  const pairs = Object.entries(values).map(([key, value]) => `${escaped(key)}=${escaped(value)}`);
  const tokens = [...(anchor ? [escaped(anchor)] : []), ...pairs];
  return tokens.length ? `#${tokens.join("&")}` : "";
}

const escaped = (text: string) => encodeURIComponent(text).replaceAll("%2C", ",").replaceAll("%3A", ":");

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a hash typed by hand
  }
}

const found = readHash(typeof location === "undefined" ? "" : location.hash);
const values = signal<Values>(found.values);
/** The figure in view. */
export const anchor = signal(found.anchor);

function change(key: string, value: string | null): void {
  const { [key]: old, ...others } = values.peek();
  if (old === (value ?? undefined)) return;
  values.value = value === null ? others : { ...others, [key]: value };
}

function param<T>(key: string, fallback: T, read: (text: string) => T | null, write: (value: T) => string): Param<T> {
  const current: ReadonlySignal<T> = computed(() => {
    const text = values.value[key];
    return text === undefined ? fallback : (read(text) ?? fallback);
  });
  return {
    get value() {
      return current.value;
    },
    set: (value) => change(key, write(value) === write(fallback) ? null : write(value)),
    reset: () => change(key, null),
  };
}

/** A number in a range; what is not one is the default. */
export function numberParam(key: string, fallback: number, low = -Infinity, high = Infinity): Param<number> {
  const within = (value: number) => Math.min(Math.max(value, low), high);
  const read = (text: string) => {
    const value = Number(text);
    return text !== "" && Number.isFinite(value) ? within(value) : null;
  };
  return param(key, fallback, read, (value) => String(within(value)));
}

/** A whole number in a range. */
export function wholeParam(key: string, fallback: number, low: number, high: number): Param<number> {
  const inner = numberParam(key, fallback, low, high);
  return {
    get value() {
      return Math.round(inner.value);
    },
    set: (value) => inner.set(Math.round(Math.min(Math.max(value, low), high))),
    reset: inner.reset,
  };
}

/** One of several names. */
export function choiceParam<T extends string>(key: string, fallback: T, choices: readonly T[]): Param<T> {
  return param(key, fallback, (text) => choices.find((choice) => choice === text) ?? null, String);
}

export function flagParam(key: string, fallback = false): Param<boolean> {
  return param(key, fallback, (text) => (text === "1" ? true : text === "0" ? false : null), (on) => (on ? "1" : "0"));
}

/** Several numbers by name, as one parameter: `plain.set=x:3,w1:0.5`. */
export function numbersParam(key: string): Param<Readonly<Record<string, number>>> {
  const read = (text: string) => {
    const pairs = text.split(",").map((pair) => pair.split(":"));
    const numbers = pairs.map(([name = "", value = ""]) => [name, value === "" ? NaN : Number(value)] as const);
    return numbers.every(([, value]) => Number.isFinite(value)) ? Object.fromEntries(numbers) : null;
  };
  const write = (set: Readonly<Record<string, number>>) =>
    Object.entries(set)
      .map(([name, value]) => `${name}:${value}`)
      .join(",");
  return param<Readonly<Record<string, number>>>(key, {}, (text) => (text === "" ? {} : read(text)), write);
}

/** Any text. */
export function textParam(key: string, fallback = ""): Param<string> {
  return param(key, fallback, (text) => text, String);
}

/** All that was changed, gone. */
export function resetAll(prefix = ""): void {
  values.value = Object.fromEntries(Object.entries(values.peek()).filter(([key]) => !key.startsWith(prefix)));
}

/** Keep URL and state together. Called once, by the page. */
export function followUrl(): void {
  effect(() => {
    const hash = writeHash(anchor.value, values.value);
    if (hash === location.hash) return;
    try {
      history.replaceState(null, "", hash || location.pathname + location.search);
    } catch {
      // a sandboxed frame has no history of its own
    }
  });
  addEventListener("hashchange", () => {
    const now = readHash(location.hash);
    values.value = now.values;
    anchor.value = now.anchor;
  });
}
