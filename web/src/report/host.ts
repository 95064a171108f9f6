/** A page inside another (a notebook's frame) tells it how high it is; the frame's script is in report/_page.py. */

export function tellHeight(): void {
  if (parent === window) return;
  const tell = () => parent.postMessage({ gradpathHeight: Math.ceil(document.body.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(document.body);
}
