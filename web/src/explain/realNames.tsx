/** What recorded nets are called, and the line that says where and when they were recorded. */
import { count } from "../core/numbers";
import { texts } from "../core/i18n";
import type { About, Net, NetShape } from "./data";

const t = texts({
  en: {
    bare: "plain {depth}, no norm", he: "plain {depth}, He, no norm", plain: "plain {depth}, BatchNorm",
    residual: "residual {depth}", dense: "dense {depth}",
    about:
      "Recorded {date} by gradpath {gradpath}, PyTorch {torch}, {threads} thread of an {processor}: {data} ({train} training and {test} test " +
      "images of 28 × 28 pixels), {epochs}, batches of {batch}, SGD with learning rate {rate}; {seeds}. No other nets were trained and left out.",
    epochs1: "1 epoch", epochs: "{n} epochs", seed: "seed {n}", seeds: "seeds 0 to {n}",
  },
  zh: {
    bare: "普通 {depth} 层，无归一化", he: "普通 {depth} 层，He，无归一化", plain: "普通 {depth} 层，BatchNorm",
    residual: "残差 {depth} 层", dense: "稠密 {depth} 层",
    about:
      "{date} 由 gradpath {gradpath}、PyTorch {torch} 在一台 {processor} 上用 {threads} 个线程记录：{data}（训练图像 {train} 张，测试图像 {test} 张，" +
      "28 × 28 像素），{epochs}，批大小 {batch}，SGD 学习率 {rate}；{seeds}。训练过的网络全部列出。",
    epochs1: "1 个 epoch", epochs: "{n} 个 epoch", seed: "随机种子 {n}", seeds: "随机种子 0 到 {n}",
  },
});

export function netName({ family, depth, norm, init }: Pick<NetShape, "family" | "depth" | "norm" | "init">): string {
  if (family !== "plain") return t(family, { depth });
  return t(norm !== "none" ? "plain" : init === "he" ? "he" : "bare", { depth });
}

/** The first net of a kind: what the sentences speak of. */
export function find(nets: readonly Net[], family: Net["family"], norm: string, depth?: number): Net | undefined {
  return nets.find((net) => net.family === family && net.norm === norm && net.depth === (depth ?? net.depth));
}

export const sizeOf = (net: NetShape): [string, string] => [count(net.parameters), count(net.macs)];

export function Recorded({ about, seeds }: { about: About; seeds: number | null }) {
  const { date, gradpath, machine, recipe } = about;
  const epochs = recipe.epochs === 1 ? t("epochs1") : t("epochs", { n: recipe.epochs });
  const slots = {
    date, gradpath, epochs, torch: machine.torch, threads: machine.threads, processor: machine.processor, data: about.data,
    train: about.train_images, test: about.test_images, batch: recipe.batch_size, rate: recipe.learning_rate,
    seeds: seeds === null || seeds === 1 ? t("seed", { n: 0 }) : t("seeds", { n: seeds - 1 }),
  };
  return <p class="recorded">{t("about", slots)}</p>;
}
