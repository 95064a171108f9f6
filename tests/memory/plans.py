"""Plans written down by hand: every mode, sweeps, and segments planned again in the backward."""

from __future__ import annotations

from collections.abc import Sequence

from gradpath.record import BACKWARD, SWEPT, BlockCost, Plan, PlanMove, PlanSegment, StepBytes

MODES = ("full", "lean", "raw", "last", "input", "none")
_NOUGHT = (
    "output_bytes always_bytes parameter_bytes forward_bytes first_seconds redo_seconds sweep_seconds plain_seconds "
    "plain_bytes"
)
_COST = dict.fromkeys(_NOUGHT.split(), 0)
_STEP = dict.fromkeys("parameters gradients optimizer buffers activations temporaries".split(), 0)


def plan_of(names: Sequence[str], segments: Sequence[PlanSegment], input_bytes: int = 1 << 60) -> Plan:
    """A plan whose costs are nought: for running, not for predicting."""
    cost = BlockCost(label="?", input_bytes=input_bytes, ends_in_relu=False, modes=(), **_COST)
    step = StepBytes(**_STEP)
    return Plan(
        name="by hand", batch="?", device="cpu", dtype="float32", autocast=None, optimizer="sgd", kernels="torch",
        asked="?", memory_bytes=0, blocks=tuple(names), signatures=(0,) * len(names), costs=(cost,),
        segments=tuple(segments), predicted=step, keep_all=step, outside_seconds=0.0, time_ratio=1.0,
        smallest_bytes=0, curve=(), live_bytes=(), plan_seconds=0.0,
    )  # fmt: skip


def segment(start: int, stop: int, mode: str, inner: str = "lean") -> PlanSegment:
    """Blocks start … stop − 1 in one mode; those of mode none are planned again, down to pieces in mode `inner`."""
    swept = mode in SWEPT or mode == "none"
    forward = tuple((block, mode, swept and block > start) for block in range(start, stop))
    return PlanSegment(start=start, stop=stop, mode=mode, forward=forward, backward=_back(start, stop, mode, inner))


def _back(start: int, stop: int, mode: str, inner: str) -> tuple[PlanMove, ...]:
    if mode == "none":
        return _again(start, stop, inner)
    sweep = tuple((block, mode, False) for block in range(start, stop - 1)) if mode in SWEPT else ()
    return sweep + tuple((block, BACKWARD, False) for block in reversed(range(start, stop)))


def _again(start: int, stop: int, inner: str) -> tuple[PlanMove, ...]:
    """Forward and backward from the segment's input alone: the first half is run through and forgotten, the second is
    taken back, then the first is run again."""
    if stop - start > 2:
        middle = (start + stop) // 2
        ahead = tuple((block, "none", block > start) for block in range(start, middle))
        return ahead + _again(middle, stop, inner) + _again(start, middle, inner)
    ahead = tuple((block, inner, inner in SWEPT and block > start) for block in range(start, stop - 1))
    return ahead + _back(start, stop, inner, inner)


def grid(count: int) -> dict[str, list[PlanSegment]]:
    """By name, ways to run so many blocks."""
    ways = {mode: [segment(0, count, mode)] for mode in MODES}
    ways |= {f"none, then {mode}": [segment(0, count, "none", mode)] for mode in ("full", "raw", "last", "input")}
    ways |= {f"{mode} in twos": [segment(i, min(i + 2, count), mode) for i in range(0, count, 2)] for mode in MODES}
    cuts = [round(count * part / len(MODES)) for part in range(len(MODES) + 1)]
    spans = [(a, b, mode) for a, b, mode in zip(cuts, cuts[1:], MODES, strict=False) if b > a]
    ways["each in turn"] = [segment(a, b, mode) for a, b, mode in spans]
    ways["each in turn, backwards"] = [
        segment(a, b, mode) for (a, b, _), mode in zip(spans, reversed([mode for _, _, mode in spans]), strict=True)
    ]
    return ways
