/** 7a. The nets of `gradpath compare`, recorded: depth profiles over training, path lengths, accuracy. */
import { texts } from "../core/i18n";
import { percent, short, signed } from "../core/numbers";
import { choiceParam, textParam, wholeParam } from "../core/state";
import { Choice, RangeField, Toggle } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Plot } from "../ui/Plot";
import { Say } from "../ui/Say";
import type { Net, Runs } from "./data";
import { accuracies, domain, epochAt, moments, pathSeries, profiles } from "./realData";
import { find, netName, Recorded, sizeOf } from "./realNames";

const t = texts({
  en: {
    title: "Real networks: what reaches the first layer",
    lead:
      "Small image classifiers, looked at before and during training. Each line is one net, its first layer at the left; the loss sits at the right. " +
      "Before training, 56 plain layers without normalisation let **{bare}** of the head’s gradient reach the first layer. " +
      "With BatchNorm it does not vanish: it grows, **{norm} times**. With skips as well it grows {residual} times.",
    learned:
      "What came of it after {epochs} epochs, on images never trained on: no norm {bare}, plain 56 with BatchNorm {norm}, residual 56 **{residual}**. " +
      "The plain and the residual net have exactly the same weights to train ({parameters}). The plain net of 20 layers reached {shallow}.",
    dense: "The dense net, of {parameters} weights, reached {accuracy}.",
    now: "Shown: {moment}.", moment: "Moment", start: "before training", step: "after {n} steps", epoch: "after epoch {n}",
    show: "Show", gradient: "gradient", activation: "forward signal", nets: "Nets",
    layer: "layer", gradientAxis: "‖∂L/∂output‖₂ of the layer", activationAxis: "RMS of the layer’s output",
    profile: "Depth profile {moment}: {what} at each layer, one line per net",
    accuracy: "Accuracy on test images", accuracyAxis: "% right", epochAxis: "epoch",
    accuracyLabel: "Test accuracy after each epoch, one line per net",
    paths: "How many branches did the gradient pass?",
    pathsAbout:
      "The gradient at the first layer of **{net}**, split exactly by the number of branches passed (of {branches}). " +
      "Most came over few branches: effective depth **{before}** before training, **{after}** after.",
    pathsLabel: "Share of the gradient’s norm mass by path length, before and after training", branchAxis: "branches passed", massAxis: "% of the norm mass",
    zero: "{net}: the gradient is exactly 0 at its first layer now; a logarithmic axis has no place for that.",
    before: "before training", after: "after training", table: "These nets in numbers, {moment}",
    net: "net", parameters: "weights", macs: "multiply-adds", ratio: "first ÷ last layer", depth: "effective depth", right: "% right",
  },
  zh: {
    title: "真实的网络：传到第一层的是什么",
    lead:
      "几个小型图像分类网络，在训练前和训练中各看一次。每条线是一个网络，最左边是第一层，损失在右端。" +
      "训练前，56 个无归一化的普通层只让末层梯度的 **{bare}** 到达第一层。" +
      "加上 BatchNorm 后梯度不再消失，而是增大：**{norm} 倍**。再加上快捷通道，只增大 {residual} 倍。",
    learned:
      "{epochs} 个 epoch 之后，在从未训练过的图像上的结果：无归一化 {bare}，普通 56 层加 BatchNorm {norm}，残差 56 层 **{residual}**。" +
      "普通网络与残差网络的可训练权重数完全相同（{parameters}）。20 层的普通网络达到 {shallow}。",
    dense: "稠密网络（{parameters} 个权重）达到 {accuracy}。",
    now: "当前显示：{moment}。", moment: "时刻", start: "训练前", step: "{n} 步之后", epoch: "第 {n} 个 epoch 之后",
    show: "显示", gradient: "梯度", activation: "前向信号", nets: "网络",
    layer: "层", gradientAxis: "该层的 ‖∂L/∂输出‖₂", activationAxis: "该层输出的均方根",
    profile: "{moment}的深度剖面：每一层的{what}，每个网络一条线",
    accuracy: "测试图像上的准确率", accuracyAxis: "正确 %", epochAxis: "epoch",
    accuracyLabel: "每个 epoch 之后的测试准确率，每个网络一条线",
    paths: "梯度经过了多少个分支？",
    pathsAbout:
      "**{net}** 第一层的梯度，按经过的分支数（共 {branches} 个）精确分解。" +
      "大部分只经过少数分支：有效深度训练前为 **{before}**，训练后为 **{after}**。",
    pathsLabel: "训练前后，梯度的范数质量按路径长度的占比", branchAxis: "经过的分支数", massAxis: "范数质量 %",
    zero: "{net}：此刻第一层的梯度恰好是 0，对数轴上没有它的位置。",
    before: "训练前", after: "训练后", table: "这些网络的数字，{moment}",
    net: "网络", parameters: "权重数", macs: "乘加次数", ratio: "首层 ÷ 末层", depth: "有效深度", right: "正确 %",
  },
});

const momentOf = wholeParam("real.moment", 0, 0, 9);
const quantity = choiceParam("real.show", "gradient", ["gradient", "activation"] as const);
/** Places of the nets that are not shown, as "0,2". */
const hidden = textParam("real.hidden");

export function RealRuns({ runs }: { runs: Runs }) {
  const { nets } = runs;
  const steps = moments(nets);
  const step = steps[Math.min(momentOf.value, steps.length - 1)] ?? 0;
  const away = new Set(hidden.value.split(",").filter(Boolean).map(Number));
  const shown = new Set(nets.map((_, i) => i).filter((i) => !away.has(i)));
  const moment = momentName(nets, step);
  const died = nets.filter((net, i) => shown.has(i) && ratioAt(net, step) === 0);
  const series = profiles(nets, shown, step, quantity.value, netName);
  return (
    <Figure
      id="real"
      title={t("title")}
      lead={t("lead", leadSlots(nets))}
      controls={<Controls nets={nets} steps={steps} away={away} />}
      after={<After runs={runs} shown={shown} step={step} moment={moment} />}
    >
      <Plot
        label={t("profile", { moment, what: t(quantity.value) })}
        series={series}
        xTitle={t("layer")}
        yTitle={t(`${quantity.value}Axis`)}
        yDomain={domain(nets, shown, quantity.value)}
        logarithmic
      />
      <p class="now" aria-live="polite">
        {t("now", { moment })} {died.map((net) => t("zero", { net: netName(net) })).join(" ")}
      </p>
    </Figure>
  );
}

function momentName(nets: readonly Net[], step: number): string {
  const epoch = nets[0] ? epochAt(nets[0], step) : null;
  if (step === 0) return t("start");
  return epoch === null ? t("step", { n: step }) : t("epoch", { n: epoch });
}

function Controls({ nets, steps, away }: { nets: readonly Net[]; steps: readonly number[]; away: ReadonlySet<number> }) {
  const toggle = (i: number, on: boolean) => {
    const next = on ? [...away].filter((one) => one !== i) : [...away, i].sort((a, b) => a - b);
    if (next.length < nets.length) hidden.set(next.join(","));
  };
  return (
    <>
      <RangeField
        label={t("moment")}
        value={Math.min(momentOf.value, steps.length - 1)}
        min={0}
        max={steps.length - 1}
        onChange={momentOf.set}
        spoken={(at) => momentName(nets, steps[at] ?? 0)}
      />
      <Choice
        legend={t("show")}
        choices={[["gradient", t("gradient")], ["activation", t("activation")]]}
        value={quantity.value}
        onChange={quantity.set}
      />
      <fieldset class="shown-nets">
        <legend>{t("nets")}</legend>
        {nets.map((net, i) => (
          <Toggle key={net.name} label={netName(net)} on={!away.has(i)} onChange={(on) => toggle(i, on)} />
        ))}
      </fieldset>
    </>
  );
}

const ratioAt = (net: Net | undefined, step: number): number | null =>
  net?.looks.find((look) => look.step === step)?.stem_over_head ?? null;
const lastAccuracy = (net: Net | undefined): string => percent(net?.looks.at(-1)?.test_accuracy ?? null);

const grouped = (net: Net | undefined): string => (net?.parameters ?? 0).toLocaleString("en");

function leadSlots(nets: readonly Net[]) {
  const said = (net: Net | undefined, digits: number) => signed(short(ratioAt(net, 0), digits));
  return {
    bare: said(find(nets, "plain", "none"), 2),
    norm: said(find(nets, "plain", "batch", 56), 2),
    residual: said(find(nets, "residual", "batch"), 2),
  };
}

function After({ runs, shown, step, moment }: { runs: Runs; shown: ReadonlySet<number>; step: number; moment: string }) {
  const { nets } = runs;
  const deep = find(nets, "plain", "batch", 56);
  const dense = find(nets, "dense", "batch");
  const slots = {
    epochs: runs.recipe.epochs, bare: lastAccuracy(find(nets, "plain", "none")), norm: lastAccuracy(deep),
    residual: lastAccuracy(find(nets, "residual", "batch")), parameters: grouped(deep), shallow: lastAccuracy(find(nets, "plain", "batch", 20)),
  };
  return (
    <>
      <p>
        <Say text={t("learned", slots)} /> {dense && t("dense", { parameters: grouped(dense), accuracy: lastAccuracy(dense) })}
      </p>
      <div class="columns">
        <div>
          <h3>{t("accuracy")}</h3>
          <Plot
            label={t("accuracyLabel")}
            series={accuracies(nets, shown, netName)}
            xTitle={t("epochAxis")}
            yTitle={t("accuracyAxis")}
            height={280}
          />
        </div>
        {nets.filter((net) => net.paths.length > 1).map((net) => <PathPanel key={net.name} net={net} />)}
      </div>
      <NetTable nets={nets} step={step} moment={moment} />
      <Recorded about={runs} seeds={null} />
    </>
  );
}

function PathPanel({ net }: { net: Net }) {
  const [before, after] = net.paths;
  const depth = (value: number | null | undefined) => short(value ?? null, 3);
  const slots = {
    net: netName(net), branches: before?.branches ?? 0, before: depth(before?.effective_depth), after: depth(after?.effective_depth),
  };
  return (
    <div>
      <h3>{t("paths")}</h3>
      <p>
        <Say text={t("pathsAbout", slots)} />
      </p>
      <Plot
        label={`${netName(net)}: ${t("pathsLabel")}`}
        series={pathSeries(net, (_, i) => t(i ? "after" : "before"))}
        xTitle={t("branchAxis")}
        yTitle={t("massAxis")}
        height={260}
      />
    </div>
  );
}

function NetTable({ nets, step, moment }: { nets: readonly Net[]; step: number; moment: string }) {
  const heads = ["net", "parameters", "macs", "ratio", "depth", "right"] as const;
  return (
    <details class="numbers">
      <summary>{t("table", { moment })}</summary>
      <div class="table" role="region" aria-label={t("table", { moment })} tabIndex={0}>
        <table>
          <thead>
            <tr>{heads.map((head) => <th key={head} scope="col">{t(head)}</th>)}</tr>
          </thead>
          <tbody>
            {nets.map((net) => {
              const look = net.looks.find((one) => one.step === step);
              const cells = [...sizeOf(net), signed(short(look?.stem_over_head ?? null, 3)), short(look?.effective_depth ?? null, 3), percent(look?.test_accuracy ?? null)];
              return (
                <tr key={net.name}>
                  <th scope="row">{netName(net)}</th>
                  {cells.map((cell, i) => <td key={i}>{cell}</td>)}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </details>
  );
}
