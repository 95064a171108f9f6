/** The canvas and the colours of the page around it. */
import type { Palette } from "./draw";
import type { Size } from "./window";

/** As many pixels as the screen has. Returns pixels per CSS pixel. */
export function sized(canvas: HTMLCanvasElement, { width, height }: Size): number {
  const ratio = globalThis.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  return ratio;
}

const NAMES = ["page", "card", "ink", "pale", "line", "grid", "strong", "backward", "hatch", "mark"] as const;

export function paletteNow(): Palette {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as unknown as Palette;
}
