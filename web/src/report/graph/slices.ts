/** A tall drawing in columns side by side, so that it fills a page and can be read there. */
import type { Drawing } from "./draw";

export interface Slice {
  readonly top: number;
  readonly height: number;
}

/** Width over height of what a page has room for. */
const PAGE = 18 / 23;
const MOST_COLUMNS = 8;

/** The columns, from left to right: as many as make the drawing largest, cut between boxes. */
export function slices({ width, height, rects }: Pick<Drawing, "width" | "height" | "rects">): Slice[] {
  const scale = (columns: number) => Math.min(PAGE / (columns * width), columns / height);
  const counts = Array.from({ length: MOST_COLUMNS }, (_, i) => i + 1);
  const columns = counts.reduce((best, count) => (scale(count) > scale(best) ? count : best), 1);
  const boxes = rects.filter((rect) => !rect.isFrame).map(({ box }) => box).sort((a, b) => a.y - b.y);
  const cuts = [0];
  for (let i = 1; i < columns; i += 1) {
    const wanted = (height * i) / columns;
    const cut = boxes.find((box) => box.y <= wanted && box.y + box.h >= wanted);
    cuts.push(cut ? cut.y - 4 : wanted);
  }
  return cuts.map((top, i) => ({ top, height: (cuts[i + 1] ?? height) - top }));
}
