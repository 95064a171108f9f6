/** A slider over the steps that a log holds: arrow keys on it, [ and ] anywhere on the page. */
import { useEffect } from "preact/hooks";
import { announce } from "../core/announce";
import { texts } from "../core/i18n";
import { RangeField } from "../ui/Field";

const t = texts({
  en: { step: "Step", keys: "[ and ] step through the reports" },
  zh: { step: "步", keys: "[ 和 ] 在各次报告之间移动" },
});

interface Props {
  /** Which report, from 0. */
  readonly at: number;
  readonly count: number;
  readonly onChange: (at: number) => void;
  /** A report in words: 'step 120 of 500, loss 1.83'. */
  readonly spoken: (at: number) => string;
}

export function Steps({ at, count, onChange, spoken }: Props) {
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const way = { "[": -1, "]": 1 }[event.key];
      if (!way || event.ctrlKey || event.metaKey || event.altKey || isTyped(event.target)) return;
      const next = Math.min(Math.max(at + way, 0), count - 1);
      onChange(next);
      announce(spoken(next));
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });
  return (
    <div class="controls steps">
      <RangeField label={t("step")} value={at} min={0} max={Math.max(count - 1, 0)} onChange={onChange} spoken={spoken} />
      <span class="pale">{t("keys")}</span>
    </div>
  );
}

const isTyped = (target: EventTarget | null): boolean =>
  target instanceof HTMLInputElement ? target.type !== "range" && target.type !== "radio" : target instanceof HTMLTextAreaElement;
