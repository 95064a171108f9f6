/** 6c. Where DenseNet's few parameters come from: narrow layers, and reuse of what is there. */
import { texts } from "../core/i18n";
import { count, short } from "../core/numbers";
import { choiceParam, wholeParam } from "../core/state";
import { Choice, RangeField } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Plot, type Series } from "../ui/Plot";
import { Say } from "../ui/Say";
import { useWidth } from "../ui/useWidth";
import { BillView } from "./BillView";
import { type Comparison, comparison, type Equal, EQUALS, type Net, NETS } from "./comparison";
import { AT_EQUAL_ERROR, ParametersTable } from "./ParametersTable";

const t = texts({
  en: {
    title: "Fewer parameters: narrow layers, and nothing made twice",
    lead:
      "DenseNet-BC-{denseDepth} (k = {k}) has **{dense}** parameters. {same} costs **{resnet}**: {times} times as many. A dense layer makes only {k} new channels, and reads all the others instead of making them again.",
    samePlan: "A ResNet-{resnetDepth} of width {width}",
    sameChannels: "A ResNet-{resnetDepth} that gives its head as many channels ({channels})",
    n: "Blocks per stage, n", k: "Growth rate k", width: "Width of ResNet and Inception net", equal: "Held equal",
    plan: "the plan", channels: "the plan and the head's channels",
    resnet: "ResNet-{depth}, width {width}", inception: "Inception-style net, {depth} layers, width {width}", dense: "DenseNet-BC-{depth}, k = {k}",
    bars: "Parameters: {list}", each: "What each block costs", block: "block (1: at the input)", cost: "parameters",
    held:
      "**What is held equal.** The plan: three stages of {n} blocks, each with two convolutions one after the other. So the depths agree but for DenseNet's two transitions ({denseDepth} and {resnetDepth} layers with weights). {more} " +
      "Not equal: accuracy, memory and time. At nearly the same published error ({denseError} and {otherError} %) the pre-activation ResNet-1001 has {fewer} times the parameters of DenseNet-BC-100 (table below).",
    morePlan: "The width is yours to choose; 16 is that of He et al. (2016).",
    moreChannels: "And the channels that reach the last linear layer: {a} here, {b} there.",
    cause:
      "**The cause.** A ResNet block of C channels makes all C anew, twice: 18 C² weights. A dense layer that reads C channels makes k: 4 k C weights in its 1×1 convolution and 36 k² in its 3×3. " +
      "With C = {c} and k = {k} that is {blockWeights} against {layerWeights}. What it does not make it finds in the lanes of the figure above.",
    article:
      "**About the article.** It likens DenseNet's width to an Inception block. Both put channels side by side, and there the likeness ends: in an Inception block they come from branches of different sizes of one layer, " +
      "all made anew; in DenseNet from all the earlier layers, made once. At the width chosen here the Inception-style net costs {inception}: its 1×1 reductions save, as those of DenseNet-BC do. The rest of DenseNet's saving is that it makes only k channels.",
    formula: "Every count is exact, the same as that of `gp.build`; the Inception modules are those of GoogLeNet (3a) in proportion, with norms (Szegedy et al. 2015).",
  },
  zh: {
    title: "参数更少：层很窄，做过的不再重做",
    lead:
      "DenseNet-BC-{denseDepth}（k = {k}）有 **{dense}** 个参数。{same}需要 **{resnet}**：是它的 {times} 倍。稠密层只新造 {k} 个通道，其余的直接读取，而不是重新造一遍。",
    samePlan: "宽度为 {width} 的 ResNet-{resnetDepth} ",
    sameChannels: "末端通道数相同（{channels}）的 ResNet-{resnetDepth} ",
    n: "每阶段的块数 n", k: "增长率 k", width: "ResNet 与 Inception 网络的宽度", equal: "保持相同的是",
    plan: "结构", channels: "结构和末端通道数",
    resnet: "ResNet-{depth}，宽度 {width}", inception: "Inception 式网络，{depth} 层，宽度 {width}", dense: "DenseNet-BC-{depth}，k = {k}",
    bars: "参数量：{list}", each: "每个块的参数量", block: "块（第 1 块靠近输入）", cost: "参数量",
    held:
      "**保持相同的是什么。**结构：三个阶段，每阶段 {n} 个块，每块先后两次卷积。因此深度相同，只是 DenseNet 多了两个过渡层（带权重的层分别为 {denseDepth} 和 {resnetDepth}）。{more}" +
      "不相同的是准确率、内存和时间。已发表的错误率几乎相同时（{denseError} % 和 {otherError} %），预激活 ResNet-1001 的参数量是 DenseNet-BC-100 的 {fewer} 倍（见下表）。",
    morePlan: "宽度由你选择；16 是 He 等（2016）的取值。",
    moreChannels: "还有进入最后线性层的通道数：{a} 对 {b}。",
    cause:
      "**原因。**C 个通道的 ResNet 块要把全部 C 个通道重新造两遍：18 C² 个权重。读取 C 个通道的稠密层只造 k 个：1×1 卷积用 4 k C 个权重，3×3 卷积用 36 k² 个。" +
      "当 C = {c}、k = {k} 时，是 {blockWeights} 对 {layerWeights}。它没有造的，都能在上一幅图的通道里找到。",
    article:
      "**关于原文。**文章把 DenseNet 的横向结构比作 Inception 块。两者都把通道并排放在一起，但相似之处仅止于此：Inception 块的通道来自同一层里不同尺寸的分支，全部重新计算；" +
      "DenseNet 的通道来自前面所有的层，只算一次。按这里的宽度，Inception 式网络需要 {inception}：它的 1×1 降维能省参数，DenseNet-BC 的 1×1 卷积也是如此；DenseNet 其余的节省，来自每层只造 k 个通道。",
    formula: "所有参数量都是精确值，与 `gp.build` 一致；Inception 模块按 GoogLeNet（3a）的比例，并带归一化（Szegedy 等，2015）。",
  },
});

const WIDEST_NET = 320;
const nOf = wholeParam("parameters.n", 16, 1, 33);
const growthOf = wholeParam("parameters.k", 12, 4, 48);
const widthOf = wholeParam("parameters.width", 16, 2, WIDEST_NET);
const equalOf = choiceParam<Equal>("parameters.equal", "channels", EQUALS);
const LOOK: Record<Net, number> = { resnet: 2, inception: 6, dense: 4 };
const WIDEST = 760;

export function Parameters() {
  const [n, k, equal] = [nOf.value, growthOf.value, equalOf.value];
  const compared = comparison(n, k, widthOf.value, equal);
  const { bills, totals, width } = compared;
  const [frame, room] = useWidth(WIDEST);
  const slots = { n, k, width, resnetDepth: 6 * n + 2, denseDepth: 6 * n + 4, channels: bills.resnet.channels };
  const name = (net: Net) => t(net, { depth: net === "dense" ? slots.denseDepth : slots.resnetDepth, width, k });
  const bars = NETS.map((net) => ({ name: name(net), parameters: totals[net], look: LOOK[net] }));
  const lead = t("lead", {
    ...slots, dense: unbroken(count(totals.dense)), resnet: unbroken(count(totals.resnet)), times: short(totals.resnet / totals.dense, 2),
    same: t(equal === "channels" ? "sameChannels" : "samePlan", slots),
  });
  return (
    <Figure id="parameters" title={t("title")} lead={lead} controls={<Controls width={width} />} after={<After {...{ compared, slots }} />}>
      <div ref={frame}>
        <BillView bars={bars} width={room} label={t("bars", { list: bars.map((bar) => `${bar.name}: ${count(bar.parameters)}`).join("; ") })} />
      </div>
      <h3>{t("each")}</h3>
      <Plot label={t("each")} series={costs(compared, name)} xTitle={t("block")} yTitle={t("cost")} logarithmic height={280} />
    </Figure>
  );
}

const unbroken = (text: string) => text.replace(" ", "\u00a0");

/** Per block, log10; a dense net's transitions are no blocks. */
function costs({ bills }: Comparison, name: (net: Net) => string): Series[] {
  return NETS.map((net) => ({
    name: name(net), look: LOOK[net], points: bills[net].blocks.flat().map((cost, i) => [i + 1, Math.log10(cost)] as const),
  }));
}

/** The width follows from equal channels until the reader chooses one. */
function Controls({ width }: { width: number }) {
  const choose = (value: number) => {
    equalOf.set("plan");
    widthOf.set(value);
  };
  return (
    <>
      <RangeField label={t("n")} value={nOf.value} min={1} max={33} onChange={nOf.set} />
      <RangeField label={t("k")} value={growthOf.value} min={4} max={48} onChange={growthOf.set} />
      <Choice legend={t("equal")} choices={EQUALS.map((name) => [name, t(name)] as const)} value={equalOf.value} onChange={equalOf.set} />
      <RangeField label={t("width")} value={width} min={2} max={WIDEST_NET} step={2} onChange={choose} />
    </>
  );
}

interface AfterProps {
  readonly compared: Comparison;
  readonly slots: { readonly n: number; readonly k: number; readonly resnetDepth: number; readonly denseDepth: number };
}

function After({ compared, slots }: AfterProps) {
  const { bills, totals } = compared;
  const c = bills.resnet.channels;
  const more = equalOf.value === "channels" ? t("moreChannels", { a: bills.dense.channels, b: c }) : t("morePlan");
  const weights = { c, k: slots.k, blockWeights: count(18 * c ** 2), layerWeights: count(4 * slots.k * c + 36 * slots.k ** 2) };
  return (
    <>
      <p>
        <Say text={t("cause", weights)} />
      </p>
      <p>
        <Say text={t("held", { ...slots, ...AT_EQUAL_ERROR, more })} />
      </p>
      <ParametersTable />
      <p class="article-note">
        <Say text={t("article", { inception: count(totals.inception) })} />
      </p>
      <p class="pale">
        <Say text={t("formula")} />
      </p>
    </>
  );
}
