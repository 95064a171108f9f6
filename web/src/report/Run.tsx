/** A training run, or several side by side: the gradient before and after, loss and accuracy, the nets in numbers. */
import { texts } from "../core/i18n";
import { count, decoded, percent, short } from "../core/numbers";
import { choiceParam } from "../core/state";
import { Choice } from "../ui/Field";
import { Plot } from "../ui/Plot";
import { Term } from "./Glossary";
import { Panel } from "./Panel";
import { TestImages } from "./TestImages";
import { Unseen } from "./Unseen";
import type { Num } from "./records";
import { epochLines, hasCurves, isValidated, type Measure, type Moment, momentLines, netNames, netProfiles, type RunRecord, testAccuracy } from "./runs";

const t = texts({
  en: {
    profile: "What reaches each layer", moment: "Moment", initial: "before training", final: "after training",
    depth: "depth, % of the way from stem to head", axis: "gradient at the output (RMS)",
    drawing: "Gradient RMS over relative depth {moment}, one line for each of {n} nets",
    loss: "Training loss", accuracy: "Accuracy", train_accuracy: "on training images", test_accuracy: "on test images", held: "on images held out", images: "Images",
    epoch: "epoch", nats: "cross-entropy (nats)", right: "% right", curve: "{what} after each epoch, one line per net",
    nets: "The nets in numbers", net: "net", parameters: "parameters", macs: "MACs an image", train: "train loss", test: "test acc.",
    stem: "stem over head", layers: "effective depth", rate: "learning rate", time: "time", state: "state", epochs: "epochs",
    diverged: "diverged at step {n}", interrupted: "interrupted", done: "finished", at: "stem over head and effective depth: before training → after.",
    s: "{n} s", kept: "Dotted line: epoch {n}, whose weights were kept.",
  },
  zh: {
    profile: "各层收到的梯度", moment: "时刻", initial: "训练前", final: "训练后",
    depth: "深度：从输入端到输出端的百分比", axis: "输出处的梯度（均方根）",
    drawing: "{moment}梯度均方根随相对深度的变化，{n} 个网络各一条线",
    loss: "训练损失", accuracy: "准确率", train_accuracy: "训练图像", test_accuracy: "测试图像", held: "留出图像", images: "图像",
    epoch: "epoch", nats: "交叉熵（奈特）", right: "正确 %", curve: "每个 epoch 之后的{what}，每个网络一条线",
    nets: "各网络的数字", net: "网络", parameters: "参数", macs: "每张图像的乘加次数", train: "训练损失", test: "测试准确率",
    stem: "首尾之比", layers: "有效深度", rate: "学习率", time: "用时", state: "状态", epochs: "epoch 数",
    diverged: "第 {n} 步发散", interrupted: "中断", done: "完成", at: "首尾之比与有效深度：训练前 → 训练后。",
    s: "{n} 秒", kept: "虚线：第 {n} 个 epoch，保留了它的权重。",
  },
});
const moment = choiceParam<Moment>("run.moment", "initial", ["initial", "final"]);
const measure = choiceParam<"test_accuracy" | "train_accuracy">("run.images", "test_accuracy", ["test_accuracy", "train_accuracy"]);

export function Nets({ nets }: { nets: readonly RunRecord[] }) {
  const names = netNames(nets);
  return (
    <div class="views">
      {nets.some((net) => net.gradient) && (
        <div class={hasCurves(nets) ? "cell" : "wide"}>
          <Profiles nets={nets} names={names} />
        </div>
      )}
      {hasCurves(nets) && (
        <div class="column">
          <Curve id="loss" nets={nets} names={names} what="train_loss" />
          <Curve id="accuracy" nets={nets} names={names} what={measure.value} />
        </div>
      )}
      <div class="wide">
        <Table nets={nets} names={names} />
      </div>
      {nets.length === 1 && nets[0]?.test && (
        <div class="wide">
          <TestImages test={nets[0].test} />
        </div>
      )}
    </div>
  );
}

interface Props {
  readonly nets: readonly RunRecord[];
  readonly names: readonly string[];
}

/** Of one net both moments; of several the one that is chosen. */
function Profiles({ nets, names }: Props) {
  const isAlone = nets.length === 1;
  const both = isAlone ? momentLines(nets, (name) => t(name)) : [];
  const series = isAlone ? both : netProfiles(nets, names, moment.value);
  const drawing = isAlone ? both.map((line) => line.name).join(", ") : t(moment.value);
  return (
    <Panel id="what-reaches" title={t("profile")} drawn>
      {!isAlone && (
        <div class="controls">
          <Choice
            legend={t("moment")}
            choices={(["initial", "final"] as const).map((name) => [name, t(name)] as const)}
            value={moment.value}
            onChange={moment.set}
          />
        </div>
      )}
      <Plot
        label={t("drawing", { moment: drawing, n: nets.length })}
        series={series}
        yDomain={bothDomain(nets, names)}
        xTitle={t("depth")}
        yTitle={t("axis")}
        xTicks={[0, 25, 50, 75, 100]}
        xText={(tick) => `${tick} %`}
        logarithmic
        height={400}
      />
      <Unseen series={series} />
    </Panel>
  );
}

/** One axis for both moments, so that a line that moves has moved. */
function bothDomain(nets: readonly RunRecord[], names: readonly string[]): readonly [number, number] {
  const lines = [...netProfiles(nets, names, "initial"), ...netProfiles(nets, names, "final")];
  const values = lines.flatMap((line) => line.points.map(([, value]) => value)).filter((value): value is number => value !== null && Number.isFinite(value));
  if (!values.length) return [-1, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = Math.max(0.04 * (high - low), 0.2);
  return [low - pad, high + pad];
}

function Curve({ id, nets, names, what }: Props & { id: "loss" | "accuracy"; what: Measure }) {
  const series = epochLines(nets, names, what);
  const longest = Math.max(...series.map((one) => one.points.length), 1);
  const kept = nets.length === 1 ? (nets[0]?.best_epoch ?? null) : null;
  const every = Math.ceil(longest / 8);
  const ticks = Array.from({ length: longest }, (_, i) => i + 1).filter((epoch) => epoch === 1 || epoch % every === 0);
  return (
    <Panel id={id} title={t(id)} drawn>
      {id === "accuracy" && (
        <div class="controls">
          <Choice
            legend={t("images")}
            choices={(["test_accuracy", "train_accuracy"] as const).map((name) => [name, t(name === "test_accuracy" && isValidated(nets) ? "held" : name)] as const)}
            value={measure.value}
            onChange={measure.set}
          />
        </div>
      )}
      <Plot label={t("curve", { what: t(id) })} series={series} xTitle={t("epoch")} yTitle={t(id === "loss" ? "nats" : "right")} xTicks={ticks} height={300} selected={kept} />
      {kept !== null && <p class="pale">{t("kept", { n: kept })}</p>}
    </Panel>
  );
}

/** 'before → after'; one of them where there is one. */
function change(before: Num | undefined, after: Num | undefined): string {
  const texts = [before, after].filter((value) => value !== undefined && value !== null).map((value) => short(decoded(value), 3));
  return texts.length ? texts.join(" → ") : "-";
}

function state(net: RunRecord): string {
  if (net.diverged_at_step !== null) return t("diverged", { n: net.diverged_at_step });
  return net.interrupted ? t("interrupted") : t("done");
}

function cells(net: RunRecord): string[] {
  const last = net.epochs.at(-1);
  const { initial, final } = net.gradient ?? {};
  const seconds = net.epochs.reduce((sum, epoch) => sum + (decoded(epoch.seconds) ?? 0), 0);
  return [
    count(net.parameters), count(net.macs), String(net.epochs.length), short(decoded(last?.train_loss), 3), percent(decoded(testAccuracy(net))),
    change(initial?.stem_over_head, final?.stem_over_head), change(initial?.effective_depth, final?.effective_depth),
    short(decoded(net.recipe.learning_rate), 3), t("s", { n: short(seconds, 3) }),
  ];
}

function Table({ nets, names }: Props) {
  return (
    <Panel id="nets" title={t("nets")}>
      <div class="table" role="region" aria-labelledby="nets-title" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="left">{t("net")}</th>
              {(["parameters", "macs", "epochs", "train", "test"] as const).map((head) => (
                <th key={head} scope="col">{t(head)}</th>
              ))}
              <th scope="col"><Term term="stem over head" name={t("stem")} /></th>
              <th scope="col"><Term term="effective depth" name={t("layers")} /></th>
              <th scope="col">{t("rate")}</th>
              <th scope="col">{t("time")}</th>
              <th scope="col" class="left">{t("state")}</th>
            </tr>
          </thead>
          <tbody>
            {nets.map((net, i) => (
              <tr key={i}>
                <th scope="row">{names[i]}</th>
                {cells(net).map((cell, k) => (
                  <td key={k}>{cell}</td>
                ))}
                <td class="left">{state(net)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="pale">{t("at")}</p>
    </Panel>
  );
}
