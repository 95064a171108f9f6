/** The depth profile: a quantity of each weighted layer, theory's line, and what the simulated cures would make of it. */
import { useMemo } from "preact/hooks";
import { language, texts } from "../core/i18n";
import { decoded, short } from "../core/numbers";
import { choiceParam, flagParam } from "../core/state";
import { Select, Toggle } from "../ui/Field";
import { Plot, type Series } from "../ui/Plot";
import { type FlowView, layerName, layerOf } from "./flowview";
import { isLogarithmic, QUANTITIES, theoryLines, valueOf } from "./quantities";
import { SaveTools } from "./SaveTools";
import { select, selection } from "./state";

const t = texts({
  en: {
    title: "Depth profile", quantity: "Quantity", layer: "weighted layer, from the stem",
    gradient: "gradient at the output (RMS)", norm: "gradient at the output (norm)", activation: "activation (RMS)",
    parameter: "gradient of the parameters (norm)", update: "update ratio ‖∂L/∂w‖ / ‖w‖",
    zeros: "share of gradients that are 0", float16: "share of gradients below float16",
    measured: "measured", theory: "theory: {rule} (energy ×{gain} per layer)", cures: "Show what was simulated",
    drawing: "{quantity} over {n} weighted layers", hint: "Click a point of the line to select its layer.",
  },
  zh: {
    title: "深度剖面", quantity: "量", layer: "加权层（从输入端数起）",
    gradient: "输出处的梯度（均方根）", norm: "输出处的梯度（范数）", activation: "激活值（均方根）",
    parameter: "参数的梯度（范数）", update: "更新比 ‖∂L/∂w‖ / ‖w‖",
    zeros: "为 0 的梯度占比", float16: "低于 float16 下限的梯度占比",
    measured: "实测", theory: "理论：{rule}（每层能量 ×{gain}）", cures: "显示模拟的改动",
    drawing: "{n} 个加权层的{quantity}", hint: "点击曲线可选中该层。",
  },
});
const quantity = choiceParam("metric", "gradient", QUANTITIES);
const cures = flagParam("cures", true);
const MOST_CURES = 3;

export function Profile({ view }: { view: FlowView }) {
  const { flow, weighted } = view;
  const shown = quantity.value;
  const layers = weighted.map((i) => flow.layers[i]).filter((layer) => layer !== undefined);
  const series = useMemo(() => {
    const lines: Series[] = [{ name: t("measured"), points: layers.map((layer, i) => [i, valueOf(layer, shown)] as const), look: 5 }];
    if (shown === "gradient") lines.push(...theory(view), ...(cures.value ? simulated(view) : []));
    return lines;
  }, [view, shown, cures.value, language()]);
  const chosen = weighted.indexOf(layerOf(view, selection()));
  const pick = (place: number) => {
    const index = weighted[place];
    const layer = layers[place];
    if (index !== undefined && layer) select({ what: "layer", index }, layerName(layer));
  };
  return (
    <section class="panel profile" aria-labelledby="profile-title" id="profile">
      <h2 id="profile-title">{t("title")}</h2>
      <div class="controls">
        <Select legend={t("quantity")} choices={QUANTITIES.map((name) => [name, t(name)] as const)} value={shown} onChange={quantity.set} />
        {flow.tried.length > 0 && shown === "gradient" && <Toggle label={t("cures")} on={cures.value} onChange={cures.set} />}
      </div>
      <Plot
        label={t("drawing", { quantity: t(shown), n: layers.length })}
        series={series}
        xTitle={t("layer")}
        yTitle={t(shown)}
        logarithmic={isLogarithmic(shown)}
        selected={chosen < 0 ? null : chosen}
        onSelect={pick}
      />
      <p class="pale no-print">{t("hint")}</p>
      <SaveTools of="profile" />
    </section>
  );
}

/** A line for each rule, in parts where it holds at several resolutions. */
function theory(view: FlowView): Series[] {
  const lines = new Map<string, { points: (readonly [number, number | null])[]; resolutions: string[] }>();
  for (const { expected, points } of theoryLines(view.flow)) {
    const name = t("theory", { rule: expected.rule, gain: short(decoded(expected.energy_gain), 3) });
    const line = lines.get(name) ?? { points: [], resolutions: [] };
    const [first] = points;
    if (line.points.length && first) line.points.push([first[0], null]); // a gap
    line.points.push(...points);
    if (expected.resolution) line.resolutions.push(expected.resolution);
    lines.set(name, line);
  }
  const comma = language() === "zh" ? "，" : ", ";
  return [...lines].map(([name, { points, resolutions }]) => ({ name: [name, ...resolutions].join(comma), points, look: 3, isTheory: true }));
}

function simulated(view: FlowView): Series[] {
  return view.flow.tried.slice(0, MOST_CURES).map((change, i) => ({
    name: change.change,
    points: change.log10_gradient_rms.map((value, place) => [place, decoded(value)] as const),
    look: [4, 0, 1][i] ?? 6,
  }));
}
