"""Sentences in two languages, and how numbers stand in them."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import Literal

from gradpath.units import number

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_DIGITS = 5  # not 4: what the residual block hands back is 1.0001, and 4 digits would print it as 1


def show(value: float) -> str:
    """A number as it stands in a circuit's sentences: 0.010000000000000002 → '0.01'."""
    return number(value, _DIGITS)


def factor(value: float) -> str:
    """A number as it stands after a sign: a negative one in brackets."""
    return bracketed(show(value))


def bracketed(text: str) -> str:
    """'-2' → '(-2)', so that 3 × (-2) can be read; anything else as it is."""
    return f"({text})" if text.startswith("-") else text


def slots(template: str) -> set[str]:
    """The names of the slots of a template: '{node} = {value}' → {'node', 'value'}."""
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


@dataclass(frozen=True)
class Text:
    """One sentence as a template in each language; both have the same named slots, or it cannot be made."""

    en: str
    zh: str

    def __post_init__(self) -> None:
        if not self.en or not self.zh or slots(self.en) != slots(self.zh):
            raise ValueError(f"both languages need the same slots: {self.en!r}, {self.zh!r}")

    def say(self, language: Language, **values: str) -> str:
        """The sentence in `language` with its slots filled."""
        return (self.en if language == "en" else self.zh).format(**values)
