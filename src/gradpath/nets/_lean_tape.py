"""What the lean moves of a block keep between forward and backward, by mode."""

from __future__ import annotations

from torch import Tensor

from gradpath.nets._norm_passes import Stats

KEEPS = {
    "full": (True, True, True),
    "lean": (True, True, False),
    "raw": (True, True, False),
    "last": (False, True, False),
    "input": (False, False, False),
    "none": (False, False, False),
}
"""What a tape keeps, beside statistics: inner raw outputs; the last one and the shortcut's; activations. lean and raw,
and input and none, differ in the block's input alone, which is the caller's."""


class LeanTape:
    """What a block keeps; None is what it does not hold."""

    __slots__ = ("activations", "pooled", "raw", "shortcut_raw", "shortcut_stats", "stats")

    def __init__(self, norms: int) -> None:
        self.stats: list[Stats | None] = [None] * norms
        self.raw: list[Tensor | None] = [None] * norms
        self.activations: list[Tensor | None] = [None] * norms
        self.shortcut_stats: Stats | None = None
        self.shortcut_raw: Tensor | None = None
        """What the shortcut's norm reads."""
        self.pooled: Tensor | None = None
        """What the shortcut's convolution reads, where a pooling comes first."""

    def tensors(self) -> list[Tensor]:
        """All that it holds, for counting."""
        held = [*self.raw, *self.activations, self.shortcut_raw, self.pooled]
        stats = [t for s in (*self.stats, self.shortcut_stats) if s is not None for t in s.tensors()]
        return [t for t in held if t is not None] + stats

    def keep(self, mode: str) -> None:
        """Drop what the mode does not keep."""
        inner, last, activations = KEEPS[mode]
        if not inner:
            self.raw[:-1] = [None] * (len(self.raw) - 1)
        if not last:
            self.raw[-1] = self.shortcut_raw = None
        if not activations:
            self.activations, self.pooled = [None] * len(self.raw), None
