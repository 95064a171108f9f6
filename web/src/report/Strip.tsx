/** The full depth as a barcode: one bar per weighted layer, one colour per decade; also 1,000 layers on one screen. */
import { useMemo, useState } from "preact/hooks";
import { texts } from "../core/i18n";
import { fromLog10 } from "../core/numbers";
import { ramp, rampColour } from "../core/theme";
import { Barcode, HEIGHT, WIDTH } from "./Barcode";
import { classSteps, decadeClass, decadeRange, oddities } from "./classes";
import { type FlowView, gradientOf, layerName, layerOf } from "./flowview";
import { shortened } from "./graph/marks";
import { select, selection } from "./state";

const t = texts({
  en: {
    title: "All layers, from stem to head", none: "no gradient", zero: "exactly 0", broken: "not finite",
    drawing: "Gradient of {n} weighted layers as a strip: from {first} at the stem to {last} at the head",
    use: "← and → move along the layers",
    legend: "Gradient RMS at the output",
  },
  zh: {
    title: "全部层（从输入端到输出端）", none: "无梯度", zero: "恰好为 0", broken: "非有限值",
    drawing: "{n} 个加权层的梯度条带：输入端 {first}，输出端 {last}",
    use: "← 和 → 在各层之间移动",
    legend: "输出处梯度的均方根",
  },
});
const MOST_NAME = 40;

/** What stands for a value that has no place on the ramp: a pattern, never a colour of it. */
export function fillOf(value: number | null, range: readonly [number, number]): string {
  if (value === null) return "url(#no-gradient)";
  if (value === -Infinity) return "var(--line)";
  if (!Number.isFinite(value)) return "url(#not-finite)";
  return rampColour(decadeClass(value, range));
}

export function Strip({ view }: { view: FlowView }) {
  const { flow, weighted } = view;
  const [pointed, setPointed] = useState(-1);
  const range = decadeRange(flow);
  const width = WIDTH / Math.max(weighted.length, 1);
  const layerAt = (place: number) => flow.layers[weighted[place] ?? -1];
  const bars = useMemo(
    () =>
      weighted.map((index, place) => {
        const layer = flow.layers[index];
        return <rect key={index} x={place * width} y={0} width={width + 0.05} height={HEIGHT} fill={fillOf(layer ? gradientOf(layer) : null, range)} />;
      }),
    [view, ramp.value],
  );
  const choose = (place: number) => {
    const [index, layer] = [weighted[place], layerAt(place)];
    if (index !== undefined && layer) select({ what: "layer", index }, `${layerName(layer)}: ${valueText(gradientOf(layer))}`);
  };
  const told = (place: number) => {
    const layer = layerAt(place);
    return layer ? `${shortened(layerName(layer), MOST_NAME)}  ${valueText(gradientOf(layer))}` : "";
  };
  const [first, last] = [0, weighted.length - 1].map((place) => {
    const layer = layerAt(place);
    return valueText(layer ? gradientOf(layer) : null);
  });
  return (
    <Barcode
      id="strip" title={t("title")} keys={t("use")} count={weighted.length}
      label={t("drawing", { n: weighted.length, first: first ?? "-", last: last ?? "-" })}
      chosen={weighted.indexOf(layerOf(view, selection()))} pointed={pointed} onChoose={choose} onPoint={setPointed} told={told}
      bars={<><Patterns />{bars}</>}
    >
      <Legend view={view} />
    </Barcode>
  );
}

export function valueText(value: number | null, digits = 3): string {
  if (value === null) return t("none");
  if (value === -Infinity) return t("zero");
  return Number.isFinite(value) ? fromLog10(value, digits) : t("broken");
}

function Patterns() {
  return (
    <defs>
      <pattern id="no-gradient" width="6" height="6" patternUnits="userSpaceOnUse">
        <rect width="6" height="6" fill="var(--page)" />
        <circle cx="3" cy="3" r="1" fill="var(--hatch)" />
      </pattern>
      <pattern id="not-finite" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <rect width="6" height="6" fill="var(--page)" />
        <rect width="2.5" height="6" fill="var(--backward)" />
      </pattern>
    </defs>
  );
}

/** The ramp's classes with their numbers; and what is among the layers but not on it. */
export function Legend({ view }: { view: FlowView }) {
  const odd = oddities(view);
  return (
    <p class="legend">
      <span>{t("legend")}</span>
      {classSteps(decadeRange(view.flow)).map(({ from, colour }) => (
        <span key={from} class="class">
          <i style={{ background: rampColour(colour) }} />≥ {fromLog10(from, 2)}
        </span>
      ))}
      {odd.has("none") && <span class="class"><i class="no-gradient" />{t("none")}</span>}
      {odd.has("zero") && <span class="class"><i class="zero" />{t("zero")}</span>}
      {odd.has("broken") && <span class="class"><i class="broken" />{t("broken")}</span>}
    </p>
  );
}
