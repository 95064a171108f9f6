/** The graph's drawing as a file: SVG text from the same shapes as on the canvas. */
import { type Drawing, FONT, type Hatch, labelStart, type Palette, RADIUS, type RectShape } from "./draw";
import { TITLE } from "./place";

const escaped = (text: string) =>
  text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, "\ufffd");

const HATCH: Readonly<Record<Exclude<Hatch, "none">, string>> = { opaque: "opaque", "no gradient": "no-gradient", "not finite": "not-finite" };

/** The same stripes as on the canvas: broad, dotted, or in the warning colour. */
function pattern(kind: Hatch, id: string, palette: Palette): string {
  const [colour, width, height] = [kind === "not finite" ? palette.backward : palette.hatch, kind === "no gradient" ? 0.8 : 1.6, kind === "no gradient" ? 1 : 7];
  return `<pattern id="${id}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="${width}" height="${height}" fill="${colour}"/></pattern>`;
}

/** The whole drawing as a file. */
export function asSvg(list: Drawing, palette: Palette): string {
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${list.width} ${list.height}" width="${list.width}" height="${list.height}" font-family="${escaped(FONT)}" font-size="11">`,
    `<defs>${Object.entries(HATCH).map(([kind, id]) => pattern(kind as Hatch, id, palette)).join("")}</defs>`,
    `<rect width="100%" height="100%" fill="${palette.page}"/>`,
  ];
  const frames = list.rects.filter((shape) => shape.isFrame);
  const boxes = list.rects.filter((shape) => !shape.isFrame);
  out.push(...frames.map((shape) => svgRect(shape)));
  for (const { points, stroke, width, dash } of list.paths) {
    const d = points.map((value, i) => `${i % 2 ? "," : i ? "L" : "M"}${Math.round(value * 10) / 10}`).join("");
    const dashes = dash.length ? ` stroke-dasharray="${dash.join(" ")}"` : "";
    out.push(`<path d="${d}" fill="none" stroke="${stroke}" stroke-width="${width.toFixed(1)}" stroke-linejoin="round"${dashes}/>`);
  }
  out.push(...boxes.map((shape) => svgRect(shape)), ...list.rects.map((shape) => svgText(shape, palette)));
  for (const shape of list.paths) {
    const [x, y] = labelStart(shape.points);
    if (shape.label) {
      out.push(`<text x="${x}" y="${y + 3.5}" font-size="10" font-weight="600" fill="${shape.stroke}" paint-order="stroke" stroke="${palette.page}" stroke-width="3">${escaped(shape.label)}</text>`);
    }
  }
  return `${out.join("\n")}\n</svg>\n`;
}

function svgRect(shape: RectShape): string {
  const { x, y, w, h } = shape.box;
  const area = `x="${x}" y="${y}" width="${w}" height="${h}" rx="${RADIUS}"`;
  const hatch = shape.hatch === "none" ? "" : `<rect ${area} fill="url(#${HATCH[shape.hatch]})"/>`;
  return `<rect ${area} fill="${shape.isFrame ? "none" : shape.fill}" stroke="${shape.stroke}" stroke-width="${shape.width}"/>${hatch}`;
}

function svgText(shape: RectShape, palette: Palette): string {
  const { x, y, w, h } = shape.box;
  const middle = shape.isFrame ? y + TITLE / 2 + 4.5 : y + h / 2 + 4;
  const look = shape.isFrame
    ? `fill="${palette.pale}" font-weight="600" paint-order="stroke" stroke="${palette.page}" stroke-width="5"`
    : `fill="${shape.ink}"${shape.hatch === "none" ? "" : ` paint-order="stroke" stroke="${shape.fill}" stroke-width="4"`}`;
  const right = shape.right ? `<text x="${x + w - 7}" y="${middle}" ${look} text-anchor="end">${escaped(shape.right)}</text>` : "";
  return `<text x="${x + 7}" y="${middle}" ${look}>${escaped(shape.handle ? `${shape.handle} ${shape.left}` : shape.left)}</text>${right}`;
}
