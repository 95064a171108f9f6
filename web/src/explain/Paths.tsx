/** 3, continued. Many blocks: one product against a sum over 2ⁿ paths, and which of them bring the gradient. */
import { texts } from "../core/i18n";
import { fromLog10, percent, show } from "../core/numbers";
import { numberParam, wholeParam } from "../core/state";
import { NumberField, RangeField } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Plot } from "../ui/Plot";
import { Say } from "../ui/Say";
import { digits, PathBars, short } from "./PathBars";
import { inProse } from "./prose";
import { effectiveDepth, factorFor, MEASURED, pathCount, pathLengths, products, quantile } from "./pathLengths";

const t = texts({
  en: {
    title: "Many blocks: the product dies, the sum survives, and it passed few blocks",
    lead:
      "Put n blocks in a row; each multiplies the gradient by F. Without skips one product is left, **Fⁿ**. With skips every block can be passed or " +
      "skipped: **2ⁿ paths**, and what arrives is their sum, **(1 + F)ⁿ**. Most paths pass about half of the blocks. While F is small, the gradient that arrives has passed far fewer.",
    blocks: "Blocks n", factor: "One block multiplies by F", presets: "F as in", article: "the article, 0.0001", value: "F = {value}",
    left: "What reaches the front", right: "Where it comes from",
    plot: "What is left of a gradient of 1 after up to {most} blocks, on a logarithmic scale",
    plain: "plain: Fⁿ", residual: "with skips: (1 + F)ⁿ", x: "blocks", y: "what is left of 1",
    now: "After {n} blocks: **{plain}** without skips, **{residual}** with them: the sum over {paths} paths. **{none}** of it came over the one path that passes no block{most}.",
    most: "; {part} of it passed at most {most} of the {n}",
    depth: "effective depth",
    depthNote: "The mean number of blocks that the gradient passed. A path of length k brings Fᵏ, and there are C(n, k) of them: a binomial distribution.",
    grows: "A sum does not vanish, but it can grow: F = 1 doubles it at every block. BatchNorm inside each branch holds that down: the deeper the block, the smaller its part (De & Smith, 2020).",
    real: "A real net's numbers",
    realNote: "Measured with `gradpath paths` at initialisation, before any training (gallery of gradpath's docs). A branch here is what F is above. Blocks differ in a real net and parts can cancel; the share given is the mean.",
    net: "net", branches: "branches", measured: "effective depth", share: "share passed", use: "show with this F", useFor: "Show with the F of {net}",
    veit: "Veit, Wilber and Belongie (2016) found the same on a trained ResNet-110: almost all of the gradient comes over paths of 5 to 17 of its 54 blocks. Their measure (path-norm mass) is another one than effective depth; the two must not be compared number by number.",
  },
  zh: {
    title: "许多块：连乘会消失，求和能留存，而梯度只穿过很少的块",
    lead:
      "把 n 个块串起来，每个块把梯度乘以 F。没有跳跃连接时只剩一个乘积 **Fⁿ**。有跳跃连接时，每个块都可以穿过或跳过：" +
      "共有 **2ⁿ 条路径**，到达的是它们的和 **(1 + F)ⁿ**。大多数路径穿过大约一半的块；而只要 F 小，到达的梯度穿过的块就少得多。",
    blocks: "块数 n", factor: "每个块乘以 F", presets: "F 取", article: "文章的 0.0001", value: "F = {value}",
    left: "到达最前面的梯度", right: "它从哪里来",
    plot: "梯度 1 经过最多 {most} 个块之后还剩多少，对数坐标",
    plain: "普通：Fⁿ", residual: "有跳跃连接：(1 + F)ⁿ", x: "块数", y: "梯度 1 剩下多少",
    now: "经过 {n} 个块：没有跳跃连接时剩 **{plain}**，有则为 **{residual}**，即 {paths} 条路径之和。其中 **{none}** 来自一个块也不穿过的那一条路径{most}。",
    most: "；{part} 至多穿过 {n} 个块中的 {most} 个",
    depth: "有效深度",
    depthNote: "梯度平均穿过的块数。长度为 k 的路径带来 Fᵏ，这样的路径有 C(n, k) 条：这是二项分布。",
    grows: "和不会消失，但可能增长：F = 1 时每个块都让它翻倍。分支里的 BatchNorm 抑制了这种增长：块越靠后，它的份额越小（De 与 Smith，2020）。",
    real: "真实网络的数字",
    realNote: "用 `gradpath paths` 在初始化时（训练之前）测得，见 gradpath 文档的图库。这里的一个分支相当于上面的 F。真实网络的块各不相同，各部分还可能相互抵消；表中的占比是平均值。",
    net: "网络", branches: "分支数", measured: "有效深度", share: "穿过的比例", use: "用这个 F 显示", useFor: "用 {net} 的 F 显示",
    veit: "Veit、Wilber 与 Belongie（2016）在训练好的 ResNet-110 上有同样的发现：几乎全部梯度来自只穿过 54 个块中 5 到 17 个的路径。他们的度量（路径范数质量）与有效深度不同，两者的数字不能直接比较。",
  },
});

const MOST = 50;
const ARTICLE_FACTOR = 0.0001;
/** Large enough that some gradient passes blocks, small enough that a product of it dies. */
const AT_REST = 0.1;
const PRESETS = [AT_REST, 0.5, 1] as const;
const PART = 0.95;
const blocks = wholeParam("paths.blocks", 20, 1, MOST);
const factor = numberParam("paths.factor", AT_REST, 0, 10);

export function Paths() {
  const lengths = pathLengths(blocks.value, factor.value);
  return (
    <Figure id="paths" title={t("title")} lead={t("lead")} controls={<Controls />} after={<After />}>
      <div class="beside">
        <div>
          <h3>{t("left")}</h3>
          <Products />
        </div>
        <div>
          <h3>{t("right")}</h3>
          <PathBars lengths={lengths} factor={factor.value} />
        </div>
      </div>
      <p class="now">
        <Say text={t("now", numbers(lengths))} />
      </p>
      <Depth />
    </Figure>
  );
}

function Controls() {
  return (
    <>
      <RangeField label={t("blocks")} value={blocks.value} min={1} max={MOST} onChange={blocks.set} />
      <NumberField label={t("factor")} value={factor.value} onChange={factor.set} />
      <span class="buttons presets" role="group" aria-label={t("presets")}>
        <button type="button" aria-pressed={factor.value === ARTICLE_FACTOR} onClick={() => factor.set(ARTICLE_FACTOR)}>
          {t("article")}
        </button>
        {PRESETS.map((value) => (
          <button key={value} type="button" aria-pressed={factor.value === value} onClick={() => factor.set(value)}>
            {t("value", { value })}
          </button>
        ))}
      </span>
    </>
  );
}

function Products() {
  const { plain, residual } = products(MOST, factor.value);
  const points = (logs: readonly number[]) => logs.map((log, i) => [i, log] as const);
  return (
    <Plot
      label={t("plot", { most: MOST })}
      series={[
        { name: t("residual"), points: points(residual), look: 4 },
        { name: t("plain"), points: points(plain), look: 0 },
      ]}
      xTitle={t("x")}
      yTitle={t("y")}
      logarithmic
      selected={blocks.value}
      onSelect={(at) => blocks.set(Math.max(1, at))}
      height={300}
    />
  );
}

function numbers(lengths: ReturnType<typeof pathLengths>) {
  const n = blocks.value;
  const { plain, residual } = products(n, factor.value);
  const most = quantile(lengths, PART);
  return {
    n,
    plain: inSentence(plain[n] ?? 0),
    residual: inSentence(residual[n] ?? 0),
    paths: pathCount(n),
    none: digits(lengths[0]?.share ?? NaN),
    most: most ? t("most", { n, part: percent(PART, 0), most }) : "",
  };
}

/** Four digits, or two and a power of ten. */
function inSentence(log10: number): string {
  const text = fromLog10(log10, 4);
  return text.includes("e") ? inProse(log10) : text;
}

/** The formula of effective depth with its numbers. */
function Depth() {
  const n = blocks.value;
  const f = factor.value;
  return (
    <>
      <p class="formula">
        {t("depth")}
        <math displaystyle={true}>
          <mo>=</mo>
          <mfrac>
            <mrow>
              <mo>∑</mo>
              <mi>k</mi>
              <mo>·</mo>
              <Term />
            </mrow>
            <mrow>
              <mo>∑</mo>
              <Term />
            </mrow>
          </mfrac>
          <mo>=</mo>
          <mfrac>
            <mrow>
              <mi>n</mi>
              <mi>F</mi>
            </mrow>
            <mrow>
              <mn>1</mn>
              <mo>+</mo>
              <mi>F</mi>
            </mrow>
          </mfrac>
          <mo>=</mo>
          <mfrac>
            <mrow>
              <mn>{n}</mn>
              <mo>×</mo>
              <mn>{show(f)}</mn>
            </mrow>
            <mn>{show(1 + f)}</mn>
          </mfrac>
          <mo>=</mo>
        </math>
        <strong>{show(short(effectiveDepth(n, f)))}</strong>
      </p>
      <p>{t("depthNote")}</p>
    </>
  );
}

/** C(n, k) Fᵏ. */
function Term() {
  return (
    <>
      <mo>(</mo>
      <mfrac linethickness="0">
        <mi>n</mi>
        <mi>k</mi>
      </mfrac>
      <mo>)</mo>
      <msup>
        <mi>F</mi>
        <mi>k</mi>
      </msup>
    </>
  );
}

function After() {
  return (
    <>
      <p>{t("grows")}</p>
      <h3>{t("real")}</h3>
      <div class="table" role="region" aria-label={t("real")} tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("net")}</th>
              <th scope="col">{t("branches")}</th>
              <th scope="col">{t("measured")}</th>
              <th scope="col">{t("share")}</th>
              <th scope="col">F</th>
              <td />
            </tr>
          </thead>
          <tbody>{MEASURED.map((one) => <Measured key={one.net} {...one} />)}</tbody>
        </table>
      </div>
      <p>
        <Say text={t("realNote")} />
      </p>
      <p>{t("veit")}</p>
    </>
  );
}

function Measured({ net, blocks: branches, depth }: (typeof MEASURED)[number]) {
  const of = short(factorFor(branches, depth));
  const use = () => {
    factor.set(of);
    blocks.set(Math.min(branches, MOST));
  };
  return (
    <tr>
      <th scope="row">{net}</th>
      <td>{branches}</td>
      <td>{show(depth)}</td>
      <td>{percent(depth / branches, 0)}</td>
      <td>{show(of)}</td>
      <td>
        <button type="button" onClick={use} aria-label={t("useFor", { net })}>
          {t("use")}
        </button>
      </td>
    </tr>
  );
}
