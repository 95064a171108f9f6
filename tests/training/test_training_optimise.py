"""Schedules, SGD, averages and the scaler against formulas computed apart."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from gradpath.record import Recipe
from gradpath.training._averages import Average, Lookahead
from gradpath.training._optimise import Optimiser, parameter_groups
from gradpath.training._schedule import learning_rate
from tiny_training import tiny_net

GRADIENTS = (0.5, -1.0, 0.25, 2.0, 0.0, 1.5)


class Scalar(nn.Module):
    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.full((1, 1), start))


def trained(recipe: Recipe, gradients: tuple[float, ...] = GRADIENTS, rate: float = 0.1) -> tuple[Scalar, Optimiser]:
    """A net of one weight, given gradients."""
    net = Scalar()
    optimiser = Optimiser(net, recipe)
    for number, gradient in enumerate(gradients, 1):
        loss = (net.w * gradient).sum()
        optimiser.backward(loss)
        optimiser.step(rate, loss.detach(), number, last=number == len(gradients))
    return net, optimiser


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_the_formula(nesterov):
    w, velocity = 1.0, 0.0
    for step, gradient in enumerate(GRADIENTS):
        g = gradient + 0.01 * w
        velocity = g if step == 0 else 0.9 * velocity + g
        w -= 0.1 * (g + 0.9 * velocity if nesterov else velocity)
    net, _ = trained(Recipe(epochs=1, weight_decay=0.01, nesterov=nesterov))
    assert net.w.item() == pytest.approx(w, rel=1e-6)


def test_a_clipped_gradient_has_the_norm_asked_for():
    net, _ = trained(Recipe(epochs=1, weight_decay=0, momentum=0.0, nesterov=False, clip_norm=1.0))
    assert net.w.item() == pytest.approx(1 - 0.1 * (0.5 - 1 + 0.25 + 1 + 0 + 1), rel=1e-5)


def test_the_moving_average_is_the_formula():
    recipe = Recipe(epochs=1, weight_decay=0, momentum=0.0, nesterov=False, ema=0.5)
    average = w = 1.0
    for t, gradient in enumerate(GRADIENTS, 1):
        w -= 0.1 * gradient
        decay = min(0.5, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * w
    net, optimiser = trained(recipe)
    assert net.w.item() == pytest.approx(w, rel=1e-6)
    with optimiser.evaluated():
        assert net.w.item() == pytest.approx(average, rel=1e-6)
    assert net.w.item() == pytest.approx(w, rel=1e-6)
    with pytest.raises(KeyboardInterrupt), optimiser.evaluated():
        raise KeyboardInterrupt
    assert net.w.item() == pytest.approx(w, rel=1e-6)


def test_buffers_are_averaged_too_and_counters_are_not():
    net = nn.BatchNorm2d(1)
    average = Average(net, 0.9)
    net.running_mean.fill_(1.0)  # type: ignore[union-attr]
    net.num_batches_tracked.add_(5)  # type: ignore[union-attr]
    average.update(1000)
    assert average.values["running_mean"].item() == pytest.approx(0.1, rel=1e-5)
    with average.applied():
        assert net.num_batches_tracked == 5


def test_lookahead_is_the_papers_algorithm():
    recipe = Recipe(epochs=1, weight_decay=0, momentum=0.0, nesterov=False, lookahead=4, lookahead_pull=0.3)
    slow = fast = 1.0
    for step, gradient in enumerate(GRADIENTS, 1):
        fast -= 0.1 * gradient
        if step % 4 == 0 or step == len(GRADIENTS):
            slow += 0.3 * (fast - slow)
            fast = slow
    net, _ = trained(recipe)
    assert net.w.item() == pytest.approx(fast, rel=1e-6)
    weight = nn.Parameter(torch.zeros(3))
    ahead = Lookahead([weight], 0.5)
    weight.data.fill_(2.0)
    ahead.pull()
    assert weight.tolist() == [1.0] * 3 == ahead.slow[0].tolist()


def test_a_step_that_is_not_finite_changes_nothing():
    recipe = Recipe(epochs=1, weight_decay=0.1)
    gradients = (0.5, math.nan, 0.25)
    without, _ = trained(recipe, (0.5, 0.25))
    net, _ = trained(recipe, gradients)
    assert torch.equal(net.w, without.w)
    clipped = Scalar()
    optimiser = Optimiser(clipped, Recipe(epochs=1, clip_norm=1.0))
    loss = (clipped.w - 1).sqrt().sum()  # 0, with a gradient that is infinite
    optimiser.backward(loss)
    optimiser.step(0.1, loss.detach(), 1, last=True)
    assert clipped.w.item() == 1.0


@pytest.mark.parametrize("nesterov", [True, False])
def test_a_first_step_that_is_not_finite_leaves_no_momentum(nesterov):
    """torch's fused step leaves its new buffers unset there; the scaler of float16 skips first steps as a rule."""
    recipe = Recipe(epochs=1, nesterov=nesterov)
    without, _ = trained(recipe, GRADIENTS)
    net, optimiser = trained(recipe, (math.nan,))
    assert optimiser.state()["momentum"]["w"].item() == 0
    for number, gradient in enumerate(GRADIENTS, 2):
        loss = (net.w * gradient).sum()
        optimiser.backward(loss)
        optimiser.step(0.1, loss.detach(), number, last=False)
    assert torch.equal(net.w, without.w)


def test_a_parameter_may_have_its_first_gradient_late():
    net = nn.ModuleList([Scalar(), Scalar()])
    optimiser = Optimiser(net, Recipe(epochs=1, weight_decay=0))
    for number, used in enumerate((net[:1], net, net[1:]), 1):
        loss = torch.stack([one.w.sum() for one in used]).sum()  # type: ignore[union-attr]
        optimiser.backward(loss)
        optimiser.step(0.1, loss.detach(), number, last=False)
    twice = 1 - 0.1 * (1 + 0.9) - 0.1 * (1 + 0.9 * (0.9 + 1))
    assert [one.w.item() for one in net] == pytest.approx([twice, twice], rel=1e-6)  # type: ignore[union-attr]


def test_weight_decay_and_rates_by_group():
    net = tiny_net()
    every = parameter_groups(net, Recipe(epochs=1, weight_decay=0.5))
    assert len(every) == 1 and len(every[0]["params"]) == 8
    weights = parameter_groups(net, Recipe(epochs=1, weight_decay=0.5, weight_decay_on="weights"))
    assert {group["weight_decay"]: len(group["params"]) for group in weights} == {0.5: 3, 0.0: 5}
    head = Recipe(epochs=1, learning_rate=0.1, head_learning_rate=0.5)
    groups = parameter_groups(net, head, net[7])
    assert sorted((group["factor"], len(group["params"])) for group in groups) == [(1.0, 6), (5.0, 2)]
    net[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(net, head)) == 6


def test_the_head_moves_at_its_own_rate():
    net = nn.Sequential(Scalar(), Scalar())
    optimiser = Optimiser(net, Recipe(epochs=1, learning_rate=0.1, head_learning_rate=0.5, weight_decay=0), net[1])
    loss = net[0].w.sum() + net[1].w.sum()  # type: ignore[operator, union-attr]
    optimiser.backward(loss)
    optimiser.step(0.02, loss.detach(), 1, last=True)  # a fifth of the way up the schedule
    assert 1 - net[1].w.item() == pytest.approx(5 * (1 - net[0].w.item()), rel=1e-5)  # type: ignore[operator, union-attr]


def rates(steps: int = 100, per_epoch: int = 10, **fields: object) -> list[float]:
    recipe = Recipe(epochs=1, learning_rate=2.0, **fields)  # type: ignore[arg-type]
    return [learning_rate(recipe, step, steps, per_epoch) for step in range(steps)]


def test_step_schedules_are_torchs():
    weight = nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], 2.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(sgd, [30, 55], gamma=0.2)
    expected = []
    for _ in range(100):
        expected.append(sgd.param_groups[0]["lr"])
        sgd.step()
        schedule.step()
    found = rates(schedule="step", milestones=(3, 5.5), decay_factor=0.2)
    assert found == pytest.approx(expected)
    assert rates(schedule="step", milestones=(30, 55), decay_factor=0.2, count_in="steps") == pytest.approx(expected)
    assert rates(schedule="step") == pytest.approx([2.0] * 50 + [0.2] * 25 + [0.02] * 25)


def test_cosine_one_cycle_and_constant():
    cosine = rates(schedule="cosine", end_factor=0.1)
    assert cosine[0] == pytest.approx(2.0, rel=1e-3) and cosine[-1] == pytest.approx(0.2, rel=1e-2)
    assert cosine[49] + cosine[50] == pytest.approx(2 * 1.1)  # symmetric around the middle
    assert cosine[24] == pytest.approx(0.2 + 1.8 * math.cos(math.pi * 0.245 / 2) ** 2)
    cycle = rates(peak_at=0.2, start_factor=0.5, end_factor=0.25)
    assert max(cycle) == pytest.approx(2.0, rel=0.04) and cycle.index(max(cycle)) in (19, 20)
    assert cycle[0] == pytest.approx(2 * (0.5 + 0.5 * 0.025)) and cycle[-1] == pytest.approx(2 * (0.25 + 0.75 / 160))
    assert [b - a for a, b in pairwise(cycle[20:])] == pytest.approx([-1.5 / 80] * 79)
    assert set(rates(schedule="constant")) == {2.0}
    old = [2 * (0.1 + 3.6 * (s + 0.5) / 100 if s < 25 else (1 - (s + 0.5) / 100) / 0.75) for s in range(100)]
    assert rates() == pytest.approx(old)  # what earlier versions did


def test_warming_up():
    linear = rates(schedule="constant", warmup=2, warmup_factor=0.1)
    assert linear[:20] == pytest.approx([2 * (0.1 + 0.9 * (s + 1) / 20) for s in range(20)])
    assert linear[19:] == pytest.approx([2.0] * 81)
    flat = rates(
        schedule="constant", warmup=400, warmup_factor=0.1, warmup_shape="constant", count_in="steps", steps=500
    )
    assert flat == pytest.approx([0.2] * 400 + [2.0] * 100)


def test_a_scaler_goes_on_where_it_was():
    net = Scalar()
    optimiser = Optimiser(net, Recipe(epochs=1, ema=0.9, lookahead=3), scaling=True)
    for number in (1, 2):
        loss = (net.w * 0.5).sum()
        optimiser.backward(loss)
        optimiser.step(0.1, loss.detach(), number, last=False)
    state = optimiser.state()
    assert state["scaler"]["_growth_tracker"] == 2 and set(state["momentum"]) == {"w"}
    again = Optimiser(net, Recipe(epochs=1, ema=0.9, lookahead=3), scaling=True)
    again.restore(state)
    assert again.state()["scaler"] == state["scaler"]
    assert torch.equal(again.state()["momentum"]["w"], state["momentum"]["w"])
    assert again.state()["momentum"]["w"] is not state["momentum"]["w"]
