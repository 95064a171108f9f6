/** Flows side by side: their profiles on one scale, what differs, which findings came and which went. */
import { texts } from "../core/i18n";
import { decoded, fromLog10, percent, short, signed } from "../core/numbers";
import { textParam, wholeParam } from "../core/state";
import { Select, Toggle } from "../ui/Field";
import { Plot, type Series } from "../ui/Plot";
import { changedLayers, diffPoints, type FlowDiff, flowPoints, isBeyond, type LayerDiff, lineOf } from "./compared";
import { at, type Pair, type Spoken } from "./data";
import { kindText } from "./kinds";
import { Panel } from "./Panel";
import { Unseen } from "./Unseen";
import type { AnyRecord, Finding, Flow, Num } from "./records";
import { valueText } from "./Strip";
import { spokenIn, told } from "./told";

const t = texts({
  en: {
    title: "Gradient over depth, side by side", place: "depth", depth: "depth, % of the way from stem to head", axis: "gradient at the output (RMS)",
    drawing: "Gradient RMS over relative depth, one line for each of {n} flows", lines: "Lines", pair: "Compared",
    against: "{a} → {b}", numbers: "In numbers", quantity: "quantity", ratio: "B ÷ A (decades)", factor: "×{factor} ({decades})",
    none: "no ratio", same: "×1", differs: "beyond the tolerance of {tolerance} decades: {n} of {all}", layer: "layer",
    layers: "Layers that differ most", findings: "Findings that came and went", appeared: "new in B", gone: "gone in B", neither: "No finding came or went.",
    mark: "beyond", allAgree: "Every layer agrees within {tolerance} decades.", where: "at {where}", more: "{n} more layers differ.",
    by: "Layers are matched by depth where their names differ.",
  },
  zh: {
    title: "梯度随深度的变化：并排比较", place: "深度", depth: "深度：从输入端到输出端的百分比", axis: "输出处的梯度（均方根）",
    drawing: "{n} 条记录的梯度均方根随相对深度的变化，每条记录一条线", lines: "曲线", pair: "比较对象",
    against: "{a} → {b}", numbers: "数字对比", quantity: "量", ratio: "B ÷ A（数量级）", factor: "×{factor} ({decades})",
    none: "无比值", same: "×1", differs: "超出 {tolerance} 个数量级的容差：{all} 层中有 {n} 层", layer: "层",
    layers: "差别最大的层", findings: "新出现与已消失的问题", appeared: "B 中新出现", gone: "B 中已消失", neither: "没有问题出现或消失。",
    mark: "超出", allAgree: "所有层的差别都在 {tolerance} 个数量级以内。", where: "位于 {where}", more: "另有 {n} 层不同。",
    by: "名称不同的层按深度配对。",
  },
});
const pairIndex = wholeParam("compare.pair", 0, 0, 999);
const hidden = textParam("compare.hidden");
const MOST_LAYERS = 20;

interface Props {
  readonly records: readonly AnyRecord[];
  readonly spoken: Spoken;
}

export function SideBySide({ records, spoken }: Props) {
  const { pairs } = spoken;
  const pair = pairs[Math.min(pairIndex.value, pairs.length - 1)];
  const diff = pair && at<FlowDiff>(records, pair.diff);
  if (!pair || !diff) return null;
  const names = pairs.map((one) => at<FlowDiff>(records, one.diff)?.name_b ?? "");
  return (
    <div class="views">
      {pairs.length > 1 && (
        <div class="wide">
          <Choose pairs={pairs} names={names} first={diff.name_a} chosen={pair} />
        </div>
      )}
      <div class="column">
        <Profiles series={seriesOf(records, pairs)} />
        <Layers diff={diff} />
      </div>
      <div class="column">
        <Quantities diff={diff} notes={pair.notes} />
        <Findings diff={diff} />
      </div>
    </div>
  );
}

function Choose({ pairs, names, first, chosen }: { pairs: readonly Pair[]; names: readonly string[]; first: string; chosen: Pair }) {
  return (
    <section class="panel">
      <div class="controls">
        <Select
          legend={t("pair")}
          choices={names.map((name, i) => [String(i), t("against", { a: first, b: name })] as const)}
          value={String(pairs.indexOf(chosen))}
          onChange={(i) => pairIndex.set(Number(i))}
        />
      </div>
      <p {...spokenIn(chosen.headline)}>{told(chosen.headline)}</p>
    </section>
  );
}

/** A line per flow; from the difference where the page does not hold the flows. */
function seriesOf(records: readonly AnyRecord[], pairs: readonly Pair[]): Series[] {
  const diffs = pairs.flatMap((pair) => at<FlowDiff>(records, pair.diff) ?? []);
  const points = (pair: Pair, diff: FlowDiff, side: "a" | "b") => {
    const flow = at<Flow>(records, pair[side]);
    return flow ? flowPoints(flow) : diffPoints(diff, side);
  };
  const [pair, diff] = [pairs[0], diffs[0]];
  if (!pair || !diff) return [];
  const others = diffs.map((one, i) => lineOf(one.name_b, i + 1, points(pairs[i] ?? pair, one, "b")));
  return [lineOf(diff.name_a, 0, points(pair, diff, "a")), ...others];
}

function Profiles({ series }: { series: readonly Series[] }) {
  const away = new Set(hidden.value.split(",").filter(Boolean).map(Number));
  const shown = series.filter((_, i) => !away.has(i));
  const toggle = (i: number, on: boolean) => {
    const next = on ? [...away].filter((one) => one !== i) : [...away, i];
    if (next.length < series.length) hidden.set(next.sort((a, b) => a - b).join(","));
  };
  return (
    <Panel id="side-by-side" title={t("title")} drawn>
      {series.length > 2 && (
        <fieldset class="shown-nets">
          <legend>{t("lines")}</legend>
          {series.map((one, i) => (
            <Toggle key={i} label={one.name} on={!away.has(i)} onChange={(on) => toggle(i, on)} />
          ))}
        </fieldset>
      )}
      <Plot
        label={t("drawing", { n: shown.length })}
        series={shown}
        xTitle={t("depth")}
        yTitle={t("axis")}
        xTicks={[0, 25, 50, 75, 100]}
        xText={(tick) => `${tick} %`}
        logarithmic
        height={360}
      />
      <Unseen series={shown} />
    </Panel>
  );
}

/** '×0.012 (−1.9 decades)'. */
export function ratioText(decades: Num): string {
  const value = decoded(decades);
  if (value === null) return "-";
  if (!Number.isFinite(value)) return t("none");
  if (Math.abs(value) < 0.005) return t("same");
  return t("factor", { factor: fromLog10(value, 3), decades: `${value > 0 ? "+" : ""}${signed(value.toFixed(2))}` });
}

const quantityText = (name: string, value: Num): string => (name === "skip share" ? percent(decoded(value)) : short(decoded(value), 3));

function Quantities({ diff, notes }: { diff: FlowDiff; notes: readonly string[] }) {
  return (
    <Panel id="quantities" title={t("numbers")}>
      <div class="table" role="region" aria-labelledby="quantities-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("quantity")}</th>
              <th scope="col">A: {diff.name_a}</th>
              <th scope="col">B: {diff.name_b}</th>
              <th scope="col">{t("ratio")}</th>
            </tr>
          </thead>
          <tbody>
            {diff.quantities.map((one) => (
              <tr key={one.name} class={isBeyond(diff, one.decades) ? "beyond" : ""}>
                <th scope="row">{one.name}</th>
                <td>{quantityText(one.name, one.a)}</td>
                <td>{quantityText(one.name, one.b)}</td>
                <td>{ratioText(one.decades)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {notes.map((note) => (
        <p key={note} class="pale" {...spokenIn(note)}>{told(note)}</p>
      ))}
    </Panel>
  );
}

function Findings({ diff }: { diff: FlowDiff }) {
  const none = !diff.appeared.length && !diff.disappeared.length;
  return (
    <Panel id="findings" title={t("findings")}>
      {none && <p>{t("neither")}</p>}
      <FindingList findings={diff.appeared} sign="+" word={t("appeared")} />
      <FindingList findings={diff.disappeared} sign="−" word={t("gone")} />
    </Panel>
  );
}

function FindingList({ findings, sign, word }: { findings: readonly Finding[]; sign: string; word: string }) {
  if (!findings.length) return null;
  return (
    <ul class="came-and-went">
      {findings.map((finding, i) => (
        <li key={i} class={sign === "+" ? "new" : "gone"}>
          <strong>
            {sign} {word}: {kindText(finding.kind)}
          </strong>{" "}
          {finding.where && t("where", { where: finding.where })}
          <br />
          <span {...spokenIn(finding.sentence)}>{told(finding.sentence)}</span>
        </li>
      ))}
    </ul>
  );
}

const layerTitle = ({ scope_a: a, scope_b: b, call }: LayerDiff) => (a === b ? a + (call ? ` (${call})` : "") : `${a} ~ ${b}`);

function Layers({ diff }: { diff: FlowDiff }) {
  const changed = changedLayers(diff);
  const tolerance = short(diff.tolerance, 2);
  return (
    <Panel id="layers-that-differ" title={t("layers")}>
      <p>
        {changed.length ? t("differs", { tolerance, n: changed.length, all: diff.layers.length }) : t("allAgree", { tolerance })}
        {diff.layers.some((layer) => layer.matched === "depth") && ` · ${t("by")}`}
      </p>
      {changed.length > 0 && (
        <div class="table" role="region" aria-labelledby="layers-that-differ-title" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col" class="left">{t("layer")}</th>
                <th scope="col">{t("place")}</th>
                <th scope="col">A</th>
                <th scope="col">B</th>
                <th scope="col">{t("ratio")}</th>
              </tr>
            </thead>
            <tbody>
              {changed.slice(0, MOST_LAYERS).map((layer, i) => (
                <tr key={i}>
                  <th scope="row">{layerTitle(layer)}</th>
                  <td>{`${(100 * layer.depth).toFixed(0)} %`}</td>
                  <td>{valueText(decoded(layer.log10_rms_a))}</td>
                  <td>{valueText(decoded(layer.log10_rms_b))}</td>
                  <td>{ratioText(layer.decades)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {changed.length > MOST_LAYERS && <p class="pale">{t("more", { n: changed.length - MOST_LAYERS })}</p>}
    </Panel>
  );
}
