"""The words of a what-if: which changes there are, and how one is read from its text, KEY=VALUE[:VALUE]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from gradpath.errors import TraceError

INITIALISATIONS = {
    "he": "He initialisation",
    "xavier": "Xavier initialisation",
    "lecun": "LeCun initialisation",
    "orthogonal": "orthogonal initialisation",
    "default": "PyTorch's own initialisation",
    "zero-last-norm": "the last norm of each branch at zero",
}
ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "elu": "ELU",
    "selu": "SELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "identity": "no activation",
}
INSERTS = {"batchnorm": "BatchNorm", "layernorm": "LayerNorm"}
TERMS = {
    "detach": "the norms' statistics held constant in the backward pass",
    "mean": "the norms' mean held constant in the backward pass",
    "variance": "the norms' variance held constant in the backward pass",
}


@dataclass(frozen=True)
class Change:
    """One kind of change: its key, the forms of its value (capitals stand for what you fill in), a line of help."""

    key: str
    values: tuple[str, ...]
    help: str
    on_copy: bool
    """Made to a copy of the model; else to the backward pass alone, with the forward pass as it is."""


CHANGES = (
    Change(
        "cut",
        ("skips", "branches", "MODULE", "branches:MODULE"),
        "backward pass: nothing comes back over the skips (projections included), or over the branches, of residual "
        "forks; of all, or of those around a module (cut=MODULE: its skips)",
        False,
    ),
    Change(
        "scale",
        ("skips:FACTOR", "branches:FACTOR", "MODULE:FACTOR", "branches:MODULE:FACTOR"),
        "backward pass: the same edges, with their gradient times a factor",
        False,
    ),
    Change(
        "norm",
        tuple(TERMS),
        "backward pass: norms without the terms of their input gradient that come from both statistics (detach), from "
        "the mean or from the variance",
        False,
    ),
    Change(
        "init",
        tuple(INITIALISATIONS),
        "copy: convolutions and linear layers initialised anew by fan-in (he: gain √2), biases 0, norms 1 and 0",
        True,
    ),
    Change(
        "skip",
        ("every:N", "MODULE"),
        "copy: an identity skip around every N weighted layers where shapes allow it, or around one module",
        True,
    ),
    Change("insert", tuple(INSERTS), "copy: a norm after each convolution and linear layer but the head", True),
    Change("activation", tuple(ACTIVATIONS), "copy: another activation between the layers (gates stay)", True),
    Change("train", ("STEPS", "STEPS:RATE"), "copy: steps of plain SGD on this batch first (rate 0.01)", True),
)
"""All changes, in the order in which to list them."""


@dataclass(frozen=True)
class Asked:
    """One change as it was asked for."""

    text: str
    change: Change
    words: tuple[str, ...]
    """What stands behind the '=', split at ':'."""

    def error(self, seen: str) -> TraceError:
        """One line: what was asked, what was seen, what there is."""
        forms = ", ".join(f"{self.change.key}={value}" for value in self.change.values)
        return TraceError(f"{self.text}: {seen}; give one of: {forms}")

    def word_of(self, known: Iterable[str]) -> str:
        """The one word of the change, which must be a known one."""
        known = list(known)
        if len(self.words) == 1 and self.words[0] in known:
            return self.words[0]
        raise self.error(f"{':'.join(self.words)!r} is not known{_perhaps(':'.join(self.words), known)}")

    def number(self, word: str, what: str) -> float:
        """A word as a finite number."""
        try:
            value = float(word)
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf"):
            raise self.error(f"{what} must be a number, got {word!r}")
        return value

    def count(self, word: str, what: str) -> int:
        """A word as a whole number from 1."""
        value = self.number(word, what)
        if value < 1 or value != int(value):
            raise self.error(f"{what} must be a whole number from 1, got {word!r}")
        return int(value)

    def module(self, name: str, known: Iterable[str]) -> str:
        """The name of a module, which must be one of the model's."""
        known = [each for each in known if each]
        if name in known:
            return name
        raise self.error(f"the model has no module {name!r}{_perhaps(name, known)}")


@dataclass(frozen=True)
class Done:
    """What a change came to."""

    count: int
    """Places that were changed; 0: everything is as before."""
    notes: tuple[str, ...] = ()


def counted(count: int, one: str, many: str = "") -> str:
    """'1 skip', '7 skips'."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def parse(text: str) -> Asked:
    """Read 'KEY=VALUE[:VALUE]'. Raises TraceError for an unknown key, with the keys and the nearest of them."""
    keys = [change.key for change in CHANGES]
    if not isinstance(text, str):
        raise TraceError(f"a change is a text such as 'init=he', got a {type(text).__name__}")
    key, equals, rest = (part.strip() for part in text.partition("="))
    change = next((each for each in CHANGES if each.key == key), None)
    if change is None:
        asked = f"change {text!r}" if text else "no change was given"
        raise TraceError(f"{asked}: write KEY=VALUE with a key of {', '.join(keys)}{_perhaps(key, keys)}")
    asked_for = Asked(f"{key}={rest}", change, tuple(rest.split(":")))
    if not equals or not all(asked_for.words):
        raise asked_for.error("a value is missing")
    return asked_for


def _perhaps(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
