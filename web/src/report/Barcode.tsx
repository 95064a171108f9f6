/** The full depth as one strip: a thousand things on one screen, by pointer and by arrow keys. */
import type { ComponentChildren } from "preact";
import { Panel } from "./Panel";

export const WIDTH = 1000;
export const HEIGHT = 44;

interface Props {
  readonly id: string;
  readonly title: string;
  /** How many things stand side by side, each as wide as the next. */
  readonly count: number;
  /** What the drawing shows, and what the keys do, for those who listen. */
  readonly label: string;
  readonly keys: string;
  /** The one that is selected, the one that is pointed at; -1: none. */
  readonly chosen: number;
  readonly pointed: number;
  readonly onChoose: (place: number) => void;
  readonly onPoint: (place: number) => void;
  /** What is said of one below the strip. */
  readonly told: (place: number) => string;
  /** The bars, on WIDTH × HEIGHT. */
  readonly bars: ComponentChildren;
  /** Below: what the colours mean. */
  readonly children: ComponentChildren;
}

export function Barcode({ id, title, count, label, keys, chosen, pointed, onChoose, onPoint, told, bars, children }: Props) {
  const within = (place: number) => Math.min(Math.max(place, 0), count - 1);
  const width = WIDTH / Math.max(count, 1);
  const key = (event: KeyboardEvent) => {
    const way = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (way === undefined) return;
    event.preventDefault();
    onChoose(within(Number.isFinite(way) && chosen < 0 ? 0 : chosen + way));
  };
  const under = (event: MouseEvent) => {
    const box = (event.currentTarget as SVGElement).getBoundingClientRect();
    return within(Math.floor(((event.clientX - box.left) / box.width) * count));
  };
  const shown = pointed >= 0 ? pointed : chosen;
  return (
    <Panel id={id} title={title} look="strip" drawn>
      <div tabIndex={0} role="group" aria-label={keys} onKeyDown={key}>
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={label}
          onClick={(event) => onChoose(under(event))}
          onPointerMove={(event) => onPoint(under(event))}
          onPointerLeave={() => onPoint(-1)}
        >
          {bars}
          {[chosen, pointed].map((at) => at >= 0 && <rect class="chosen" x={at * width} y={1} width={Math.max(width, 3)} height={HEIGHT - 2} />)}
        </svg>
      </div>
      <p class="ends">
        <span>{told(0)}</span>
        <strong>{shown >= 0 && told(shown)}</strong>
        <span>{count > 1 && told(count - 1)}</span>
      </p>
      {children}
    </Panel>
  );
}
