/** A layout in pixels for a set of open groups: the same arithmetic as `report/_layout/_place.py`, held to it by tests. */
import type { Group, Item, Layout, Target, Wire } from "../layout";

export const BOX_WIDTH = 148;
export const BOX_HEIGHT = 26;
const COLUMN_GAP = 18;
const ROW_GAP = 16;
/** Between two wires that go sideways in one gap, and the height that all of them take at most. */
const TRACK = 7;
const MOST_TRACKS = 84;
/** Between two lanes, and the width that all lanes of a group take at most. */
const LANE = 9;
const MOST_LANES = 360;
const PAD = 12;
export const TITLE = 20;
/** Height of a row of one port; what each further one adds, and what all further ones add at most. */
const PORT = 8;
const PORT_STEP = 3;
const MOST_PORTS = 60;

export interface Box {
  readonly kind: "node" | "closed" | "open" | "prototype";
  /** A node for 'node', else a group. */
  readonly id: number;
  readonly name: string;
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

export interface Line {
  readonly group: number;
  readonly wire: number;
  readonly target: number;
  /** x₀ y₀ x₁ y₁ … */
  readonly points: readonly number[];
}

export interface Placed {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly lines: readonly Line[];
}

interface Frame {
  /** The group that the frame stands for, and the one whose inside it shows: a repeat's prototype, else the same. */
  readonly shell: Group;
  readonly group: Group;
  readonly columns: readonly number[];
  readonly lanes: number;
  /** Between two lanes. */
  readonly pitch: number;
  readonly gaps: readonly number[];
  readonly rows: readonly number[];
  readonly width: number;
  readonly height: number;
  x: number;
  y: number;
}

type Frames = Map<number, Frame>;
type Point = readonly [number, number];

/** The distance between `count` neighbours: the usual one, less where they would take more than `most`. */
const spread = (pitch: number, most: number, count: number): number => Math.min(pitch, most / Math.max(count, 1));

const portsHeight = (count: number): number => (count ? PORT + spread(PORT_STEP, MOST_PORTS, count - 1) * (count - 1) : 0);

export function place(layout: Layout, opened: ReadonlySet<number>): Placed {
  const groups = layout.groups;
  const shown = shownGroups(layout, opened);
  const frames: Frames = new Map();
  for (const [shell, inside] of [...shown].reverse()) frames.set(shell, frameOf(get(groups, shell), get(groups, inside), frames));
  const boxes: Box[] = [];
  const lines: Line[] = [];
  for (const [shell] of shown) {
    const frame = frames.get(shell) as Frame;
    putBoxes(frame, frames, boxes);
    putLines(frame, frames, lines);
  }
  const root = frames.get(0) as Frame;
  return { width: root.width, height: root.height, boxes, lines };
}

/** Group that has a frame → group whose inside stands in it; each before those in it. */
export function shownGroups({ groups }: Layout, opened: ReadonlySet<number>): Map<number, number> {
  const shown = new Map<number, number>();
  const stack = [0];
  for (let number = stack.pop(); number !== undefined; number = stack.pop()) {
    const inside = number === 0 || opened.has(number) ? number : get(groups, number).prototype;
    if (inside !== 0 && !opened.has(inside)) continue;
    shown.set(number, inside);
    stack.push(...get(groups, inside).items.filter((item) => item.kind === "group").map((item) => item.id).reverse());
  }
  return shown;
}

function frameOf(shell: Group, group: Group, frames: Frames): Frame {
  const left = new Array<number>(group.columns).fill(0);
  const right = new Array<number>(group.columns).fill(0);
  const heights = new Array<number>(group.rows).fill(0);
  for (const item of group.items) {
    const [width, height, axis] = sizeOf(item, frames);
    left[item.column] = Math.max(left[item.column] ?? 0, axis);
    right[item.column] = Math.max(right[item.column] ?? 0, width - axis);
    heights[item.row] = Math.max(heights[item.row] ?? 0, height);
  }
  const columns: number[] = [];
  let x = PAD;
  left.forEach((before, i) => {
    columns.push(x + before);
    x += before + (right[i] ?? 0) + COLUMN_GAP;
  });
  x -= COLUMN_GAP;
  const gaps: number[] = [];
  const rows: number[] = [];
  let y = (shell.id ? TITLE : 0) + portsHeight(group.ports.length);
  [...heights, portsHeight(group.outs.length)].forEach((height, i) => {
    gaps.push(y);
    const tracks = group.tracks[i] ?? 0;
    y += ROW_GAP + spread(TRACK, MOST_TRACKS, tracks) * tracks;
    rows.push(y);
    y += height;
  });
  const pitch = spread(LANE, MOST_LANES, group.lanes);
  return { shell, group, columns, lanes: x + LANE, pitch, gaps, rows, width: x + pitch * group.lanes + PAD, height: y, x: 0, y: 0 };
}

/** Width, height and x of the axis of a box; a frame's axis is that of its first column. */
function sizeOf(item: Item, frames: Frames): readonly [number, number, number] {
  const frame = openedFrame(item, frames);
  return frame ? [frame.width, frame.height, frame.columns[0] ?? 0] : [BOX_WIDTH, BOX_HEIGHT, BOX_WIDTH / 2];
}

const openedFrame = (item: Item, frames: Frames): Frame | undefined => (item.kind === "group" ? frames.get(item.id) : undefined);

function cornerOf(frame: Frame, item: Item, frames: Frames): Point {
  const axis = sizeOf(item, frames)[2];
  return [frame.x + (frame.columns[item.column] ?? 0) - axis, frame.y + (frame.rows[item.row] ?? 0)];
}

function putBoxes(frame: Frame, frames: Frames, boxes: Box[]): void {
  for (const item of frame.group.items) {
    const [x, y] = cornerOf(frame, item, frames);
    const [w, h] = sizeOf(item, frames);
    const inner = openedFrame(item, frames);
    if (inner) [inner.x, inner.y] = [x, y];
    const kind = item.kind === "node" ? "node" : !inner ? "closed" : inner.shell === inner.group ? "open" : "prototype";
    boxes.push({ kind, id: item.id, name: item.name, x, y, w, h });
  }
}

function putLines(frame: Frame, frames: Frames, lines: Line[]): void {
  frame.group.wires.forEach((wire, w) =>
    wire.targets.forEach((target, t) => {
      const way = target.lane ? laneWay(frame, wire, target, frames) : wayDown(frame, wire, target, frames);
      lines.push({ group: frame.shell.id, wire: w, target: t, points: way.flat() });
    }),
  );
}

/** Straight, or with one step sideways. */
function wayDown(frame: Frame, wire: Wire, target: Target, frames: Frames): Point[] {
  const start = startOf(frame, wire, frames, "bottom");
  const end = endOf(frame, target, frames);
  if (Math.abs(start[0] - end[0]) < 0.5) return [start, end];
  const y = trackY(frame, rowOf(frame, target), target.track);
  return [start, [start[0], y], [end[0], y], end];
}

/** Out to the lane, along it, and back in. */
function laneWay(frame: Frame, wire: Wire, target: Target, frames: Frames): Point[] {
  const start = startOf(frame, wire, frames, wire.at);
  const end = endOf(frame, target, frames);
  const x = frame.x + frame.lanes + frame.pitch * wire.lane;
  const way: Point[] = [start];
  if (wire.at === "bottom") {
    const y = trackY(frame, get(frame.group.items, wire.item).row + 1, wire.track);
    way.push([start[0], y], [x, y]);
  } else way.push([x, start[1]]);
  if (target.at === "top") {
    const y = trackY(frame, rowOf(frame, target), target.track);
    return [...way, [x, y], [end[0], y], end];
  }
  return [...way, [x, end[1]], end];
}

const rowOf = (frame: Frame, target: Target): number =>
  target.item < 0 ? frame.group.rows : get(frame.group.items, target.item).row;

function trackY(frame: Frame, gap: number, track: number): number {
  const pitch = spread(TRACK, MOST_TRACKS, frame.group.tracks[gap] ?? 0);
  return frame.y + (frame.gaps[gap] ?? 0) + ROW_GAP / 2 + pitch * (track + 1);
}

function startOf(frame: Frame, wire: Wire, frames: Frames, at: string): Point {
  if (wire.item < 0) return portOf(frame, wire.port);
  const item = get(frame.group.items, wire.item);
  const inner = openedFrame(item, frames);
  if (inner) return outOf(inner, inner.shell === inner.group ? wire.port : (inner.shell.prototype_outs[wire.port] ?? 0));
  const [x, y] = cornerOf(frame, item, frames);
  if (at === "bottom") return [x + (BOX_WIDTH * (wire.slot + 1)) / (item.bottom + 1), y + BOX_HEIGHT];
  return [x + BOX_WIDTH, y + (BOX_HEIGHT * (item.side + wire.exit + 1)) / (item.side + item.exits + 1)];
}

function endOf(frame: Frame, target: Target, frames: Frames): Point {
  if (target.item < 0) return outOf(frame, target.port);
  const item = get(frame.group.items, target.item);
  const inner = openedFrame(item, frames);
  if (inner) return portOf(inner, inner.shell === inner.group ? target.port : (inner.shell.prototype_ports[target.port] ?? 0));
  const [x, y] = cornerOf(frame, item, frames);
  if (target.at === "top") return [x + (BOX_WIDTH * (target.slot + 1)) / (item.top + 1), y];
  return [x + BOX_WIDTH, y + (BOX_HEIGHT * (target.slot + 1)) / (item.side + item.exits + 1)];
}

/** A dot below the title; several stand side by side, each a little lower than the last. */
function portOf(frame: Frame, port: number): Point {
  const count = frame.group.ports.length;
  return dotOf(frame, port, count, (frame.gaps[0] ?? 0) - portsHeight(count));
}

const outOf = (frame: Frame, out: number): Point => dotOf(frame, out, frame.group.outs.length, frame.rows.at(-1) ?? 0);

function dotOf(frame: Frame, dot: number, dots: number, top: number): Point {
  const step = spread(PORT_STEP, MOST_PORTS, dots - 1);
  const x = (frame.columns[0] ?? 0) + BOX_WIDTH * ((dot + 1) / (dots + 1) - 0.5);
  return [frame.x + x, frame.y + top + PORT / 2 + step * dot];
}

function get<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`a layout names entry ${index} of ${list.length}`);
  return found;
}
