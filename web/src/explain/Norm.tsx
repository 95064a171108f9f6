/** 5. BatchNorm: what it does to the signal, and what it does to the gradient, in a net simulated here and now. */
import { useMemo } from "preact/hooks";
import { texts } from "../core/i18n";
import { fromLog10, short } from "../core/numbers";
import { numberParam, wholeParam } from "../core/state";
import nets from "../generated/nets.json";
import { RangeField } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Plot, type Series } from "../ui/Plot";
import { Say } from "../ui/Say";
import { BATCH, draw, type Kind, KINDS, MAX_DEPTH, type Profile, profileOf, run, scaledPlain, WIDTH } from "./normNet";
import { NormTable } from "./NormTable";
import { BATCHNORM_GROWTH, theory } from "./normTheory";
import { inProse } from "./prose";

const t = texts({
  en: {
    title: "BatchNorm keeps the signal alive. The gradient is another matter",
    lead:
      "{depth} layers of {width} ReLU units, weights just drawn, nothing trained. **Forward**, the plain net's signal {way} " +
      "{plainForward}; BatchNorm holds it. **Backward**, BatchNorm does more than hold: on its way to layer 1 the gradient **grows " +
      "{normBackward}-fold**. With a skip around every layer, both stay within {skipMost}-fold.",
    shrinks: "shrinks to", grows: "grows to", stays: "ends at",
    depth: "Layers", sigma2: "Size of the weights: σ² = width × variance", presets: "σ² of", seed: "Draw new weights (draw {n})",
    torch: "PyTorch's own, ⅓", xavier: "Xavier, 1", he: "He, 2",
    plain: "plain", norm: "BatchNorm", skip: "BatchNorm and skip",
    plainTheory: "theory, plain", normTheory: "theory, BatchNorm", skipTheory: "theory, both",
    forward: "Forward: the signal", backward: "Backward: the gradient",
    forwardAxis: "layer: the signal runs this way ▸", backwardAxis: "◂ layer: the gradient runs this way", signal: "RMS of the activations", gradient: "RMS of the gradient",
    forwardLabel: "Signal size over depth, log scale: plain ends at {plain}, BatchNorm at {norm}, BatchNorm and skip at {skip}",
    backwardLabel:
      "Gradient size over depth, log scale, 1 arriving at the last layer: at layer 1 it is {plain} in the plain net, {norm} with BatchNorm, {skip} with BatchNorm and skip",
    why:
      "**Why it grows.** ReLU lets half of the gradient's energy back through. BatchNorm divides by a standard deviation, whose square is what is left of " +
      "ReLU's output once its mean is taken off: only 1 − 1/π of a half. One half over that is π/(π−1) = {factor} in energy for every layer " +
      "of a wide net, whatever the weights (Yang et al. 2019). Move σ²: the BatchNorm line stays where it is (ε, which guards the division, is scaled along). " +
      "In convolutions we measured × {mean} per layer ({low} to {high}: {net}, three resolutions, {seeds} draws).",
    without:
      "**Without a norm** the energy of signal and gradient changes by σ²/2 per layer (He et al. 2015). That is why σ² = 2 is He's initialisation: " +
      "there, and only there, neither vanishes nor explodes. The theory (dotted) is for wide nets and large batches; this net is {width} wide, its batch {batch}.",
    article:
      "**About the article.** It says that BatchNorm does away with vanishing in the forward pass: so it does, in the first plot. It leaves the backward pass to the skip: " +
      "right as well, and for a reason that was found only two years later. In a plain net at initialisation BatchNorm does not leave the gradient too small. It makes it too large. " +
      "He et al. (2016) had seen that their plain nets, which have BatchNorm, do not vanish in either direction, and still train worse as they get deeper. " +
      "What works is the two together: the skip keeps the factor per block near 1, because each norm divides by a trunk that has grown (De and Smith 2020).",
  },
  zh: {
    title: "BatchNorm 保住了信号；梯度则是另一回事",
    lead:
      "{depth} 层，每层 {width} 个 ReLU 单元，权重刚刚随机抽取，尚未训练。**前向传播**：普通网络的信号{way} {plainForward}，而 BatchNorm 把它稳住了。" +
      "**反向传播**：BatchNorm 却不只是稳住，梯度回到第 1 层时**放大到 {normBackward} 倍**。若每层都加上快捷通道，两者的变化都不超过 {skipMost} 倍。",
    shrinks: "缩小到", grows: "放大到", stays: "最后是",
    depth: "层数", sigma2: "权重大小：σ² = 宽度 × 方差", presets: "σ² 取", seed: "重新抽取权重（第 {n} 组）",
    torch: "PyTorch 默认 ⅓", xavier: "Xavier 1", he: "He 2",
    plain: "普通网络", norm: "BatchNorm", skip: "BatchNorm 加快捷通道",
    plainTheory: "理论：普通网络", normTheory: "理论：BatchNorm", skipTheory: "理论：两者兼有",
    forward: "前向传播：信号", backward: "反向传播：梯度",
    forwardAxis: "层：信号走向 ▸", backwardAxis: "◂ 层：梯度走向", signal: "激活值的均方根", gradient: "梯度的均方根",
    forwardLabel: "信号大小随深度的变化（对数坐标）：普通网络最后为 {plain}，BatchNorm 为 {norm}，BatchNorm 加快捷通道为 {skip}",
    backwardLabel: "梯度大小随深度的变化（对数坐标），最后一层收到的梯度为 1：到第 1 层时，普通网络为 {plain}，BatchNorm 为 {norm}，BatchNorm 加快捷通道为 {skip}",
    why:
      "**为什么会变大？**ReLU 让梯度能量的一半通过。BatchNorm 要除以标准差，而它的平方是 ReLU 的输出减去均值之后剩下的部分：只有一半的 1 − 1/π。" +
      "二者相除，宽网络每一层的梯度能量就乘以 π/(π−1) = {factor}，与权重大小无关（Yang 等，2019）。拖动 σ² 试试：BatchNorm 的曲线纹丝不动（防止除以零的 ε 按比例缩放）。" +
      "在卷积网络中，我们测得每层 × {mean}（{low} 到 {high}：{net}，三种分辨率，{seeds} 次随机抽取）。",
    without:
      "**不用归一化时**，信号和梯度的能量每层都乘以 σ²/2（He 等，2015）。He 初始化取 σ² = 2 正是这个道理：只有在这一点上，两者才既不消失也不爆炸。" +
      "虚线是理论值，适用于很宽的网络和很大的批量；这里的网络宽 {width}，批量为 {batch}。",
    article:
      "**关于原文。**文章说 BatchNorm 消除了前向传播中的弥散：确实如此，见第一张图。反向传播则交给快捷通道：这也没错，只是其中的原因两年之后才弄清楚。" +
      "在没有快捷通道的网络里，初始化时 BatchNorm 并不会让梯度变得太小，而是让它变得太大。He 等人（2016）已经注意到，他们的普通网络带有 BatchNorm，信号和梯度都没有消失，" +
      "但越深训练得越差。真正有效的是两者结合：主干的方差逐块增大，归一化除以它，于是每个块的放大倍数都接近 1（De 和 Smith，2020）。",
  },
});

const PRESETS = [["torch", 1 / 3], ["xavier", 1], ["he", 2]] as const;
/** Within this many decades the signal is called neither shrunk nor grown. */
const STEADY = 0.7;
const LOWEST = 0.2;
const HIGHEST = 4;
const depthOf = wholeParam("norm.depth", MAX_DEPTH, 2, MAX_DEPTH);
const sigma2Of = numberParam("norm.sigma2", 1, LOWEST, HIGHEST);
const seedOf = wholeParam("norm.seed", 1, 1, 9999);

export type Profiles = Readonly<Record<Kind, Profile>>;

function all(of: (kind: Kind) => Profile): Profiles {
  return { plain: of("plain"), norm: of("norm"), skip: of("skip") };
}

export function Norm() {
  const [depth, sigma2, seed] = [depthOf.value, sigma2Of.value, seedOf.value];
  const drawn = useMemo(() => draw(seed), [seed]);
  // The plain net's profile follows σ² by a formula. BatchNorm divides by what σ² multiplies: with ε in proportion to σ² the
  // run at σ² = 1 is that of every σ². Only the skip is run anew.
  const atOne = useMemo(() => ({ plain: run(drawn, "plain", 1), norm: run(drawn, "norm", 1) }), [drawn]);
  const skipRun = useMemo(() => run(drawn, "skip", sigma2), [drawn, sigma2]);
  const plain = useMemo(() => profileOf(atOne.plain, depth), [atOne, depth]);
  const norm = useMemo(() => profileOf(atOne.norm, depth), [atOne, depth]);
  const skip = useMemo(() => profileOf(skipRun, depth), [skipRun, depth]);
  const measured = { plain: scaledPlain(plain, sigma2), norm, skip };
  const expected = useMemo(() => all((kind) => theory(kind, depth, sigma2)), [depth, sigma2]);
  const after = (kind: Kind) => fromLog10(measured[kind].forward.at(-1) ?? null, 2);
  const first = (kind: Kind) => fromLog10(measured[kind].backward[0] ?? null, 2);
  const most = Math.max(...[...measured.skip.forward, ...measured.skip.backward].map(Math.abs));
  const plainEnd = measured.plain.forward.at(-1) ?? 0;
  const slots = {
    depth, width: WIDTH, plainForward: inProse(plainEnd), normBackward: inProse(measured.norm.backward[0] ?? 0), skipMost: inProse(most),
    way: t(plainEnd < -STEADY ? "shrinks" : plainEnd > STEADY ? "grows" : "stays"),
  };
  const domain = domainOf([measured, expected]);
  return (
    <Figure id="norm" title={t("title")} lead={t("lead", slots)} controls={<Controls />} after={<Notes />}>
      <div class="two-plots">
        {(["forward", "backward"] as const).map((way) => {
          const at = way === "forward" ? after : first;
          const label = t(`${way}Label`, { plain: at("plain"), norm: at("norm"), skip: at("skip") });
          return (
            <div key={way}>
              <h3>{t(way)}</h3>
              <Plot
                label={label}
                series={seriesOf(measured, expected, way)}
                xTitle={t(`${way}Axis`)}
                yTitle={t(way === "forward" ? "signal" : "gradient")}
                logarithmic
                yDomain={domain}
              />
            </div>
          );
        })}
      </div>
      <NormTable measured={measured} expected={expected} />
    </Figure>
  );
}

function seriesOf(measured: Profiles, expected: Profiles, way: keyof Profile): Series[] {
  const points = (values: readonly number[]) => values.map((value, i) => [i + 1, value] as const);
  return [
    ...KINDS.map((kind, look) => ({ name: t(kind), points: points(measured[kind][way]), look })),
    ...KINDS.map((kind, look) => ({ name: t(`${kind}Theory`), points: points(expected[kind][way]), look, isTheory: true })),
  ];
}

/** One scale for both plots, so that they can be compared. */
function domainOf(profiles: readonly Profiles[]): [number, number] {
  const values = profiles.flatMap((one) => KINDS.flatMap((kind) => [...one[kind].forward, ...one[kind].backward]));
  return [Math.min(...values) - 0.5, Math.max(...values) + 0.5];
}

function Controls() {
  const sigma2 = sigma2Of.value;
  return (
    <>
      <RangeField label={t("depth")} value={depthOf.value} min={2} max={MAX_DEPTH} onChange={depthOf.set} />
      <RangeField
        label={t("sigma2")}
        value={sigma2}
        min={LOWEST}
        max={HIGHEST}
        step={0.05}
        onChange={(value) => sigma2Of.set(Number(value.toFixed(2)))}
        spoken={(value) => short(value, 3)}
      />
      <span class="buttons presets" role="group" aria-label={t("presets")}>
        {PRESETS.map(([name, value]) => (
          <button key={name} type="button" aria-pressed={sigma2 === value} onClick={() => sigma2Of.set(value)}>
            {t(name)}
          </button>
        ))}
      </span>
      <button type="button" onClick={() => seedOf.set(seedOf.value + 1)}>
        {t("seed", { n: seedOf.value })}
      </button>
    </>
  );
}

function Notes() {
  const { net, seeds, low, high, mean } = nets.gain;
  const slots = { factor: BATCHNORM_GROWTH.toFixed(2), net, seeds, low: short(low, 3), high: short(high, 3), mean: short(mean, 3) };
  return (
    <>
      <p>
        <Say text={t("why", slots)} />
      </p>
      <p>
        <Say text={t("without", { width: WIDTH, batch: BATCH })} />
      </p>
      <p class="article-note">
        <Say text={t("article")} />
      </p>
    </>
  );
}
