"""The simulation against sums done by hand, and against schedules that cannot run."""

from __future__ import annotations

import pytest

from gradpath.memory._planning._simulate import ScheduleError, simulate
from gradpath.record import BACKWARD
from memory.chains import cost, single

MODES = (("full", 40, 2.0, 11), ("lean", 20, 2.5, 13), ("raw", 20, 2.5, 13), ("last", 7, 3.0, 14), ("none", 0, 4.0, 17))
"""Backward bytes are odd so that a sum tells which of them is in it."""


def block(x: int, y: int, relu: bool = False):
    return cost(x, y, MODES, always_bytes=3, parameter_bytes=5, forward_bytes=y + 1, ends_in_relu=relu)


def backward(t: int):
    return (t, BACKWARD, False)


def test_one_segment_that_keeps_everything():
    chain = [block(100, 200), block(200, 400)]
    forward = [(0, "full", False), (1, "full", False)]
    step = simulate(chain, single((forward, [backward(1), backward(0)])))
    kept = 100 + 43 + 200 + 43  # x0, tape and statistics, x1, tape and statistics; the output is the head's
    assert step.kept_bytes == kept
    assert step.live_bytes == (
        100 + 3 + 40 + 201,  # x0, the tape while it is made, the output
        100 + 43 + 200 + 3 + 40 + 401,
        kept + 400 + 11,  # the incoming gradient
        100 + 43 + 400 + 200 + 5 + 11,  # held by autograd, on its way, of the parameters
    )
    assert step.peak_bytes == kept + 411
    assert step.seconds == 1 + 1 + 2 + 2


def test_each_segment_lets_its_parameter_gradients_and_its_incoming_gradient_go():
    chain = [block(100, 200), block(200, 400)]
    step = simulate(chain, single(([(0, "full", False)], [backward(0)]), ([(1, "full", False)], [backward(1)])))
    assert step.live_bytes[-1] == 100 + 43 + 200 + 11


def test_dropped_inputs_and_a_sweep():
    chain = [block(100, 100), block(100, 100), block(100, 100)]
    forward = [(0, "raw", False), (1, "raw", True), (2, "raw", True)]
    again = [(0, "raw", False), (1, "raw", False), backward(2), backward(1), backward(0)]
    step = simulate(chain, single((forward, again)))
    kept = 100 + 3 * 23
    assert step.kept_bytes == kept
    assert step.live_bytes[3:6] == (kept + 100 + 101, kept + 200 + 101, kept + 200 + 100 + 13)
    assert step.seconds == 3 * 1 + 2 * 0.25 + 3 * 2.5


def test_blocks_that_keep_nothing_run_again():
    chain = [block(100, 100), block(100, 100)]
    forward = [(0, "none", False), (1, "none", True)]
    step = simulate(chain, single((forward, [(0, "lean", False), backward(1), backward(0)])))
    assert step.kept_bytes == 100 + 6
    assert step.live_bytes[2:4] == (106 + 100 + 20 + 101, 106 + 20 + 100 + 100 + 17)
    assert step.seconds == 2 + 1 + 4 + 2.5


def test_a_segment_that_ends_in_a_relu_holds_its_output():
    chain = [block(100, 200, relu=True), block(200, 400, relu=True)]
    plan = single(([(0, "none", False)], [backward(0)]), ([(1, "none", False)], [backward(1)]))
    step = simulate(chain, plan)
    assert step.kept_bytes == 106 + 200 + 400  # x1 once, though two hold it; x2 for its mask
    assert step.live_bytes[2] == 106 + 200 + 400 + 2 * 400  # masked into a copy, more than block 1 needs after it
    assert step.live_bytes[3] == 103 + 200 + 2 * 200


def test_within_a_segment_a_mask_costs_nothing():
    moves = [(0, "full", False), (1, "full", False)], [backward(1), backward(0)]
    plain = simulate([block(100, 100), block(100, 100)], single(moves))
    masked = simulate([block(100, 100, relu=True), block(100, 100)], single(moves))
    assert plain == masked


FORWARD = [(0, "raw", False), (1, "raw", True), (2, "raw", True)]
SWEEP = [(0, "raw", False), (1, "raw", False)]


@pytest.mark.parametrize(
    ("forward", "back", "message"),
    [
        (FORWARD, [*SWEEP[:1], backward(2)], "block 2 is to get its backward, but its input is not there"),
        (FORWARD, [(1, "raw", False)], "block 1 is to run, but its input is not there"),
        (FORWARD, [*SWEEP, backward(2), backward(0)], "the gradient is at block 1, not at 0"),
        (FORWARD, [*SWEEP, backward(2), backward(1)], "block 0 never gets its backward"),
        (FORWARD, [*SWEEP, backward(2), (1, "raw", False), (2, "raw", False)], "the tape of block 2 is used twice"),
        (FORWARD, [*SWEEP, (2, "input", False)], "block 2 has no mode input"),
        ([*FORWARD[:2], (2, BACKWARD, False)], [], "move backward of block 2 in the forward"),
        ([(0, "raw", True), *FORWARD[1:]], SWEEP, "block 0 is to run, but its input is not there"),
        ([*FORWARD[:1], *FORWARD[2:]], [], "block 2 is to run, but its input is not there"),
    ],
)
def test_schedules_that_cannot_run(forward, back, message):
    chain = [block(100, 100) for _ in range(3)]
    with pytest.raises(ScheduleError, match=message):
        simulate(chain, single((forward, back)))


def test_segments_have_to_cover_the_chain():
    chain = [block(100, 100), block(100, 100)]
    one = ([(0, "full", False)], [backward(0)])
    with pytest.raises(ScheduleError, match="the segments end at block 0 of 2"):
        simulate(chain, single(one))
    with pytest.raises(ScheduleError, match=r"segment 0…0 where one from block 1 on was due"):
        simulate(chain, single(one, one))
