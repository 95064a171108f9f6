"""The one place where quantities become text: numbers, shares, counts, seconds."""

from __future__ import annotations

import math
import re

from gradpath.errors import UserError

CIRCUIT_DIGITS = 5
"""Of a circuit's numbers. Not 4: what a residual block hands back is 1.0001, which must not print as 1."""


def number(value: float | None, digits: int = 4) -> str:
    """A number with at most `digits` significant digits: 0.001 to 9999 plain, else 2.5e-06 as '2.5e-6'."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -5 < power < max(digits, 4):
        text = f"{value:.{max(0, digits - 1 - power)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{mantissa.rstrip('0').rstrip('.')}e{power}"


def circuit_number(value: float) -> str:
    """A number as a circuit's sentences and figures write it, with a true minus sign: -0.10000001 → '−0.1'."""
    text = number(value, CIRCUIT_DIGITS)
    return f"−{text[1:]}" if text.startswith("-") else text


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one decimal: 0.917 → '91.7 %'; None → '-'."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def count(value: int) -> str:
    """A count in thousands, millions or billions: 853018 → '853.0 k'."""
    for size, suffix in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.1f} {suffix}"
    return str(value)


def memory(size_bytes: float) -> str:
    """Bytes in GiB (2³⁰), MiB or KiB: 13207024435 → '12.3 GiB'."""
    for size, suffix in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size_bytes >= size:
            return f"{number(size_bytes / size, 3)} {suffix}"
    return f"{size_bytes:.0f} B"


_BYTES = {"": 1, "b": 1, "bytes": 1}
_BYTES |= {f"{prefix}b": 1000**power for power, prefix in enumerate("kmgtp", 1)}
_BYTES |= {f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgtp", 1)}


def parse_memory(text: str | int | float) -> int:
    """Bytes from text, the inverse of `memory`: '4GiB' → 4·2³⁰, '512 MiB', '2.5GB' → 2.5·10⁹, '1e9', 1000.

    kB, MB, GB, TB are powers of 1000 and KiB, MiB, GiB, TiB powers of 1024, in any case; a number alone is bytes.
    Raises UserError for anything else, zero and negative numbers too.
    """
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)", str(text).strip().lower())
    if match is None or match[2] not in _BYTES or isinstance(text, bool):
        raise UserError(f"{text!r} is no amount of memory: write it as 4GiB, 512MiB, 2.5GB, or as a number of bytes")
    size = float(match[1]) * _BYTES[match[2]]
    if not 1 <= size < 2**62:
        raise UserError(f"{text!r} is no amount of memory that a computer has: write it as 4GiB, 512MiB or 2.5GB")
    return round(size)


def seconds(value: float) -> str:
    """A duration: 0.012 → '12 ms', 8.25 → '8.2 s', 318 → '5 min 18 s', 7260 → '2 h 1 min'."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    if value < 60:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
