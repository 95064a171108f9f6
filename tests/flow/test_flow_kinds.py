"""The table of kinds: what the forks of published architectures are, and that their path lengths add up."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from oracle import walk
from torch import Tensor, nn

import gradpath as gp
from architectures import Blocks, Factor, Residual, mlp
from gradpath.flow._forks import branch_uses
from gradpath.flow._forward import forward_pass
from problems import ARCHITECTURES, PROBLEMS

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ones(1, requires_grad=True).exp().grad_fn, "_input_metadata"),
    reason="torch 2.4 does not tell how large the tensors are that its nodes made",
)


def kinds(flow):
    return sorted((f.kind, f.merge, tuple(sorted(e.kind for e in f.edges))) for f in flow.forks if f.kind != "shared")


def square(model, x):
    return model(x).square().mean()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_forks_are_what_the_table_says(name):
    problem = ARCHITECTURES[name]
    assert kinds(gp.trace(*problem.build())) == sorted(problem.forks)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shares_sum_to_one(name):
    forks = gp.trace(*ARCHITECTURES[name].build()).forks
    assert forks
    for fork in forks:
        shares = [edge.share for edge in fork.edges]
        if fork.log10_norm is not None and fork.norm > 0:
            assert sum(shares) == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_effective_depth_and_the_longest_path_agree_with_the_walk(name):
    problem = ARCHITECTURES[name]
    with forward_pass(*problem.build()) as forward:
        uses = branch_uses(forward.plans)
        residual = forward.has_residual_forks
        at, _ = walk(forward.loss, frozenset(uses))
        parts = at[forward.at.node, forward.at.output_nr]
    whole = sum(parts.values())
    assert max(parts) == problem.branches
    depth = gp.trace(*problem.build()).effective_depth
    if not residual:
        assert depth is None
        return
    mean = sum(k * float((g * whole).sum()) for k, g in parts.items()) / float((whole * whole).sum())
    assert depth == pytest.approx(mean, rel=1e-9, abs=1e-12)


def test_a_recurrent_layer_in_one_piece_is_opaque_and_said_to_be():
    torch.manual_seed(0)
    model, (x, y), criterion = ARCHITECTURES["lstm, all outputs"].build()
    flow = gp.trace(model.float(), (x.float(), y), criterion)
    assert flow.effective_depth is None
    if torch.backends.mkldnn.is_available():
        assert flow.unseen.opaque == ("lstm: MkldnnRnnLayer (hides 4 steps of its cell)",)
        assert kinds(flow) == []


class Cubed(torch.autograd.Function):
    """A user's own function, with a name that autograd has too."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x * x * grad


Add = type("Add", (Cubed,), {})


class CustomSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a + b

    @staticmethod
    def backward(ctx, grad):
        return grad, grad


class Custom(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.mlp = function, mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x) + self.mlp(x)


@pytest.mark.parametrize("function", [Cubed, Add])
def test_a_custom_function_is_opaque_and_no_skip_whatever_its_name(function):
    flow = gp.trace(Blocks(lambda: Custom(function), 1), torch.randn(3, 5), step=square)
    assert kinds(flow) == [("other", "add", ("branch", "branch"))]
    assert flow.unseen.opaque == (f"blocks.0: {function.__name__}",)


def test_what_meets_in_a_custom_function_has_not_met_in_an_add():
    class Block(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return type("Add", (CustomSum,), {}).apply(x, self.mlp(x))

    flow = gp.trace(Blocks(Block, 1), torch.randn(3, 5), step=square)
    assert kinds(flow) == [("other", "other", ("branch", "skip"))]


def test_a_module_with_backward_hooks_is_still_a_skip():
    model = Blocks(Residual, 2)
    for block in model.blocks:
        block.skip.register_full_backward_hook(lambda module, grad_input, grad_output: None)
        block.register_full_backward_hook(lambda module, grad_input, grad_output: None)
    assert kinds(gp.trace(model, torch.randn(3, 5), step=square)) == [("residual", "add", ("branch", "skip"))] * 2


class SharedBias(nn.Module):
    """A bias that every block adds to its scores, as T5 does it: no skip, though branches lead from add to add."""

    def __init__(self):
        super().__init__()
        self.stem, self.places = nn.Linear(5, 6), nn.Embedding(1, 6)
        self.blocks = nn.ModuleList(mlp() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x, bias = self.stem(x), self.places(torch.zeros(1, dtype=torch.long))
        for block in self.blocks:
            x = x + torch.tanh(block(x) + bias)
        return x


def test_a_bias_that_several_blocks_add_is_no_residual_fork():
    flow = gp.trace(SharedBias(), torch.randn(3, 5), step=square)
    assert len(flow.residual_forks) == 3
    assert flow.at == "stem"


def test_a_linear_layer_on_a_transposed_sequence_is_one_layer():
    """Its product and its bias are two nodes there; a projection all the same, also beside a skip."""

    class Transposed(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.mlp = nn.Linear(2, 2), mlp()

        def forward(self, x: Tensor) -> Tensor:
            tokens = x.view(len(x), 2, 3)
            return x + self.mix(tokens.mT).mT.flatten(1) + self.mlp(x)

    flow = gp.trace(Blocks(Transposed, 1), torch.randn(3, 5), step=square)
    assert kinds(flow) == [("residual", "add", ("branch", "projection", "skip"))]


def test_a_head_on_a_projection_makes_it_no_branch():
    """No route of the fork keeps off the loss of the head; the projection and the branch meet in an add before."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.project, self.mlp, self.head = nn.Linear(5, 6), nn.Linear(6, 6), mlp(), mlp()

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.project(x)
            return torch.tanh(y + self.mlp(x)).square().mean() + self.head(y).square().mean()

    flow = gp.trace(Block(), torch.randn(3, 5), step=lambda model, x: model(x))
    assert kinds(flow) == [
        ("other", "add", ("branch", "branch")),
        ("residual", "add", ("branch", "projection")),
    ]


def test_a_norm_alone_is_a_branch_beside_a_skip_and_a_projection_beside_none():
    class Pooled(nn.Module):
        """PoolFormer's mixer: norm, average, learned factor."""

        def __init__(self, skip):
            super().__init__()
            self.skip, self.norm, self.factor = skip, nn.LayerNorm(6), nn.Parameter(torch.ones(6))

        def forward(self, x: Tensor) -> Tensor:
            return self.skip(x) + self.factor * F.avg_pool1d(self.norm(x), 3, 1, 1)

    for skip, kind in ((nn.Identity(), "skip"), (Factor(6, 0.5), "projection")):
        beside = gp.trace(Blocks(lambda skip=skip: Pooled(skip), 1), torch.randn(3, 5), step=square)
        assert kinds(beside) == [("residual", "add", tuple(sorted(("branch", kind))))]
        assert next(e.kind for e in beside.residual_forks[0].edges if "norm" in e.consumer) == "branch"
    instead = gp.trace(Blocks(lambda: Residual(skip=nn.LayerNorm(6)), 1), torch.randn(3, 5), step=square)
    assert kinds(instead) == [("residual", "add", ("branch", "projection"))]


def test_outputs_stacked_over_time_are_no_features():
    class Recurrent(nn.Module):
        def __init__(self, join):
            super().__init__()
            self.cell, self.join = nn.Linear(5, 5), join

        def forward(self, x: Tensor) -> Tensor:
            found = [torch.tanh(self.cell(x))]
            for _ in range(2):
                found.append(torch.tanh(self.cell(found[-1])))
            return self.join(found)

    for join in (torch.stack, lambda found: torch.stack(found, 1), torch.cat):
        assert gp.trace(Recurrent(join), torch.randn(3, 5), step=square).residual_forks == ()
    dense = Recurrent(lambda found: torch.cat(found, 1))
    assert len(gp.trace(dense, torch.randn(3, 5), step=square).residual_forks) == 2


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gated_recurrences_have_no_skip(bidirectional):
    """h ← n + z (h − n) in the GRU, c ← f c + i g in the LSTM; both on sequences of different lengths as well."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 5)
    packed = nn.utils.rnn.pack_padded_sequence(x, [4, 3], batch_first=True)
    for layer in (nn.GRU, nn.LSTM):
        model = layer(5, 6, batch_first=True, bidirectional=bidirectional)
        for batch in (x, packed):
            flow = gp.trace(model.double(), batch.to(torch.float64), step=lambda m, b: read(m(b)[0]).square().mean())
            assert flow.residual_forks == ()
            assert any(e.kind == "gated" for f in flow.forks for e in f.edges if f.kind == "other")


def read(output):
    return output if isinstance(output, Tensor) else nn.utils.rnn.pad_packed_sequence(output)[0]


def test_both_tables_name_every_kind():
    problems = [*PROBLEMS.values(), *ARCHITECTURES.values()]
    assert {kind for p in problems for kind, _, _ in p.forks} == {"residual", "inner", "shared", "other"}
    assert {k for p in problems for _, _, edges in p.forks for k in edges} == {
        "skip", "gated", "projection", "branch", "exit",
    }  # fmt: skip
