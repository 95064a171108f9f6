/** 2. The article's plain block, forward and backward, stepped or played; predicted first; checked by nudging. */
import { useState } from "preact/hooks";
import { plainBlock } from "../circuit/build";
import { CircuitView } from "../circuit/CircuitView";
import { sentence, walk } from "../circuit/engine";
import { language, texts } from "../core/i18n";
import { show } from "../core/numbers";
import { numbersParam } from "../core/state";
import { Figure, Scroll } from "../ui/Figure";
import { Toggle } from "../ui/Field";
import { stepParam, Stepper } from "../ui/Stepper";
import { LeafFields } from "./LeafFields";
import { NudgeTable } from "./NudgeTable";
import { hiddenWire, Predict } from "./Predict";

const t = texts({
  en: {
    title: "A plain block: four weights, and almost nothing comes back",
    lead:
      "x = 10 passes four multiply gates with a weight of 0.1 each. Forward: 10, 1, 0.1, 0.01, 0.001. " +
      "Send a gradient of 1 back and **0.0001** is left at x; each weight gets **0.01**. One block, four orders of magnitude.",
    drawing: "The plain block as a circuit: x, then four multiply gates, each with a weight below it",
    predict: "Predict first: hide the next number",
    now: "Here and now: {x} of a gradient of {upstream} reaches x.",
  },
  zh: {
    title: "普通块：四个权重，几乎什么也传不回来",
    lead:
      "x = 10 依次通过四个乘法门，每个权重 0.1。前向传播：10、1、0.1、0.01、0.001。" +
      "把梯度 1 传回来，x 处只剩 **0.0001**，每个权重得到 **0.01**。仅一个块，就损失四个数量级。",
    drawing: "普通块的电路图：x 之后是四个乘法门，每个门下面有一个权重",
    predict: "先预测：隐藏下一个数",
    now: "当前：梯度 {upstream} 传到 x 时剩下 {x}。",
  },
});

const circuit = plainBlock();
const settings = numbersParam("plain.set");
const stepOf = stepParam("plain.step");

export function Plain() {
  const [predicting, setPredicting] = useState(false);
  const walked = walk(circuit, settings.value);
  const count = walked.steps.length;
  const step = stepOf(count);
  const hidden = predicting ? hiddenWire(walked, step.value) : null;
  return (
    <Figure
      id="plain"
      title={t("title")}
      lead={t("lead")}
      controls={<LeafFields circuit={circuit} set={settings} />}
      after={<NudgeTable circuit={circuit} set={settings.value} walked={walked} />}
    >
      <Scroll label={t("drawing")}>
        <CircuitView walked={walked} k={step.value} label={t("drawing")} hidden={hidden} />
      </Scroll>
      <Stepper step={step} count={count} sentence={(k) => stepSentence(k)} />
      <Toggle label={t("predict")} on={predicting} onChange={setPredicting} />
      {predicting && <Predict walked={walked} step={step} />}
      <p class="now">{t("now", { x: show(walked.gradients["x"] ?? NaN), upstream: show(circuit.upstream) })}</p>
    </Figure>
  );

  function stepSentence(k: number): string {
    const done = walked.steps[k - 1];
    return done ? sentence(walked, done, language()) : "";
  }
}
