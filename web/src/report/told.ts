/** Python's sentences in the reader's language: what stands in a record is English, its Chinese comes beside it. */
import { type Language, language } from "../core/i18n";

let chinese: Readonly<Record<string, string>> = {};

/** Called once, before anything is drawn. `sentences`: English → Chinese. */
export function tellIn(sentences: Readonly<Record<string, string>>): void {
  chinese = sentences;
}

/** The language in which a sentence can be told: the reader's, or English where there is no other. */
export const languageOf = (sentence: string): Language => (language() === "zh" && chinese[sentence] !== undefined ? "zh" : "en");

export const told = (sentence: string): string => (languageOf(sentence) === "zh" ? (chinese[sentence] ?? sentence) : sentence);

/** Attributes of the element around a sentence. */
export const spokenIn = (sentence: string): { lang: string } => ({ lang: languageOf(sentence) === "zh" ? "zh-CN" : "en" });
