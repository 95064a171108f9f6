/** Text of a record as it may stand on a page: signs that do not print, or turn what stands beside them, made visible. */

/** Control characters, separators of lines, and what embeds, overrides or isolates a direction of writing. */
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** As Python's repr writes them: 'a\\x00b', 'first\\nsecond'. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (sign) => {
    const code = sign.charCodeAt(0);
    return SHORT[sign] ?? (code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`);
  });
}

/** The same value with all its texts visible, at any depth. */
export function withVisibleTexts<T>(value: T): T {
  if (typeof value === "string") return visible(value) as T;
  if (Array.isArray(value)) return value.map(withVisibleTexts) as T;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withVisibleTexts(inner)])) as T;
}
