/** A dense block as bus lanes: a lane per source, a column per consumer, a dot where one reads the other. */

export interface DensePlaces {
  readonly pitch: number;
  /** x of column c: layers 1 … n, then the block's output. */
  readonly column: (c: number) => number;
  /** y of lane s: the input, then layers 1 … n. */
  readonly lane: (s: number) => number;
  readonly left: number;
  readonly right: number;
  readonly height: number;
}

const LEFT = 42;
const RIGHT = 14;
const TOP = 34;
const ROW = 34;
const WIDEST_PITCH = 92;
export const BOX = 26;

/** For `layers` layers in a drawing `width` units wide. */
export function densePlaces(layers: number, width: number): DensePlaces {
  const pitch = Math.min(WIDEST_PITCH, (width - LEFT - RIGHT) / (layers + 1));
  return {
    pitch,
    column: (c) => LEFT + pitch * (c - 0.5),
    lane: (s) => TOP + ROW * s,
    left: LEFT,
    right: LEFT + pitch * (layers + 1) + RIGHT / 2,
    height: TOP + ROW * layers + 62,
  };
}

/** Channels in front of layer 1 … n and in the block's output: 2k, and k more with every layer (Huang et al. 2017). */
export function channelsRead(layers: number, growth: number): number[] {
  return Array.from({ length: layers + 1 }, (_, i) => 2 * growth + i * growth);
}

/** How wide a lane of so many channels is drawn. */
export const laneWidth = (channels: number): number => Math.min(1.5 + channels / 12, 10);
