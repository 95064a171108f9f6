/** Everything that is known of what is selected. */
import { texts } from "../core/i18n";
import { count, decoded, fromLog10, percent, short } from "../core/numbers";
import { BlockView } from "./block/BlockView";
import { type FlowView, layerName, layerNamed, layerOf } from "./flowview";
import { shortened } from "./graph/marks";
import { smallestLayer } from "./graph/walk";
import { Term } from "./Glossary";
import { isCancelled } from "./block/shares";
import type { Fork, Layer } from "./records";
import { valueOf } from "./quantities";
import { select, type Selection, selection } from "./state";
import { valueText } from "./Strip";

const t = texts({
  en: {
    title: "Selected", nothing: "Nothing is selected: click a layer in any view, or press ← → in the strip. As an example, the weighted layer with the smallest gradient:",
    found: "Nothing is selected: click a layer in any view, or press ← → in the strip. Here is where the finding lies:",
    empty: "Nothing is selected.",
    module: "module", shape: "output", gradient: "gradient (RMS)", norm: "gradient (norm)", activation: "activation (RMS)",
    parameter: "parameter gradient (norm)", update: "update ratio", zeros: "gradients that are 0", float16: "below float16",
    close: "Nothing", forks: "Forks of its output", kind: "kind", share: "share", mass: "norm mass", consumer: "to",
    cancellation: "cancellation", layers: "weighted layers", parameters: "parameters", smallest: "smallest gradient (RMS)",
    largest: "largest gradient (RMS)", skip: "skip share", line: "line", operation: "operation", repeated: "repeated", cancelled: "cancelled",
  },
  zh: {
    title: "所选", nothing: "未选中任何内容：点击任一视图中的层，或在条带中按 ← →。下面以梯度最小的加权层为例：",
    found: "未选中任何内容：点击任一视图中的层，或在条带中按 ← →。下面是问题所在的位置：",
    empty: "未选中任何内容。",
    module: "模块", shape: "输出", gradient: "梯度（均方根）", norm: "梯度（范数）", activation: "激活值（均方根）",
    parameter: "参数梯度（范数）", update: "更新比", zeros: "为 0 的梯度", float16: "低于 float16",
    close: "取消选择", forks: "其输出的分叉", kind: "类型", share: "占比", mass: "范数质量", consumer: "通向",
    cancellation: "抵消程度", layers: "加权层", parameters: "参数", smallest: "最小梯度（均方根）",
    largest: "最大梯度（均方根）", skip: "跳跃占比", line: "代码行", operation: "运算", repeated: "重复", cancelled: "已抵消",
  },
});

/** What is shown at rest: where the worst finding lies, else the layer with the smallest gradient. */
function example(view: FlowView): { readonly shown: Selection; readonly why: "found" | "nothing" } | null {
  const where = layerNamed(view.flow, view.flow.findings[0]?.where);
  const index = where >= 0 ? where : smallestLayer(view);
  return index < 0 ? null : { shown: { what: "layer", index }, why: where >= 0 ? "found" : "nothing" };
}

export function Details({ view }: { view: FlowView }) {
  const chosen = selection();
  const rest = chosen ? null : example(view);
  const shown = chosen ?? rest?.shown ?? null;
  return (
    <section class="panel selected" aria-labelledby="selected-title" id="selected">
      <h2 id="selected-title">
        {t("title")}
        {chosen && (
          <button type="button" class="small" onClick={() => select(null)}>
            {t("close")}
          </button>
        )}
      </h2>
      {!chosen && <p class="pale no-print">{t(rest?.why ?? "empty")}</p>}
      {shown && <Chosen view={view} chosen={shown} />}
      {shown && <BlockView view={view} chosen={shown} />}
    </section>
  );
}

function Chosen({ view, chosen }: { view: FlowView; chosen: Selection }) {
  const { flow } = view;
  if (chosen.what === "fork") return <Forks forks={flow.forks.filter((_, i) => i === chosen.index)} />;
  if (chosen.what === "group") return <GroupDetails view={view} index={chosen.index} />;
  const layer = flow.layers[layerOf(view, chosen)];
  const node = chosen.what === "node" ? chosen.index : (view.nodeOfLayer[chosen.index] ?? -1);
  const forks = flow.forks.filter((_, i) => view.nodeOfFork[i] === node && node >= 0);
  return (
    <>
      {layer ? <LayerDetails layer={layer} /> : <NodeDetails view={view} node={node} />}
      {forks.length > 0 && <h3>{t("forks")}</h3>}
      <Forks forks={forks} />
    </>
  );
}

const MOST_NAME = 160;
/** One more than the table: here is room. */
const DIGITS = 4;

/** A name may be as long as its author likes; the whole of it is in the table, and one hover away. */
function Name({ name }: { name: string }) {
  return <p class="name" title={name}>{shortened(name, MOST_NAME)}</p>;
}

/** Label, term of the definitions, text. */
type Pair = readonly [string, string | null, string];

function Pairs({ pairs }: { pairs: readonly Pair[] }) {
  return (
    <dl class="pairs">
      {pairs.map(([label, term, text]) => (
        <div key={label}>
          <dt>{term ? <Term term={term} name={label} /> : label}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

function LayerDetails({ layer }: { layer: Layer }) {
  const shares: Pair[] = layer.numerics
    ? [
        [t("zeros"), null, percent(decoded(layer.numerics.zero_gradients))],
        [t("float16"), "float16 underflow", percent(decoded(layer.numerics.float16_underflow))],
      ]
    : [];
  const pairs: Pair[] = [
    [t("module"), null, layer.module],
    [t("shape"), null, layer.shape.join(" × ")],
    [t("gradient"), "RMS", valueText(valueOf(layer, "gradient"), DIGITS)],
    [t("norm"), null, valueText(valueOf(layer, "norm"), DIGITS)],
    [t("activation"), "RMS", fromLog10(valueOf(layer, "activation"), DIGITS)],
    [t("parameter"), null, fromLog10(valueOf(layer, "parameter"), DIGITS)],
    [t("update"), "update ratio", fromLog10(valueOf(layer, "update"), DIGITS)],
    ...shares,
  ];
  return (
    <>
      <Name name={layerName(layer)} />
      <Pairs pairs={pairs} />
    </>
  );
}

function NodeDetails({ view, node }: { view: FlowView; node: number }) {
  const graph = view.flow.graph;
  if (!graph || node < 0) return null;
  const scope = graph.calls.name[graph.nodes.scope[node] ?? -1] ?? "";
  const shape = graph.shapes[graph.nodes.shape[node] ?? -1] ?? [];
  const operation = graph.operations[graph.nodes.operation[node] ?? -1] ?? "";
  return (
    <>
      <Name name={scope} />
      <Pairs pairs={[[t("operation"), null, operation], [t("shape"), null, shape.join(" × ")]]} />
    </>
  );
}

function GroupDetails({ view, index }: { view: FlowView; index: number }) {
  const group = view.layout?.groups[index];
  if (!group) return null;
  const { sums } = group;
  const pairs: Pair[] = [
    [t("module"), null, group.module],
    [t("layers"), "weighted layer", String(sums.layers)],
    [t("parameters"), null, count(sums.parameters)],
    [t("smallest"), "RMS", valueText(decoded(sums.log10_gradient_rms))],
    [t("largest"), "RMS", valueText(decoded(sums.log10_gradient_rms_largest))],
    [t("skip"), "skip share", percent(decoded(sums.skip_share))],
    ...(group.count > 1 ? [[t("repeated"), null, `× ${group.count}`] as const] : []),
  ];
  return (
    <>
      <Name name={group.name || view.flow.model} />
      <Pairs pairs={pairs} />
    </>
  );
}

function Forks({ forks }: { forks: readonly Fork[] }) {
  return (
    <>
      {forks.map((fork) => (
        <div key={fork.name} class="fork">
          <p>
            <span class="name" title={fork.name}>{shortened(fork.name, MOST_NAME)}</span> ({fork.kind}, {fork.merge}); <Term term="cancellation" name={t("cancellation")} />{" "}
            {short(decoded(fork.cancellation), 3)}
            {fork.line && <> · {fork.line}</>}
          </p>
          <EdgeTable fork={fork} />
        </div>
      ))}
    </>
  );
}

function EdgeTable({ fork }: { fork: Fork }) {
  return (
    <div class="table" role="region" aria-label={fork.name} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col" class="left">{t("consumer")}</th>
            <th scope="col" class="left">{t("kind")}</th>
            <th scope="col"><Term term="share" name={t("share")} /></th>
            <th scope="col"><Term term="norm mass" name={t("mass")} /></th>
            <th scope="col">{t("norm")}</th>
          </tr>
        </thead>
        <tbody>
          {fork.edges.map((edge, i) => (
            <tr key={i}>
              <th scope="row">{edge.consumer}</th>
              <td class="left"><Term term={edge.kind} /></td>
              <td>{isCancelled(fork) ? t("cancelled") : percent(decoded(edge.share))}</td>
              <td>{percent(decoded(edge.norm_mass))}</td>
              <td>{fromLog10(decoded(edge.log10_norm))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
