/** From figure to figure: PageUp and PageDown, which presenters' remote controls send, and links within the page. */
import { anchor } from "../core/state";

/** How far below the top of the window a figure's top may be and still count as the one in view, in pixels. */
const SLACK = 8;
/** Parts of the window's height: how far a key scrolls, and what may stay hidden of a figure that counts as seen. */
const [STEP, LEAST_HIDDEN] = [0.85, 0.12];

export function pageKey(event: KeyboardEvent): void {
  const way = event.key === "PageDown" ? 1 : event.key === "PageUp" ? -1 : 0;
  if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
  const figures = [...document.querySelectorAll<HTMLElement>("section.figure")];
  const places = figures.map((figure) => figure.getBoundingClientRect());
  const within = scrollWithin(places, way, innerHeight);
  if (within) {
    event.preventDefault();
    scrollBy({ top: within, behavior: "instant" });
    return;
  }
  const tops = places.map(({ top }) => top);
  const focused = figures.findIndex((figure) => figure === document.activeElement);
  const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - SLACK;
  const target = figures[nextFigure(tops, way, focused, atEnd)];
  if (!target) return;
  event.preventDefault();
  show(target);
}

/** How far to scroll within a figure that is higher than the window, before another one is shown; 0: it has been seen. */
export function scrollWithin(places: readonly { readonly top: number; readonly bottom: number }[], way: 1 | -1, height: number): number {
  const most = STEP * height;
  if (way > 0) {
    const found = places.find(({ top, bottom }) => top <= SLACK && bottom > height * (1 + LEAST_HIDDEN));
    return found ? Math.min(most, found.bottom - height) : 0;
  }
  const found = places.find(({ top, bottom }) => top < -height * LEAST_HIDDEN && bottom > height / 2);
  return found ? -Math.min(most, -found.top) : 0;
}

/** Which figure comes next, from the distances of all tops to the window's; -1: none, the browser scrolls. The focused
 * one is where the reader is, also where the end of the page keeps it from the top of the window. */
export function nextFigure(tops: readonly number[], way: 1 | -1, focused = -1, atEnd = false): number {
  const top = tops[focused];
  if (top !== undefined && (Math.abs(top) <= SLACK || (atEnd && top >= 0))) return focused + way < tops.length ? focused + way : -1;
  return way > 0 ? tops.findIndex((one) => one > SLACK) : tops.findLastIndex((one) => one < -SLACK);
}

/** A link to an anchor keeps all that was changed: the browser's own way would drop it from the URL. */
export function followLink(event: MouseEvent): void {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const href = link?.getAttribute("href");
  if (!href?.startsWith("#") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const name = href.slice(1);
  anchor.value = name;
  const target = document.getElementById(name);
  if (target) show(target);
}

function show(target: HTMLElement): void {
  target.scrollIntoView();
  target.focus({ preventScroll: true });
  anchor.value = target.id;
}
