/** Back, step, play and a slider over the steps of a walk. Nothing plays by itself. */
import { useEffect, useState } from "preact/hooks";
import { announce } from "../core/announce";
import { texts } from "../core/i18n";
import { type Param, textParam } from "../core/state";
import { stillWanted } from "../core/theme";

const t = texts({
  en: {
    back: "Step back", forward: "Step forward", play: "Play", pause: "Pause", restart: "From the start", all: "Show all",
    steps: "Step", of: "step {k} of {n}", slow: "slow", normal: "normal", fast: "fast", speed: "Speed",
  },
  zh: {
    back: "上一步", forward: "下一步", play: "播放", pause: "暂停", restart: "从头开始", all: "全部显示",
    steps: "步骤", of: "第 {k} 步，共 {n} 步", slow: "慢", normal: "中", fast: "快", speed: "速度",
  },
});
const SECONDS = { slow: 2, normal: 1, fast: 0.4 };
type Speed = keyof typeof SECONDS;

/** Which step a figure is at: the last one, all shown, unless the reader stepped. */
export function stepParam(key: string): (count: number) => Param<number> {
  const text = textParam(key);
  return (count) => ({
    get value() {
      const step = Number(text.value);
      return text.value === "" || !Number.isInteger(step) ? count : Math.min(Math.max(step, 0), count);
    },
    set: (step) => text.set(step === count ? "" : String(step)),
    reset: text.reset,
  });
}

interface Props {
  readonly step: Param<number>;
  readonly count: number;
  /** The sentence of step k (1 …). */
  readonly sentence: (k: number) => string;
}

export function Stepper({ step, count, sentence }: Props) {
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>("normal");
  const k = step.value;
  const go = (to: number) => {
    const next = Math.min(Math.max(to, 0), count);
    if (next === k) return;
    step.set(next);
    if (next > 0) announce(`${t("of", { k: next, n: count })}. ${sentence(next)}`);
  };
  useEffect(() => {
    if (!playing) return;
    if (k >= count) return setPlaying(false);
    const timer = setTimeout(() => go(k + 1), 1000 * SECONDS[speed]);
    return () => clearTimeout(timer);
  }, [playing, k, count, speed]);
  const play = () => {
    if (!playing && k >= count) step.set(0);
    setPlaying(!playing);
  };
  return (
    <div class="stepper" data-still={stillWanted()}>
      <div class="buttons">
        {/* At an end a button is not `disabled`: it would lose the focus of who steps by keyboard. */}
        <button type="button" onClick={() => go(k - 1)} aria-disabled={k === 0} aria-label={t("back")} title={t("back")}>
          ◂
        </button>
        <button type="button" class="primary" onClick={play}>
          {playing ? t("pause") : t("play")}
        </button>
        <button type="button" onClick={() => go(k + 1)} aria-disabled={k === count} aria-label={t("forward")} title={t("forward")}>
          ▸
        </button>
        <input
          type="range"
          min={0}
          max={count}
          value={k}
          aria-label={t("steps")}
          aria-valuetext={t("of", { k, n: count })}
          onInput={(event) => go(event.currentTarget.valueAsNumber)}
        />
        <label class="speed">
          <span class="hidden-text">{t("speed")}</span>
          <select value={speed} onChange={(event) => setSpeed(event.currentTarget.value as Speed)}>
            {(Object.keys(SECONDS) as Speed[]).map((name) => (
              <option key={name} value={name}>
                {t(name)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="sentence">
        <span class="step-number">{t("of", { k, n: count })}</span> {k > 0 ? sentence(k) : ""}
      </p>
    </div>
  );
}
