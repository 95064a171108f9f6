/** Two fingers zoom and move the graph, a mouse that is held down moves it. One finger scrolls, as everywhere. */
import { useRef } from "preact/hooks";

type Point = readonly [x: number, y: number];

interface Gestures {
  /** Scale by a factor about a point of the window, and move what is there by so many pixels. */
  readonly zoom: (factor: number, about: Point, moved: Point) => void;
  readonly pan: (moved: Point) => void;
}

const LEAST_DRAG = 4; // pixels: less is a click

/** Middle and distance of two fingers. */
function pinch(touches: TouchList): { middle: Point; distance: number } | null {
  const [a, b] = [touches[0], touches[1]];
  if (touches.length !== 2 || !a || !b) return null;
  const middle = [(a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2] as const;
  return { middle, distance: Math.max(Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), 1) };
}

/** Listeners for the frame; `wasDragged` says whether the click that just came ended a drag. */
export function useGestures({ zoom, pan }: Gestures) {
  const fingers = useRef<ReturnType<typeof pinch>>(null);
  const held = useRef<Point | null>(null);
  const dragged = useRef(false);
  return {
    wasDragged: () => dragged.current,
    listeners: {
      onTouchStart: (event: TouchEvent) => {
        fingers.current = pinch(event.touches);
      },
      onTouchMove: (event: TouchEvent) => {
        const [before, now] = [fingers.current, pinch(event.touches)];
        if (!before || !now) return;
        event.preventDefault(); // the page would zoom
        fingers.current = now;
        zoom(now.distance / before.distance, now.middle, [now.middle[0] - before.middle[0], now.middle[1] - before.middle[1]]);
      },
      onTouchEnd: (event: TouchEvent) => {
        fingers.current = pinch(event.touches);
      },
      onPointerDown: (event: PointerEvent) => {
        held.current = event.pointerType === "mouse" && event.button === 0 ? [event.clientX, event.clientY] : null;
        dragged.current = false;
      },
      onPointerMove: (event: PointerEvent) => {
        const from = held.current;
        if (!from || !(event.buttons & 1)) return;
        const moved = [event.clientX - from[0], event.clientY - from[1]] as const;
        if (!dragged.current && Math.hypot(...moved) < LEAST_DRAG) return;
        if (!dragged.current) (event.currentTarget as Element).setPointerCapture(event.pointerId);
        dragged.current = true;
        held.current = [event.clientX, event.clientY];
        pan(moved);
      },
    },
  };
}
