/** The graph's lines as few paths of a canvas, so that a frame draws what it shows in a few calls. */
import type { PathShape } from "./draw";

export interface Extent {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Lines of one look that begin in one band of the drawing, as one path, and each for itself. */
export interface Stroke {
  readonly shape: PathShape;
  readonly path: Path2D;
  readonly lines: { readonly points: readonly number[]; readonly extent: Extent }[];
  top: number;
  bottom: number;
}

const BAND = 2000;

export function strokesOf(shapes: readonly PathShape[]): Stroke[] {
  const strokes = new Map<string, Stroke>();
  for (const shape of shapes) {
    const extent = extentOf(shape.points);
    const { top, bottom } = extent;
    const key = `${shape.stroke} ${shape.width.toFixed(1)} ${shape.dash} ${Math.floor(top / BAND)}`;
    const found = strokes.get(key) ?? { shape, path: new Path2D(), lines: [], top, bottom };
    strokes.set(key, found);
    [found.top, found.bottom] = [Math.min(found.top, top), Math.max(found.bottom, bottom)];
    found.lines.push({ points: shape.points, extent });
    trace(found.path, shape.points);
  }
  return [...strokes.values()];
}

function extentOf(points: readonly number[]): Extent {
  const [xs, ys] = [points.filter((_, i) => i % 2 === 0), points.filter((_, i) => i % 2)];
  return { left: Math.min(...xs), right: Math.max(...xs), top: Math.min(...ys), bottom: Math.max(...ys) };
}

/** The lines that are seen: a browser works through all of a path, also where it lies outside. */
export function seenPath({ path, lines }: Stroke, { left, right, top, bottom }: Extent): Path2D {
  const seen = lines.filter(({ extent }) => extent.left < right && extent.right > left && extent.top < bottom && extent.bottom > top);
  if (2 * seen.length > lines.length) return path;
  const part = new Path2D();
  for (const { points } of seen) trace(part, points);
  return part;
}

function trace(path: Path2D, points: readonly number[]): void {
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i] ?? 0, points[i + 1] ?? 0];
    if (i) path.lineTo(x, y);
    else path.moveTo(x, y);
  }
}
