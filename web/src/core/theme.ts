/** Light or dark, which colours, how large: attributes of the root element, which the style sheet reads. */
import { effect, signal } from "@preact/signals";
import { choiceParam, type Param } from "./state";
import { remember, remembered } from "./storage";

function kept<T extends string>(key: string, fallback: T, choices: readonly T[]): Param<T> {
  const saved = remembered(key);
  const start = choices.find((choice) => choice === saved) ?? fallback;
  const inner = choiceParam(key, start, choices);
  return {
    get value() {
      return inner.value;
    },
    set: (value) => {
      remember(key, value);
      inner.set(value);
    },
    reset: inner.reset,
  };
}

export const THEMES = ["auto", "light", "dark"] as const;
export const PAIRS = ["green-red", "blue-orange"] as const;
export const RAMPS = ["cividis", "viridis", "grey"] as const;
export const SIZES = ["normal", "large"] as const;
export const theme = kept("theme", "auto", THEMES);
/** Colours of forward and backward. */
export const pair = kept("pair", "green-red", PAIRS);
/** Colours of a gradient's decades. */
export const ramp = kept("ramp", "cividis", RAMPS);
/** Large: readable from the back of a room. */
export const size = kept("size", "normal", SIZES);

const system = typeof matchMedia === "undefined" ? null : matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(system?.matches ?? false);
system?.addEventListener("change", (event) => (systemDark.value = event.matches));

export const isDark = (): boolean => theme.value === "dark" || (theme.value === "auto" && systemDark.value);

export const stillWanted = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function followTheme(): void {
  const root = document.documentElement;
  effect(() => {
    root.dataset["theme"] = isDark() ? "dark" : "light";
    root.dataset["pair"] = pair.value;
    root.dataset["size"] = size.value;
  });
}

/** Ten classes, one per decade, dark to light (matplotlib's cividis and viridis, CC0, sampled at 10 places). */
const CLASSES: Record<(typeof RAMPS)[number], readonly string[]> = {
  cividis: ["#00224e", "#0f3470", "#35456c", "#4f576c", "#666970", "#7d7c78", "#968f77", "#b1a570", "#cdbb62", "#fee838"],
  viridis: ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
  grey: ["#1a1a1a", "#303030", "#474747", "#5f5f5f", "#787878", "#929292", "#acacac", "#c7c7c7", "#e0e0e0", "#f5f5f5"],
};
export const DECADES = 10;

/** The colour of class 0 (smallest) to 9. */
export function rampColour(index: number): string {
  return CLASSES[ramp.value][Math.min(Math.max(Math.round(index), 0), DECADES - 1)] ?? "#888888";
}

/** Black or white, whichever reads better on a colour (WCAG relative luminance). */
export function inkOn(colour: string): string {
  const channel = (at: number) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return luminance > 0.179 ? "#000000" : "#ffffff";
}
