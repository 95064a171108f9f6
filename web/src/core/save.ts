/** A view as a file: SVG with its colours written out, PNG at twice the size. */

const PROPERTIES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "fill-opacity",
  "stroke-opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "visibility", "display",
  "paint-order", "letter-spacing", "font-variant-numeric",
];

/** Control characters of hostile names: in HTML they do no harm, in XML they are errors. */
const NOT_IN_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** An SVG that needs no style sheet: every element carries what the page gave it. */
export function standaloneSvg(drawing: SVGSVGElement): string {
  return asXml(standalone(drawing));
}

export function standalone(drawing: SVGSVGElement): SVGSVGElement {
  const copy = drawing.cloneNode(true) as SVGSVGElement;
  const box = drawing.viewBox.baseVal;
  const from = [drawing, ...drawing.querySelectorAll<SVGElement>("*")];
  const to = [copy, ...copy.querySelectorAll<SVGElement>("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    const target = to[i];
    for (const name of PROPERTIES) target?.setAttribute(name, style.getPropertyValue(name));
    target?.removeAttribute("class");
    target?.removeAttribute("style");
  });
  copy.querySelectorAll("foreignObject, [data-not-saved]").forEach((element) => element.remove());
  const background = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const area = { x: box.x, y: box.y, width: box.width, height: box.height, fill: pageColour() };
  Object.entries(area).forEach(([name, value]) => background.setAttribute(name, String(value)));
  copy.prepend(background);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(box.width));
  copy.setAttribute("height", String(box.height));
  return copy;
}

const asXml = (picture: SVGSVGElement) => new XMLSerializer().serializeToString(picture).replace(NOT_IN_XML, "\ufffd");

export function pageColour(): string {
  return getComputedStyle(document.documentElement).getPropertyValue("--page").trim() || "#ffffff";
}

export function saveSvg(drawing: SVGSVGElement, name: string): void {
  save(new Blob([standaloneSvg(drawing)], { type: "image/svg+xml" }), `${name}.svg`);
}

export async function savePng(drawing: SVGSVGElement | HTMLCanvasElement, name: string): Promise<void> {
  const canvas = drawing instanceof HTMLCanvasElement ? drawing : await rasterised(standaloneSvg(drawing), drawing.viewBox.baseVal);
  await saveCanvas(canvas, name);
}

/** A picture that needs no style sheet any more. */
export async function savePicture(picture: SVGSVGElement, name: string, kind: "svg" | "png"): Promise<void> {
  if (kind === "svg") save(new Blob([asXml(picture)], { type: "image/svg+xml" }), `${name}.svg`);
  else await saveCanvas(await rasterised(asXml(picture), picture.viewBox.baseVal), name);
}

async function saveCanvas(canvas: HTMLCanvasElement, name: string): Promise<void> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) save(blob, `${name}.png`);
}

async function rasterised(svg: string, { width, height }: { width: number; height: number }): Promise<HTMLCanvasElement> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = 2 * width;
  canvas.height = 2 * height;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
