/** The selected block as a small circuit with its own measured numbers, drawn like the explainer's. */
import { useMemo } from "preact/hooks";
import { texts } from "../../core/i18n";
import { decoded, short } from "../../core/numbers";
import { inkOn, rampColour } from "../../core/theme";
import { shortened } from "../graph/marks";
import { rems } from "../../ui/rems";
import { decadeClass, decadeRange } from "../classes";
import { type FlowView, gradientOf, layerName, layerOf } from "../flowview";
import { SaveTools } from "../SaveTools";
import { select, type Selection } from "../state";
import { type Block, blockOf } from "./block";
import { BlockTable } from "./BlockTable";
import { blockScene, STOP_HEIGHT, type StopMark, type WireMark } from "./scene";
import { waysOf } from "./series";
import { isCancelled } from "./shares";

const t = texts({
  en: {
    title: "Its block, measured", label: "The block as a circuit, from top to bottom: {names}",
    about: "Left of the wires: RMS of what goes forward. Right: norm of the gradient that comes back, and its share where ways part.",
    input: "x is the output of {name}.", cancel: "Cancellation at x: {value}.", cancelled: "The ways cancel each other: shares say nothing.",
    others: "{n} more uses of x are not drawn.",
  },
  zh: {
    title: "所在的块（实测）", label: "块的电路图，从上到下：{names}",
    about: "线的左侧：前向信号的均方根。右侧：传回的梯度的范数，分叉处还有其占比。",
    input: "x 是 {name} 的输出。", cancel: "x 处的抵消程度：{value}。", cancelled: "各路梯度相互抵消：占比没有意义。",
    others: "x 的另外 {n} 处使用未画出。",
  },
});
const MOST_NAME = 120;

export function BlockView({ view, chosen }: { view: FlowView; chosen: Selection }) {
  const ways = useMemo(() => waysOf(view.flow), [view]);
  const block = blockOf(view, ways, chosen);
  if (!block) return null;
  return (
    <div class="block" id="block">
      <h3>{t("title")}</h3>
      <Drawing view={view} block={block} chosen={layerOf(view, chosen)} />
      <p class="pale">
        {t("about")} {aboutFork(view, block).join(" ")}
      </p>
      <BlockTable view={view} block={block} />
      <SaveTools of="block" />
    </div>
  );
}

function aboutFork(view: FlowView, block: Block): string[] {
  const fork = view.flow.forks[block.fork];
  if (!fork) return [];
  const cancellation = decoded(fork.cancellation);
  return [
    t("input", { name: shortened(fork.name, MOST_NAME) }),
    cancellation === null ? "" : t("cancel", { value: short(cancellation, 3) }),
    isCancelled(fork) ? t("cancelled") : "",
    block.others > 0 ? t("others", { n: block.others }) : "",
  ].filter(Boolean);
}

function Drawing({ view, block, chosen }: { view: FlowView; block: Block; chosen: number }) {
  const { stops, wires, width, height } = blockScene(view, block);
  const label = t("label", { names: block.main.map((stop) => stop.name).join(", ") });
  return (
    <svg class="circuit measured" viewBox={`0 0 ${width} ${height}`} style={{ ...rems(width, height), height: "auto" }} role="img" aria-label={label}>
      {wires.map((wire) => (
        <Wire key={wire.key} wire={wire} />
      ))}
      {stops.map((mark, i) => (
        <StopView key={i} view={view} mark={mark} isChosen={mark.stop.layer >= 0 && mark.stop.layer === chosen} />
      ))}
    </svg>
  );
}

const path = (points: WireMark["points"]) => points.map(([x, y], i) => `${i ? "L" : "M"}${x},${y}`).join("");

function Wire({ wire }: { wire: WireMark }) {
  const { points, value, gradient, share, labelX, labelY } = wire;
  return (
    <g class={wire.isLane ? "wire skip" : "wire"} data-wire={wire.key}>
      <path class="line" d={path(points)} />
      <path class="back" d={path(points)} transform="translate(4,4)" />
      {value && <text class="value" x={labelX - 9} y={labelY + 5} text-anchor="end">{value}</text>}
      {gradient && (
        <text class="gradient" x={labelX + 13} y={labelY + 5}>
          {gradient}
          {share && <tspan class="share" dx={7}>{share}</tspan>}
        </text>
      )}
    </g>
  );
}

/** A layer has its gradient's colour, as in the graph. */
function StopView({ view, mark: { stop, x, y, width, label, sum }, isChosen }: { view: FlowView; mark: StopMark; isChosen: boolean }) {
  const layer = view.flow.layers[stop.layer];
  const value = layer ? gradientOf(layer) : null;
  const fill = value !== null && Number.isFinite(value) ? rampColour(decadeClass(value, decadeRange(view.flow))) : null;
  const classes = ["node", stop.kind, isChosen && "chosen", value === -Infinity && "zero", layer && value === null && "unreached", value !== null && (Number.isNaN(value) || value === Infinity) && "broken"].filter(Boolean).join(" ");
  return (
    <g class={classes} data-stop={stop.name} onClick={layer && (() => select({ what: "layer", index: stop.layer }, layerName(layer)))}>
      <rect x={x - width / 2} y={y - STOP_HEIGHT / 2} width={width} height={STOP_HEIGHT} rx={STOP_HEIGHT / 2} style={fill ? { fill } : {}} />
      <text class="name" x={x} y={y + 5} text-anchor="middle" style={fill ? { fill: inkOn(fill) } : {}}>
        {label}
      </text>
      {sum && <text class="gradient sum" x={x + width / 2 + 8} y={y - 8}>{sum}</text>}
      {stop.layers > 1 && <title>{stop.name}</title>}
    </g>
  );
}
