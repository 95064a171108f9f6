/** The part of a drawing that its frame shows: how it lies there, and where to scroll. Plain arithmetic, in CSS pixels. */

export interface Frame {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

interface Area extends Size {
  readonly x: number;
  readonly y: number;
}

const [SMALLEST, LARGEST] = [0.08, 3];
export const MOST_FITTED = 1.2;
const LEAST_READ = 0.7; // names of 8 pixels
const MARGIN = 20;
const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);

/** The scale at which a drawing is as wide as its frame. */
export const fittedScale = (drawing: number, frame: number): number => clamp((frame - 4) / drawing, SMALLEST, MOST_FITTED);

/** The scale at first: a drawing too wide for its frame stays large enough to be read. */
export const startScale = (drawing: number, frame: number): number => Math.max(fittedScale(drawing, frame), LEAST_READ);

/** A drawing that is narrower than its frame stands in the middle, or `shift` beside it: how far from the left. */
export function indent(drawing: Size, frame: Pick<Frame, "width">, scale: number, shift = 0): number {
  const room = Math.max(frame.width - drawing.width * scale, 0);
  return clamp(room / 2 + shift, 0, room);
}

/** Scale and scroll position after zooming about a point of the frame, which stays where it is. */
export function zoomed(drawing: Size, frame: Frame, scale: number, factor: number, about: readonly [number, number], shift = 0): { scale: number; left: number; top: number } {
  const next = clamp(scale * factor, SMALLEST, LARGEST);
  const x = (about[0] + frame.left - indent(drawing, frame, scale, shift)) / scale;
  const y = (about[1] + frame.top) / scale;
  return { scale: next, left: x * next + indent(drawing, frame, next) - about[0], top: y * next - about[1] };
}

/** Scroll as little as is needed to see an area of the drawing. */
export function revealed(drawing: Size, frame: Frame, scale: number, { x, y, width, height }: Area, shift = 0): readonly [number, number] {
  const from = x * scale + indent(drawing, frame, scale, shift);
  return [near(frame.left, frame.width, from, width * scale), near(frame.top, frame.height, y * scale, height * scale)];
}

function near(at: number, room: number, from: number, size: number): number {
  if (from < at) return from - MARGIN;
  return from + size > at + room ? Math.min(from - MARGIN, from + size - room + MARGIN) : at;
}

/** A point of the frame in the drawing. */
export function pointed(drawing: Size, frame: Frame, scale: number, [x, y]: readonly [number, number], shift = 0): readonly [number, number] {
  return [(x + frame.left - indent(drawing, frame, scale, shift)) / scale, (y + frame.top) / scale];
}

/** The scale at which a whole drawing makes an image that browsers can hold. */
export function imageScale({ width, height }: Size): number {
  const [pixels, side] = [40e6, 16_000];
  return Math.min(2, Math.sqrt(pixels / (width * height)), side / width, side / height);
}
