/** All definitions in short, at the end of the page. */
import { language, texts } from "../core/i18n";
import { Term as Word } from "../ui/Term";
import { definitionOf, terms } from "./terms";

const t = texts({
  en: { title: "Definitions", source: "In short; the normative page is docs/definitions.md (v1)." },
  zh: { title: "定义", source: "此处为简述；规范页面是 docs/definitions.md（v1）。" },
});

/** A term of the page with its definition; `name` where it is written otherwise. */
export function Term({ term, name = term }: { term: string; name?: string }) {
  return <Word word={name} definition={definitionOf(term)} />;
}

export function Glossary() {
  return (
    <details class="glossary">
      <summary>{t("title")}</summary>
      <p class="pale">{t("source")}</p>
      <dl class="details">
        {terms().map((term) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{definitionOf(term)?.[language()]}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
