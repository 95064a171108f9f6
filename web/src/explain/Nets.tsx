/** 6a. ResNet as a whole: stages, blocks, express lanes, and the gradient that real nets send through them. */
import { texts } from "../core/i18n";
import { fromLog10, percent, short } from "../core/numbers";
import { choiceParam, wholeParam } from "../core/state";
import { Choice, RangeField } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Plot, type Series } from "../ui/Plot";
import { Say } from "../ui/Say";
import { useWidth } from "../ui/useWidth";
import { resnet, totalOf } from "./netParameters";
import { ABOUT, MOST_BLOCKS, STACKS, type Stack, traced, type Traced, wayCount } from "./netsData";
import { NetView } from "./NetView";
import { inProse, superscript } from "./prose";

const t = texts({
  en: {
    title: "ResNet as a whole: a lane past every block",
    lead:
      "**ResNet-{depth}**: a first convolution, {blocks} blocks in three stages, a last linear layer. Every block can be gone around. " +
      "Take the lanes away, and the norms, and of the gradient **{bare}** is left at the first block. With them, it arrives.",
    n: "Blocks per stage, n", stack: "Net", residual: "ResNet", plain: "without lanes", bare: "without lanes and norms",
    stage: "stage {s}: {channels} channels, {size}×{size} pixels", input: "x", loss: "loss",
    drawing: "{net} drawn as three rows of {n} blocks. {point}",
    pointResidual: "Lanes carry from {low} to {high} of the gradient; at the first block {first} of what left the last one arrives.",
    pointPlain: "At the first block {first} times the gradient of the last one arrives.",
    reading:
      "How to read it: forward is from x to the loss, line by line; the gradient comes back the other way. The wider a line, the more gradient it carries, " +
      "the same step for every factor of ten; dotted: too small to draw. The lane takes its share, the block the rest.",
    now:
      "Depth 6n + 2 = {depth}; {parameters} parameters; 2{power} = {ways} ways through. At initialisation the gradient that reaches the first block has passed " +
      "**{effective} of {blocks} blocks** on average: it takes mostly short ways (Veit et al. 2016).",
    nowPlain:
      "Depth 6n + 2 = {depth}; one way, through every block. At initialisation the first block's input gets **{first}** times the gradient " +
      "of the last block's output.",
    plot: "Gradient at each block's input", block: "block (1: at the input)", norm: "norm, last block's output = 1",
    shares: "What the lanes carry, block by block", share: "lane's share", gradient: "gradient",
    source:
      "Measured, not drawn by hand: gradpath's nets at initialisation, traced on noise, means of {seeds} draws, batch {batch}, PyTorch {torch}. " +
      "Without lanes and norms: in PyTorch's own initialisation, as a plain stack would be written.",
    article:
      "**About the article.** Its Fig. 8 says that the gradient passes all residual blocks without hindrance, and that only memory limits the depth. The gradient does get through: " +
      "nets of 1,202 and 1,001 layers were trained. But He et al.'s (2016) ResNet-1202 made **7.93 %** errors on CIFAR-10 where ResNet-110 made **6.43 %**: " +
      "it can be trained, and is no better in that recipe. And without lanes, but with BatchNorm, the gradient does not die either: it grows (the figure above).",
  },
  zh: {
    title: "ResNet 全貌：每个块旁都有一条快捷通道",
    lead:
      "**ResNet-{depth}**：一个首卷积层，三个阶段共 {blocks} 个残差块，最后是一个线性层。每个块都可以绕过。" +
      "拿掉快捷通道和归一化，第一个块处只剩下梯度的 **{bare}**；有了它们，梯度就能到达。",
    n: "每阶段的块数 n", stack: "网络", residual: "ResNet", plain: "去掉快捷通道", bare: "去掉快捷通道和归一化",
    stage: "阶段 {s}：{channels} 个通道，{size}×{size} 像素", input: "x", loss: "损失",
    drawing: "{net}：三行，每行 {n} 个块。{point}",
    pointResidual: "快捷通道承载梯度的 {low} 到 {high}；第一个块收到的梯度是最后一个块输出处的 {first} 倍。",
    pointPlain: "第一个块收到的梯度是最后一个块输出处的 {first} 倍。",
    reading:
      "读图方法：前向传播从 x 开始逐行走到损失，梯度沿相反方向返回。线越粗，承载的梯度越大，每差十倍粗细差一档；点线表示小得画不出来。快捷通道分走一部分，其余的经过块。",
    now:
      "深度 6n + 2 = {depth}；{parameters} 个参数；共有 2{power} = {ways} 条路径。初始化时，到达第一个块的梯度平均只经过了 **{blocks} 个块中的 {effective} 个**：它主要走较短的路径（Veit 等，2016）。",
    nowPlain: "深度 6n + 2 = {depth}；只有一条路径，必须经过每一个块。初始化时，第一个块输入处的梯度是最后一个块输出处的 **{first}** 倍。",
    plot: "每个块输入处的梯度", block: "块（第 1 块靠近输入）", norm: "范数，最后一个块的输出处 = 1",
    shares: "各快捷通道承载的比例", share: "通道占比", gradient: "梯度",
    source:
      "这是实测，不是示意：gradpath 的网络在初始化时，以噪声为输入测得，{seeds} 次随机抽取取平均，批量 {batch}，PyTorch {torch}。" +
      "“去掉快捷通道和归一化”采用 PyTorch 的默认初始化，也就是随手写一个普通网络时的样子。",
    article:
      "**关于原文。**图 8 说，梯度可以毫无阻碍地通过所有残差块，限制深度的只有内存。梯度的确能通过：1202 层和 1001 层的网络都训练成功了。" +
      "但在 He 等人（2016）的实验中，ResNet-1202 在 CIFAR-10 上的错误率是 **7.93 %**，ResNet-110 却只有 **6.43 %**：能训练，但用那套训练方案并没有更好。" +
      "另外，去掉快捷通道而保留 BatchNorm，梯度也不会弥散，而是变大（见上一幅图）。",
  },
});

const nOf = wholeParam("nets.n", 9, 1, MOST_BLOCKS);
const stackOf = choiceParam<Stack>("nets.stack", "residual", STACKS);
const LOOK: Record<Stack, number> = { residual: 2, plain: 1, bare: 0 };
const WIDEST = 1180;
const WIDTH = 16;

export function Nets() {
  const n = nOf.value;
  const stack = stackOf.value;
  const net = traced(n);
  const [frame, width] = useWidth(WIDEST);
  const depth = 6 * n + 2;
  const first = (which: Stack) => inProse(net.log10[which][0] ?? 0);
  const point =
    stack === "residual"
      ? t("pointResidual", { low: percent(Math.min(...net.skip), 0), high: percent(Math.max(...net.skip), 0), first: first(stack) })
      : t("pointPlain", { first: first(stack) });
  const slots = {
    depth, blocks: 3 * n, parameters: totalOf(resnet(n, WIDTH)).toLocaleString("en"), power: superscript(3 * n), ways: inProse(Math.log10(wayCount(n))), effective: short(net.effective, 2),
  };
  return (
    <Figure
      id="nets"
      title={t("title")}
      lead={t("lead", { depth, blocks: 3 * n, bare: first("bare") })}
      controls={
        <>
          <RangeField label={t("n")} value={n} min={1} max={MOST_BLOCKS} onChange={nOf.set} spoken={(value) => `${value}: ResNet-${6 * value + 2}`} />
          <Choice legend={t("stack")} choices={STACKS.map((name) => [name, t(name)] as const)} value={stack} onChange={stackOf.set} />
        </>
      }
      after={
        <>
          <p class="pale">{t("source", { seeds: ABOUT.seeds, batch: ABOUT.batch, torch: ABOUT.torch })}</p>
          <p class="article-note">
            <Say text={t("article")} />
          </p>
        </>
      }
    >
      <div ref={frame}>
        <NetView
          net={net}
          stack={stack}
          width={width}
          label={t("drawing", { net: `${t(stack)}, ${depth}`, n, point })}
          words={{ stage, input: t("input"), loss: t("loss") }}
        />
      </div>
      <p class="pale">{t("reading")}</p>
      <p class="now">
        <Say text={t(stack === "residual" ? "now" : "nowPlain", { ...slots, first: first(stack) })} />
      </p>
      <h3>{t("plot")}</h3>
      <Plot label={t("plot")} series={seriesOf(net)} xTitle={t("block")} yTitle={t("norm")} logarithmic height={280} />
      <Shares net={net} />
    </Figure>
  );
}

const stage = (index: number) => t("stage", { s: index + 1, channels: WIDTH * 2 ** index, size: 32 / 2 ** index });

function seriesOf(net: Traced): Series[] {
  return STACKS.map((stack) => ({ name: t(stack), look: LOOK[stack], points: net.log10[stack].map((value, i) => [i + 1, value] as const) }));
}

function Shares({ net }: { net: Traced }) {
  return (
    <details>
      <summary>{t("shares")}</summary>
      <div class="table" role="region" aria-label={t("shares")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              {(["block", "share", "gradient"] as const).map((head) => (
                <th key={head} scope="col">
                  {t(head)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {net.skip.map((share, i) => (
              <tr key={i}>
                <th scope="row">{i + 1}</th>
                <td>{percent(share)}</td>
                <td>{fromLog10(net.log10.residual[i] ?? null, 3)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
