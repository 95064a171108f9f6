/** 7d. Is memory the only limit of depth? Published errors say: no. */
import { texts } from "../core/i18n";
import { DotRows } from "../ui/DotRows";
import { Figure } from "../ui/Figure";
import { Say } from "../ui/Say";

const t = texts({
  en: {
    title: "Is memory the only limit of depth?",
    lead:
      "The article says that only memory keeps a ResNet from thousands of layers. Such nets do train: the gradient arrives. But in the paper’s own recipe " +
      "ResNet-{deepest} made **{deepestError} %** errors on CIFAR-10, ResNet-{best} **{bestError} %**: {times} times the layers, and worse.",
    label: "Test error on CIFAR-10 of published nets: ResNet-20 to ResNet-110 fall, ResNet-1202 is worse than ResNet-110",
    axis: "test error on CIFAR-10, %", net: "net", error: "error, %", parameters: "weights", source: "source",
    about:
      "He et al. (2016) suspected overfitting: {deepParameters} million weights for 50,000 images, against {parameters} million. Later work shows how much is the recipe’s: " +
      "the same 1,202 layers reach {stochasticError} % when blocks are skipped at random in training (Huang et al. 2016); and 1,001 layers in the first design reach {originalError} %, " +
      "with norm and ReLU before each convolution {preactError} % (He et al. 2016b). So memory limits depth, and time does, and so do regularisation and the design of the block.",
    stochastic: "ResNet-1202, stochastic depth", original: "1001 layers, first design", preact: "1001 layers, pre-activation",
    bestOf: "best of 5 runs; mean 6.61",
  },
  zh: {
    title: "深度只受内存限制吗？",
    lead:
      "文章说，只有内存限制 ResNet 达到几千层。这样的网络确实能训练：梯度能传到。但按论文自己的训练方法，" +
      "ResNet-{deepest} 在 CIFAR-10 上的错误率是 **{deepestError} %**，ResNet-{best} 是 **{bestError} %**：层数是 {times} 倍，结果反而更差。",
    label: "已发表网络在 CIFAR-10 上的测试错误率：ResNet-20 到 ResNet-110 逐渐下降，ResNet-1202 比 ResNet-110 差",
    axis: "CIFAR-10 测试错误率，%", net: "网络", error: "错误率，%", parameters: "权重数", source: "来源",
    about:
      "He 等（2016）怀疑是过拟合：{deepParameters} 百万个权重对 50,000 张图像，而前者只有 {parameters} 百万个。后来的工作表明，很大一部分取决于训练方法：" +
      "训练时随机跳过一些块，同样的 1202 层达到 {stochasticError} %（Huang 等 2016）；1001 层用最初的设计是 {originalError} %，" +
      "把归一化和 ReLU 放到每个卷积之前则是 {preactError} %（He 等 2016b）。所以限制深度的有内存，也有时间、正则化和块的设计。",
    stochastic: "ResNet-1202，随机深度", original: "1001 层，最初的设计", preact: "1001 层，预激活",
    bestOf: "5 次中最好；平均 6.61",
  },
});

interface Published {
  readonly depth: number;
  readonly error: number;
  readonly millions: number;
  readonly source: string;
}

/** Test errors with flips and crops, in per cent, and millions of weights, as the papers print them. */
const HE = "He et al. 2016, Table 6";
const RESNETS: readonly Published[] = [
  { depth: 20, error: 8.75, millions: 0.27, source: HE },
  { depth: 32, error: 7.51, millions: 0.46, source: HE },
  { depth: 44, error: 7.17, millions: 0.66, source: HE },
  { depth: 56, error: 6.97, millions: 0.85, source: HE },
  { depth: 110, error: 6.43, millions: 1.7, source: HE },
  { depth: 1202, error: 7.93, millions: 19.4, source: HE },
];
const LATER = {
  stochastic: { depth: 1202, error: 4.91, millions: 19.4, source: "Huang et al. 2016" },
  original: { depth: 1001, error: 7.61, millions: 10.2, source: "He et al. 2016b" },
  preact: { depth: 1001, error: 4.92, millions: 10.2, source: "He et al. 2016b" },
} as const satisfies Record<string, Published>;

export function LimitFigure() {
  const best = [...RESNETS].sort((a, b) => a.error - b.error)[0] as Published;
  const deepest = RESNETS.at(-1) as Published;
  const slots = {
    deepest: deepest.depth, deepestError: deepest.error, best: best.depth, bestError: best.error, times: Math.round(deepest.depth / best.depth),
    deepParameters: deepest.millions, parameters: best.millions, stochasticError: LATER.stochastic.error,
    originalError: LATER.original.error, preactError: LATER.preact.error,
  };
  const later = (Object.keys(LATER) as (keyof typeof LATER)[]).map((key) => row(LATER[key], t(key), false));
  return (
    <Figure id="limit" title={t("title")} lead={t("lead", slots)} after={<p><Say text={t("about", slots)} /></p>}>
      <DotRows
        label={t("label")}
        axis={t("axis")}
        heads={[t("net"), t("error"), t("parameters"), t("source")]}
        rows={[...RESNETS.map((one) => row(one, `ResNet-${one.depth}`, one === deepest)), ...later]}
      />
    </Figure>
  );
}

function row({ depth, error, millions, source }: Published, name: string, isMarked: boolean) {
  const from = depth === 110 ? `${source} (${t("bestOf")})` : source;
  return { name, value: error, text: error.toFixed(2), isMarked, cells: [error.toFixed(2), `${millions} M`, from] };
}
