/** How wide a drawing is in its own units, 16 to a rem: a narrow frame gets a narrower drawing, not smaller letters. */
import { type RefObject } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";

const UNITS_PER_REM = 16;

/** The element to measure, and its width: at most `widest`, at least `narrowest`. */
export function useWidth(widest: number, narrowest = 280): [RefObject<HTMLDivElement | null>, number] {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(widest);
  useLayoutEffect(() => {
    const element = frame.current;
    if (!element) return;
    const measure = () => {
      const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || UNITS_PER_REM;
      const units = Math.round((element.clientWidth * UNITS_PER_REM) / rem);
      if (units > 0) setWidth(Math.min(Math.max(units, narrowest), widest));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [widest, narrowest]);
  return [frame, width];
}
