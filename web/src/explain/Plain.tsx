/** 2. The article's plain block, forward and backward, stepped or played; predicted first; checked by nudging. */
import { plainBlock } from "../circuit/build";
import { texts } from "../core/i18n";
import { show } from "../core/numbers";
import { Figure } from "../ui/Figure";
import { LeafFields } from "./LeafFields";
import { isAsking, lesson, walked, Walkthrough } from "./Lesson";
import { NudgeTable } from "./NudgeTable";

const t = texts({
  en: {
    title: "A plain block: four weights, and almost nothing comes back",
    lead:
      "x = 10 passes four multiply gates with a weight of 0.1 each. Forward: 10, 1, 0.1, 0.01, 0.001. " +
      "Send a gradient of 1 back and **0.0001** is left at x; each weight gets **0.01**. One block, four orders of magnitude lost.",
    drawing: "The plain block as a circuit: x, then four multiply gates, each with a weight below it",
    now: "Here and now: of a gradient of {upstream}, {x} reaches x.",
  },
  zh: {
    title: "普通块：四个权重，几乎什么也传不回来",
    lead:
      "x = 10 依次通过四个乘法门，每个权重 0.1。前向传播：10、1、0.1、0.01、0.001。" +
      "把梯度 1 传回来，x 处只剩 **0.0001**，每个权重得到 **0.01**。仅一个块，就损失四个数量级。",
    drawing: "普通块的电路图：x 之后是四个乘法门，每个门下面有一个权重",
    now: "当前：梯度 {upstream} 传到 x 时剩下 {x}。",
  },
});

const block = lesson("plain", plainBlock());

export function Plain() {
  const now = walked(block);
  return (
    <Figure
      id="plain"
      title={t("title")}
      lead={t("lead")}
      controls={<LeafFields circuit={block.circuit} set={block.settings} />}
      after={now.broken ? null : <NudgeTable circuit={block.circuit} set={block.settings.value} walked={now} />}
    >
      <Walkthrough lesson={block} label={t("drawing")} />
      {!now.broken && !isAsking(block, now) && <p class="now">{t("now", { x: show(now.gradients["x"] ?? NaN), upstream: show(block.circuit.upstream) })}</p>}
    </Figure>
  );
}
