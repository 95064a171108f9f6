/** English and Chinese. Each view brings a table of both; a table that lacks a key does not compile. */
import { choiceParam } from "./state";
import { remember, remembered } from "./storage";

export type Language = "en" | "zh";
export type Slots = Readonly<Record<string, string | number>>;
export type Bilingual = Readonly<Record<Language, string>>;
type Table = Readonly<Record<Language, Readonly<Record<string, string>>>>;

/** Every table made, so that one test can hold them all to equal keys and slots. */
export const TABLES: Table[] = [];

const LANGUAGES = ["en", "zh"] as const;

function preferred(): Language {
  if (typeof document === "undefined") return "en";
  const asked = document.documentElement.dataset["language"] ?? remembered("lang");
  if (asked === "en" || asked === "zh") return asked;
  return navigator.languages.some((name) => name.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

const chosen = choiceParam<Language>("lang", preferred(), LANGUAGES);

/** The language now; reading it subscribes. */
export const language = (): Language => chosen.value;

export function speak(name: Language): void {
  remember("lang", name);
  chosen.set(name);
}

/** A template with its slots filled: "{n} blocks". A slot that is not given stays visible. */
export function fill(template: string, slots: Slots = {}): string {
  return template.replace(/\{(\w+)\}/g, (slot, name: string) => String(slots[name] ?? slot));
}

export function say(text: Bilingual, slots: Slots = {}): string {
  return fill(text[language()], slots);
}

/** A view's words: `const t = texts({ en: {…}, zh: {…} })`, then `t("key", { n: 3 })`. */
export function texts<K extends string>(
  table: Readonly<{ en: Readonly<Record<K, string>>; zh: Readonly<Record<NoInfer<K>, string>> }>,
): (key: K, slots?: Slots) => string {
  TABLES.push(table as Table);
  return (key, slots = {}) => fill(table[language()][key], slots);
}
