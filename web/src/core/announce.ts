/** What just happened, for those who listen: one polite live region, at most once a second. */
import { signal } from "@preact/signals";

const INTERVAL_MS = 1000;
/** What the live region says. */
export const announced = signal("");
let waiting: string | null = null;
let last = -Infinity;

export function announce(text: string): void {
  const wait = last + INTERVAL_MS - performance.now();
  if (wait <= 0) return tell(text);
  if (waiting === null) {
    setTimeout(() => {
      if (waiting !== null) tell(waiting);
      waiting = null;
    }, wait);
  }
  waiting = text;
}

function tell(text: string): void {
  last = performance.now();
  announced.value = text;
}
