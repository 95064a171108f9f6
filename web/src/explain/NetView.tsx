/** A ResNet or its plain twin as three rows of blocks; how wide the lines are is how much gradient they carry. */
import { BOX_HEIGHT, type BlockPlace, gradientWidth, isHairline, lanePath, netPlaces } from "./netLayout";
import type { Stack, Traced } from "./netsData";
import { rems } from "../ui/rems";

interface Props {
  readonly net: Traced;
  readonly stack: Stack;
  readonly width: number;
  readonly label: string;
  readonly words: { readonly stage: (index: number) => string; readonly input: string; readonly loss: string };
}

export function NetView({ net, stack, width, label, words }: Props) {
  const { n } = net;
  const places = netPlaces(n, width);
  const log10 = net.log10[stack];
  const between = (index: number) => log10[index] ?? 0;
  const last = places.rows.at(-1);
  return (
    <svg class={`net ${stack}`} viewBox={`0 0 ${width} ${places.height}`} style={rems(width, places.height)} role="img" aria-label={label}>
      {places.rows.map(({ labelY }, stage) => (
        <text key={stage} class="stage" x={places.left} y={labelY}>
          {words.stage(stage)}
        </text>
      ))}
      {places.turns.map((path, i) => (
        <Flow key={i} path={path} log10={between((i + 1) * n)} scale={places.scale} />
      ))}
      {places.blocks.map((place) => (
        <Block
          key={place.index}
          place={place}
          scale={places.scale}
          log10={between(place.index)}
          skip={stack === "residual" ? (net.skip[place.index] ?? 0) : null}
        />
      ))}
      <text class="end" x={places.left - 6} y={(places.rows[0]?.y ?? 0) + 4} text-anchor="end">
        {words.input}
      </text>
      <text class="end" x={places.right + 8} y={(last?.y ?? 0) + 4}>
        {words.loss}
      </text>
    </svg>
  );
}

interface BlockProps {
  readonly place: BlockPlace;
  readonly scale: number;
  readonly log10: number;
  readonly skip: number | null;
}

/** What arrives is shared between lane and block; in a plain net all of it has to pass the block. */
function Block({ place, scale, log10, skip }: BlockProps) {
  const { x1, x2, boxX, boxWidth, y } = place;
  const whole = scale * gradientWidth(log10);
  const branch = skip === null ? 1 : Math.min(Math.max(1 - skip, 0), 1);
  return (
    <g class="block">
      {skip !== null && <path class="lane" d={lanePath(place)} style={{ strokeWidth: Math.max(whole * (1 - branch), 0.75) }} />}
      <path
        class={isHairline(log10) ? "through hairline" : "through"}
        d={`M${x1},${y}H${x2}`}
        style={{ strokeWidth: Math.max(whole * branch, 0.75) }}
      />
      <rect x={boxX} y={y - BOX_HEIGHT / 2} width={boxWidth} height={BOX_HEIGHT} rx={4} />
      {boxWidth > 22 && (
        <text class="box" x={boxX + boxWidth / 2} y={y + 5} text-anchor="middle">
          F{place.index + 1}
        </text>
      )}
      {skip !== null && <circle cx={x2} cy={y} r={Math.min(4, boxWidth / 4)} />}
    </g>
  );
}

function Flow({ path, log10, scale }: { path: string; log10: number; scale: number }) {
  return <path class={isHairline(log10) ? "through hairline" : "through"} d={path} style={{ strokeWidth: Math.max(scale * gradientWidth(log10), 0.75) }} />;
}
