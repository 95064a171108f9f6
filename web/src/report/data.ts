/** What Python puts into a report beside the records (report/_report_page.py): words that it alone can say, and layouts. */
import type { Bilingual } from "../core/i18n";
import type { Layout } from "./layout";
import type { AnyRecord } from "./records";

/** Where something stands in the records: an index, then keys and indices. */
export type Place = readonly (string | number)[];

/** Two flows and their difference (a FlowDiff). The flows are null where the page holds the difference alone. */
export interface Pair {
  readonly diff: Place;
  readonly a: Place | null;
  readonly b: Place | null;
  readonly headline: string;
  readonly notes: readonly string[];
}

/** What is said of one record, or of a flow inside one: the same sentences as in the terminal. */
export interface Spoken {
  /** What of the records it is about. */
  readonly place: Place;
  /** Flows side by side. */
  readonly pairs: readonly Pair[];
  /** How it was measured: label → text. */
  readonly measured: readonly (readonly [string, string])[];
  /** What to try next: 'command  # why'. */
  readonly next: readonly string[];
  /** What to call it: a file's name, a model's. */
  readonly name: string;
  /** The finding in one sentence. */
  readonly headline: string;
  /** Label → text: where, why, what would cure it. */
  readonly details: readonly (readonly [string, string])[];
  /** The record's main numbers as sentences. */
  readonly facts: readonly string[];
  /** What was not seen. */
  readonly unseen: readonly string[];
  readonly layout: Layout | null;
}

export interface ReportData {
  readonly version: string;
  readonly title: string;
  /** Term → its definition, from docs/definitions.md. */
  readonly definitions: Readonly<Record<string, Bilingual>>;
  readonly spoken: readonly Spoken[];
  /** English → Chinese of every sentence that Python says, those inside the records too. */
  readonly chinese?: Readonly<Record<string, string>>;
}

export interface Report extends ReportData {
  readonly records: readonly AnyRecord[];
}

/** The part of the records at a place; undefined where there is none. */
export function at<T>(records: readonly AnyRecord[], place: Place | null): T | undefined {
  let found: unknown = place ? records : undefined;
  for (const key of place ?? []) found = (found as Record<string | number, unknown> | null | undefined)?.[key];
  return found as T | undefined;
}
