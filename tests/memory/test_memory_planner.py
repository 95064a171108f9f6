"""The planner against every schedule of short chains, and against its own promises on long ones."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from gradpath.memory._planning._chain_costs import ChainCosts
from gradpath.memory._planning._grouping import equal_bytes, group
from gradpath.memory._planning._planner import Infeasible, Planner, curve, fastest
from gradpath.memory._planning._read_back import LONGEST
from gradpath.memory._planning._simulate import simulate
from gradpath.record import BACKWARD
from memory.chains import bottleneck, cost, every_plan, random_chain, resnet


def largest_boundary(chain) -> int:
    return max(chain[0].input_bytes, *(block.output_bytes for block in chain))


def check_against_every_plan(seed: int) -> tuple[int, int]:
    """(budgets, how many of them got the optimum): at each peak that any plan has."""
    random = np.random.default_rng(seed)
    chain = random_chain(random, int(random.integers(1, 4)))
    steps = [simulate(chain, plan) for plan in every_plan(chain)]
    peaks, seconds = np.array([step.peak_bytes for step in steps]), np.array([step.seconds for step in steps])
    planner, slack = Planner(chain), largest_boundary(chain)
    assert peaks.min() <= planner.smallest_bytes <= peaks.min() + slack
    budgets = [int(budget) for budget in np.unique(peaks) if budget >= planner.smallest_bytes]
    optimal = 0
    for budget in budgets:
        step = simulate(chain, planner.fastest(budget))
        least = seconds[peaks <= budget].min()
        assert step.peak_bytes <= budget
        assert step.seconds >= least - 1e-9  # else `every_plan` would lack one
        near = seconds[peaks <= budget - slack]  # the table counts one gradient too many where nothing is kept
        assert not len(near) or step.seconds <= 1.02 * near.min()
        optimal += step.seconds <= 1.0001 * least
    return len(budgets), optimal


def test_no_schedule_of_a_short_chain_is_faster():
    found = [check_against_every_plan(seed) for seed in range(3)]
    assert sum(optimal for _, optimal in found) >= 0.85 * sum(budgets for budgets, _ in found)


@pytest.mark.slow
def test_no_schedule_of_many_short_chains_is_faster():
    found = [check_against_every_plan(seed) for seed in range(3, 200)]
    assert sum(optimal for _, optimal in found) >= 0.85 * sum(budgets for budgets, _ in found)


def check_promises(seed: int, longest: int) -> None:
    """Whatever the chain: plans fit, time falls as memory grows, and below the smallest there is none."""
    random = np.random.default_rng(seed)
    chain = random_chain(random, int(random.integers(1, longest + 1)), int(random.integers(1, 6)))
    planner = Planner(chain, super_blocks=int(random.integers(3, 12)), slots=60)
    least = planner.smallest_bytes
    with pytest.raises(Infeasible) as error:
        planner.fastest(least - 1)
    assert error.value.smallest_bytes == least
    last = np.inf
    for budget in (least, int(least * random.uniform(1, 2)), planner.keep_all_bytes):
        if budget < least:
            continue
        step = simulate(chain, planner.fastest(budget))
        assert step.peak_bytes <= budget
        assert step.seconds <= last * 1.02
        last = step.seconds


def test_promises_on_random_chains():
    for seed in range(12):
        check_promises(seed, 10)


@pytest.mark.slow
def test_promises_on_many_random_chains():
    for seed in range(1_000, 1_500):
        check_promises(seed, 60)


@pytest.mark.parametrize("heavy", [0, 14, 29])
def test_one_block_that_holds_nearly_all_bytes_is_cut_off(heavy):
    sizes = np.ones(30)
    sizes[heavy] = 1e9
    cuts = equal_bytes(sizes, 0, 30, 4)
    assert cuts[0] == 0 and cuts[-1] == 30 and cuts == sorted(set(cuts))
    assert max(np.diff(cuts)) <= 15  # of so many blocks the next level has to make super-blocks


@pytest.mark.parametrize("relu", [False, True])
def test_budgets_are_used_up(relu):
    chain = resnet(18, relu=relu)
    planner = Planner(chain)
    for share in (0.6, 0.4, 0.2, 0.1):
        budget = share * planner.keep_all_bytes
        step = simulate(chain, planner.fastest(budget))
        assert 0.95 * budget <= step.peak_bytes <= budget


@pytest.mark.slow
def test_time_at_a_budget():
    """What the planner reached once for ResNet-1001's 333 blocks, 1.099 / 1.184 / 1.270 / 1.563, may not get lost."""
    chain = resnet(111)
    planner = Planner(chain)
    for share, ratio in ((0.22, 1.105), (0.1, 1.19), (0.05, 1.28), (0.02, 1.58)):
        step = simulate(chain, planner.fastest(share * planner.keep_all_bytes))
        assert step.seconds <= ratio * planner.keep_all[0].seconds


def test_the_table_knows_what_a_plan_takes():
    """Its seconds are those of the simulation: first forwards and what comes after."""
    for seed in range(30):
        chain = random_chain(np.random.default_rng(seed), 14)
        planner = Planner(chain, super_blocks=4)
        table = planner._table(planner.keep_all_bytes)
        first = sum(block.first_seconds for block in chain)
        for memory in np.flatnonzero(np.isfinite(table.seconds))[::40]:
            step = simulate(chain, table.segments(int(memory)))
            assert step.seconds == pytest.approx(first + float(table.seconds[memory]), rel=1e-5)


def test_more_memory_is_never_slower_on_the_curve():
    chain = resnet(18)
    points = curve(chain, 12)
    planner = Planner(chain)
    assert points[0][0] == planner.smallest_bytes and points[-1][0] <= planner.keep_all_bytes
    assert points[-1][1] == planner.keep_all[0].seconds
    assert len(points) >= 10
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(points))


def test_memory_decides_between_modes_of_the_same_time():
    same = [bottleneck(4000, 4000, seconds=1.0, plain_seconds=6.0) for _ in range(8)]  # lean 0.1 s slower of 6 s
    slower = [bottleneck(4000, 4000, seconds=1.0, plain_seconds=3.0) for _ in range(8)]
    for chain, mode in ((same, "lean"), (slower, "full")):
        plan = fastest(chain, 10**9)
        assert {move[1] for segment in plan for move in segment.forward} == {mode}


def test_foreign_blocks_among_ours():
    foreign = cost(400, 400, [("full", 900, 2.0, 500), ("input", 0, 3.0, 900), ("none", 0, 3.0, 900)])
    ours = bottleneck(400, 400, seconds=1.0)
    chain = [ours, ours, foreign, ours, ours, foreign, foreign, ours]
    planner = Planner(chain)
    budget = (planner.smallest_bytes + planner.keep_all_bytes) // 2
    plan = planner.fastest(budget)
    for block, mode, _ in (move for segment in plan for move in (*segment.forward, *segment.backward)):
        assert mode == BACKWARD or chain[block].of(mode)
    assert simulate(chain, plan).peak_bytes <= budget


def test_segments_are_joined_while_what_they_free_pays_for_their_gradients():
    light = [bottleneck(400, 400) for _ in range(100)]
    assert [segment.stop - segment.start for segment in fastest(light, 10**9)] == [LONGEST, LONGEST, 4]
    heavy = [bottleneck(400, 400, parameter_bytes=5000) for _ in range(10)]
    assert len(fastest(heavy, 10**9)) == 10


def test_super_blocks_do_not_cross_signatures():
    costs = ChainCosts(resnet(111))
    cuts = group(costs, 0, 333, 64)
    assert cuts[0] == 0 and cuts[-1] == 333 and 50 <= len(cuts) - 1 <= 64
    assert all(a < b and len(set(costs.signatures[a:b])) == 1 for a, b in pairwise(cuts))
    assert group(costs, 0, 50, 64) == list(range(51))


@pytest.mark.slow
def test_more_signatures_than_super_blocks():
    random = np.random.default_rng(0)
    chain, x = [], 4000
    for block in range(500):
        y = 4000 - 4 * (block % 200)
        chain.append(bottleneck(x, y, seconds=float(random.uniform(1, 2)), label=str(block), always_bytes=0))
        x = y
    costs = ChainCosts(chain)
    assert len(costs.kinds) == 500 and len(group(costs, 0, 500, 64)) <= 65
    planner = Planner(chain)
    budget = 0.1 * planner.keep_all_bytes
    step = simulate(chain, planner.fastest(budget))
    assert step.peak_bytes <= budget and step.seconds <= 1.25 * planner.keep_all[0].seconds


def test_errors():
    chain = [bottleneck(4000, 4000) for _ in range(4)]
    with pytest.raises(Infeasible, match=str(Planner(chain).smallest_bytes)):
        fastest(chain, 100)
    with pytest.raises(Exception, match="a chain of no blocks"):
        Planner([])
    with pytest.raises(Exception, match="neither mode input nor none"):
        Planner([cost(10, 10, [("full", 10, 1.0, 10)])])


@pytest.mark.slow
def test_ten_thousand_layers_at_one_percent():
    chain = resnet(1111, batch=4)
    start = time.process_time()
    planner = Planner(chain)
    step = simulate(chain, planner.fastest(0.01 * planner.keep_all_bytes))
    print(f"planned in {time.process_time() - start:.1f} s CPU")
    assert step.peak_bytes <= 0.01 * planner.keep_all_bytes
    assert step.seconds <= 1.5 * planner.keep_all[0].seconds
