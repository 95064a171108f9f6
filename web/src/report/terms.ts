/** The page's definitions, given once by Python, read wherever a term stands. */
import type { Bilingual } from "../core/i18n";

let known: Readonly<Record<string, Bilingual>> = {};

/** Called once, before anything is drawn. */
export function define(definitions: Readonly<Record<string, Bilingual>>): void {
  known = definitions;
}

export const definitionOf = (term: string): Bilingual | undefined => known[term];
export const terms = (): readonly string[] => Object.keys(known);
