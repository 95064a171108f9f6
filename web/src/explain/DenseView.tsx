/** A dense block as bus lanes. A source's lane runs past all later layers; every dot sends a gradient back along it. */
import { show, short } from "../core/numbers";
import { BOX, densePlaces, laneWidth } from "./denseLayout";
import { fitted } from "../ui/letters";
import { rems } from "../ui/rems";

interface Props {
  /** [source][consumer after it]. */
  readonly parts: readonly (readonly number[])[];
  /** Channels in front of each layer and in the output. */
  readonly channels: readonly number[];
  readonly growth: number;
  readonly selected: number;
  readonly onSelect: (source: number) => void;
  readonly width: number;
  readonly label: string;
  /** `sign` stands before a gradient. */
  readonly words: { readonly out: string; readonly reads: string; readonly sign: string };
}

/** Narrower than this, numbers would run into each other: then only the chosen source's stand there. */
const ROOM_FOR_NUMBERS = 46;
const ROOM_FOR_COUNT = 28;

export function DenseView({ parts, channels, growth, selected, onSelect, width, label, words }: Props) {
  const layers = parts.length - 1;
  const places = densePlaces(layers, width);
  const bottom = places.lane(layers) + 14;
  const every = Math.ceil(ROOM_FOR_COUNT / places.pitch);
  return (
    <svg class="dense-lanes" viewBox={`0 0 ${width} ${places.height}`} style={rems(width, places.height)} role="img" aria-label={label}>
      {channels.map((count, c) => (
        <g key={c} class="reads">
          <line x1={places.column(c + 1)} x2={places.column(c + 1)} y1={places.lane(0)} y2={c < layers ? places.lane(c + 1) : bottom} />
          {(layers - c) % every === 0 && (
            <text x={places.column(c + 1)} y={places.height - 22} text-anchor="middle">
              {count}
            </text>
          )}
        </g>
      ))}
      {parts.map((_, source) => (
        <Lane key={source} {...{ places, source, growth, onSelect }} isChosen={source === selected} />
      ))}
      {parts.map((row, source) =>
        row.map((part, i) => (
          <Dot
            key={`${source}.${i}`}
            x={places.column(source + 1 + i)}
            y={places.lane(source)}
            part={part}
            sign={words.sign}
            isChosen={source === selected}
            hasRoom={places.pitch >= ROOM_FOR_NUMBERS}
          />
        )),
      )}
      <text class="out" x={places.column(layers + 1)} y={bottom + 11} text-anchor="middle">
        {words.out}
      </text>
      <text class="axis" x={places.left} y={places.height - 6} {...fitted(words.reads, width - 46)}>
        {words.reads}
      </text>
    </svg>
  );
}

interface LaneProps {
  readonly places: ReturnType<typeof densePlaces>;
  readonly source: number;
  readonly growth: number;
  readonly isChosen: boolean;
  readonly onSelect: (source: number) => void;
}

function Lane({ places, source, growth, isChosen, onSelect }: LaneProps) {
  const y = places.lane(source);
  const x = source === 0 ? places.left - 20 : places.column(source);
  const channels = source === 0 ? 2 * growth : growth;
  return (
    <g class={isChosen ? "lane chosen" : "lane"} onClick={() => onSelect(source)}>
      <rect class="target" x={x - BOX / 2} y={y - 15} width={places.right - x + BOX / 2} height={30} />
      <line x1={x} x2={places.right} y1={y} y2={y} style={{ strokeWidth: laneWidth(channels) }} />
      <rect class="layer" x={x - BOX / 2} y={y - 12} width={BOX} height={24} rx={source ? 4 : 12} />
      <text class={source > 9 ? "name small" : "name"} x={x} y={y + 5} text-anchor="middle">
        {source ? `h${source}` : "x"}
      </text>
    </g>
  );
}

interface DotProps {
  readonly x: number;
  readonly y: number;
  readonly part: number;
  readonly sign: string;
  readonly isChosen: boolean;
  readonly hasRoom: boolean;
}

function Dot({ x, y, part, sign, isChosen, hasRoom }: DotProps) {
  return (
    <g class={isChosen ? "dot chosen" : "dot"}>
      <circle cx={x} cy={y} r={isChosen ? 5 : 3.5} />
      {hasRoom && (
        <text x={x} y={y - 9} text-anchor="middle">
          {isChosen ? `${sign}${show(Number(part.toPrecision(3)))}` : short(part, 2)}
        </text>
      )}
    </g>
  );
}
