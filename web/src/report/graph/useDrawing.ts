/** When the graph is drawn: after each change of what is shown, and at most once a frame while it scrolls or is resized. */
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Painted } from "./draw";

interface Ref<T> {
  current: T;
}

/** Returns where to scroll once the next change stands. `told`: what tests ask for. */
export function useDrawing(draw: () => Painted | null, frame: Ref<HTMLElement | null>, told: object): Ref<readonly [number, number] | null> {
  const latest = useRef(draw);
  const painted = useRef<Painted | null>(null);
  const target = useRef<readonly [number, number] | null>(null);
  latest.current = draw;
  useLayoutEffect(() => {
    if (target.current) frame.current?.scrollTo(...target.current);
    target.current = null;
    painted.current = latest.current();
    Object.assign(globalThis, { gradpath: { ...told, painted: () => painted.current } });
  });
  useEffect(() => {
    let waiting = 0;
    const soon = () => {
      waiting ||= requestAnimationFrame(() => {
        waiting = 0;
        painted.current = latest.current();
      });
    };
    const observer = new ResizeObserver(soon);
    const element = frame.current;
    if (element) observer.observe(element);
    element?.addEventListener("scroll", soon, { passive: true });
    return () => {
      observer.disconnect();
      element?.removeEventListener("scroll", soon);
      cancelAnimationFrame(waiting);
    };
  }, []);
  return target;
}
