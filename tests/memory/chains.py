"""Chains of block costs for the planner's tests, and every schedule of a short one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from gradpath.record import BACKWARD, KEEPS_INPUT, BlockCost, ModeCost, PlanMove, PlanSegment

SIX = ("full", "lean", "raw", "last", "input", "none")
THREE = ("full", "input", "none")
Moves = tuple[PlanMove, ...]


def cost(x: int, y: int, modes: Sequence[tuple[str, int, float, int]], **numbers) -> BlockCost:
    """A block's cost; modes are (mode, kept bytes, backward seconds, backward bytes)."""
    usual = {
        "always_bytes": 0, "parameter_bytes": 0, "ends_in_relu": False, "forward_bytes": y, "first_seconds": 1.0,
        "redo_seconds": 1.0, "sweep_seconds": 0.25, "plain_seconds": 3.0, "plain_bytes": 3 * y, "label": "block",
    }  # fmt: skip
    kept = tuple(
        ModeCost(mode=mode, kept_bytes=kept, backward_seconds=seconds, backward_bytes=work)
        for mode, kept, seconds, work in modes
    )
    return BlockCost(input_bytes=x, output_bytes=y, modes=kept, **(usual | numbers))


def bottleneck(x: int, y: int, seconds: float = 1e-3, **numbers) -> BlockCost:
    """A pre-activation bottleneck: raw outputs are a quarter of its boundary; times in forwards, as once measured."""
    f, quarter = seconds, y // 4
    modes = (
        ("full", 2 * y, 2.0 * f, 3 * y // 2), ("lean", 2 * quarter, 2.1 * f, 5 * y // 2),
        ("raw", 2 * quarter, 2.1 * f, 5 * y // 2), ("last", quarter, 2.35 * f, 11 * y // 4),
        ("input", 0, 2.75 * f, 3 * y), ("none", 0, 2.75 * f, 3 * y),
    )  # fmt: skip
    times = {"first_seconds": f, "redo_seconds": 0.97 * f, "sweep_seconds": 0.3 * f, "plain_seconds": 3 * f}
    return cost(x, y, modes, **({"always_bytes": 1000, "forward_bytes": 2 * y} | times | numbers))


def resnet(blocks: int, batch: int = 16, relu: bool = False) -> list[BlockCost]:
    """Three stages of so many bottlenecks: 9 × blocks + 2 … layers of ResNet-164 (18) and ResNet-1001 (111)."""
    chain, x = [], batch * 16 * 32 * 32 * 4
    for stage in range(3):
        y = batch * 64 * 32 * 32 * 4 >> stage
        for block in range(blocks):
            seconds = 1e-3 if block else 1.3e-3
            numbers = {"parameter_bytes": 17_000 * 4**stage, "ends_in_relu": relu, "label": f"{stage} {block > 0}"}
            chain.append(bottleneck(x, y, seconds, **numbers))
            x = y
    return chain


def random_chain(random: np.random.Generator, blocks: int, kinds: int = 4) -> list[BlockCost]:
    """A chain of some signatures in some order: ours, foreign ones; any bytes and seconds, a redo never free."""
    sizes = random.integers(1, 40, blocks + 1) * 100
    seeds = random.integers(0, kinds, blocks)
    if random.random() < 0.5:  # runs of equal blocks
        sizes, seeds = np.full(blocks + 1, sizes[0]), np.sort(seeds)
    draws = [random.integers(0, 2**31) for _ in range(kinds)]
    return [
        _random_block(np.random.default_rng(draws[seed]), int(x), int(y))
        for seed, x, y in zip(seeds, sizes[:-1], sizes[1:], strict=True)
    ]


def _random_block(random: np.random.Generator, x: int, y: int) -> BlockCost:
    names = SIX if random.random() < 0.6 else THREE
    kept = np.sort(random.integers(0, 60, 3))[::-1] * 100
    of_mode = {"full": kept[0], "lean": kept[1], "raw": kept[1], "last": kept[2], "input": 0, "none": 0}
    forward = random.uniform(0.5, 2)
    later = np.sort(random.uniform(0, 1.2, 3)) * forward
    slower = {"full": 0, "lean": later[0], "raw": later[0], "last": later[1], "input": later[2], "none": later[2]}
    grows = x + np.sort(random.integers(0, 50, 4)) * 100  # what redoes more needs more while it does
    work = dict(zip(SIX, (int(grows[level]) for level in (0, 1, 1, 2, 3, 3)), strict=True))
    return cost(
        x, y, [(mode, int(of_mode[mode]), float(2 * forward + slower[mode]), work[mode]) for mode in names],
        always_bytes=int(random.integers(0, 3)) * 10, parameter_bytes=int(random.integers(0, 15)) * 100,
        ends_in_relu=bool(random.random() < 0.4), forward_bytes=y + int(random.integers(0, 20)) * 100,
        first_seconds=forward, redo_seconds=forward * 0.9, sweep_seconds=forward * random.uniform(0.1, 0.9),
        plain_seconds=3 * forward,
    )  # fmt: skip


def single(*blocks: tuple[Sequence[PlanMove], Sequence[PlanMove]]) -> list[PlanSegment]:
    """Segments from their moves, each covering the blocks of its forward."""
    found = []
    for forward, backward in blocks:
        start, stop = forward[0][0], forward[-1][0] + 1
        found.append(
            PlanSegment(start=start, stop=stop, mode=forward[0][1], forward=tuple(forward), backward=tuple(backward))
        )
    return found


def every_plan(chain: Sequence[BlockCost], start: int = 0) -> Iterator[list[PlanSegment]]:
    """Every schedule that the planner may choose from."""
    if start == len(chain):
        yield []
        return
    for stop in range(start + 1, len(chain) + 1):
        for segment, rest in product(_segments(chain, start, stop), every_plan(chain, stop)):
            yield [segment, *rest]


def _segments(chain: Sequence[BlockCost], start: int, stop: int) -> list[PlanSegment]:
    modes = [mode for mode in SIX if mode != "none" and all(block.of(mode) for block in chain[start:stop])]
    pairs = [(_ahead(mode, start, stop), _back(mode, start, stop)) for mode in modes]
    pairs += [(_ahead("none", start, stop), inner) for inner in _inner(chain, start, stop)]
    return single(*pairs)


def _modes(chain: Sequence[BlockCost], start: int, stop: int) -> list[str]:
    """Modes in which blocks can be a region of a redo plan: those that keep their input go one by one."""
    has = [mode for mode in SIX if mode != "none" and all(block.of(mode) for block in chain[start:stop])]
    return [mode for mode in has if stop == start + 1 or not KEEPS_INPUT[mode]]


def _ahead(mode: str, start: int, stop: int, but: int = 0) -> Moves:
    return tuple((t, mode, t > start and not KEEPS_INPUT[mode]) for t in range(start, stop - but))


def _back(mode: str, start: int, stop: int) -> Moves:
    sweep = () if KEEPS_INPUT[mode] else tuple((t, mode, False) for t in range(start, stop - 1))
    return sweep + tuple((t, BACKWARD, False) for t in reversed(range(start, stop)))


def _inner(chain: Sequence[BlockCost], start: int, stop: int) -> Iterator[Moves]:
    """Every way to run start … stop again and backward; the last block is left to its backward."""
    for mode in _modes(chain, start, stop):
        yield _ahead(mode, start, stop, but=1) + _back(mode, start, stop)
    for middle in range(start + 1, stop):
        rests = list(_inner(chain, middle, stop))
        for mode, rest in product(_modes(chain, start, middle), rests):
            yield _ahead(mode, start, middle) + rest + _back(mode, start, middle)
        for first, rest in product(_inner(chain, start, middle), rests):
            yield _ahead("none", start, middle) + rest + first
