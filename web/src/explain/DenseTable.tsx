/** The architectures of DenseNet for ImageNet, as in the paper's Table 1, with parameters counted here. */
import { texts } from "../core/i18n";
import { imageNetDenseNet, PUBLISHED, totalOf } from "./netParameters";

const t = texts({
  en: {
    title: "DenseNets for ImageNet",
    caption: "Architectures after Huang et al. (2017), Table 1; DenseNet-161 as in the authors' code. Parameters are counted here, exactly; errors are theirs.",
    part: "part", size: "output", conv: "convolution", pool: "pooling", block: "dense block {b}", transition: "transition {b}",
    classes: "classification", stem: "7×7, stride 2, 2k channels", maxpool: "3×3 max, stride 2", halve: "1×1, half of the channels; 2×2 mean, stride 2",
    head: "7×7 mean; linear, 1000 classes", layers: "(1×1, 3×3) × {n}", growth: "growth rate k", depth: "layers with weights",
    parameters: "parameters", error: "top-1 error, one crop",
  },
  zh: {
    title: "用于 ImageNet 的 DenseNet",
    caption: "结构依据 Huang 等（2017）表 1；DenseNet-161 依据作者的代码。参数量由本页精确计算，错误率取自论文与代码。",
    part: "部分", size: "输出", conv: "卷积", pool: "池化", block: "稠密块 {b}", transition: "过渡层 {b}",
    classes: "分类", stem: "7×7，步长 2，2k 个通道", maxpool: "3×3 最大池化，步长 2", halve: "1×1，通道减半；2×2 平均池化，步长 2",
    head: "7×7 平均池化；线性层，1000 类", layers: "(1×1, 3×3) × {n}", growth: "增长率 k", depth: "带权重的层数",
    parameters: "参数量", error: "top-1 错误率（单裁剪）",
  },
});

const SIZES = [56, 28, 14, 7];
const nets = PUBLISHED;

/** First convolution, two in each layer, one in each transition, the linear layer. */
const depthOf = (layers: readonly number[]) => 2 * layers.reduce((sum, n) => sum + n, 0) + (layers.length - 1) + 2;

export function DenseTable() {
  return (
    <>
      <h3>{t("title")}</h3>
      <p class="pale">{t("caption")}</p>
      <div class="table architectures" role="region" aria-label={t("title")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">
                {t("part")}
              </th>
              <th scope="col">{t("size")}</th>
              {nets.map(({ name }) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <Shared name={t("conv")} size={112} text={t("stem")} />
            <Shared name={t("pool")} size={56} text={t("maxpool")} />
            {SIZES.map((size, b) => (
              <Stage key={size} b={b} size={size} />
            ))}
            <Shared name={t("classes")} size={1} text={t("head")} />
          </tbody>
          <tbody class="sums">
            <Row name={t("growth")} cells={nets.map(({ growth }) => String(growth))} />
            <Row name={t("depth")} cells={nets.map(({ layers }) => String(depthOf(layers)))} />
            <Row name={t("parameters")} cells={nets.map(({ layers, growth }) => totalOf(imageNetDenseNet(layers, growth)).toLocaleString("en"))} />
            <Row name={t("error")} cells={nets.map(({ error }) => `${error} %`)} />
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The same in all nets. */
function Shared({ name, size, text }: { name: string; size: number; text: string }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        {size}×{size}
      </td>
      <td colSpan={nets.length} class="shared">
        {text}
      </td>
    </tr>
  );
}

function Stage({ b, size }: { b: number; size: number }) {
  return (
    <>
      <tr>
        <th scope="row">{t("block", { b: b + 1 })}</th>
        <td>
          {size}×{size}
        </td>
        {nets.map(({ name, layers }) => (
          <td key={name}>{t("layers", { n: layers[b] ?? 0 })}</td>
        ))}
      </tr>
      {b < SIZES.length - 1 && <Shared name={t("transition", { b: b + 1 })} size={size / 2} text={t("halve")} />}
    </>
  );
}

function Row({ name, cells }: { name: string; cells: readonly string[] }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td />
      {cells.map((cell, i) => (
        <td key={i}>{cell}</td>
      ))}
    </tr>
  );
}
