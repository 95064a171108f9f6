/** The whole graph on paper, where nothing scrolls: drawn when the page is printed, in the colours of print. */
import { useEffect, useRef } from "preact/hooks";
import type { Drawing, Palette } from "./draw";
import { slices } from "./slices";
import { paletteNow } from "./surface";
import { asSvg } from "./svg";

interface Props {
  /** The drawing in a palette's colours. */
  readonly drawn: (palette: Palette) => Drawing;
}

const DRAWING = "printed-graph";

export function Printed({ drawn }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const latest = useRef(drawn);
  latest.current = drawn;
  useEffect(() => {
    const print = matchMedia("print");
    const change = () => {
      if (holder.current) holder.current.innerHTML = print.matches ? columns(latest.current) : "";
    };
    change();
    print.addEventListener("change", change);
    return () => print.removeEventListener("change", change);
  }, []);
  return <div class="printed" ref={holder} aria-hidden="true" />;
}

/** Each column shows its part of one drawing. Its text went through `asSvg`, which escapes names. */
function columns(drawn: Props["drawn"]): string {
  const palette = paletteNow();
  const drawing = drawn(palette);
  const parts = slices(drawing);
  const tallest = Math.max(...parts.map(({ height }) => height));
  const window = (top: number, height: number, inside: string) =>
    `<svg viewBox="0 ${top} ${drawing.width} ${height}" style="flex:${drawing.width} 1 0;min-width:0;max-height:${(23 * height) / tallest}cm">${inside}</svg>`;
  return parts.map(({ top, height }, i) => window(top, height, i ? `<use href="#${DRAWING}"/>` : `<g id="${DRAWING}">${asSvg(drawing, palette)}</g>`)).join("");
}
