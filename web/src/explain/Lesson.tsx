/** A circuit to step through: drawn, played, predicted first. What the plain block and the skip share. */
import { CircuitView } from "../circuit/CircuitView";
import { type Circuit, sentence, walk, type Walk } from "../circuit/engine";
import { language, texts } from "../core/i18n";
import { flagParam, numbersParam, type Param } from "../core/state";
import { Toggle } from "../ui/Field";
import { Scroll } from "../ui/Figure";
import { stepParam, Stepper } from "../ui/Stepper";
import { hiddenWire, Predict } from "./Predict";

const t = texts({
  en: {
    predict: "Predict first: hide the next number",
    broken: "{node} has no finite value here: no gradient can be said. Choose smaller numbers.",
  },
  zh: {
    predict: "先预测：隐藏下一个数",
    broken: "{node} 在这里没有有限的值，也就说不出梯度。请改用小一些的数。",
  },
});

export interface Lesson {
  readonly circuit: Circuit;
  readonly settings: Param<Readonly<Record<string, number>>>;
  readonly stepOf: (count: number) => Param<number>;
  readonly predicting: Param<boolean>;
}

/** A circuit with the parameters that a reader changes, named after its figure. */
export function lesson(id: string, circuit: Circuit): Lesson {
  const settings = numbersParam(`${id}.set`);
  return { circuit, settings, stepOf: stepParam(`${id}.step`), predicting: flagParam(`${id}.predict`) };
}

export const walked = ({ circuit, settings }: Lesson): Walk => walk(circuit, settings.value);

/** A gradient is hidden: nothing else on the page may tell it. */
export const isAsking = ({ predicting, stepOf }: Lesson, { steps }: Walk): boolean =>
  predicting.value && stepOf(steps.length).value < steps.length;

interface Props {
  readonly lesson: Lesson;
  /** What the drawing shows, for those who do not see it. */
  readonly label: string;
  /** Letters beside gradients, by wire. */
  readonly tags?: Readonly<Record<string, string>>;
}

export function Walkthrough({ lesson, label, tags = {} }: Props) {
  const now = walked(lesson);
  const { predicting, stepOf } = lesson;
  const count = now.steps.length;
  const step = stepOf(count);
  const hidden = predicting.value ? hiddenWire(now, step.value) : null;
  return (
    <>
      <Scroll label={label} follow={step.value}>
        <CircuitView walked={now} k={step.value} label={label} hidden={hidden} tags={tags} />
      </Scroll>
      {now.broken && <p class="problem">{t("broken", { node: now.broken })}</p>}
      <Stepper step={step} count={count} sentence={(k) => stepSentence(now, k)} />
      <Toggle label={t("predict")} on={predicting.value} onChange={predicting.set} />
      {predicting.value && <Predict walked={now} step={step} />}
    </>
  );
}

function stepSentence(now: Walk, k: number): string {
  const done = now.steps[k - 1];
  return done ? sentence(now, done, language()) : "";
}
