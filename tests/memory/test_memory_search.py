"""The largest batch and the deepest net: the answer fits, and somewhat more does not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import MemoryBudgetError, PlanError, UserError
from gradpath.memory import _search, deepest, largest_batch, plan
from gradpath.record import NetSpec

SMALL = {"width": 4, "input_size": 16}
SLOW = 1e9  # times of tiny nets on a busy machine say nothing: memory alone decides here


@pytest.fixture(autouse=True)
def _bytes_alone(monkeypatch):
    monkeypatch.setattr(_search, "MEASURING", 0.0)


def net_and_batch(samples=4):
    torch.manual_seed(0)
    return gp.build("resnet-14", **SMALL), (torch.randn(samples, 3, 16, 16), torch.randint(10, (samples,)))


@pytest.mark.parametrize("memory", [600_000, pytest.param(3_000_000, marks=pytest.mark.slow)])
def test_the_largest_batch_fits_and_a_larger_does_not(memory):
    model, (x, y) = net_and_batch()
    size, found = largest_batch(model, (x, y), memory, slowdown=SLOW, criterion=F.cross_entropy)
    assert found.batch == f"{size}×3×16×16"
    assert found.predicted.total <= memory
    assert found.measured[-1].peak_bytes <= memory
    more = size + 1 + size // 16
    larger = (torch.randn(more, 3, 16, 16), torch.randint(10, (more,)))
    with pytest.raises(MemoryBudgetError):
        plan(model, larger, memory, criterion=F.cross_entropy, check=False, within_seconds=0.0, layers=False)


@pytest.mark.slow
def test_without_a_slowdown_it_is_the_batch_that_needs_no_redo(monkeypatch):
    """Times are made up: what is redone costs much."""
    real = _search.study

    def slow(*args):
        known = real(*args)
        for one in known.measured:
            object.__setattr__(one.cost, "redo_seconds", 100.0)
            object.__setattr__(one.cost, "first_seconds", 0.1)
            object.__setattr__(one.cost, "plain_seconds", 0.3)
            for mode in one.cost.modes:
                object.__setattr__(mode, "backward_seconds", 0.2 if mode.mode in ("full", "lean", "raw") else 50.0)
        object.__setattr__(known.outside, "seconds", 0.0)
        return known

    monkeypatch.setattr(_search, "study", slow)
    model, batch = net_and_batch()
    fast, found = largest_batch(model, batch, 3_000_000, slowdown=1.05, criterion=F.cross_entropy, check=False)
    most, _ = largest_batch(model, batch, 3_000_000, slowdown=SLOW, criterion=F.cross_entropy, check=False)
    assert found.time_ratio <= 1.05
    assert 4 < fast < most
    assert set(found.mode_of_blocks()) <= {"full", "lean", "raw"}


def test_not_even_one_sample_fits():
    model, batch = net_and_batch()
    with pytest.raises(MemoryBudgetError, match="the smallest step takes"):
        largest_batch(model, batch, 100_000, criterion=F.cross_entropy)


@pytest.mark.slow
def test_the_model_is_left_as_found():
    model, batch = net_and_batch()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    largest_batch(model, batch, 600_000, slowdown=SLOW, criterion=F.cross_entropy, check=False)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.slow
def test_the_deepest_net_fits_and_a_deeper_does_not():
    kind = NetSpec(family="residual", depth=20, **SMALL)
    spec, found = deepest(kind, 4, 1_200_000, slowdown=SLOW)
    assert spec == NetSpec(family="residual", depth=spec.depth, **SMALL)
    assert found.name == spec.label
    assert len(found.blocks) == 3 * spec.blocks_per_stage
    assert found.predicted.total <= 1_200_000
    assert found.measured[-1].peak_bytes == pytest.approx(found.predicted.total, rel=0.05)
    assert found.measured[-1].peak_bytes <= 1_200_000
    deeper = 6 * (spec.blocks_per_stage + 1 + spec.blocks_per_stage // 16) + 2
    model = gp.build(NetSpec(family="residual", depth=deeper, **SMALL)).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with pytest.raises(MemoryBudgetError):
        plan(model, (x, torch.randint(10, (4,))), 1_200_000, criterion=F.cross_entropy, check=False, within_seconds=0.0)


def test_a_net_is_reckoned_as_it_would_be_built():
    """Without building it: parameters, buffers, blocks and bytes."""
    spec, found = deepest("preresnet-bottleneck-20", 2, "9MiB", slowdown=SLOW, check=False, optimizer="adam")
    model = gp.build(spec).to(memory_format=torch.channels_last)
    assert found.predicted.parameters == sum(p.nbytes for p in model.parameters())
    assert found.predicted.buffers == sum(b.nbytes for b in model.buffers())
    assert found.predicted.optimizer == pytest.approx(2 * found.predicted.parameters, rel=0.01)
    x = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    built = plan(
        model,
        (x, torch.randint(10, (2,))),
        "100%",
        criterion=F.cross_entropy,
        optimizer="adam",
        check=False,
        within_seconds=0.0,
    )
    assert built.blocks == found.blocks
    assert built.keep_all.total == pytest.approx(found.keep_all.total, rel=0.01)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Bilinear(3, 3, 2)

    def forward(self, x):
        return self.inner(x, x)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: largest_batch(*net_and_batch(), "80%", criterion=F.cross_entropy), UserError, "a number of bytes"),
        (lambda: largest_batch(*net_and_batch(), "1GiB", slowdown=0.5), UserError, "slowdown=0.5 must be 1"),
        (lambda: largest_batch(Pair(), torch.randn(2, 3), "1GiB"), PlanError, "the largest batch: "),
        (lambda: deepest("densenet-40-12", 4, "1GiB"), UserError, "dense net's layers all differ"),
        (lambda: deepest("resnet-20", 0, "1GiB"), UserError, "a batch of 0"),
        (lambda: deepest("resnet-20", 4, "1MiB"), MemoryBudgetError, "the smallest step takes"),
        (lambda: deepest("resnet-20", 4, "50%"), UserError, "a number of bytes"),
    ],
)
def test_mistakes_are_named_in_one_line(ask, error, message):
    with pytest.raises(error, match=message) as caught:
        ask()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "bound"), [(1, 10), (2, 10), (3, 10), (31, 400), (32, 400), (33, 400), (399, 400), (9, 9)]
)
def test_the_search_for_a_depth_is_near_the_limit(limit, bound):
    tried = []

    def possible(n):
        tried.append(n)
        return n <= limit

    found = _search._most(possible, bound)
    assert found == 0 if limit < 2 else limit - max(1, limit // 64) <= found <= limit
    assert len(tried) <= 14
    assert all(2 <= n <= bound for n in tried)
