"""Odd uses that once gave wrong numbers: contexts inside contexts, GANs, validation inside, steps that change modes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.record import Flow


class Residual(nn.Module):
    def __init__(self, out: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(3))
        self.head = nn.Linear(8, out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(16, 8)


@pytest.fixture
def model(x: Tensor) -> Residual:
    return Residual()


def loss_of(model: nn.Module, x: Tensor) -> Tensor:
    return F.cross_entropy(model(x), torch.arange(len(x)) % 3)


def numbers(flow: Flow) -> list[float | None]:
    return [flow.effective_depth, flow.skip_share, *(layer.gradient_rms for layer in flow.layers)]


def test_contexts_of_two_models_do_not_see_each_others_passes(x: Tensor) -> None:
    generator, judge = Residual(8), Residual()

    def backward() -> None:
        loss_of(judge, generator(x)).backward()

    alone = []
    for one in (generator, judge):
        with gp.trace(one) as traced:
            backward()
        alone.append(numbers(traced.flow))
    with gp.trace(generator) as outer, gp.trace(judge) as inner:
        for _ in range(3):
            backward()
    assert [len(flow.layers) for flow in (*outer.flows, *inner.flows)] == [8] * 6
    for flow, expected in zip((outer.flow, inner.flow), alone, strict=True):
        assert numbers(flow) == pytest.approx(expected, rel=1e-6)


def test_contexts_of_one_model_inside_each_other_agree(model: Residual, x: Tensor) -> None:
    with gp.trace(model) as outer, gp.trace(model) as inner:
        loss_of(model, x).backward()
    expected = numbers(gp.trace(model, x, step=loss_of))
    assert numbers(outer.flow) == pytest.approx(expected, rel=1e-6)
    assert numbers(inner.flow) == pytest.approx(expected, rel=1e-6)


def test_a_gans_generator_is_traced_at_its_own_loss(x: Tensor) -> None:
    generator, judge = Residual(8), Residual(1)
    with gp.trace(generator) as traced:
        fake = generator(x)
        judge(fake.detach()).mean().backward()
        loss = -judge(fake).mean()
        loss.backward()
    assert [flow.loss for flow in traced.flows] == [loss.item()]
    assert not traced.flow.unseen.layers_without_gradient


def test_a_validation_inside_the_context_is_no_layer(model: Residual, x: Tensor) -> None:
    with gp.trace(model) as traced:
        for guard in (torch.no_grad(), torch.inference_mode()):
            with guard:
                model(x)
        loss_of(model, x).backward()
    assert [(layer.scope, layer.call) for layer in traced.flow.layers][:2] == [("stem", 0), ("blocks.0.0", 0)]
    assert len(traced.flow.layers) == 8
    assert not traced.flow.unseen.layers_without_gradient


def test_a_kept_graph_does_not_carry_layers_into_the_next_step(model: Residual, x: Tensor) -> None:
    with gp.trace(model) as traced:
        for _ in range(3):
            loss_of(model, x).backward(retain_graph=True)
    assert [len(flow.layers) for flow in traced.flows] == [8, 8, 8]


def test_autocast_of_the_forward_pass_is_recorded(model: Residual, x: Tensor) -> None:
    with gp.trace(model) as traced:
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, x)
        loss.backward()
    assert traced.flow.autocast == "bfloat16"
    assert gp.trace(model, x, step=loss_of).autocast is None


def test_modes_that_a_step_changes_are_put_back(model: Residual, x: Tensor) -> None:
    model.blocks[1].eval()
    assert gp.trace(model, x, step=lambda model, x: loss_of(model.eval(), x)).mode == "eval"
    assert [model.training, model.blocks[0].training, model.blocks[1].training] == [True, True, False]


def test_losses_whose_names_differ_between_batches_are_told(model: Residual, x: Tensor) -> None:
    names = iter("ab")
    with pytest.raises(TraceError, match=r"other losses \(b\) than for the first batch \(a\)"):
        gp.trace(model, x, step=lambda model, x: {next(names): loss_of(model, x)}, batches=[x])


def test_a_step_that_runs_backward_itself_is_told(model: Residual, x: Tensor) -> None:
    def step(model: nn.Module, x: Tensor) -> Tensor:
        loss = loss_of(model, x)
        loss.backward()
        return loss

    with pytest.raises(TraceError, match=r"called backward\(\) itself"):
        gp.trace(model, x, step=step)


def test_not_finite_is_explained_under_no_grad(model: Residual, x: Tensor) -> None:
    with torch.no_grad():
        (finding,) = gp.trace(model, x * torch.inf, step=loss_of).findings
    assert "It begins at the input of linear in stem" in finding.sentence


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.arange(8) > 5
        return self.head((self.layer(x).masked_fill(hidden, -torch.inf)).softmax(-1)).sub(100).log()


def test_an_attention_mask_is_not_where_nan_begins(x: Tensor) -> None:
    (finding,) = gp.trace(Masked(), x, step=loss_of).findings
    assert "It begins at log" in finding.sentence


def test_a_logarithm_of_zero_is_where_nan_begins(model: Residual, x: Tensor) -> None:
    (finding,) = gp.trace(model, x, step=lambda model, x: (model(x) * torch.zeros(3).log() * 0).sum()).findings
    assert "It begins at log" in finding.sentence


def test_training_a_copy_leaves_all_generators_as_found(x: Tensor) -> None:
    class Draws(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1 + random.random() + np.random.rand())  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[2]  # noqa: NPY002
    gp.whatif(Draws(), x, step=loss_of, change="train=2")
    assert (random.getstate(), np.random.get_state()[2]) == before  # noqa: NPY002
