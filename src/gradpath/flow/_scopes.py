"""Which module call made a node of autograd's graph.

Autograd numbers its nodes as they are made. A module call that began at number a and ended at b made the nodes
a … b − 1, less those of the calls inside it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import torch

from gradpath.flow._graph import Node


class Entered(NamedTuple):
    """One call of a module, seen from inside."""

    name: str
    call: int
    """0 for the first call of this module in the pass."""
    parent: int
    """Index of the call that it lies in; -1 outside of all."""


class Scopes:
    """Notes the beginning and end of module calls, then names nodes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._names: list[str] = []
        self._open: list[str] = []
        self.entered: list[Entered] = []
        """Every call, in the order in which they began."""
        self._numbers: list[int] = []
        """For each start, the index of the innermost call; -1 outside of all."""
        self._within: list[int] = []

    @property
    def is_open(self) -> bool:
        """Whether a module call is running."""
        return bool(self._open)

    def enter(self, name: str, call: int = 0) -> None:
        """A call of the module `name` begins: its first, or call number `call`."""
        self._open.append(name)
        self.entered.append(Entered(name, call, self._within[-1] if self._within else -1))
        self._within.append(len(self.entered) - 1)
        self._note(name)

    def leave(self) -> None:
        """The innermost call ends."""
        if self._open:
            self._open.pop()
            self._within.pop()
        self._note(self._open[-1] if self._open else "")

    def forget(self) -> None:
        """Keeps only what is open: nodes made before are named no more."""
        del self._starts[:-1], self._names[:-1], self._numbers[:-1]
        if not self._within:
            self.entered.clear()

    def _note(self, name: str) -> None:
        number = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        within = self._within[-1] if self._within else -1
        if self._starts and self._starts[-1] == number:
            self._names[-1], self._numbers[-1] = name, within
        else:
            self._starts.append(number)
            self._names.append(name)
            self._numbers.append(within)

    def of(self, node: Node) -> str:
        """The innermost module call that made the node; '' outside of all (and for leaves)."""
        place = bisect_right(self._starts, node._sequence_nr()) - 1
        return self._names[place] if place >= 0 else ""

    def call_of(self, node: Node) -> int:
        """Index in `entered` of the innermost call that made the node; -1 outside of all (and for leaves)."""
        place = bisect_right(self._starts, node._sequence_nr()) - 1
        return self._numbers[place] if place >= 0 else -1
