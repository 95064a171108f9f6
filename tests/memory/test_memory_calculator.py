"""The calculator against the exact programs, and these against recursions written plainly."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gradpath.errors import UserError
from gradpath.memory._planning._calculator import (
    depth_for_memory,
    extra_forwards,
    fewest_forwards,
    longest_chain,
    memory_for_depth,
    time_ratio,
)
from gradpath.memory._planning._planner import Planner
from gradpath.memory._planning._simulate import simulate
from memory.chains import cost

# blocks, tape, fewest units for 1, 2, 3 and 5 extra forwards of every block
TABLE = [
    (333, 2, (37, 16, 10, 7)),
    (1000, 2, (64, 23, 14, 9)),
    (1000, 4, (91, 30, 18, 11)),
    pytest.param(3333, 2, (116, 34, 19, 11), marks=pytest.mark.slow),
    pytest.param(5000, 2, (142, 39, 21, 12), marks=pytest.mark.slow),
]
SWEEPS = (1, 2, 3, 5)


@pytest.mark.parametrize(("blocks", "tape", "units"), TABLE)
def test_formula_against_the_exact_program(blocks, tape, units):
    exact = extra_forwards(blocks, units[0] + 1, tape)[blocks]
    assert tuple(int(np.argmax(exact <= sweeps * blocks)) for sweeps in SWEEPS) == units
    errors = [memory_for_depth(blocks, tape, sweeps) / m - 1 for sweeps, m in zip(SWEEPS, units, strict=True)]
    print(blocks, tape, " ".join(f"{error:+.1%}" for error in errors))
    assert all(abs(error) < limit for error, limit in zip(errors, (0.02, 0.04, 0.13, 0.27), strict=True))
    assert errors[3] > 0.08  # what the docstring says


@pytest.mark.parametrize("tape", [2, 3, 4])
def test_time_against_the_share_of_memory(tape):
    exact = extra_forwards(200, 200 * tape, tape)[200]
    shares = (1, 0.9, 0.75, 0.5, 0.33, 0.25, 0.2, 0.15, 0.1, 0.08)
    ratios = [time_ratio(float(exact[round(share * 200 * tape)]) / 200) for share in shares]
    table = (1, 1.035, 1.085, 1.168, 1.226, 1.253, 1.271, 1.288, 1.307, 1.316)
    assert ratios == pytest.approx(table, abs=0.007)


def test_the_exact_program_against_its_recursion():
    @cache
    def fewest(length: int, units: int) -> float:
        if units < 0:
            return np.inf
        if length == 1:
            return 0 if units >= 3 else np.inf
        splits = [j + fewest(length - j, units - 1) + fewest(j, units) for j in range(1, length)]
        return min(*splits, fewest(length - 1, units - 3))

    found = extra_forwards(20, 25, 3)
    for length in range(1, 21):
        assert found[length].tolist() == [fewest(length, units) for units in range(26)]


def test_revolve_against_its_recursion():
    @cache
    def fewest(length: int, held: int) -> float:
        if length == 1:
            return 0
        if held == 1:
            return length * (length - 1) / 2
        return min(j + fewest(length - j, held - 1) + fewest(j, held) for j in range(1, length))

    for held in range(1, 6):
        for length in range(1, 40):
            assert fewest_forwards(length, held) == fewest(length, held)
    assert longest_chain(3, 2) == 10
    assert all(fewest_forwards(longest_chain(4, t), 4) <= t * longest_chain(4, t) for t in range(5))


def test_depth_is_the_inverse_of_memory():
    for sweeps in range(5):
        for blocks in (1, 10, 333, 3333, 10**6):
            assert depth_for_memory(memory_for_depth(blocks, 3, sweeps) * (1 + 1e-9), 3, sweeps) == blocks
    assert memory_for_depth(333, 3, 0) == 999 and time_ratio(0) == 1 and time_ratio(1) == pytest.approx(4 / 3)
    with pytest.raises(UserError, match="blocks = 0: give a number above 0"):
        memory_for_depth(0, 2, 1)


def test_the_planner_finds_the_optimum_of_equal_blocks():
    """Two modes and a backward that needs one tape: as many forwards as the exact program, at the same memory."""
    unit, tape, blocks = 1000, 3, 40
    redo = [(mode, 0, 3.0, (tape - 1) * unit) for mode in ("input", "none")]
    chain = [cost(unit, unit, [("full", (tape - 1) * unit, 2.0, 0), *redo], forward_bytes=0)] * blocks
    exact = extra_forwards(blocks, blocks * tape, tape)[blocks]
    planner = Planner(chain)
    for units in (5, 6, 8, 12, 16, 20, 30, 40, 60, 80, 100):
        step = simulate(chain, planner.fastest((units + 2) * unit))  # the chain's input, a gradient held by autograd
        assert exact[units + 2] <= step.seconds - 3 * blocks <= exact[units] + 1e-6
