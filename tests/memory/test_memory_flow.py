"""`gp.trace` and `gp.paths` see through recomputed blocks: the numbers are those of the same net without."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from families import CLASSES, Built, plain
from torch import Tensor, nn

import gradpath as gp

pytestmark = pytest.mark.filterwarnings("ignore:.torch.cpu.amp.autocast:FutureWarning")  # torch 2.4's own


class Net(nn.Module):
    def __init__(self, call) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.built, self.call = Built("resnet-20", width=4), call

    def forward(self, x: Tensor) -> Tensor:
        return self.built.run(x, self.call)


def question() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(4, 2, 8, 8), torch.randint(CLASSES, (4,))


def test_a_trace_is_that_of_the_plain_net_and_leaves_batch_norm_alone():
    flows = []
    for call in (plain, gp.checkpoint):
        net = Net(call)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        flows.append(gp.trace(net, question(), F.cross_entropy))
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    expected, flow = flows
    assert flow.loss == expected.loss and flow.effective_depth == expected.effective_depth
    assert [layer.scope for layer in flow.layers] == [layer.scope for layer in expected.layers]
    for ours, theirs in zip(flow.layers, expected.layers, strict=True):
        assert ours.log10_gradient_norm == theirs.log10_gradient_norm
    assert len(flow.residual_forks) == 9
    for ours, theirs in zip(flow.residual_forks, expected.residual_forks, strict=True):
        assert [(edge.kind, edge.share) for edge in ours.edges] == [(edge.kind, edge.share) for edge in theirs.edges]


@pytest.mark.skipif(tuple(map(int, torch.__version__.split(".")[:2])) < (2, 5), reason="exact paths need torch 2.5")
def test_paths_are_those_of_the_plain_net():
    expected, paths = (gp.paths(Net(call), question(), F.cross_entropy) for call in (plain, gp.checkpoint))
    assert paths.lengths == expected.lengths and len(paths.lengths) >= 8
    assert paths.shares == pytest.approx(expected.shares, rel=1e-5, abs=1e-7)
    assert paths.effective_depth == pytest.approx(expected.effective_depth, rel=1e-5)


def test_a_trace_inside_a_users_own_step_changes_nothing_of_it():
    found = []
    for traced in (False, True):
        net = Net(gp.checkpoint)
        x, y = question()
        if traced:
            with gp.trace(net) as t:
                F.cross_entropy(net(x), y).backward()
            assert len(t.flow.layers) == len({layer.scope for layer in t.flow.layers})
        else:
            F.cross_entropy(net(x), y).backward()
        found.append({**net.state_dict(), **{n: p.grad for n, p in net.named_parameters()}})
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
