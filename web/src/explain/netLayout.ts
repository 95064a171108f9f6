/** Where the blocks of a three-stage net stand: a row per stage, read like lines of text. A pure function of n and width. */

export interface BlockPlace {
  /** Counted from the input, 0 … 3n − 1. */
  readonly index: number;
  readonly stage: number;
  /** Where the block's line enters and leaves. */
  readonly x1: number;
  readonly x2: number;
  /** The box on it. */
  readonly boxX: number;
  readonly boxWidth: number;
  readonly y: number;
}

export interface NetPlaces {
  /** Factor of line widths: narrow blocks get thin lines. */
  readonly scale: number;
  readonly blocks: readonly BlockPlace[];
  /** From the end of a row to the beginning of the next. */
  readonly turns: readonly string[];
  readonly rows: readonly { readonly y: number; readonly labelY: number }[];
  readonly left: number;
  readonly right: number;
  readonly height: number;
}

const STAGES = 3;
export const ROW_HEIGHT = 104;
export const LANE_RISE = 30;
export const BOX_HEIGHT = 26;
const FIRST_ROW = 76;
const END = 46;
const WIDEST_PITCH = 96;

/** `n` blocks in each of three stages, in a drawing `width` units wide. */
export function netPlaces(n: number, width: number): NetPlaces {
  const pitch = Math.min(WIDEST_PITCH, (width - 2 * END) / n);
  const left = END;
  const right = left + n * pitch;
  const boxWidth = Math.min(0.56 * pitch, 44);
  const rows = Array.from({ length: STAGES }, (_, stage) => {
    const y = FIRST_ROW + ROW_HEIGHT * stage;
    return { y, labelY: y - LANE_RISE - 18 };
  });
  const blocks = rows.flatMap(({ y }, stage) =>
    Array.from({ length: n }, (_, i): BlockPlace => {
      const x1 = left + i * pitch;
      return { index: stage * n + i, stage, x1, x2: x1 + pitch, boxX: x1 + (pitch - boxWidth) / 2, boxWidth, y };
    }),
  );
  const turns = rows.slice(1).map(({ y }) => turn(left, right, y - ROW_HEIGHT, y));
  const scale = Math.min(1, Math.max(0.3, pitch / 56));
  return { scale, blocks, turns, rows, left, right, height: FIRST_ROW + ROW_HEIGHT * (STAGES - 1) + 34 };
}

/** Out to the right, back between the rows, in from the left. */
function turn(left: number, right: number, from: number, to: number): string {
  const between = from + 24;
  return `M${right},${from}h12V${between}H${left - 14}V${to}H${left}`;
}

/** The express lane over a block: up, along, down. */
export function lanePath({ x1, x2, y }: BlockPlace): string {
  const bend = Math.min(14, (x2 - x1) / 3);
  const top = y - LANE_RISE;
  return `M${x1},${y}C${x1},${top} ${x1 + bend / 2},${top} ${x1 + bend},${top}H${x2 - bend}C${x2 - bend / 2},${top} ${x2},${top} ${x2},${y}`;
}

const FULL = 7;
const PER_DECADE = 1.4;
const THINNEST = 0.75;
const WIDEST = 13;

/** How wide a gradient is drawn: the same step for every factor of ten; below the thinnest a hairline. */
export function gradientWidth(log10: number): number {
  return Math.min(Math.max(FULL + PER_DECADE * log10, THINNEST), WIDEST);
}

/** Whether it is too small to be drawn to scale. */
export const isHairline = (log10: number): boolean => FULL + PER_DECADE * log10 < THINNEST;
