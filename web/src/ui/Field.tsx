/** Numbers, ranges and choices that a reader changes, by mouse or keyboard. */
import { useEffect, useId, useState } from "preact/hooks";
import { parse, show } from "../core/numbers";
import { texts } from "../core/i18n";

const t = texts({
  en: { notANumber: "{text} is not a number: {name} stays {value}" },
  zh: { notANumber: "{text} 不是数：{name} 保持为 {value}" },
});

interface NumberFieldProps {
  readonly label: string;
  readonly value: number;
  readonly onChange: (value: number) => void;
  /** What an arrow key adds or takes away. */
  readonly step?: number;
}

/** A number to type; arrow keys change it by `step`, Shift makes it ten steps. What is no number is refused with a word. */
export function NumberField({ label, value, onChange, step = 0.1 }: NumberFieldProps) {
  const id = useId();
  const [text, setText] = useState(show(value));
  const [problem, setProblem] = useState("");
  const [commits, setCommits] = useState(0); // a value out of range may leave what stood there: then the text has to go back
  useEffect(() => {
    setText(show(value));
    setProblem("");
  }, [value, commits]);
  const commit = (typed: string) => {
    const number = parse(typed);
    if (number === null) {
      setProblem(t("notANumber", { text: typed || "∅", name: label, value: show(value) }));
      setText(show(value));
    } else {
      if (show(number) !== show(value)) onChange(number);
      setCommits(commits + 1);
    }
  };
  const nudge = (event: KeyboardEvent) => {
    const sign = event.key === "ArrowUp" ? 1 : event.key === "ArrowDown" ? -1 : 0;
    if (!sign) return;
    event.preventDefault();
    onChange(Number((value + sign * step * (event.shiftKey ? 10 : 1)).toPrecision(12)));
  };
  return (
    <span class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        inputMode="decimal"
        autocomplete="off"
        size={7}
        value={text}
        aria-invalid={problem !== ""}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onInput={(event) => setText(event.currentTarget.value)}
        onChange={(event) => commit(event.currentTarget.value)}
        onKeyDown={nudge}
      />
      {problem && (
        <span id={`${id}-problem`} class="problem" role="alert">
          {problem}
        </span>
      )}
    </span>
  );
}

interface RangeFieldProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  readonly onChange: (value: number) => void;
  /** The value as it is shown and spoken. */
  readonly spoken?: (value: number) => string;
}

export function RangeField({ label, value, min, max, step = 1, onChange, spoken = String }: RangeFieldProps) {
  const id = useId();
  return (
    <span class="field range">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        aria-valuetext={spoken(value)}
        onInput={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
      <output for={id}>{spoken(value)}</output>
    </span>
  );
}

interface ChoiceProps<T extends string> {
  readonly legend: string;
  readonly choices: readonly (readonly [T, string])[];
  readonly value: T;
  readonly onChange: (value: T) => void;
}

/** One of a few: radio buttons that look like one bar. */
export function Choice<T extends string>({ legend, choices, value, onChange }: ChoiceProps<T>) {
  const group = useId();
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      {choices.map(([name, label]) => (
        <label key={name}>
          <input type="radio" name={group} checked={name === value} onChange={() => onChange(name)} />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface SelectProps<T extends string> extends ChoiceProps<T> {}

/** One of many. */
export function Select<T extends string>({ legend, choices, value, onChange }: SelectProps<T>) {
  const id = useId();
  return (
    <span class="field">
      <label for={id}>{legend}</label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value as T)}>
        {choices.map(([name, label]) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
      </select>
    </span>
  );
}

export function Toggle({ label, on, onChange }: { label: string; on: boolean; onChange: (on: boolean) => void }) {
  return (
    <label class="toggle">
      <input type="checkbox" checked={on} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}
