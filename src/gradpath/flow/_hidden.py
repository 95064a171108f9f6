"""How much an opaque node hides.

A fused recurrence tells how many steps of its cell it takes. What a custom Function does has to be watched while it
runs: every operation of torch then passes through Python, so it is done only where lines of source are asked for too.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.autograd import Function
from torch.utils._python_dispatch import TorchDispatchMode

from gradpath.flow._graph import Node, operation, shape_of

_APPLY = Function.apply.__func__.__code__  # type: ignore[attr-defined]


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations inside of each custom Function: autograd numbers its node before it runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[int] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not torch.is_grad_enabled() and _in_a_function():
            self.counts[torch.autograd._get_sequence_nr() - 1] += 1  # type: ignore[attr-defined]
        return function(*args, **(kwargs or {}))


def _in_a_function() -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code is not _APPLY:
        frame = frame.f_back
    return frame is not None


@contextmanager
def watched(wanted: bool) -> Iterator[Mapping[int, int]]:
    """Operations inside of custom Functions that run in the block, by the sequence number of their node."""
    if not wanted:
        yield {}
        return
    with _Watch() as watch:
        yield watch.counts


def hides(node: Node, counts: Mapping[int, int]) -> str:
    """' (hides 14 operations)', ' (hides 20 steps of its cell)'; '' where that is not known."""
    steps = _steps(node)
    if steps is not None:
        return f" (hides {steps} {'step' if steps == 1 else 'steps'} of its cell)"
    count = counts.get(node._sequence_nr())
    return "" if count is None else f" (hides {count} {'operation' if count == 1 else 'operations'})"


def _steps(node: Node) -> int | None:
    """Steps of a fused recurrence, those of all its layers and directions together."""
    name, shape = operation(node), shape_of(node, 0)
    if name == "MkldnnRnnLayer":
        return shape[0] if shape else None
    if not name.startswith(("CudnnRnn", "MiopenRnn")) or not shape:
        return None
    steps = len(node._saved_batch_sizes) or shape[1 if node._saved_batch_first else 0]
    return int(steps) * int(node._saved_num_layers) * (2 if node._saved_bidirectional else 1)
