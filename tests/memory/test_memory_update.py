"""The optimizer's step in a plan: its temporaries are the peak where parameters are many and the batch is small."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

import gradpath as gp
from gradpath.errors import MemoryBudgetError
from gradpath.memory import _study
from gradpath.memory._measuring._optimizer import Update, optimizer_update
from gradpath.memory._measuring._peak import growth
from gradpath.memory._predict import constant_of

CPU = torch.device("cpu")
SCALARS = 12
"""Bytes of Adam's corrections of a step."""
FAST = {"within_seconds": 0.0, "layers": False}
SGD = {"lr": 0.1, "momentum": 0.9}
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, SGD),
    "sgd with decay": (torch.optim.SGD, SGD | {"weight_decay": 0.1}),
    "sgd with decay, foreach": (torch.optim.SGD, SGD | {"weight_decay": 0.1, "foreach": True}),
    "sgd with decay, fused": (torch.optim.SGD, SGD | {"weight_decay": 0.1, "fused": True}),
    "adam": (torch.optim.Adam, {}),
    "adam, foreach": (torch.optim.Adam, {"foreach": True}),
    "adamw, foreach, amsgrad": (torch.optim.AdamW, {"foreach": True, "amsgrad": True}),
}


def wide():
    """Many parameters for what passes through."""
    torch.manual_seed(0)
    layers = [layer for _ in range(5) for layer in (nn.Linear(96, 96), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(96, 200)), torch.randn(2, 96)


def real_peak(model, optimizer, x):
    """Bytes at the peak of the second training step, beside what is there before it."""
    for _ in range(2):
        _, span = growth(lambda: (model(x).sum().backward(), optimizer.step(), None)[-1], CPU)
    return span.peak_bytes


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_whole_training_step_is_within_its_plan(name):
    (model, x), (kind, settings) = wide(), OPTIMIZERS[name]
    optimizer = kind(model.parameters(), **settings)
    plan = gp.plan(model, x, "100%", optimizer=optimizer, check=False, **FAST)
    constant = constant_of(model, optimizer, x)
    assert plan.predicted.total <= plan.memory_bytes == plan.keep_all.total
    real = constant.total + real_peak(gp.apply_plan(model, plan), optimizer, x)
    assert real <= plan.predicted.total <= 1.07 * real
    assert plan.smallest_bytes >= constant.total + optimizer_update(optimizer, model.parameters(), CPU).bytes_of(
        constant.gradients
    )


def test_where_the_update_is_the_peak_nothing_is_kept():
    model, x = wide()
    adam = torch.optim.Adam(model.parameters(), foreach=True)
    plan = gp.plan(model, x, "100%", optimizer=adam, check=False, **FAST)
    assert plan.predicted.temporaries == plan.predicted.gradients + SCALARS
    assert plan.predicted.activations == x.nbytes
    with pytest.raises(MemoryBudgetError, match="does not fit"):
        gp.plan(model, x, plan.predicted.total - 1, optimizer=adam, check=False, **FAST)


def test_a_model_without_blocks_counts_it_too():
    model, x = nn.Linear(300, 100), torch.randn(1, 300)
    adam = torch.optim.Adam(model.parameters(), foreach=True)
    plan = gp.plan(model, x, "100%", optimizer=adam, **FAST)
    assert not plan.segments
    assert plan.predicted.total == constant_of(model, adam, x).total + plan.predicted.gradients + SCALARS


def test_deeper_nets_need_more_only_where_all_is_updated_at_once():
    one_by_one, together = Update(2.0, False, 100), Update(1.0, True, 100)
    assert [one_by_one.bytes_of(size) for size in (1000, 9000)] == [200, 200]
    assert [together.bytes_of(size) for size in (1000, 9000)] == [1000, 9000]


def test_an_optimizer_that_wants_a_closure_is_taken_for_a_hungry_one():
    model, _ = wide()
    found = optimizer_update(torch.optim.LBFGS(model.parameters()), model.parameters(), CPU)
    assert (found.times, found.all_at_once) == (1.0, True)


def test_the_update_is_part_of_keeping_all():
    model, x = wide()
    how = _study.Step(x)
    known = _study.study(model, how, _study.chain_of(model, how, None), "sgd", 0.0)
    hungry = dataclasses.replace(known, update=Update(3.0, True, 0))
    assert hungry.keep_all_bytes == hungry.smallest_bytes == known.constant.total + 3 * known.constant.gradients
