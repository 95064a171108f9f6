"""Circuits and the two walks through them: forward for the values, backward for the gradient of every edge.

Loops over the list of gates, no recursion: a chain of 100,000 gates is as good as one of four.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from gradpath.circuits._gates import GATES, Gate, total
from gradpath.circuits._words import LANGUAGES, Language, show
from gradpath.errors import CircuitError
from gradpath.record import CircuitRecord, Node, Step, Wire

LEAVES = ("input", "weight", "constant")
_NAMES_LISTED = 12


@dataclass(frozen=True)
class Part:
    """A leaf (an input, a weight, a constant, with its value) or a gate (with the names of its inputs)."""

    name: str
    gate: str
    inputs: tuple[str, ...] = ()
    value: float = 0.0
    index: int = 0
    """Which component a gate of vectors gives, from 0."""
    lane: int = 0
    column: int = 0


@dataclass(frozen=True)
class Circuit:
    """Parts in an order in which each can be computed, and the one whose derivative is taken."""

    name: str
    parts: tuple[Part, ...]
    output: str
    upstream: float = 1.0
    """The gradient that arrives at the output: dL/d(output)."""

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for part in self.parts:
            if part.name in seen:
                raise CircuitError(f"circuit {self.name!r}: two parts are called {part.name!r}; give each its own name")
            self._check(part, seen)
            seen.add(part.name)
        if self.output not in seen:
            raise CircuitError(f"circuit {self.name!r}: its output {self.output!r} is not among its parts")

    def _check(self, part: Part, seen: set[str]) -> None:
        where = f"circuit {self.name!r}, part {part.name!r}"
        if part.gate in LEAVES:
            return
        if part.gate not in GATES:
            raise CircuitError(f"{where}: {unknown('gate', part.gate, GATES)}")
        if missing := [name for name in part.inputs if name not in seen]:
            raise CircuitError(f"{where}: its input {missing[0]!r} does not come before it")
        expected, found = GATES[part.gate].inputs, len(part.inputs)
        if found != expected and (expected is not None or found == 0):
            wanted = f"{expected or 'at least 1'} input{'' if expected in (1, None) else 's'}"
            raise CircuitError(f"{where}: the gate {part.gate} takes {wanted}, not {found}")
        if part.gate == "dot" and found % 2:
            raise CircuitError(f"{where}: the gate dot takes as many weights as values, not {found} inputs")
        if not 0 <= part.index < max(found, 1):
            raise CircuitError(f"{where}: there is no component {part.index} of {found}")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """'unknown gate 'multply': did you mean 'multiply'? There are: add, …', on one line however many there are."""
    names = list(known)
    close = get_close_matches(name, names, n=2, cutoff=0.5)
    hint = f": did you mean {' or '.join(map(repr, close))}? There are" if close else "; there are"
    more = f", … ({len(names) - _NAMES_LISTED} more)" if len(names) > _NAMES_LISTED else ""
    return f"unknown {what} {name!r}{hint}: {', '.join(names[:_NAMES_LISTED])}{more}"


@dataclass
class Walk:
    """One walk through a circuit: `steps()` yields what happens, gate by gate, and fills in the rest.

    Raises CircuitError for a value that cannot be set and for a gate that has no finite value or slope.
    """

    circuit: Circuit
    overrides: Mapping[str, float | str] = field(default_factory=dict)
    language: Language = "en"
    values: dict[str, float] = field(default_factory=dict, init=False)
    gradients: dict[str, float] = field(default_factory=dict, init=False)
    locals: dict[str, tuple[float, ...]] = field(default_factory=dict, init=False)
    sent: dict[str, tuple[float, ...]] = field(default_factory=dict, init=False)
    """Gate → the gradient of each of its input edges, before anything is summed. `locals` likewise."""

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise CircuitError(f"unknown language {self.language!r}: there are en and zh")
        self.values = {part.name: part.value for part in self.circuit.parts if part.gate in LEAVES}
        for name, value in self.overrides.items():
            self.values[name] = self._checked(name, value)

    def _checked(self, name: str, value: float | str) -> float:
        if name not in self.values:
            gates = {part.name: part.gate for part in self.circuit.parts}
            if name in gates:
                settable = ", ".join(list(self.values)[:_NAMES_LISTED])
                raise CircuitError(f"{name!r} is computed, by the gate {gates[name]}; you can set {settable}")
            raise CircuitError(f"circuit {self.circuit.name!r}: {unknown('value', name, self.values)}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise CircuitError(f"{name} must be a finite number, not {value!r}")
        return number

    def steps(self) -> Iterator[Step]:
        """Forward through all gates, then backward through all gates."""
        yield from self.forward()
        yield from self.backward()

    def forward(self) -> Iterator[Step]:
        """Compute the gates in order; yields one step for each."""
        for part in self.circuit.parts:
            if part.gate in LEAVES:
                continue
            inputs = self._inputs(part)
            try:
                value = GATES[part.gate].forward(inputs, part.index)
            except (ValueError, ZeroDivisionError, OverflowError):
                value = math.nan
            if not math.isfinite(value):
                raise self._refusal(part, "value")
            self.values[part.name] = value
            yield Step(
                direction="forward", node=part.name, value=value, sent=inputs, sentence=self._computes(part, value)
            )

    def backward(self) -> Iterator[Step]:
        """Pass the gates from the output back, after `forward`; yields one step for each."""
        arrived: dict[str, list[float]] = {part.name: [] for part in self.circuit.parts}
        arrived[self.circuit.output].append(self.circuit.upstream)
        for part in reversed(self.circuit.parts):
            upstream = self.gradients[part.name] = self._total(part, arrived[part.name])
            if part.gate in LEAVES:
                continue
            self.locals[part.name] = slopes = self._slopes(part)
            self.sent[part.name] = sent = tuple(upstream * slope for slope in slopes)
            if not all(map(math.isfinite, sent)):
                raise self._refusal(part, "gradient")
            for name, gradient in zip(part.inputs, sent, strict=True):
                arrived[name].append(gradient)
            yield Step(
                direction="backward", node=part.name, value=upstream, sent=sent, sentence=self._sends(part, upstream)
            )

    def _total(self, part: Part, arrived: list[float]) -> float:
        try:
            return total(arrived)
        except OverflowError:
            raise CircuitError(f"the gradients that reach {part.name!r} have no finite sum: set other values") from None

    def _inputs(self, part: Part) -> tuple[float, ...]:
        return tuple(self.values[name] for name in part.inputs)

    def _slopes(self, part: Part) -> tuple[float, ...]:
        try:
            slopes = GATES[part.gate].local(self._inputs(part), self.values[part.name], part.index)
        except (ZeroDivisionError, OverflowError):
            slopes = (math.nan,)
        if not all(map(math.isfinite, slopes)):
            raise self._refusal(part, "slope")
        return slopes

    def _refusal(self, part: Part, what: str) -> CircuitError:
        at = ", ".join(f"{name} = {show(self.values[name])}" for name in dict.fromkeys(part.inputs))
        return CircuitError(f"the {part.gate} gate {part.name!r} has no finite {what} at {at}: set other values")

    def _computes(self, part: Part, value: float) -> str:
        gate = GATES[part.gate]
        symbols = gate.notation(part.inputs, part.index, self.language)
        numbers = gate.notation([show(self.values[name]) for name in part.inputs], part.index, self.language)
        right_sides = dict.fromkeys((symbols, numbers, show(value)))  # copy: x = 3, not x = 3 = 3
        return gate.computes.say(self.language, equation=" = ".join((part.name, *right_sides)))

    def _sends(self, part: Part, upstream: float) -> str:
        gate: Gate = GATES[part.gate]
        text = gate.at_tie if gate.at_tie and gate.is_tie(self._inputs(part)) else gate.sends
        return text.say(self.language, node=part.name, upstream=show(upstream))

    def edges(self, source: str) -> dict[tuple[str, int], float]:
        """(target, slot) → the gradient of that edge, for every edge that leaves `source`."""
        return {
            (part.name, slot): self.sent[part.name][slot]
            for part in self.circuit.parts
            for slot, name in enumerate(part.inputs)
            if name == source
        }

    def nodes(self) -> tuple[Node, ...]:
        """The record's nodes, after both walks."""
        return tuple(
            Node(
                name=part.name,
                gate=part.gate,
                value=self.values[part.name],
                gradient=self.gradients[part.name],
                label=GATES[part.gate].label if part.gate in GATES else part.name,
                lane=part.lane,
                column=part.column,
            )
            for part in self.circuit.parts
        )

    def wires(self) -> tuple[Wire, ...]:
        """The record's wires, after both walks."""
        return tuple(
            Wire(source=name, target=part.name, slot=slot, gradient=gradient, local=local)
            for part in self.circuit.parts
            if part.inputs
            for slot, (name, gradient, local) in enumerate(
                zip(part.inputs, self.sent[part.name], self.locals[part.name], strict=True)
            )
        )

    def record(self, title: str, caption: str, findings: tuple[str, ...], steps: tuple[Step, ...]) -> CircuitRecord:
        """The whole walk as a record; `steps` is what `steps()` yielded."""
        return CircuitRecord(
            name=self.circuit.name,
            title=title,
            caption=caption,
            language=self.language,
            output=self.circuit.output,
            nodes=self.nodes(),
            wires=self.wires(),
            steps=steps,
            findings=findings,
        )
