/** 6b. DenseNet: every layer linked to all later ones, and its gradient a sum over them. */
import { texts } from "../core/i18n";
import { show, short } from "../core/numbers";
import { choiceParam, numberParam, wholeParam } from "../core/state";
import nets from "../generated/nets.json";
import { Choice, NumberField, RangeField } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Say } from "../ui/Say";
import { useWidth } from "../ui/useWidth";
import { sourceNames } from "./denseCircuit";
import { FEWEST_LAYERS, MOST_LAYERS, NUMBERS, type Numbers, partsOf } from "./denseData";
import { channelsRead } from "./denseLayout";
import { DenseTable } from "./DenseTable";
import { DenseView } from "./DenseView";
import { superscript } from "./prose";

const t = texts({
  en: {
    title: "DenseNet: every layer hears from all later ones",
    lead:
      "Each layer reads **everything** before it: its lane (to the right) passes all later layers and reaches the output. So each layer's gradient is a **sum over the layers after it**, " +
      "and one part of it comes straight from the output. {layers} layers, {links} links.",
    layers: "Layers", weight: "Weight of each layer, w", growth: "Growth rate k", numbers: "Numbers", hand: "one number per layer", real: "a real DenseNet",
    choose: "Layer whose gradient is shown", drawing: "A dense block of {layers} layers as lanes; {source} gets back {count} parts",
    out: "out", reads: "channels read by each layer, and in the output",
    sumHand: "∂L/∂{source} = {terms} = **{total}**. Each term is what one later layer (or the output, 1) sends back: w times its own gradient.",
    sumReal: "{source} gets gradients back from {count} consumers, in norms relative to the largest in the block: {terms}.",
    from: "{value} ({consumer})", comma: ", ",
    law: "With one number per layer the sum is (1 + w){later} = {power}: {ways} ways lead from here to the output, and one of them passes no layer at all.",
    real_note:
      "Measured: first dense block of DenseNet-BC-{depth}-{growth} at initialisation, norms, means of {seeds} draws. They are norms of parts that point in different directions, " +
      "so they do not add up like numbers; the gradients themselves do.",
    article:
      "**About the article.** It says that each layer's gradient adds up the gradients of several earlier layers. The sum is right; the layers are the **later** ones, " +
      "because a gradient comes from where the output went. Choose a layer: it hears only from its right.",
    width: "Every layer adds only k = {k} channels to what the next ones read: {first} channels go in, {last} come out. That is the **growth rate**.",
  },
  zh: {
    title: "DenseNet：每一层都能收到后面所有层的消息",
    lead:
      "每一层都读取它之前的**全部**输出：它的通道（向右）经过后面的每一层，直达块的输出。因此每一层的梯度是**后面各层之和**，其中一份直接来自输出。{layers} 层，{links} 条连接。",
    layers: "层数", weight: "每层的权重 w", growth: "增长率 k", numbers: "数值", hand: "每层一个数", real: "真实的 DenseNet",
    choose: "显示哪一层的梯度", drawing: "{layers} 层的稠密块，画成通道；{source} 收到 {count} 份梯度",
    out: "输出", reads: "每层读取的通道数，最右为输出",
    sumHand: "∂L/∂{source} = {terms} = **{total}**。每一项都来自后面的一层（或输出，传回 1）：w 乘以那一层自己的梯度。",
    sumReal: "{source} 从 {count} 处收到梯度，以块内最大者为 1 的范数：{terms}。",
    from: "{value}（{consumer}）", comma: "、",
    law: "每层只有一个数时，总和等于 (1 + w){later} = {power}：从这里到输出有 {ways} 条路径，其中一条不经过任何层。",
    real_note:
      "实测：DenseNet-BC-{depth}-{growth} 初始化时的第一个稠密块，{seeds} 次随机抽取的平均范数。各份梯度方向不同，范数不能像普通数那样相加；梯度本身则可以。",
    article:
      "**关于原文。**文章说，每一层的梯度是前面几层梯度之和。“和”没有错，但应该是**后面**的层：输出流向哪里，梯度就从哪里回来。任选一层看看：它只收到来自右边的梯度。",
    width: "每层只给后面的层增加 k = {k} 个通道：进入时 {first} 个，离开时 {last} 个。这就是**增长率**。",
  },
});

const layersOf = wholeParam("dense.layers", 6, FEWEST_LAYERS, MOST_LAYERS);
const weightOf = numberParam("dense.w", 0.1, -10, 10);
const growthOf = wholeParam("dense.k", 12, 1, 64);
const numbersOf = choiceParam<Numbers>("dense.numbers", "hand", NUMBERS);
const sourceOf = wholeParam("dense.layer", 2, 0, MOST_LAYERS);
const WIDEST = 860;

export function Dense() {
  const [layers, growth, numbers] = [layersOf.value, growthOf.value, numbersOf.value];
  const selected = Math.min(sourceOf.value, layers);
  const parts = partsOf(numbers, layers, weightOf.value);
  const channels = channelsRead(layers, growth);
  const [frame, width] = useWidth(WIDEST);
  const source = sourceNames(layers)[selected] ?? "x";
  const links = parts.flat().length;
  return (
    <Figure id="dense" title={t("title")} lead={t("lead", { layers, links })} controls={<Controls numbers={numbers} />} after={<After />}>
      <div ref={frame}>
        <DenseView
          {...{ parts, channels, growth, selected, width }}
          onSelect={sourceOf.set}
          label={t("drawing", { layers, source, count: parts[selected]?.length ?? 0 })}
          words={{ out: t("out"), reads: t("reads"), sign: numbers === "hand" ? "∂" : "" }}
        />
      </div>
      <Choice
        legend={t("choose")}
        choices={sourceNames(layers).map((name, i) => [String(i), name] as const)}
        value={String(selected)}
        onChange={(name) => sourceOf.set(Number(name))}
      />
      <Sum {...{ parts, selected, layers, numbers }} />
      <p>
        <Say text={t("width", { k: growth, first: channels[0] ?? 0, last: channels.at(-1) ?? 0 })} />
      </p>
    </Figure>
  );
}

function Controls({ numbers }: { numbers: Numbers }) {
  return (
    <>
      <RangeField label={t("layers")} value={layersOf.value} min={FEWEST_LAYERS} max={MOST_LAYERS} onChange={layersOf.set} />
      <RangeField label={t("growth")} value={growthOf.value} min={1} max={64} onChange={growthOf.set} />
      <Choice legend={t("numbers")} choices={NUMBERS.map((name) => [name, t(name)] as const)} value={numbers} onChange={numbersOf.set} />
      {numbers === "hand" && <NumberField label={t("weight")} value={weightOf.value} onChange={weightOf.set} />}
    </>
  );
}

interface SumProps {
  readonly parts: readonly (readonly number[])[];
  readonly selected: number;
  readonly layers: number;
  readonly numbers: Numbers;
}

function Sum({ parts, selected, layers, numbers }: SumProps) {
  const row = parts[selected] ?? [];
  const names = [...sourceNames(layers).slice(selected + 1), t("out")];
  const source = sourceNames(layers)[selected] ?? "x";
  const isHand = numbers === "hand";
  const written = (value: number) => (isHand ? show(value) : short(value, 2));
  const terms = row.map((value, i) => t("from", { value: written(value), consumer: names[i] ?? "" })).join(isHand ? " + " : t("comma"));
  const total = row.reduce((sum, value) => sum + value, 0);
  const later = layers - selected;
  const { seeds } = nets.about;
  return (
    <>
      <p class="now" aria-live="polite">
        <Say text={isHand ? t("sumHand", { source, terms, total: show(total) }) : t("sumReal", { source, count: row.length, terms })} />
      </p>
      <p class="pale">
        {isHand
          ? t("law", { later: superscript(later), power: show((1 + weightOf.value) ** later), ways: 2 ** later })
          : t("real_note", { depth: 6 * layers + 4, growth: 12, seeds })}
      </p>
    </>
  );
}

function After() {
  return (
    <>
      <p class="article-note">
        <Say text={t("article")} />
      </p>
      <DenseTable />
    </>
  );
}
