"""What one forward and backward walk through a circuit of gates did, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record


@dataclass(frozen=True, kw_only=True)
class Wire(Record):
    """A value on its way from a gate (or an input) to one input of another gate: an edge of the circuit."""

    source: str
    target: str
    slot: int
    """Which input of the target: 0, 1 …"""
    gradient: float
    """What the target sends back over this wire alone, before anything is summed."""
    local: float
    """The target's local derivative with respect to this input."""


@dataclass(frozen=True, kw_only=True)
class Node(Record):
    """An input, a weight, a constant or a gate, with its value and the whole gradient that reached it."""

    name: str
    gate: str
    """'input', 'weight', 'constant', or the gate's name in the table of gates."""
    value: float
    gradient: float
    label: str = ""
    lane: int = 0
    """Vertical place in a figure; 0 is the main line."""
    column: int = 0


@dataclass(frozen=True, kw_only=True)
class Step(Record):
    """One gate computed (forward) or one gate passed (backward), with the sentence that explains it."""

    direction: Literal["forward", "backward"]
    node: str
    value: float
    """forward: the gate's value. backward: the gradient that arrived at the gate, summed over its consumers."""
    sent: tuple[float, ...]
    """backward: what goes to each input (gradient × local derivative). forward: the inputs' values."""
    sentence: str


@dataclass(frozen=True, kw_only=True)
class CircuitRecord(Record, kind="circuit"):
    """A circuit, its values and gradients, and the walk that made them (`gp.circuit`)."""

    name: str
    title: str
    caption: str
    language: Literal["en", "zh"]
    output: str
    """Name of the node whose derivative is taken."""
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]
    steps: tuple[Step, ...]
    findings: tuple[str, ...]
    """What to see here, in sentences with the numbers of this walk."""

    def __repr__(self) -> str:
        return f"CircuitRecord({self.name}: {len(self.nodes)} nodes, {len(self.steps)} steps)"
