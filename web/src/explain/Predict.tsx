/** "Predict first": the newest gradient stays hidden until the reader has said what it will be. */
import { useState } from "preact/hooks";
import type { Walk } from "../circuit/engine";
import { announce } from "../core/announce";
import { texts } from "../core/i18n";
import { parse, show } from "../core/numbers";
import type { Param } from "../core/state";

const t = texts({
  en: {
    ask: "{node} has been told {upstream}. What does it send to {target}?",
    guess: "Your guess", check: "Check",
    right: "Right: {answer}.", wrong: "It is {answer}: {upstream} × {local}.",
    begin: "Go back to the start and step: each time the next gradient is hidden.",
    go: "Start the questions", again: "Once more",
  },
  zh: {
    ask: "{node} 收到 {upstream}。它传给 {target} 多少？",
    guess: "你的猜测", check: "检查",
    right: "对：{answer}。", wrong: "是 {answer}：{upstream} × {local}。",
    begin: "回到起点一步步走：每次都会隐藏下一个梯度。",
    go: "开始提问", again: "再来一遍",
  },
});

/** The wire of the newest backward step: its first input. */
function asked(walked: Walk, k: number) {
  const step = walked.steps[k - 1];
  if (step?.direction !== "backward") return null;
  return walked.wires.find((wire) => wire.target === step.node && wire.slot === 0) ?? null;
}

export function hiddenWire(walked: Walk, k: number): string | null {
  const wire = k < walked.steps.length ? asked(walked, k) : null;
  return wire ? `${wire.target}.${wire.slot}` : null;
}

/** From the field that went with the last answer. */
const takeFocus = (button: HTMLButtonElement | null) => button?.focus();

export function Predict({ walked, step }: { walked: Walk; step: Param<number> }) {
  const [guess, setGuess] = useState("");
  const [said, setSaid] = useState("");
  const k = step.value;
  const wire = k < walked.steps.length ? asked(walked, k) : null;
  const backward = walked.steps.findIndex((one) => one.direction === "backward");
  if (!wire) {
    return (
      <p class="predict">
        {said || t("begin")}{" "}
        <button type="button" ref={said ? takeFocus : null} onClick={() => { setSaid(""); step.set(backward + 1); }}>
          {t(said ? "again" : "go")}
        </button>
      </p>
    );
  }
  const slots = {
    node: wire.target, target: wire.source, upstream: show(walked.gradients[wire.target] ?? NaN),
    local: show(wire.local), answer: show(wire.gradient),
  };
  const check = (event: Event) => {
    event.preventDefault();
    const value = parse(guess);
    if (value === null) return;
    const isRight = Math.abs(value - wire.gradient) <= 1e-3 * Math.max(Math.abs(wire.gradient), 1e-12);
    const text = t(isRight ? "right" : "wrong", slots);
    setSaid(text);
    announce(text);
    setGuess("");
    step.set(k + 1);
  };
  return (
    <form class="predict" onSubmit={check}>
      {said && <p>{said}</p>}
      <label>
        {t("ask", slots)}{" "}
        <input type="text" inputMode="decimal" size={9} value={guess} aria-label={t("guess")} onInput={(event) => setGuess(event.currentTarget.value)} />
      </label>{" "}
      <button type="submit">{t("check")}</button>
    </form>
  );
}
