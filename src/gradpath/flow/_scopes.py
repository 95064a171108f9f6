"""Which module call made a node of autograd's graph.

Autograd numbers its nodes as they are made. A module call that began at number a and ended at b made the nodes
a … b − 1, less those of the calls inside it.
"""

from __future__ import annotations

from bisect import bisect_right

import torch

from gradpath.flow._graph import Node


class Scopes:
    """Notes the beginning and end of module calls, then names nodes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._names: list[str] = []
        self._open: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether a module call is running."""
        return bool(self._open)

    def enter(self, name: str) -> None:
        """A call of the module `name` begins."""
        self._open.append(name)
        self._note(name)

    def leave(self) -> None:
        """The innermost call ends."""
        if self._open:
            self._open.pop()
        self._note(self._open[-1] if self._open else "")

    def forget(self) -> None:
        """Keeps only what is open: nodes made before are named no more."""
        del self._starts[:-1], self._names[:-1]

    def _note(self, name: str) -> None:
        number = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        if self._starts and self._starts[-1] == number:
            self._names[-1] = name
        else:
            self._starts.append(number)
            self._names.append(name)

    def of(self, node: Node) -> str:
        """The innermost module call that made the node; '' outside of all (and for leaves)."""
        place = bisect_right(self._starts, node._sequence_nr()) - 1
        return self._names[place] if place >= 0 else ""
