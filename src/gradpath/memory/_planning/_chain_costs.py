"""The costs of a chain of blocks as arrays: what each tape mode holds and needs at every boundary, as prefix sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradpath.errors import GradpathError
from gradpath.record import KEEPS_INPUT, SWEPT, BlockCost, ModeCost

Floats = NDArray[np.float64]
_Get = Callable[[BlockCost], float]

SAME_TIME = 0.02
"""Times that differ by this share of a block's step cannot be told apart by a measurement: then memory decides."""
SUBSTITUTES = {"full": ("full", "lean", "input"), "lean": ("lean", "full", "input"), "input": ("input", "none")}
"""What a block runs under where it has no such mode: all keep the input."""


_NOTHING = ModeCost(mode="none", kept_bytes=0, backward_seconds=0.0, backward_bytes=0)
_MODE_NUMBERS: tuple[Callable[[ModeCost], float], ...] = (
    lambda tape: tape.kept_bytes,
    lambda tape: tape.backward_seconds,
    lambda tape: tape.backward_bytes,
)


@dataclass(frozen=True)
class Option:
    """One tape mode over the whole chain. `at` runs over boundaries (L + 1), `of` over blocks (L)."""

    mode: str
    swept: bool
    modes: tuple[str | None, ...]
    """What each block really runs under, None where it cannot."""
    missing: Floats
    """Blocks before a boundary that cannot."""
    kept: Floats
    """Bytes kept by the blocks before a boundary; with their outputs, where inputs are kept."""
    seconds: Floats
    """Of the backwards of the blocks before a boundary."""
    forward: Floats
    """Peak while a block runs forward, counted as `kept` is."""
    backward: Floats
    """Peak during a block's backward, the incoming gradient with it, counted as `held` is."""
    held: Floats
    """Bytes kept by the blocks before a boundary and their outputs: what is there as the backward begins."""


class ChainCosts:
    """Arrays over the blocks (L) and boundaries (L + 1) of a chain; bytes and seconds in float64."""

    def __init__(self, chain: Sequence[BlockCost]) -> None:
        known: dict[BlockCost, int] = {}
        self.signatures = [known.setdefault(cost, len(known)) for cost in chain]
        self.kinds = tuple(known)
        for cost in self.kinds:
            if _pick(cost, "input") is None:
                raise GradpathError(f"block {cost.label} has neither mode input nor none: it cannot be planned")
        self.x = np.array([chain[0].input_bytes, *(cost.output_bytes for cost in chain)], float)
        self.outputs = _prefix(self.x[1:])
        self.masked = np.array([0, *self.of(lambda cost: cost.ends_in_relu)]) * self.x
        """Bytes of a boundary whose incoming gradient is masked into a copy, else 0."""
        self.gradients = _prefix(self.of(lambda cost: cost.parameter_bytes))
        self.always_bytes = float(self.of(lambda cost: cost.always_bytes).sum())
        self.growth = self.of(lambda cost: cost.forward_bytes)
        self.redo = _prefix(self.of(lambda cost: cost.redo_seconds))
        self.sweep = _prefix(self.of(lambda cost: cost.sweep_seconds))
        self.forward = self.x[:-1] + self.growth
        """Peak while a block runs forward and drops its input."""
        self.bare = tuple(_bare(cost).mode for cost in self.kinds)
        """What a block runs under that keeps nothing."""
        self.bare_seconds = self.of(lambda cost: _bare(cost).backward_seconds)
        self.bare_work = self.of(lambda cost: _bare(cost).backward_bytes) + self.x[1:]
        self.options = self._options()

    def __len__(self) -> int:
        return len(self.signatures)

    def of(self, get: _Get) -> Floats:
        """A number per block, looked up once per signature."""
        return np.array([get(cost) for cost in self.kinds], float)[self.signatures]

    def kept_bytes(self, block: int, mode: str) -> int:
        """What a block's tape keeps under a mode it has."""
        found = self.kinds[self.signatures[block]].of(mode)
        return found.kept_bytes if found else 0

    def _options(self) -> tuple[Option, ...]:
        found: dict[tuple[str | None, ...], str] = {}
        for mode in (*SUBSTITUTES, *SWEPT):
            picked = tuple(kept.mode if (kept := _pick(cost, mode)) else None for cost in self.kinds)
            if any(picked):
                found.setdefault(picked, mode)
        return tuple(self._option(mode, picked) for picked, mode in found.items())

    def _option(self, mode: str, picked: tuple[str | None, ...]) -> Option:
        costs = [cost.of(name) if name else None for cost, name in zip(self.kinds, picked, strict=True)]
        tapes = [kept or _NOTHING for kept in costs]
        of_blocks = [np.array([get(tape) for tape in tapes], float)[self.signatures] for get in _MODE_NUMBERS]
        kept, seconds, work = of_blocks
        tape, held = _prefix(kept), _prefix(kept + self.x[1:])
        begin = held if KEEPS_INPUT[mode] else tape
        forward = begin[:-1] + kept + self.growth + (0 if KEEPS_INPUT[mode] else self.x[:-1])
        return Option(
            mode=mode,
            swept=not KEEPS_INPUT[mode],
            modes=tuple(picked[kind] for kind in self.signatures),
            missing=_prefix(np.array([name is None for name in picked], float)[self.signatures]),
            kept=begin,
            seconds=_prefix(seconds),
            forward=forward,
            backward=held[:-1] + kept + work + self.x[1:],
            held=held,
        )


def _prefix(of_blocks: Floats) -> Floats:
    """Sums over the blocks before each boundary."""
    return np.concatenate([np.zeros(1), np.cumsum(of_blocks)])


def _bare(cost: BlockCost) -> ModeCost:
    """The mode that keeps nothing."""
    bare = cost.of("none") or cost.of("input")
    assert bare is not None  # ChainCosts looked
    return bare


def _pick(cost: BlockCost, mode: str) -> ModeCost | None:
    """What a block runs under where `mode` is wanted."""
    if mode in SWEPT:
        return cost.of(mode)
    found = next((kept for name in SUBSTITUTES[mode] if (kept := cost.of(name))), None)
    return found and _thrifty(cost, found)


def _thrifty(cost: BlockCost, found: ModeCost) -> ModeCost:
    """A mode that keeps the input too, keeps less and costs the same time; `found` where there is none."""
    modes = [kept for kept in cost.modes if KEEPS_INPUT[kept.mode]] or [found]
    limit = min(kept.backward_seconds for kept in modes) + SAME_TIME * cost.plain_seconds
    same = [kept for kept in modes if kept.backward_seconds <= limit and _no_larger(kept, found)]
    return min(same, key=lambda kept: kept.kept_bytes, default=found)


def _no_larger(kept: ModeCost, than: ModeCost) -> bool:
    peak, other = (cost.kept_bytes + cost.backward_bytes for cost in (kept, than))
    return kept.kept_bytes <= than.kept_bytes and peak <= other
