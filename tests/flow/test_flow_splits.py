"""A tensor split by one operation is the fork that slices of it would be, where parts skip what others pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gradpath as gp
from architectures import Blocks, mlp
from gradpath.flow import paths

WIDTH = 12


def slices(x: Tensor, count: int) -> list[Tensor]:
    size = x.shape[1] // count
    return [x[:, i * size : (i + 1) * size] for i in range(count)]


CUTS = {
    "slices": slices,
    "chunk": lambda x, count: x.chunk(count, 1),
    "split": lambda x, count: x.split([x.shape[1] // count] * count, 1),
    "unbind": lambda x, count: x.view(len(x), count, -1).unbind(1),
    "unsafe": lambda x, count: x.unsafe_chunk(count, 1),
}


class Shuffle(nn.Module):
    """ShuffleNet V2: one half goes by, the other through layers; then the halves are joined and mixed."""

    def __init__(self, cut) -> None:
        super().__init__()
        self.cut, self.mlp = cut, mlp(WIDTH // 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cut(x, 2)
        return torch.cat([first, self.mlp(second)], 1).view(len(x), 2, -1).transpose(1, 2).flatten(1)


class Res2(nn.Module):
    """Res2Net: each part is added to what the part before it became; the last goes by."""

    def __init__(self, cut) -> None:
        super().__init__()
        self.cut, self.layers = cut, nn.ModuleList(mlp(WIDTH // 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.cut(x, 3)
        first = self.layers[0](first)
        return torch.cat([first, self.layers[1](first + second), last], 1)


class Swish(nn.Module):
    """SwiGLU: a gate and no skip."""

    def __init__(self, cut) -> None:
        super().__init__()
        self.cut, self.up, self.down = cut, nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.cut(self.up(x), 2)
        return x + self.down(gate * torch.sigmoid(gate) * value)


class Stack(nn.Module):
    """C2f of YOLOv8: a part is itself a residual fork, and counts there."""

    def __init__(self, cut) -> None:
        super().__init__()
        self.cut, self.mlp = cut, mlp(WIDTH // 2)
        self.join = nn.Linear(3 * WIDTH // 2, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.cut(x, 2)
        return self.join(torch.cat([first, second, self.mlp(second)], 1))


def net(block, cut, count=2):
    torch.manual_seed(0)
    return Blocks(lambda: block(CUTS[cut]), count, WIDTH).double()


def square(model, x):
    return model(x).square().mean()


BATCH = torch.linspace(-1, 1, 35, dtype=torch.float64).view(7, 5)


def told(flow):
    """Kinds, shares and sizes of residual forks, however the tensor was cut."""
    return [
        (
            [(e.kind, round(e.share, 9), round(e.norm, 12)) for e in sorted(f.edges, key=lambda e: e.share)],
            f.merge,
            round(f.norm, 12),
            round(f.cancellation, 9),
        )
        for f in flow.residual_forks
    ]


@pytest.mark.parametrize("cut", [name for name in CUTS if name != "slices"])
@pytest.mark.parametrize(("block", "forks", "branches"), [(Shuffle, 1, 1), (Res2, 2, 2), (Swish, 1, 1)])
def test_one_operation_is_the_same_as_slices(block, forks, branches, cut):
    expected, found = (gp.trace(net(block, one), BATCH, step=square) for one in ("slices", cut))
    assert len(found.residual_forks) == 2 * forks
    assert told(found) == told(expected)
    assert found.effective_depth == pytest.approx(expected.effective_depth, rel=1e-10)
    first, second = (paths(net(block, one), BATCH, step=square, tolerance=0.0) for one in ("slices", cut))
    assert second.lengths == first.lengths
    assert second.shares == pytest.approx(first.shares, rel=1e-10)
    assert second.branches == first.branches == 2 * branches


def test_parts_of_the_gradient_lie_side_by_side():
    """Shares of parts are their energies: a half that skips and one that does not."""
    flow = gp.trace(net(Shuffle, "chunk"), BATCH, step=square)
    for fork in flow.residual_forks:
        assert sorted(edge.kind for edge in fork.edges) == ["branch", "skip"]
        assert fork.norm**2 == pytest.approx(sum(edge.norm**2 for edge in fork.edges), rel=1e-10)
        assert [edge.share for edge in fork.edges] == pytest.approx([(e.norm / fork.norm) ** 2 for e in fork.edges])
        assert fork.shape == (7, WIDTH)


def test_a_part_that_is_a_fork_itself_counts_there():
    flow = gp.trace(net(Stack, "chunk"), BATCH, step=square)
    assert [sorted(edge.kind for edge in fork.edges) for fork in flow.residual_forks] == [["branch", "skip"]] * 2
    assert {fork.shape for fork in flow.residual_forks} == {(7, WIDTH // 2)}
    assert paths(net(Stack, "chunk"), BATCH, step=square).lengths == (0, 1, 2)


def test_a_fork_of_parts_of_which_one_brings_nothing():
    """No gradient comes back over the branch: it has no share, and the skip has all."""

    class Stopped(Shuffle):
        def forward(self, x: Tensor) -> Tensor:
            first, second = self.cut(x, 2)
            return torch.cat([first, 0 * self.mlp(second)], 1)

    flow = gp.trace(net(Stopped, "chunk", 1), BATCH, step=square)
    (fork,) = flow.residual_forks
    assert {edge.kind: edge.share for edge in fork.edges} == {"skip": pytest.approx(1), "branch": 0}
    assert flow.effective_depth == 0


def test_the_gates_of_a_cell_are_no_residual_fork():
    torch.manual_seed(0)
    cell, head = nn.LSTMCell(5, 6).double(), nn.Linear(6, 2).double()

    def step(model, x):
        hidden = (x.new_zeros(7, 6), x.new_zeros(7, 6))
        for _ in range(3):
            inside, kept, new, out = (cell.weight_ih @ x.T + cell.weight_hh @ hidden[0].T).T.chunk(4, 1)
            state = kept.sigmoid() * hidden[1] + inside.sigmoid() * new.tanh()
            hidden = (out.sigmoid() * state.tanh(), state)
        return head(hidden[0]).square().mean()

    flow = gp.trace(nn.ModuleList([cell, head]), BATCH, step=step)
    assert flow.residual_forks == ()
    assert flow.effective_depth is None
