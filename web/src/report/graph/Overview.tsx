/** The whole graph as a narrow picture beside its frame: where in it the reader is, and a press leads elsewhere. */
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Palette, Prepared } from "./draw";
import { sized } from "./surface";

interface Area {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Props {
  readonly ready: Prepared & { readonly palette: Palette };
  readonly frame: { readonly current: HTMLElement | null };
  /** Index of the selected box; -1: none. */
  readonly chosen: number;
  /** The part of the drawing that the frame shows. */
  readonly seen: () => Area;
  /** Show this point of the drawing in the middle of the frame. */
  readonly onGo: (x: number, y: number) => void;
}

const MOST_STRETCHED = 16; // upright against level: a low drawing is not pulled apart
const LEAST_BOX = 0.75; // pixels: what is smaller is not seen

export function Overview({ ready, frame, chosen, seen, onGo }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const picture = useMemo(() => document.createElement("canvas"), []);
  const drawn = useRef<{ of: Prepared | null; size: string }>({ of: null, size: "" });

  function scales(): readonly [number, number] {
    const { clientWidth: width = 1, clientHeight: height = 1 } = canvas.current?.parentElement ?? {};
    const across = width / ready.drawing.width;
    return [across, Math.min(height / ready.drawing.height, across * MOST_STRETCHED)];
  }

  function draw(): void {
    const [element, context] = [canvas.current, canvas.current?.getContext("2d")];
    const { clientWidth: width = 0, clientHeight: height = 0 } = element?.parentElement ?? {};
    if (!element || !context || !width || !height) return;
    const ratio = sized(element, { width, height });
    const size = `${element.width} ${element.height}`;
    if (drawn.current.of !== ready || drawn.current.size !== size) {
      [picture.width, picture.height] = [element.width, element.height];
      paintBoxes(picture, ready, scales(), ratio);
      drawn.current = { of: ready, size };
    }
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(picture, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    paintWindow(context, ready, chosen, seen(), scales());
  }

  useEffect(draw);
  const latest = useRef(draw);
  latest.current = draw;
  useEffect(() => {
    const soon = () => latest.current();
    const observer = new ResizeObserver(soon);
    const element = frame.current;
    if (element) observer.observe(element);
    element?.addEventListener("scroll", soon, { passive: true });
    return () => {
      observer.disconnect();
      element?.removeEventListener("scroll", soon);
    };
  }, []);
  const go = (event: PointerEvent) => {
    const box = canvas.current?.getBoundingClientRect();
    const [across, down] = scales();
    if (box) onGo((event.clientX - box.left) / across, (event.clientY - box.top) / down);
  };
  return (
    <div class="overview" aria-hidden="true">
      <canvas
        ref={canvas}
        onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); go(event); }}
        onPointerMove={(event) => event.buttons && go(event)}
      />
    </div>
  );
}

function paintBoxes(surface: HTMLCanvasElement, { drawing, palette }: Props["ready"], [across, down]: readonly [number, number], ratio: number): void {
  const context = surface.getContext("2d");
  if (!context) return;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = palette.page;
  context.fillRect(0, 0, surface.width, surface.height);
  for (const { box, fill, isFrame } of drawing.rects) {
    if (isFrame) continue;
    context.fillStyle = fill === palette.card ? palette.grid : fill;
    context.fillRect(box.x * across, box.y * down, Math.max(box.w * across, LEAST_BOX), Math.max(box.h * down, LEAST_BOX));
  }
}

/** The frame's window, and a mark at the height of what is selected. */
function paintWindow(context: CanvasRenderingContext2D, { drawing, palette }: Props["ready"], chosen: number, { x, y, width, height }: Area, [across, down]: readonly [number, number]): void {
  const box = drawing.rects[chosen]?.box;
  if (box) {
    context.fillStyle = palette.backward;
    context.fillRect(0, (box.y + Math.min(box.h, 26) / 2) * down - 1.5, drawing.width * across, 3);
  }
  const [left, top] = [Math.max(x * across, 0) + 1, Math.max(y * down, 0) + 1];
  const [right, bottom] = [Math.min((x + width) * across, drawing.width * across), Math.min((y + height) * down, drawing.height * down)];
  context.strokeStyle = palette.ink;
  context.lineWidth = 2;
  context.strokeRect(left, top, Math.max(right - left - 1, 4), Math.max(bottom - top - 1, 4));
}
