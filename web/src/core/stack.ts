/** All drawings of a figure as one picture: one below the other, each with its heading and its key. */
import { pageColour, standalone } from "./save";

const PAD = 12;
const GAP = 6;
const HEADING = 30;
const KEY_ROW = 22;
const KEY_TEXT = 44;
const SVG = "http://www.w3.org/2000/svg";
const FONT = 'system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif';

type Attributes = Readonly<Record<string, string | number>>;

/** The drawings in `frame`, in their order; null where there is none. A heading stands above the drawing that follows it. */
export function stackedDrawings(frame: Element): SVGSVGElement | null {
  const picture = element("svg", { "font-family": FONT, fill: inkColour() });
  let [y, width] = [PAD, 0];
  let heading: Element | null = null;
  for (const part of frame.querySelectorAll("h3, svg[role=img], .key li")) {
    if (part.tagName === "H3") heading = part;
    else if (part instanceof SVGSVGElement) {
      if (heading) picture.append(words(heading, PAD, (y += HEADING) - 10, { "font-size": 16, "font-weight": 600 }));
      heading = null;
      picture.append(placed(part, PAD, y));
      y += part.viewBox.baseVal.height + GAP;
      width = Math.max(width, part.viewBox.baseVal.width);
    } else {
      picture.append(...keyRow(part, y));
      y += KEY_ROW;
    }
  }
  if (!width) return null;
  const whole = { width: width + 2 * PAD, height: y + PAD };
  attach(picture, { ...whole, viewBox: `0 0 ${whole.width} ${whole.height}` });
  picture.prepend(element("rect", { ...whole, fill: pageColour() }));
  return picture;
}

/** What a line or an area looks like, and its name. */
function keyRow(item: Element, y: number): Element[] {
  const sample = item.querySelector("svg");
  return [sample ? placed(sample, PAD, y + 4) : swatch(item, y), words(item, PAD + KEY_TEXT, y + 15, { "font-size": 14 })];
}

function swatch(item: Element, y: number): Element {
  const { backgroundColor, borderTopColor, borderTopStyle } = getComputedStyle(item.querySelector(".swatch") ?? item);
  const dash = borderTopStyle === "dashed" ? "4 3" : "none";
  return element("rect", { x: PAD + 1, y: y + 4, width: 24, height: 12, fill: backgroundColor, stroke: borderTopColor, "stroke-dasharray": dash });
}

function placed(drawing: SVGSVGElement, x: number, y: number): SVGSVGElement {
  const copy = standalone(drawing);
  attach(copy, { x, y });
  return copy;
}

/** The text of an element, without that of drawings within it. */
function words(of: Element, x: number, y: number, look: Attributes): Element {
  const text = element("text", { x, y, ...look });
  text.textContent = [...of.childNodes].filter((node) => !(node instanceof SVGElement)).map((node) => node.textContent).join("").trim();
  return text;
}

const inkColour = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim() || "#000000";

function element<Name extends keyof SVGElementTagNameMap>(name: Name, attributes: Attributes): SVGElementTagNameMap[Name] {
  const made = document.createElementNS(SVG, name);
  attach(made, attributes);
  return made;
}

function attach(to: Element, attributes: Attributes): void {
  for (const [key, value] of Object.entries(attributes)) to.setAttribute(key, String(value));
}
