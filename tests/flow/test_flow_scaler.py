"""Traces of a user's own step under a gradient scaler: the scale is divided out, or a note says that it is there."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow._scaler import last_factor


def model_and_batch():
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

        def forward(self, x):
            return x + self.branch(x)

    model = nn.Sequential(nn.Linear(4, 8), Block(), Block(), nn.Linear(8, 3))
    return model, torch.randn(6, 4), torch.randint(3, (6,))


def flat(value):
    return [x for one in value for x in flat(one)] if isinstance(value, (list, tuple)) else [value]


def numbers(flow):
    """Everything that is measured, as one flat list."""
    forks = [(fork.log10_norm, *[(e.log10_norm, e.share) for e in fork.edges]) for fork in flow.forks]
    layers = [
        (x.log10_gradient_norm, x.log10_gradient_rms, x.log10_parameter_gradient_norm, x.log10_parameter_norm)
        for x in flow.layers
    ]
    parameters = [(p.log10_norm, p.log10_gradient_norm) for p in flow.parameters]
    whole = [flow.loss, flow.stem_over_head, flow.log10_stem_gradient_norm, flow.skip_share, flow.effective_depth]
    return [x for x in flat([whole, forks, layers, parameters, flow.gain_per_layer]) if isinstance(x, float)]


@pytest.mark.parametrize("scale", [1024.0, 2.0**16, 3.0])
def test_the_scale_is_divided_out_where_the_scaler_is_given(scale):
    model, x, y = model_and_batch()
    plain = gp.trace(model, (x, y), F.cross_entropy)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    with gp.trace(model, scaler=scaler) as traced:
        scaler.scale(F.cross_entropy(model(x), y)).backward()
    assert numbers(traced.flow) == pytest.approx(numbers(plain), rel=1e-5, abs=1e-5)
    assert traced.flow.findings == plain.findings
    assert f"the gradient scaler's {scale:g} is divided out" in " ".join(traced.flow.unseen.notes)
    grown = math.log10(next(model.parameters()).grad.norm()) - traced.flow.parameters[0].log10_gradient_norm
    assert grown == pytest.approx(math.log10(scale), abs=1e-5), "the user's own gradients stay scaled"


def test_without_the_scaler_the_record_is_of_the_scaled_loss_and_says_so():
    model, x, y = model_and_batch()
    plain = gp.trace(model, (x, y), F.cross_entropy)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with gp.trace(model) as traced:
        scaler.scale(F.cross_entropy(model(x), y)).backward()
    assert traced.flow.loss == pytest.approx(1024 * plain.loss)
    assert "multiplied by 1024 last" in " ".join(traced.flow.unseen.notes)


@pytest.mark.parametrize("factor", [1.0, 0.5, 3.0, 8.0, 1000.0])
def test_a_factor_of_another_kind_is_no_scaler(factor):
    model, x, y = model_and_batch()
    with gp.trace(model) as traced:
        (F.cross_entropy(model(x), y) * factor).backward()
    assert traced.flow.unseen.notes == ("traced inside the user's own step",)


def test_a_loss_that_was_not_scaled_stays_as_it_is():
    model, x, y = model_and_batch()
    plain = gp.trace(model, (x, y), F.cross_entropy)
    with gp.trace(model, scaler=torch.amp.GradScaler("cpu", init_scale=1024.0)) as traced:
        F.cross_entropy(model(x), y).backward()
    assert traced.flow.loss == plain.loss
    assert "was not multiplied by the scale of the given scaler, 1024" in " ".join(traced.flow.unseen.notes)
    with gp.trace(model, scaler=torch.amp.GradScaler("cpu", enabled=False)) as traced:
        F.cross_entropy(model(x), y).backward()
    assert traced.flow.unseen.notes == ("traced inside the user's own step",)


def test_each_of_several_losses_is_divided():
    model, x, y = model_and_batch()
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with gp.trace(model, scaler=scaler, quick=True) as traced:
        for share in (0.5, 0.25):
            scaler.scale(F.cross_entropy(model(x), y) * share).backward()
    first, second = traced.flows
    assert first.loss == pytest.approx(2 * second.loss) and first.findings == ()
    gap = [a.log10_gradient_norm - b.log10_gradient_norm for a, b in zip(first.layers, second.layers, strict=True)]
    assert gap == pytest.approx([0.30103] * len(gap), abs=1e-4)


def test_findings_are_those_of_the_loss_without_its_scale():
    """1e-36 · 65536 is a normal number, 1e-39 is none."""
    model, x, y = model_and_batch()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    with gp.trace(model, scaler=scaler) as traced:
        scaler.scale(F.cross_entropy(model(x), y) * 1e-39).backward()
    assert [f.kind for f in traced.flow.findings] == ["float32 underflow"]


def test_reuse_is_divided_too():
    torch.manual_seed(0)
    model, x, y = gp.build("densenet-13-4", input_size=8).eval(), torch.randn(2, 3, 8, 8), torch.tensor([0, 1])
    plain = gp.trace(model, (x, y), F.cross_entropy)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    with gp.trace(model, scaler=scaler) as traced:
        scaler.scale(F.cross_entropy(model(x), y)).backward()
    assert plain.reuse
    for a, b in zip(plain.reuse, traced.flow.reuse, strict=True):
        ours, theirs = ([x for row in one.log10_norms for x in row if x is not None] for one in (b, a))
        assert ours == pytest.approx(theirs, abs=1e-4)


def test_a_scaler_without_the_block_is_a_mistake():
    model, x, y = model_and_batch()
    with pytest.raises(TraceError, match=r"scaler is for `with trace"):
        gp.trace(model, (x, y), F.cross_entropy, scaler=torch.amp.GradScaler("cpu"))


def test_the_last_factor_is_a_constant():
    x = torch.ones((), requires_grad=True)
    weight = torch.full((), 4.0, requires_grad=True)
    assert last_factor((x + 1) * torch.tensor(4.0)) == 4.0
    assert last_factor((x + 1) * weight) is None
    assert last_factor((x + 1) / 4) is None
