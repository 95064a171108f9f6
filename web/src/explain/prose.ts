/** Numbers as they stand in a sentence: 27,000 and 1.3×10⁻⁸, not 2.7e4 and 1.3e-8. */
import { fromLog10 } from "../core/numbers";

const RAISED: Readonly<Record<string, string>> = {
  "-": "⁻", "−": "⁻", "0": "⁰", "1": "¹", "2": "²", "3": "³", "4": "⁴", "5": "⁵", "6": "⁶", "7": "⁷", "8": "⁸", "9": "⁹",
};
const PLAIN_BELOW = 7;

/** A whole number as an exponent. */
export function superscript(power: number): string {
  return [...String(power)].map((digit) => RAISED[digit] ?? digit).join("");
}

/** A positive number given by its logarithm, with two digits. */
export function inProse(log10: number): string {
  const text = fromLog10(log10, 2);
  const [mantissa = "", exponent] = text.split("e");
  if (exponent === undefined) return text;
  const power = Number(exponent.replace("−", "-"));
  if (power > 0 && power < PLAIN_BELOW) return Math.round(Number(mantissa) * 10 ** power).toLocaleString("en");
  return `${mantissa}×10${superscript(power)}`;
}
