"""What an entry of the gallery is: its texts, its options, how it is built and what is to be seen in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gradpath.circuits._engine import Circuit, Part, Walk
from gradpath.circuits._words import Text
from gradpath.errors import CircuitError

Chosen = Mapping[str, Any]
"""Option → its checked value."""
Finding = tuple[Text, dict[str, str]]


@dataclass(frozen=True)
class Option:
    """A choice that changes what is built: a whole number or a number in a range, or one of several names."""

    name: str
    default: int | float | str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """'1 to 8', '0 or more', 'one of: express, none'."""
        if self.choices:
            return f"one of: {', '.join(self.choices)}"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        return kind if math.isinf(self.low) else f"{kind} from {self.low:g} to {self.high:g}"

    def check(self, value: object) -> int | float | str:
        """`value` as what the option takes; a number may come as text. Raises CircuitError."""
        try:
            checked = type(self.default)(value)  # type: ignore[arg-type, call-overload]
            fits = checked in self.choices if self.choices else self.low <= float(checked) <= self.high
            whole = not isinstance(value, float) or float(checked) == value  # 2.5 blocks are not 2
        except (TypeError, ValueError, OverflowError):
            fits = whole = False
        if not (fits and whole) or isinstance(value, bool):
            raise CircuitError(f"the option {self.name} takes {self.allowed}; it was {value!r}")
        return checked


@dataclass(frozen=True)
class Entry:
    """A named circuit of the gallery."""

    name: str
    title: Text
    caption: Text
    build: Callable[[Chosen], Circuit]
    findings: Callable[[Walk, Chosen], Iterable[Finding]]
    options: tuple[Option, ...] = ()


def leaf(name: str, kind: str, value: float, column: int, lane: int = 0) -> Part:
    """An input, a weight or a constant."""
    return Part(name, kind, value=value, lane=lane, column=column)


def weight(name: str, value: float, column: int) -> Part:
    """A weight, drawn one lane below the gate of the same column."""
    return leaf(name, "weight", value, column, lane=1)


def gate(name: str, kind: str, *inputs: str, column: int, lane: int = 0, index: int = 0) -> Part:
    """A gate and the names of its inputs."""
    return Part(name, kind, inputs, index=index, lane=lane, column=column)
