"""Dense blocks under a plan: one block each, with what follows it."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import KernelError
from gradpath.kernels import norm_passes
from gradpath.memory import _plan
from gradpath.memory._measuring._step import Step
from gradpath.memory._running._dense_stage import DenseStageMoves, dense_stage
from gradpath.memory._running._module_moves import ModuleMoves
from gradpath.memory._running._planned import moves_of
from gradpath.memory._study import best_for, chain_of, study, ways_of
from gradpath.record import TapeMode


def compiled() -> bool:
    try:
        return norm_passes("compiled") is not None
    except KernelError:
        return False


needs_compiler = pytest.mark.skipif(not compiled(), reason="no compiled passes on this machine")


def net_and_batch(**overrides) -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    net = gp.build("densenet-bc-22-4", input_size=16, **overrides).to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    return net, (x, torch.randint(10, (4,)))


def gradients(model: nn.Module, batch) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("mode", ["full", "lean", "input", "none"])
@pytest.mark.parametrize("trained", [True, False])
def test_a_stage_computes_what_its_modules_compute(mode: TapeMode, trained: bool):
    net, _ = net_and_batch()
    stage = [*net.double().stages[0], net.stages[1][0]]
    stage[1].conv1.weight.requires_grad_(trained)
    plain = copy.deepcopy(nn.Sequential(*stage))
    x = torch.randn(4, 8, 16, 16, dtype=torch.float64, requires_grad=True)
    out = plain(x)
    grad = torch.randn_like(out)
    wanted = torch.autograd.grad(out, [x, *(p for p in plain.parameters() if p.requires_grad)], grad)
    moves = dense_stage(stage)
    assert moves is not None and len(moves.behind.modules) == 1
    with torch.no_grad():
        tape = moves.new_tape()
        got = moves.advance(x.detach(), tape, mode)
        if mode != "full":
            got = moves.advance(x.detach(), tape, mode)  # a redo moves no statistics
        grad_x, grads = moves.backward(grad, x.detach(), tape)
    torch.testing.assert_close(got, out, rtol=1e-10, atol=1e-10)
    assert [one is None for one in grads] == [not p.requires_grad for p in moves.parameters]
    found = dict(zip(moves.parameters, grads, strict=True))
    mine = [grad_x, *(found[p] for p in nn.Sequential(*stage).parameters() if p.requires_grad)]
    for one, other in zip(mine, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    for one, other in zip(nn.Sequential(*stage).buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_what_is_no_dense_stage():
    net, _ = net_and_batch()
    layers = list(net.stages[0])
    assert dense_stage(layers[:1]) is None and dense_stage([net.stages[1][0]]) is None and dense_stage([]) is None
    layers[1].register_forward_hook(lambda *_: None)
    assert dense_stage(layers) is None
    assert isinstance(moves_of(tuple(layers), None), ModuleMoves)


@needs_compiler
def test_a_planned_dense_net_trains_in_a_fraction_of_its_memory(monkeypatch):
    net, batch = net_and_batch()
    monkeypatch.setattr(_plan, "best_for", lambda memory_bytes, studies: studies[0])  # so small, layers may be faster
    plan = gp.plan(net, batch, "70%", criterion=F.cross_entropy)
    assert [names.count("+") for names in plan.blocks] == [3, 3, 2]  # 3 layers each and a transition behind two
    assert plan.measured[-1].peak_bytes <= plan.memory_bytes
    assert plan.measured[-1].peak_bytes == pytest.approx(plan.predicted.total, rel=0.05)
    planned, exact = gp.apply_plan(copy.deepcopy(net), plan), copy.deepcopy(net).double()
    assert all(isinstance(moves, DenseStageMoves) for moves in planned._chain.moves)
    wanted = gradients(exact, (batch[0].double(), batch[1]))
    largest = max(float(grad.abs().max()) for grad in wanted)
    for got, other in zip(gradients(planned, batch), wanted, strict=True):
        assert float((got - other).abs().max()) < 1e-4 * largest
    for got, other in zip(planned.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(got.double(), other.double(), rtol=1e-5, atol=1e-6)


@needs_compiler
def test_the_faster_way_that_fits_is_taken():
    net, batch = net_and_batch()
    how = Step(batch, F.cross_entropy)
    ways = ways_of(chain_of(net, how, None), torch.device("cpu"))
    joined, apart = (study(net, how, chain, "sgd", 0.1, backend) for chain, backend in ways)
    assert joined.smallest_bytes < apart.smallest_bytes
    assert best_for(joined.smallest_bytes, [apart, joined]) is joined  # the other does not fit
    assert best_for(joined.smallest_bytes - 1, [apart, joined]) is joined  # none fits: it says the least memory
    most = max(joined.keep_all_bytes, apart.keep_all_bytes)
    faster = joined if joined.standing(most) < apart.standing(most) else apart
    assert best_for(most, [apart, joined]) is faster


@needs_compiler
def test_plain_backends_and_layouts_keep_layers_apart():
    net, batch = net_and_batch()
    assert len(gp.plan(net, batch, "70%", criterion=F.cross_entropy, backend="torch", check=False).blocks) == 11
    nchw = net.to(memory_format=torch.contiguous_format), (batch[0].contiguous(), batch[1])
    assert len(gp.plan(*nchw, "70%", criterion=F.cross_entropy, check=False).blocks) == 11
