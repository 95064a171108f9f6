/** A view as a file: SVG with its colours written out, PNG at twice the size. */

const PROPERTIES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "fill-opacity",
  "stroke-opacity", "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "visibility", "display",
];

/** An SVG that needs no style sheet: every element carries what the page gave it. */
export function standaloneSvg(drawing: SVGSVGElement): string {
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
  return new XMLSerializer().serializeToString(copy);
}

export function pageColour(): string {
  return getComputedStyle(document.documentElement).getPropertyValue("--page").trim() || "#ffffff";
}

export function saveSvg(drawing: SVGSVGElement, name: string): void {
  save(new Blob([standaloneSvg(drawing)], { type: "image/svg+xml" }), `${name}.svg`);
}

export async function savePng(drawing: SVGSVGElement | HTMLCanvasElement, name: string): Promise<void> {
  const canvas = drawing instanceof HTMLCanvasElement ? drawing : await rasterised(drawing);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob) save(blob, `${name}.png`);
}

async function rasterised(drawing: SVGSVGElement): Promise<HTMLCanvasElement> {
  const { width, height } = drawing.viewBox.baseVal;
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standaloneSvg(drawing))}`;
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
