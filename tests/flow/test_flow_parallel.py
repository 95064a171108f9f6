"""Modules called side by side (an encoder for each frame, two towers) and cells, told apart by the graph."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from patients import OverTime, PlainCell, mlp
from torch import Tensor, nn

import gradpath as gp
from gradpath.flow._findings._recurrence import _exploding
from gradpath.record import Flow
from gradpath.record._side_by_side import forks_side_by_side, side_by_side
from gradpath.report import flow_text


class Frames(nn.Module):
    """One encoder for each of several frames; their mean, or the state of a cell over them, goes to the head."""

    def __init__(self, encoder: nn.Module, cell: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder, self.cell, self.head = encoder, cell, nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:  # N T C
        frames = [self.encoder(frame) for frame in x.unbind(1)]
        if self.cell is None:
            return self.head(torch.stack(frames).mean(0))
        state = None
        for frame in frames:
            state = self.cell(frame, state)
        return self.head(state)


class InRoot(nn.Module):
    """A recurrence whose layers lie in the model itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.recurrent, self.head = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        nn.init.orthogonal_(self.recurrent.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 32)
        for step in x.unbind(1):
            state = torch.tanh(self.inward(step) + self.recurrent(state))
        return self.head(state)


class Gated(nn.Module):
    """An LSTM cell, or one that forgets all but a tenth, made of linear layers."""

    def __init__(self, forget_bias: float = 0.0) -> None:
        super().__init__()
        self.inward, self.recurrent = nn.Linear(32, 128), nn.Linear(32, 128, bias=False)
        nn.init.constant_(self.inward.bias[32:64], forget_bias)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
        hidden, kept = state or (x.new_zeros(len(x), 32), x.new_zeros(len(x), 32))
        add, forget, new, out = (self.inward(x) + self.recurrent(hidden)).chunk(4, 1)
        kept = torch.sigmoid(forget) * kept + torch.sigmoid(add) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(kept), kept


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(32), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.layer(self.norm(x)))


def traced(model: nn.Module, steps: int = 8) -> Flow:
    torch.manual_seed(0)
    return gp.trace(model, (torch.randn(8, steps, 32), torch.arange(8)), F.cross_entropy)


def encoder(layers: int, variance: float = 2.0) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(mlp(layers, 32, variance), nn.Linear(10, 32))


def test_an_encoder_called_for_each_frame_lies_at_one_depth():
    flow = traced(Frames(encoder(6)))
    one = gp.trace(encoder(6), torch.randn(8, 32), step=lambda model, x: model(x).square().mean())
    assert sum(layer.weighted for layer in flow.layers) == 8 * one.depth + 1
    assert flow.depth == one.depth + 1 == flow.gain_per_layer[0].layers
    assert "encoder" in flow.parallel and "head" not in flow.parallel
    assert flow.repeated == {} and flow.findings == ()
    assert flow_text(flow).startswith(f"No finding. Frames: {flow.depth} layers deep")


def test_an_encoder_that_starves_is_judged_by_layer_also_where_a_cell_follows():
    for model in (Frames(encoder(20, 0.3)), Frames(encoder(20, 0.3), nn.RNNCell(32, 32))):
        (finding,) = traced(model).findings
        assert finding.kind == "vanishing" and "over time" not in finding.sentence
        assert "per layer" in finding.evidence and finding.where == "encoder.0.0"


def test_two_towers_are_as_deep_as_one():
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = encoder(20, 0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.tower(x[:, 0]) - self.tower(x[:, 1])

    flow = traced(Siamese())
    calls = [x.log10_gradient_rms for x in flow.layers if x.scope == flow.findings[0].where]
    head = [x.log10_gradient_rms for x in flow.layers if x.scope == "tower.1"]
    decades = [a - b for a, b in zip(calls, head, strict=True)]
    told = 10 ** float(math.log10(flow.gain_per_layer[0].energy_gain) * 0.5 * (flow.depth - 1))
    assert math.log10(told) == pytest.approx(sum(decades) / 2, rel=0.15), "both towers: twice as many decades"
    assert len(calls) == 2 and f"over {flow.depth} layers" in flow.findings[0].sentence


@pytest.mark.parametrize(
    ("model", "cells"),
    [
        (lambda: OverTime(nn.RNNCell(32, 32)), {"cell": 60}),
        (lambda: OverTime(PlainCell(0.5)), {"cell.inward": 60, "cell.recurrent": 59}),
        (lambda: Frames(encoder(3), nn.RNNCell(32, 32)), {"cell": 60}),
        (InRoot, {"recurrent": 60}),
    ],
)
def test_a_cell_feeds_itself(model, cells):
    """What lies in a cell belongs to it, also where it reads the input alone; an encoder in front does not."""
    flow = traced(model(), 60)
    assert flow.repeated == cells
    (finding,) = flow.findings
    assert "over time" in finding.sentence and "60 time steps of " in finding.sentence


def test_a_state_that_is_handed_on_beside_the_output_makes_a_cell():
    """The state of nn.RNN is another output than what the next layer reads."""

    class Chunks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(32, 32, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            state, outputs = None, []
            for chunk in x.chunk(4, 1):
                output, state = self.rnn(chunk, state)
                outputs.append(output[:, -1])
            return torch.stack(outputs).mean(0)

    assert traced(Chunks()).parallel == ()


def test_layers_that_are_iterated_are_as_deep_as_their_calls():
    class Iterated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(32, 32), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = x[:, 0]
            for _ in range(5):
                x = torch.relu(self.layer(x))
            return self.head(x)

    flow = traced(Iterated())
    assert flow.parallel == () and flow.depth == 6 and flow.repeated == {"layer": 5}


def test_branches_of_parallel_calls_are_counted_once():
    flow = traced(Frames(nn.Sequential(*[Branch() for _ in range(5)])))
    assert len(flow.residual_forks) == 8 * 4, "the input needs no gradient: no fork before the first branch"
    assert flow.branches == 4 and "of 4 branches" in flow_text(flow)


def test_calls_side_by_side_are_one_with_their_mean_energy():
    flow = traced(Frames(encoder(2)))
    layers = [replace(x, log10_gradient_rms=-200.0 + x.call) for x in flow.layers if x.scope == "encoder.0.0"]
    (found,) = side_by_side(layers, flow.parallel)
    energies = [10.0 ** (2 * i) for i in range(8)]
    assert found.log10_gradient_rms == pytest.approx(-200 + 0.5 * math.log10(sum(energies) / 8))
    assert side_by_side(layers, ()) == layers
    nothing = [replace(x, log10_gradient_rms=None) for x in layers]
    assert [x.log10_gradient_rms for x in side_by_side(nothing, flow.parallel)] == [None]


def test_forks_of_one_name_in_one_call_stay_apart():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(32, 32) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.a(x))
            for layer in (self.b, self.c):
                x = x + layer(torch.relu(x))
            return x

    flow = traced(Frames(nn.Sequential(Twice(), Twice()), None))
    assert len(flow.residual_forks) == 8 * 4
    assert len(forks_side_by_side(flow)) == flow.branches == 4


def test_forks_of_a_model_that_a_step_calls_twice_are_counted_once():
    """In the model's own code forks have no module's name in front; one branch is iterated inside each call."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.first, self.again = (nn.Linear(32, 32) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            x = x + torch.relu(self.first(x))
            for _ in range(3):
                x = x + torch.relu(self.again(x))
            return x

    torch.manual_seed(0)
    flow = gp.trace(Model(), torch.randn(8, 32), step=lambda model, x: (model(x) * model(x + 1)).sum())
    assert "" in flow.parallel and len(flow.residual_forks) == 8
    assert flow.branches == 4


def test_a_gated_cell_of_ones_own_is_told_to_open_its_gate():
    (finding,) = traced(OverTime(Gated(-2.0)), 60).findings
    assert "gate open" in finding.remedy and "60 time steps of cell," in finding.sentence
    assert finding.cures == () and "Use orthogonal" not in finding.remedy
    (plain,) = traced(OverTime(PlainCell(0.5)), 60).findings
    assert "gate open" not in plain.remedy
    assert "gated cell" not in _exploding("gated").sentence and "gated cell" in _exploding("RNN").sentence
