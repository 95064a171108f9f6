/** About how wide a text of 12 units is, before it is drawn: a Chinese character is as wide as two Latin letters. */

const LETTER = 6.6;
const FIRST_CHINESE = "⺀";

export function widthOf(text: string): number {
  return LETTER * [...text].reduce((sum, letter) => sum + (letter >= FIRST_CHINESE ? 1.8 : 1), 0);
}

/** Attributes that press a text into a space that is too short for it; none where it fits. */
export function fitted(text: string, space: number): { textLength?: number; lengthAdjust?: "spacingAndGlyphs" } {
  return widthOf(text) > space ? { textLength: space, lengthAdjust: "spacingAndGlyphs" } : {};
}
