"""The map of reuse against gradients taken one consumer at a time; it is one for both ways to write a dense block."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from problems import PROBLEMS, Dense


def reuse_of(name: str):
    (reuse,) = gp.trace(*PROBLEMS[name].build()).reuse
    return reuse


def test_a_feature_list_and_a_running_concatenation_have_the_same_map():
    assert reuse_of("dense, list") == reuse_of("dense, running")


def test_each_entry_is_the_gradient_through_one_consumer_alone():
    """The oracle: every other reading of every source is detached."""
    model, (inputs, labels), _ = PROBLEMS["dense, list"].build()
    reuse = reuse_of("dense, list")
    for column in range(4):  # three layers and the head
        features: list[Tensor] = [model.stem(inputs)]
        sources = list(features)
        for reader, layer in enumerate(model.layers):
            read = features if reader == column else [f.detach() for f in features]
            features.append(layer(F.relu(torch.cat(read, 1))))
            sources.append(features[-1])
        read = features if column == 3 else [f.detach() for f in features]
        if column == 3:
            loss = F.cross_entropy(model.head(torch.tanh(torch.cat(read, 1))), labels)
            grads = torch.autograd.grad(loss, sources)
            expected = [float(g.norm()) for g in grads]
            for source in range(4):
                assert 10 ** reuse.log10_norms[source][column] == pytest.approx(expected[source], rel=1e-10)
        known = [row[column] for row in reuse.log10_norms]
        assert [value is not None for value in known] == [source <= column for source in range(4)]


def test_the_squares_of_the_entries_of_one_consumer_add_up_to_its_edge():
    flow = gp.trace(*PROBLEMS["dense, running"].build())
    (reuse,) = flow.reuse
    branches = [e.norm for fork in flow.forks for e in fork.edges if e.kind == "branch"]
    assert len(branches) == 3
    for column, expected in enumerate(branches):
        parts = [10 ** row[column] for row in reuse.log10_norms if row[column] is not None]
        assert math.hypot(*parts) == pytest.approx(expected, rel=1e-9)


def test_the_weights_are_those_of_the_layer_that_reads():
    model = PROBLEMS["dense, list"].build()[0]
    reuse = reuse_of("dense, list")
    last = model.layers[2].weight.detach().abs()  # 2 × (4 + 2 + 2)
    expected = [float(last[:, :4].mean()), float(last[:, 4:6].mean()), float(last[:, 6:].mean())]
    assert [row[2] for row in reuse.mean_weights[:3]] == pytest.approx(expected, rel=1e-12)
    assert reuse.mean_weights[3][2] is None


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 1e20])
def test_energies_neither_underflow_nor_overflow(scale):
    torch.manual_seed(0)
    model = Dense(running=True)
    batch = (torch.randn(7, 5), torch.randint(4, (7,)))
    (plain,) = gp.trace(model, batch, F.cross_entropy).reuse
    (scaled,) = gp.trace(model, batch, lambda output, target: F.cross_entropy(output, target) * scale).reuse
    for row, row_ in zip(plain.log10_norms, scaled.log10_norms, strict=True):
        for value, value_ in zip(row, row_, strict=True):
            if value is not None and value > -math.inf:
                assert value_ - math.log10(scale) == pytest.approx(value, abs=1e-4)


def test_a_net_without_concatenations_has_no_map():
    assert gp.trace(*PROBLEMS["residual"].build()).reuse == ()


def test_every_layer_of_a_dense_net_reads_all_before_it():
    torch.manual_seed(0)
    net = gp.build("densenet-40-12")
    flow = gp.trace(net, (torch.randn(2, 3, 32, 32), torch.randint(10, (2,))), F.cross_entropy)
    assert len(flow.reuse) == 3
    for block in flow.reuse:
        assert [sum(v is not None for v in row) for row in block.log10_norms] == [13, *range(12, 0, -1)]
        assert all((v is None) == (w is None) for v, w in zip(block.log10_norms[0], block.mean_weights[0], strict=True))


def test_an_input_that_needs_no_gradient_hides_no_other_block():
    class WithInput(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.body = nn.Linear(5, 5), Dense(running=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(self.first(torch.cat([x, x], 1)[:, :5]))

    torch.manual_seed(0)
    flow = gp.trace(WithInput(), (torch.randn(7, 5), torch.randint(4, (7,))), F.cross_entropy)
    assert len(flow.reuse) == 1
