/** A word with its definition one hover, one focus or one key away. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { type Bilingual, language } from "../core/i18n";

interface Props {
  readonly word: string;
  readonly definition: Bilingual | undefined;
}

/** The word alone where there is no definition. Escape closes what is open. */
export function Term({ word, definition }: Props) {
  const id = useId();
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    if (!isOpen) return;
    const close = (event: KeyboardEvent) => event.key === "Escape" && setOpen(false);
    const leave = (event: Event) => !box.current?.contains(event.target as Node) && setOpen(false);
    addEventListener("keydown", close);
    addEventListener("pointerdown", leave);
    return () => {
      removeEventListener("keydown", close);
      removeEventListener("pointerdown", leave);
    };
  }, [isOpen]);
  if (!definition) return <>{word}</>;
  return (
    <span class="term" ref={box} onPointerEnter={() => setOpen(true)} onPointerLeave={() => setOpen(false)}>
      <button type="button" aria-describedby={id} onFocus={() => setOpen(true)} onBlur={() => setOpen(false)}>
        {word}
      </button>
      <span class={isOpen ? "definition open" : "definition"} role="tooltip" id={id}>
        {definition[language()]}
      </span>
    </span>
  );
}
