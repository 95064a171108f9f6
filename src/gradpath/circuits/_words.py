"""Sentences in two languages, and how numbers stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Literal

from gradpath.units import circuit_number

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


def show(value: float) -> str:
    """A number as it stands in a circuit's sentences: 0.010000000000000002 → '0.01'."""
    return circuit_number(value)


def factor(value: float) -> str:
    """A number as it stands after a sign: a negative one in brackets."""
    return bracketed(show(value))


def bracketed(text: str) -> str:
    """'−2' → '(−2)', so that 3 × (−2) can be read; anything else as it is."""
    return f"({text})" if text.startswith("−") else text


def listed(language: Language, items: Iterable[str]) -> str:
    """'a, b, c'; in Chinese 'a、b、c'."""
    return (", " if language == "en" else "、").join(items)


def counted(language: Language, count: int, noun: str) -> str:
    """'1 block', '5 blocks'; in Chinese the number alone, the measure word stands in the sentence."""
    return str(count) if language == "zh" else f"{count} {noun}{'' if count == 1 else 's'}"


def each(texts: Mapping[str, str], language: Language) -> str:
    """'0.01' where all are the same, else 'w1: 0.01, w2: 0.1, …'."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return listed(language, (f"{name}{': ' if language == 'en' else '：'}{text}" for name, text in texts.items()))


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
