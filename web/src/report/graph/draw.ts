/** The graph as a list of shapes, and that list on a canvas or as SVG: both show the same. */
import { inkOn, rampColour } from "../../core/theme";
import { decadeClass } from "../classes";
import { boxLabel, type BoxMark, frameTitle, type LineMark, shortened } from "./marks";
import { type Box, type Placed, TITLE } from "./place";
import { type Extent, seenPath, type Stroke, strokesOf } from "./strokes";

export interface Palette {
  readonly page: string;
  readonly card: string;
  readonly ink: string;
  readonly pale: string;
  readonly line: string;
  readonly grid: string;
  readonly strong: string;
  readonly backward: string;
  readonly hatch: string;
  readonly mark: string;
}

export type Hatch = "none" | "opaque" | "no gradient" | "not finite";

export interface RectShape {
  readonly box: Box;
  readonly fill: string;
  readonly stroke: string;
  readonly width: number;
  readonly hatch: Hatch;
  readonly left: string;
  readonly right: string;
  readonly ink: string;
  readonly isFrame: boolean;
  /** ▸ closed, ▾ open, '' for what cannot be opened. */
  readonly handle: string;
}

export interface PathShape {
  readonly points: readonly number[];
  readonly stroke: string;
  readonly width: number;
  readonly dash: readonly number[];
  readonly label: string;
}

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly rects: readonly RectShape[];
  readonly paths: readonly PathShape[];
}

export const FONT = 'system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';
const CHARACTER = 6.3; // pixels, of an 11 px font, wide enough for most
export const RADIUS = 5;

interface Input {
  readonly placed: Placed;
  readonly boxes: readonly BoxMark[];
  readonly lines: readonly LineMark[];
  readonly range: readonly [number, number];
  readonly palette: Palette;
}

export function drawing({ placed, boxes, lines, range, palette }: Input): Drawing {
  const rects = placed.boxes.map((box, i) => rect(box, boxes[i] as BoxMark, range, palette));
  const paths = placed.lines.map((line, i) => path(line.points, lines[i] as LineMark, palette));
  return { width: placed.width, height: placed.height, rects, paths };
}

function rect(box: Box, mark: BoxMark, range: readonly [number, number], palette: Palette): RectShape {
  const isFrame = box.kind === "open" || box.kind === "prototype";
  const { gradient } = mark;
  const isCoded = !isFrame && gradient !== undefined && gradient !== null && Number.isFinite(gradient);
  const fill = isFrame ? palette.page : isCoded ? rampColour(decadeClass(gradient, range)) : gradient === -Infinity ? palette.line : palette.card;
  const room = Math.floor((box.w - 20) / CHARACTER) - (isFrame ? 0 : mark.value.length + 1) - (box.kind === "node" ? 0 : 2);
  return {
    box, fill, isFrame, stroke: isFrame ? palette.grid : palette.line, width: 1,
    hatch: mark.isOpaque && !isFrame ? "opaque" : isFrame ? "none" : hatchOf(gradient),
    left: isFrame ? frameTitle(mark, Math.max(room, 3)) : shortened(boxLabel(mark), Math.max(room, 3)), right: isFrame ? "" : mark.value,
    ink: isCoded ? inkOn(fill) : gradient === -Infinity ? palette.page : palette.ink,
    handle: box.kind === "node" ? "" : isFrame ? "▾" : "▸",
  };
}

/** Of a gradient that has no place on the ramp. */
function hatchOf(gradient: number | null | undefined): Hatch {
  if (gradient === null) return "no gradient";
  return gradient === undefined || gradient === -Infinity || Number.isFinite(gradient) ? "none" : "not finite";
}

function path(points: readonly number[], mark: LineMark, palette: Palette): PathShape {
  const { kind, share, isLane } = mark;
  const strength = share === null ? 0 : Math.sqrt(Math.min(Math.abs(share), 1));
  if (kind === "only") return { points, stroke: palette.line, width: 1.2, dash: [], label: "" };
  if (kind === "inner") return { points, stroke: palette.line, width: 0.8, dash: [], label: "" };
  const isWay = kind === "skip" || kind === "projection";
  const stroke = isWay ? palette.strong : kind === "exit" ? palette.pale : palette.backward;
  const dash = kind === "projection" ? [7, 3] : kind === "gated" ? [2, 3] : kind === "exit" ? [1, 4] : [];
  const most = isLane && !isWay ? 4 : 7; // many lanes of a dense block stand side by side
  return { points, stroke, width: 1 + (most - 1) * strength, dash, label: mark.label };
}

/** What is seen: a part of the drawing, on a surface of so many CSS pixels. */
export interface Viewport {
  /** Upper left corner, in the drawing's units. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly scale: number;
}

interface Label {
  readonly text: string;
  readonly colour: string;
  readonly x: number;
  readonly y: number;
}

/** Thousands of lines as some paths, so that a frame draws what it shows in a few calls. */
export interface Prepared {
  readonly drawing: Drawing;
  readonly strokes: readonly Stroke[];
  readonly labels: readonly Label[];
}

export function prepared(list: Drawing): Prepared {
  const labels = list.paths.filter((shape) => shape.label).map(({ label, stroke, points }) => {
    const [x, y] = labelStart(points);
    return { text: label, colour: stroke, x, y };
  });
  return { drawing: list, strokes: strokesOf(list.paths), labels };
}

const LEAST_TEXT = 0.42; // of the scale: below it, names are not read

/** How many shapes were drawn. */
export interface Painted {
  readonly boxes: number;
  readonly strokes: number;
  readonly texts: number;
}

export function paint(context: CanvasRenderingContext2D, ready: Prepared, view: Viewport, palette: Palette, chosen: number, ratio: number): Painted {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = palette.page;
  context.fillRect(0, 0, view.width, view.height);
  const k = ratio * view.scale;
  context.setTransform(k, 0, 0, k, -view.x * k, -view.y * k);
  const bottom = view.y + view.height / view.scale;
  const right = view.x + view.width / view.scale;
  const isSeen = ({ x, y, w, h }: Box) => x < right && x + w > view.x && y < bottom && y + h > view.y;
  const seen = ready.drawing.rects.filter((shape) => isSeen(shape.box));
  for (const shape of seen) if (shape.isFrame) paintBox(context, shape, palette, false);
  const strokes = ready.strokes.filter((stroke) => stroke.top < bottom && stroke.bottom > view.y);
  paintStrokes(context, strokes, { left: view.x, right, top: view.y, bottom });
  for (const shape of seen) if (!shape.isFrame) paintBox(context, shape, palette, false);
  const marked = ready.drawing.rects[chosen];
  if (marked) paintBox(context, marked, palette, true);
  if (view.scale < LEAST_TEXT) return { boxes: seen.length, strokes: strokes.length, texts: 0 };
  for (const shape of seen) paintText(context, shape, palette);
  const labels = ready.labels.filter(({ x, y }) => y > view.y && y < bottom && x > view.x - 40 && x < right);
  paintLabels(context, labels, palette);
  return { boxes: seen.length, strokes: strokes.length, texts: seen.length + labels.length };
}

function paintStrokes(context: CanvasRenderingContext2D, strokes: readonly Stroke[], window: Extent): void {
  context.lineJoin = "miter"; // all corners are right angles; round ones take twice as long
  for (const stroke of strokes) {
    const { shape } = stroke;
    context.strokeStyle = shape.stroke;
    context.lineWidth = shape.width;
    context.setLineDash([...shape.dash]);
    context.stroke(seenPath(stroke, window));
  }
  context.setLineDash([]);
}

function paintBox(context: CanvasRenderingContext2D, shape: RectShape, palette: Palette, isChosen: boolean): void {
  const { x, y, w, h } = shape.box;
  const outline = new Path2D();
  outline.roundRect(x, y, w, h, RADIUS);
  if (!shape.isFrame) {
    context.fillStyle = shape.fill;
    context.fill(outline);
    if (shape.hatch !== "none") paintHatch(context, shape, outline, palette);
  }
  context.strokeStyle = isChosen ? palette.ink : shape.stroke;
  context.lineWidth = isChosen ? 3 : shape.width;
  context.stroke(outline);
}

/** Name and value; a frame's title stands above its lines, on a halo. */
function paintText(context: CanvasRenderingContext2D, shape: RectShape, palette: Palette): void {
  const { x, y, w, h } = shape.box;
  const middle = shape.isFrame ? y + TITLE / 2 + 1 : y + h / 2 + 0.5;
  const title = shape.handle ? `${shape.handle} ${shape.left}` : shape.left;
  context.textBaseline = "middle";
  context.font = `${shape.isFrame ? 600 : 400} 11px ${FONT}`;
  context.textAlign = "left";
  const hasHalo = shape.isFrame || shape.hatch !== "none"; // above lines, above stripes
  context.strokeStyle = shape.isFrame ? palette.page : shape.fill;
  context.lineWidth = shape.isFrame ? 5 : 4;
  context.fillStyle = shape.isFrame ? palette.pale : shape.ink;
  if (hasHalo) context.strokeText(title, x + 7, middle);
  context.fillText(title, x + 7, middle);
  context.textAlign = "right";
  if (hasHalo) context.strokeText(shape.right, x + w - 7, middle);
  context.fillText(shape.right, x + w - 7, middle);
}

function paintHatch(context: CanvasRenderingContext2D, shape: RectShape, outline: Path2D, palette: Palette): void {
  const { x, y, w, h } = shape.box;
  context.save();
  context.clip(outline);
  context.strokeStyle = shape.hatch === "not finite" ? palette.backward : palette.hatch;
  context.lineWidth = shape.hatch === "no gradient" ? 0.8 : 1.6;
  context.setLineDash(shape.hatch === "no gradient" ? [1, 4] : []);
  context.beginPath();
  for (let at = -h; at < w; at += 7) {
    context.moveTo(x + at, y + h);
    context.lineTo(x + at + h, y);
  }
  context.stroke();
  context.restore();
}

/** Where a line's label stands: on the middle of its longest part. */
export function labelPlace(points: readonly number[]): readonly [x: number, y: number] {
  const { x, y } = longestPart(points);
  return [x, y];
}

/** Where its text begins: right of an upright part, above a level one. */
export function labelStart(points: readonly number[]): readonly [x: number, y: number] {
  const { x, y, isLevel } = longestPart(points);
  return isLevel ? [x - 8, y - 9] : [x + 5, y];
}

/** Its middle, and how it runs. */
function longestPart(points: readonly number[]): { x: number; y: number; isLevel: boolean } {
  let best = { x: points[0] ?? 0, y: points[1] ?? 0, isLevel: false };
  let longest = -1;
  for (let i = 2; i + 1 < points.length; i += 2) {
    const [x0, y0, x1, y1] = [points[i - 2] ?? 0, points[i - 1] ?? 0, points[i] ?? 0, points[i + 1] ?? 0];
    const length = Math.abs(y1 - y0) + Math.abs(x1 - x0);
    if (length > longest) [longest, best] = [length, { x: (x0 + x1) / 2, y: (y0 + y1) / 2, isLevel: y0 === y1 }];
  }
  return best;
}

function paintLabels(context: CanvasRenderingContext2D, labels: readonly Label[], palette: Palette): void {
  context.font = `600 10px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = palette.page;
  for (const { text, colour, x, y } of labels) {
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }
}
