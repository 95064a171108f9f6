/** 1. One gate and the chain rule: any gate of the table, its inputs and what arrives from behind to be changed. */
import { oneGate } from "../circuit/build";
import { type Circuit, part, sentence, walk, type Walk } from "../circuit/engine";
import { GATES, WORDS } from "../circuit/gates";
import { language, texts } from "../core/i18n";
import { show } from "../core/numbers";
import { choiceParam, numberParam, numbersParam } from "../core/state";
import { NumberField, RangeField, Select } from "../ui/Field";
import { Figure } from "../ui/Figure";
import { Say } from "../ui/Say";
import { useWidth } from "../ui/useWidth";
import { sideSlopes } from "./gateCurve";
import { GateCurves } from "./GateCurves";
import { GateFormulas } from "./GateFormulas";
import { GateView } from "./GateView";
import { LeafFields } from "./LeafFields";
import { NudgeTable } from "./NudgeTable";

const t = texts({
  en: {
    title: "One gate: all it knows is its own slope",
    lead:
      "On the way forward a gate computes z. On the way back it is told one number, **dL/dz**, multiplies it by its own " +
      "slope for each input, and hands that on: **dL/dx = dL/dz · dz/dx**. Backpropagation is this, gate by gate; where a wire forks, what comes back is added up.",
    gate: "Gate", upstream: "dL/dz",
    drawing: "One {gate} gate: {inputs} go in, z = {z} comes out; {upstream} arrives from the loss, and the gate sends back {sent}",
    forward: "Forward", backward: "Backward", nudge: "Nudge each input by",
    slopes: "The slope is the steepness of this curve at the dot. The ring is where a nudge really leads; the dashed line is what the slope foretells.",
    tie: "Try a tie", tieNote: "**A corner.** Seen from below, the slope with respect to {name} is {below}; from above it is {above}. There is no one right answer; gradpath and PyTorch take {chosen}.",
    broken: "There is no finite value or slope here, so no gradient either: {reason}. Change an input.",
    source: "After the gate of the article's figure 1, which is that of the CS231n lecture on backpropagation.",
  },
  zh: {
    title: "一个门：它只需要知道自己的局部导数",
    lead:
      "前向传播时，门算出 z。反向传播时，门只收到一个数 **dL/dz**，把它乘以自己对每个输入的局部导数，再往前交：" +
      "**dL/dx = dL/dz · dz/dx**。反向传播就是一个门接一个门地做这件事，遇到分叉则把梯度相加。",
    gate: "门", upstream: "dL/dz",
    drawing: "一个“{gate}”门：输入 {inputs}，输出 z = {z}；从损失传来 {upstream}，门往回传 {sent}",
    forward: "前向传播", backward: "反向传播", nudge: "每个输入各移动",
    slopes: "局部导数就是曲线在圆点处的陡峭程度。圆圈是移动之后真正到达的位置，虚线是导数的预言。",
    tie: "试试相等的情形", tieNote: "**这里有一个拐角。**从下方看，对 {name} 的导数是 {below}；从上方看是 {above}。没有唯一正确的答案，gradpath 和 PyTorch 取 {chosen}。",
    broken: "此处没有有限的值或导数，因此也没有梯度：{reason}。请改变一个输入。",
    source: "取自文章图 1 的门，它源自 CS231n 课程中反向传播一讲。",
  },
});

const KINDS = Object.keys(GATES);
const kind = choiceParam("gate.kind", "multiply", KINDS);
const settings = numbersParam("gate.set");
const upstream = numberParam("gate.upstream", 0.5);
const nudgeBy = numberParam("gate.nudge", 0.5, -1, 1);
const WIDEST = 560;
/** Inputs at which a gate has a corner. */
const TIES: Readonly<Record<string, Readonly<Record<string, number>>>> = { max: { x: 2, y: 2 }, relu: { x: 0 } };

export function Gate() {
  const [place, width] = useWidth(WIDEST);
  const circuit = oneGate(kind.value, WORDS[kind.value]?.inputs ?? null, upstream.value);
  const walked = walk(circuit, settings.value);
  return (
    <Figure id="gate" title={t("title")} lead={t("lead")} controls={<Controls circuit={circuit} />} after={<After circuit={circuit} walked={walked} />}>
      <div class="gate-place" ref={place}>
        <GateView walked={walked} label={drawn(walked)} width={width} />
        <GateFormulas walked={walked} />
      </div>
      {walked.broken ? <p class="problem">{t("broken", { reason: filledIn(walked) })}</p> : <Sentences walked={walked} />}
      <Corner circuit={circuit} walked={walked} />
    </Figure>
  );
}

function Controls({ circuit }: { circuit: Circuit }) {
  const tie = TIES[kind.value];
  return (
    <>
      <Select legend={t("gate")} choices={KINDS.map((name) => [name, named(name)] as const)} value={kind.value} onChange={kind.set} />
      <LeafFields circuit={circuit} set={settings} />
      <NumberField label={t("upstream")} value={upstream.value} onChange={upstream.set} />
      {tie && (
        <button type="button" onClick={() => settings.set({ ...settings.value, ...tie })}>
          {t("tie")}
        </button>
      )}
    </>
  );
}

function named(name: string): string {
  const words = WORDS[name];
  return words ? `${words.word[language()]} (${words.label})` : name;
}

function drawn(walked: Walk): string {
  const { inputs, gate } = part(walked.circuit, walked.circuit.output);
  const each = (text: (name: string) => string) => inputs.map(text).join(", ");
  return t("drawing", {
    gate: WORDS[gate]?.word[language()] ?? gate,
    inputs: each((name) => `${name} = ${show(walked.values[name] ?? NaN)}`),
    z: show(walked.values[walked.circuit.output] ?? NaN),
    upstream: show(walked.circuit.upstream),
    sent: each((name) => `dL/d${name} = ${show(walked.gradients[name] ?? NaN)}`),
  });
}

/** "z = log(−1)": what has no value. */
function filledIn(walked: Walk): string {
  const { name, gate, inputs, index } = part(walked.circuit, walked.circuit.output);
  const numbers = inputs.map((input) => show(walked.values[input] ?? NaN));
  return `${name} = ${GATES[gate]?.notation(numbers, index, language()) ?? ""}`;
}

function Sentences({ walked }: { walked: Walk }) {
  return (
    <dl class="sentences">
      {walked.steps.map((step) => (
        <div key={step.direction}>
          <dt>{t(step.direction)}</dt>
          <dd>{sentence(walked, step, language())}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Where the slope jumps: what it is on either side. */
function Corner({ circuit, walked }: { circuit: Circuit; walked: Walk }) {
  const { gate, inputs } = part(circuit, circuit.output);
  const isTie = GATES[gate]?.isTie?.(inputs.map((name) => walked.values[name] ?? NaN));
  const name = inputs[0];
  const wire = walked.wires[0];
  if (!isTie || name === undefined || !wire) return null;
  const { below, above } = sideSlopes(circuit, settings.value, name);
  const numbers = { name, below: show(Math.round(below)), above: show(Math.round(above)), chosen: show(wire.local) };
  return (
    <p class="corner">
      <Say text={t("tieNote", numbers)} />
    </p>
  );
}

function After({ circuit, walked }: { circuit: Circuit; walked: Walk }) {
  return (
    <>
      <p>{t("slopes")}</p>
      <RangeField label={t("nudge")} value={nudgeBy.value} min={-1} max={1} step={0.05} onChange={nudgeBy.set} spoken={show} />
      <GateCurves circuit={circuit} set={settings.value} walked={walked} h={nudgeBy.value} />
      {!walked.broken && <NudgeTable circuit={circuit} set={settings.value} walked={walked} />}
      <p class="pale">{t("source")}</p>
    </>
  );
}
