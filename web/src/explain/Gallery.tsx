/** 7b. The gallery: effective depth of well-known networks at initialisation, as dots. */
import { texts } from "../core/i18n";
import { short } from "../core/numbers";
import { DotRows } from "../ui/DotRows";
import { Figure } from "../ui/Figure";
import { Say } from "../ui/Say";
import type { Gallery, GalleryNet } from "./data";
import { ranked } from "./realData";

const t = texts({
  en: {
    title: "How deep are well-known networks for the gradient?",
    lead:
      "{name} has {layers} layers with weights and {forks} branches. The gradient that reaches its first layer passed **{depth}** of those branches on average; the rest came over the skips. " +
      "That is its effective depth. No net here is deeper than that.",
    axis: "● effective depth   ○ branches there are", label: "Effective depth of {n} networks as dots, beside the number of branches each has",
    of: "{depth} of {forks}", net: "net", depth: "effective depth", error: "± (n = {n} batches)", forks: "branches", layers: "layers", share: "skip share",
    about:
      "At initialisation, before any training: random weights as each library draws them, random inputs, mean over {n} batches. Training changes the numbers. " +
      "ConvNeXt starts with every branch scaled by 10⁻⁶ (LayerScale), hence its 0. {without} have no skip to an add or a concatenation around a branch, so there is no such number. {versions}.",
  },
  zh: {
    title: "对梯度来说，知名网络有多深？",
    lead:
      "{name} 有 {layers} 个带权重的层、{forks} 个分支。到达第一层的梯度平均只经过其中 **{depth}** 个分支，其余部分走的是快捷通道。" +
      "这就是它的有效深度。图中没有比它更深的网络。",
    axis: "● 有效深度   ○ 分支总数", label: "{n} 个网络的有效深度（实心点）与各自的分支总数（空心点）",
    of: "{depth} / {forks}", net: "网络", depth: "有效深度", error: "±（{n} 批）", forks: "分支", layers: "层", share: "快捷通道占比",
    about:
      "均为初始化时、训练之前的数：权重由各库随机生成，输入随机，对 {n} 批取平均。训练会改变这些数。" +
      "ConvNeXt 的每个分支一开始都乘以 10⁻⁶（LayerScale），所以是 0。{without} 没有绕过分支再相加或拼接的快捷通道，因此没有这个数。{versions}。",
  },
});

export function GalleryFigure({ gallery }: { gallery: Gallery }) {
  const { deep, without } = ranked(gallery);
  const first = deep[0];
  if (!first) return null;
  const versions = Object.entries(gallery.versions).map(([name, version]) => `${name} ${version}`);
  const about = { n: gallery.batches, without: without.map((net) => net.net).join(", "), versions: versions.join(", ") };
  const lead = { name: first.net, layers: first.weighted_layers, forks: first.residual_forks, depth: depthOf(first) };
  return (
    <Figure id="gallery" title={t("title")} lead={t("lead", lead)} after={<p class="recorded"><Say text={t("about", about)} /></p>}>
      <DotRows
        label={t("label", { n: deep.length })}
        axis={t("axis")}
        heads={[t("net"), t("depth"), t("error", { n: gallery.batches }), t("forks"), t("layers"), t("share")]}
        rows={deep.map((net) => ({
          name: net.net,
          value: net.effective_depth?.[0] ?? 0,
          other: net.residual_forks,
          text: t("of", { depth: depthOf(net), forks: net.residual_forks }),
          cells: [
            depthOf(net), short(net.effective_depth?.[1] ?? null, 2), String(net.residual_forks), String(net.weighted_layers),
            short(net.skip_share?.[0] ?? null, 3),
          ],
        }))}
      />
    </Figure>
  );
}

const depthOf = (net: GalleryNet): string => (net.effective_depth?.[0] ?? 0).toFixed(1);
