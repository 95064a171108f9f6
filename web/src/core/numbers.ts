/** Quantities as text, the same as `gradpath.units` writes them: tests hold the two together. */

const CIRCUIT_DIGITS = 5;

/** At most `digits` significant digits: 0.001 to 9999 plain, else 2.5e-6. */
export function short(value: number | null, digits = 4): string {
  if (value === null) return "-";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const [mantissa = "", exponent = ""] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  const trimmed = (text: string) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  if (-5 < power && power < Math.max(digits, 4)) return trimmed(value.toFixed(Math.max(0, digits - 1 - power)));
  return `${trimmed(mantissa)}e${power}`;
}

/** With a true minus sign. */
export function signed(text: string): string {
  return text.startsWith("-") ? `−${text.slice(1)}` : text;
}

/** A number of a circuit: five digits, because what a residual block hands back is 1.0001. */
export function show(value: number): string {
  return signed(short(value, CIRCUIT_DIGITS));
}

/** A number after a sign: a negative one in brackets. */
export function bracketed(text: string): string {
  return text.startsWith("−") ? `(${text})` : text;
}

/** A fraction as "91.7 %". */
export function percent(fraction: number | null, digits = 1): string {
  return fraction === null ? "-" : `${signed((100 * fraction).toFixed(digits).replace(/^-(0\.?0*)$/, "$1"))} %`;
}

/** 853018 as "853.0 k". */
export function count(value: number): string {
  for (const [size, suffix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]] as const) {
    if (value >= size) return `${(value / size).toFixed(1)} ${suffix}`;
  }
  return String(value);
}

/** Bytes in GiB (2³⁰), MiB or KiB: "12.3 GiB". */
export function memory(bytes: number): string {
  for (const [size, suffix] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]] as const) {
    if (bytes >= size) return `${short(bytes / size, 3)} ${suffix}`;
  }
  return `${bytes.toFixed(0)} B`;
}

/** A power of ten given by its logarithm, also where it is no float64: 10^−4000. */
export function fromLog10(log10: number | null, digits = 3): string {
  if (log10 === null) return "-";
  if (log10 === -Infinity) return "0";
  if (!Number.isFinite(log10)) return "NaN";
  if (Math.abs(log10) < 300) return signed(short(10 ** log10, digits));
  const power = Math.floor(log10);
  return `${signed(short(10 ** (log10 - power), digits))}e${signed(String(power))}`;
}

/** What a reader typed, with a true minus sign or a decimal comma allowed; null where it is no finite number. */
export function parse(text: string): number | null {
  const value = Number(text.trim().replace("−", "-").replace(",", "."));
  return text.trim() !== "" && Number.isFinite(value) ? value : null;
}

/** A number of a record: JSON has no NaN and no infinity, they are the strings that `Number` understands. */
export function decoded(value: number | string | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}
