/** The model as a graph: folded by module and by repeated block, on a canvas in a frame that scrolls. */
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { texts } from "../../core/i18n";
import { save, savePng } from "../../core/save";
import { textParam } from "../../core/state";
import { isDark, pair, ramp } from "../../core/theme";
import { decadeRange } from "../classes";
import { type FlowView, layerName } from "../flowview";
import type { Layout } from "../layout";
import { select, selection } from "../state";
import { Legend } from "../Strip";
import { drawing, paint, type Palette, type Prepared, prepared } from "./draw";
import { Lines } from "./Lines";
import { boxMarks, boxName, boxTitle, lineMark } from "./marks";
import { type Box, place, shownGroups } from "./place";
import { useGestures } from "./gestures";
import { Overview } from "./Overview";
import { Printed } from "./Printed";
import { paletteNow, sized } from "./surface";
import { asSvg } from "./svg";
import { useDrawing } from "./useDrawing";
import { ancestors, boxOf, differing, flipped, openGroups, smallestLayer, step } from "./walk";
import { fittedScale, imageScale, indent, MOST_FITTED, pointed, revealed, type Size, startScale, zoomed } from "./window";

const t = texts({
  en: {
    title: "The model as a graph", hint: "Click selects, double click (or the ▸) opens and closes. ↑ ↓ ← → move, Enter opens, Backspace closes, s: smallest gradient, + − or Ctrl+wheel: zoom, f: fit. Drag to move; two fingers zoom.",
    label: "Graph of the model: {boxes} boxes shown of {nodes} operations. Arrow keys move, Enter opens and closes, Backspace goes out.",
    fit: "Fit", larger: "Larger", smaller: "Smaller", fold: "Fold all", unfold: "Unfold all", toggle: "Open or close", worst: "Smallest gradient",
    nothing: "Nothing is selected.", details: "Details", save: "Save {name}",
    opened: "{name} opened", closed: "{name} closed",
  },
  zh: {
    title: "模型的图", hint: "单击选中，双击（或点 ▸）展开或收起。↑ ↓ ← → 移动，Enter 展开，Backspace 收起，s：最小梯度，+ − 或 Ctrl+滚轮：缩放，f：适合宽度。拖动可移动，双指可缩放。",
    label: "模型的图：显示 {boxes} 个框，共 {nodes} 个运算。方向键移动，Enter 展开或收起，Backspace 返回上层。",
    fit: "适合宽度", larger: "放大", smaller: "缩小", fold: "全部收起", unfold: "全部展开", toggle: "展开或收起", worst: "最小梯度",
    nothing: "未选中任何内容。", details: "详情", save: "保存 {name}",
    opened: "{name} 已展开", closed: "{name} 已收起",
  },
});
const toggled = textParam("open");
const ZOOM = 1.25;
const MOST_UNFOLDED = 4000;
const HANDLE = 20;
/** Taller or wider than a frame at its usual scale. */
const isLarge = ({ width, height }: Size): boolean => height > 900 || width > 1400;

/** The panel of details: below the graph on a telephone, beside it elsewhere. */
function showSelected(event: MouseEvent): void {
  event.preventDefault(); // the address keeps what is selected
  document.getElementById("selected")?.scrollIntoView({ block: "nearest" });
}

export function GraphView({ view, layout }: { view: FlowView; layout: Layout }) {
  const scroll = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [scale, setScale] = useState(1);
  const [shift, setShift] = useState(0); // of a narrow drawing, out of the middle
  const opened = useMemo(() => openGroups(layout, toggled.value), [layout, toggled.value]);
  const placed = useMemo(() => place(layout, opened), [layout, opened]);
  const usual = useMemo(() => place(layout, openGroups(layout, "")).height, [layout]); // the frame does not shrink when a group is closed
  const look = `${isDark()} ${ramp.value} ${pair.value}`;
  const drawn = useMemo(() => {
    const shown = shownGroups(layout, opened);
    const marks = { placed, boxes: boxMarks(view, placed.boxes), lines: placed.lines.map((line) => lineMark(view, line, shown)) };
    return (palette: Palette) => drawing({ ...marks, range: decadeRange(view.flow), palette });
  }, [view, placed]);
  const ready = useMemo(() => {
    const palette = paletteNow();
    return { palette, ...prepared(drawn(palette)) };
  }, [drawn, look]);
  const chosen = boxOf(view, placed, selection());
  const scrollTo = useDrawing(() => {
    const [frame, context] = [scroll.current, canvas.current?.getContext("2d", { alpha: false })];
    if (!frame || !canvas.current || !context) return null;
    const { width, height, left, top } = frameNow();
    const ratio = sized(canvas.current, { width, height });
    const view = { x: (left - indent(placed, { width }, scale, shift)) / scale, y: top / scale, width, height, scale };
    return paint(context, ready, view, ready.palette, chosen, ratio);
  }, scroll, { boxes: () => placed.boxes, chosen: () => placed.boxes[chosen] ?? null, scale: () => scale, place: onScreen });
  const [isFitted, setFitted] = useState(false); // what the address selects is revealed at the scale that is shown
  useLayoutEffect(() => {
    setScale(startScale(placed.width, frameNow().width));
    setShift(0);
    setFitted(true);
  }, [layout]);
  useEffect(() => {
    if (isFitted) reveal(placed.boxes[chosen]);
  }, [chosen, isFitted]);

  function frameNow(): { left: number; top: number; width: number; height: number } {
    const { scrollLeft: left = 0, scrollTop: top = 0, clientWidth: width = 0, clientHeight: height = 0 } = scroll.current ?? {};
    return { left, top, width, height };
  }

  function fit(): void {
    setScale(fittedScale(placed.width, frameNow().width));
    setShift(0);
  }

  /** Change the scale about a point of the frame; default: its middle. What is there then moves by so many pixels. */
  function zoom(factor: number, about?: readonly [number, number], [right, down]: readonly [number, number] = [0, 0]): void {
    const frame = frameNow();
    const next = zoomed(placed, frame, scale, factor, about ?? [frame.width / 2, frame.height / 2], shift);
    scrollTo.current = [next.left - right, next.top - down];
    setScale(next.scale);
    setShift(0);
  }

  function reveal(box: Box | undefined): void {
    if (!box) return;
    const [left, top] = revealed(placed, frameNow(), scale, { x: box.x, y: box.y, width: box.w, height: Math.min(box.h, 60) }, shift);
    scroll.current?.scrollTo(left, top);
  }

  /** Where the middle of a box is on the screen. */
  function onScreen({ x, y, w, h }: Box): readonly [number, number] {
    const [frame, area] = [frameNow(), canvas.current?.getBoundingClientRect()];
    return [(x + w / 2) * scale + indent(placed, frame, scale, shift) - frame.left + (area?.left ?? 0), (y + h / 2) * scale - frame.top + (area?.top ?? 0)];
  }

  /** Open or close a group; its box stays where it is on the screen. */
  function toggle(group: number): void {
    const find = (boxes: readonly Box[]) => boxes.find((box) => box.kind !== "node" && box.id === group);
    const next = flipped(layout, group, opened);
    const now = place(layout, openGroups(layout, next));
    const [before, after, frame] = [find(placed.boxes), find(now.boxes), frameNow()];
    if (before && after) {
      const wanted = indent(placed, frame, scale, shift) - frame.left - (after.x - before.x) * scale;
      setShift(wanted - indent(now, frame, scale));
      scrollTo.current = [Math.max(-wanted, 0), frame.top + (after.y - before.y) * scale];
    }
    toggled.set(next);
    const isOpen = after !== undefined && after.kind !== "closed";
    select({ what: "group", index: group }, t(isOpen ? "opened" : "closed", { name: layout.groups[group]?.label ?? "" }));
  }

  function choose(box: Box | undefined): void {
    if (box) select({ what: box.kind === "node" ? "node" : "group", index: box.id }, boxName(view, box));
  }

  function inFrame([x, y]: readonly [number, number]): readonly [number, number] {
    const area = canvas.current?.getBoundingClientRect();
    return [x - (area?.left ?? 0), y - (area?.top ?? 0)];
  }

  function boxAt(event: MouseEvent): { box: Box | undefined; x: number } {
    const [x, y] = pointed(placed, frameNow(), scale, inFrame([event.clientX, event.clientY]), shift);
    return { x, box: placed.boxes.findLast((one) => x >= one.x && x <= one.x + one.w && y >= one.y && y <= one.y + one.h) };
  }

  /** A finger opens what it has selected before: a double tap is hard to hit. */
  function click(event: MouseEvent): void {
    const { box, x } = boxAt(event);
    if (!box || gestures.wasDragged()) return;
    const isTapped = event instanceof PointerEvent && event.pointerType === "touch" && box === placed.boxes[chosen];
    if (box.kind !== "node" && (x - box.x < HANDLE || event.detail === 2 || isTapped)) toggle(box.id);
    else choose(box);
  }

  /** The whole name of what the mouse is over. */
  function point(event: PointerEvent): void {
    const box = event.buttons ? undefined : boxAt(event).box;
    if (canvas.current) canvas.current.title = box ? boxTitle(view, box) : "";
  }

  function seen() {
    const frame = frameNow();
    const [x, y] = pointed(placed, frame, scale, [0, 0], shift);
    return { x, y, width: frame.width / scale, height: frame.height / scale };
  }

  function go(x: number, y: number): void {
    const frame = frameNow();
    scroll.current?.scrollTo(x * scale - frame.width / 2, y * scale - frame.height / 2);
  }
  const gestures = useGestures({
    zoom: (factor, about, moved) => zoom(factor, inFrame(about), moved),
    pan: ([right, down]) => scroll.current?.scrollBy(-right, -down),
  });

  function smallest(): void {
    const index = smallestLayer(view);
    const layer = view.flow.layers[index];
    if (layer) select({ what: "layer", index }, layerName(layer));
  }

  function key(event: KeyboardEvent): void {
    const box = placed.boxes[chosen];
    const ways: Record<string, () => void> = {
      ArrowDown: () => choose(step(placed, chosen, 0, 1)), ArrowUp: () => choose(step(placed, chosen, 0, -1)),
      ArrowRight: () => choose(step(placed, chosen, 1, 0)), ArrowLeft: () => choose(step(placed, chosen, -1, 0)),
      Enter: () => box && box.kind !== "node" && toggle(box.id),
      Backspace: () => out(box), "+": () => zoom(ZOOM), "=": () => zoom(ZOOM), "-": () => zoom(1 / ZOOM), f: fit, s: smallest,
    };
    const way = ways[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    way();
  }

  /** Close the group that a box lies in, and select it. */
  function out(box: Box | undefined): void {
    const parent = box && ancestors(view, box).find((group) => group !== 0 && opened.has(group));
    if (parent !== undefined) toggle(parent);
  }

  const wheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return; // plain scrolling scrolls
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.1 : 1 / 1.1, inFrame([event.clientX, event.clientY]));
  };
  const unfold = (groups: readonly number[]) => toggled.set(differing(layout, new Set(groups)));
  const nodes = view.flow.graph?.nodes.operation.length ?? 0;
  const box = placed.boxes[chosen];
  const hasGroup = box !== undefined && box.kind !== "node";
  return (
    <section class="panel graph" aria-labelledby="graph-title" id="graph">
      <h2 id="graph-title">{t("title")}</h2>
      <div class="controls">
        <button type="button" onClick={() => unfold([0])}>{t("fold")}</button>
        {nodes <= MOST_UNFOLDED && <button type="button" onClick={() => unfold(layout.groups.map(({ id }) => id))}>{t("unfold")}</button>}
        <button type="button" disabled={!hasGroup} onClick={() => hasGroup && toggle(box.id)}>{t("toggle")}</button>
        <button type="button" onClick={smallest}>{t("worst")}</button>
        <span class="zoom">
          <button type="button" aria-label={t("smaller")} onClick={() => zoom(1 / ZOOM)}>−</button>
          <button type="button" aria-label={t("larger")} onClick={() => zoom(ZOOM)}>+</button>
          <button type="button" onClick={fit}>{t("fit")}</button>
        </span>
      </div>
      <div class="beside" style={{ maxHeight: `${Math.max(placed.height, usual) * MOST_FITTED + 4}px` }}>
        <div
          class="canvas" ref={scroll} tabIndex={0} role="group" aria-label={t("label", { boxes: placed.boxes.length, nodes })}
          onKeyDown={key} onWheel={wheel} {...gestures.listeners}
        >
          <canvas ref={canvas} aria-hidden="true" onClick={click} onPointerMove={point} />
          <div class="space" style={{ width: `${placed.width * scale}px`, height: `${placed.height * scale}px` }} />
        </div>
        {isLarge(placed) && <Overview ready={ready} frame={scroll} chosen={chosen} seen={seen} onGo={go} />}
      </div>
      <Printed drawn={drawn} />
      <p class="chosen-box">
        {box ? <>{boxTitle(view, box)} <a href="#selected" onClick={showSelected}>{t("details")}</a></> : t("nothing")}
      </p>
      <Lines />
      <Legend view={view} />
      <p class="pale no-print">{t("hint")}</p>
      <div class="tools">
        <button type="button" onClick={() => save(new Blob([asSvg(ready.drawing, ready.palette)], { type: "image/svg+xml" }), "graph.svg")}>{t("save", { name: "SVG" })}</button>
        <button type="button" onClick={() => void savePng(image(ready), "graph")}>{t("save", { name: "PNG" })}</button>
      </div>
    </section>
  );
}

/** The whole drawing, as large as browsers can hold. */
function image(ready: Prepared & { readonly palette: ReturnType<typeof paletteNow> }): HTMLCanvasElement {
  const { width, height } = ready.drawing;
  const surface = document.createElement("canvas");
  const ratio = imageScale({ width, height });
  [surface.width, surface.height] = [Math.ceil(width * ratio), Math.ceil(height * ratio)];
  const context = surface.getContext("2d");
  if (context) paint(context, ready, { x: 0, y: 0, width, height, scale: 1 }, ready.palette, -1, ratio);
  return surface;
}
