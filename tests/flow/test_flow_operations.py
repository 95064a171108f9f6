"""What is said of operations: a library's own, whose inside autograd does not show, and torch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gradpath as gp
from architectures import Blocks, mlp
from gradpath.errors import TraceError
from gradpath.flow import paths


class AllReduce(torch.autograd.Function):
    """Backward is the identity, as where each of several processes has a part of the sum."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad


class ResidualAdd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a + b

    @staticmethod
    def backward(ctx, grad):
        return grad, grad


class Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.T

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        return grad @ weight, grad.flatten(0, -2).T @ x.flatten(0, -2)


class SaidAdd(ResidualAdd):
    """As a library would say it, once for all who use it."""

    gradpath_operation = "add"


class Block(nn.Module):
    def __init__(self, skip=lambda x: x, add=torch.add) -> None:
        super().__init__()
        self.skip, self.add, self.mlp = skip, add, mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.skip(x), self.mlp(x))


def blocks(**options):
    torch.manual_seed(0)
    return Blocks(lambda: Block(**options), 3).double()


def square(model, x):
    return model(x).square().mean()


def kinds(flow):
    return sorted((f.kind, f.merge, tuple(sorted(e.kind for e in f.edges))) for f in flow.forks if f.kind != "shared")


BATCH = torch.linspace(-1, 1, 15, dtype=torch.float64).view(3, 5)
RESIDUAL = [("residual", "add", ("branch", "skip"))] * 3


@pytest.mark.parametrize(
    ("options", "operations"),
    [
        ({"skip": AllReduce.apply}, {"AllReduce": "skip"}),
        ({"skip": AllReduce.apply}, {"AllReduceBackward": "skip"}),
        ({"skip": AllReduce.apply}, {AllReduce: "skip"}),
        ({"add": ResidualAdd.apply}, {ResidualAdd: "add"}),
        ({"add": SaidAdd.apply}, None),
        ({"add": SaidAdd.apply, "skip": AllReduce.apply}, {"AllReduce": "skip"}),
    ],
)
def test_a_net_of_a_librarys_own_operations_is_the_net_of_torchs(options, operations):
    plain = blocks()
    own = blocks(**options)
    own.load_state_dict(plain.state_dict())
    expected, found = gp.trace(plain, BATCH, step=square), gp.trace(own, BATCH, step=square, operations=operations)
    assert kinds(found) == kinds(expected) == RESIDUAL
    assert found.effective_depth == pytest.approx(expected.effective_depth, rel=1e-12)
    assert found.unseen.opaque == ()
    split = paths(own, BATCH, step=square, operations=operations, tolerance=0.0)
    assert split.shares == pytest.approx(paths(plain, BATCH, step=square, tolerance=0.0).shares, rel=1e-12)
    assert split.lengths == (0, 1, 2, 3)
    assert not any("opaque" in note for note in split.notes)


def test_without_a_word_it_is_opaque():
    flow = gp.trace(blocks(skip=AllReduce.apply), BATCH, step=square)
    assert kinds(flow) == [("other", "add", ("branch", "branch"))] * 3
    assert sorted(flow.unseen.opaque) == [f"blocks.{i}: AllReduce" for i in range(3)]


class Several(torch.autograd.Function):
    """Three operations inside; those of another module around it run without gradients too."""

    @staticmethod
    def forward(ctx, x):
        return (x + 1).sin() * 2

    @staticmethod
    def backward(ctx, grad):
        return grad


def test_the_operations_that_a_custom_function_hides_are_counted_where_lines_are_asked_for():
    def skip(x):
        found = Several.apply(AllReduce.apply(x))
        with torch.no_grad():
            x.mean()
        return found

    flow = gp.trace(blocks(skip=skip), BATCH, step=square, source_lines=True)
    expected = [
        told
        for i in range(3)
        for told in (f"blocks.{i}: AllReduce (hides 1 operation)", f"blocks.{i}: Several (hides 3 operations)")
    ]
    assert sorted(flow.unseen.opaque) == expected
    assert gp.trace(blocks(skip=skip), BATCH, step=square).loss == flow.loss


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the fused recurrence of oneDNN")
def test_a_fused_recurrence_hides_its_steps():
    torch.manual_seed(0)
    model = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    flow = gp.trace(
        nn.ModuleList([model, nn.Linear(8, 2)]), torch.randn(5, 2, 3), step=lambda m, x: m[1](m[0](x)[0]).sum()
    )
    assert flow.unseen.opaque == ("0: MkldnnRnnLayer (hides 5 steps of its cell)",) * 4


class TwoLayers(nn.Module):
    """A stem, and one or two layers of a custom Function beside a skip."""

    def __init__(self, count) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, 5), nn.Linear(5, 5)
        self.weights = nn.ParameterList(torch.randn(5, 5) for _ in range(count))

    def forward(self, x):
        x = y = self.stem(x)
        for weight in self.weights:
            y = Dense.apply(y, weight)
        return self.head(x + y)


@pytest.mark.parametrize(("count", "kind", "longest"), [(1, "projection", 2), (2, "branch", 3)])
def test_a_layer_counts_as_torchs_do(count, kind, longest):
    torch.manual_seed(0)
    model = TwoLayers(count).double()
    flow = gp.trace(model, BATCH, step=square, operations={Dense: "layer"})
    assert kinds(flow) == [("residual", "add", tuple(sorted((kind, "skip"))))]
    found = paths(model, BATCH, step=square, unit="layers", operations={Dense: "layer"}, tolerance=0.0)
    assert (found.lengths, found.shortest_path, found.longest_path) == ((1, longest), 1, longest)
    unsaid = paths(model, BATCH, step=square, unit="layers", tolerance=0.0)
    assert unsaid.lengths == (1,)


@pytest.mark.parametrize(
    ("kind", "edges"),
    [("gated", ("branch", "gated")), ("norm", ("branch", "projection")), ("branch", ("branch", "branch"))],
)
def test_gates_norms_and_branches(kind, edges):
    flow = gp.trace(blocks(skip=AllReduce.apply), BATCH, step=square, operations={AllReduce: kind})
    assert {found[2] for found in kinds(flow)} == {edges}


def test_what_torch_calls_an_operation_can_be_overruled():
    """tanh said to be linear makes a skip of what was a branch."""
    model = blocks(skip=torch.tanh)
    assert kinds(gp.trace(model, BATCH, step=square)) == [("other", "add", ("branch", "branch"))] * 3
    flow = gp.trace(model, BATCH, step=square, operations={"TanhBackward0": "skip"})
    assert kinds(flow) == RESIDUAL


def test_the_context_manager_is_told_too():
    model = blocks(add=ResidualAdd.apply)
    with gp.trace(model, operations={ResidualAdd: "add"}) as traced:
        square(model, BATCH).backward()
    assert kinds(traced.flow) == RESIDUAL


@pytest.mark.skipif(not hasattr(torch.library, "custom_op"), reason="this torch has no torch.library.custom_op")
def test_an_operation_registered_with_torch_has_a_name_too():
    @torch.library.custom_op("gradpath_test::residual_add", mutates_args=())
    def residual_add(a: Tensor, b: Tensor) -> Tensor:
        return a + b

    residual_add.register_autograd(lambda ctx, grad: (grad, grad))
    model = blocks(add=residual_add)
    silent = gp.trace(model, BATCH, step=square)
    assert {fork.merge for fork in silent.forks if fork.kind != "shared"} == {"other"}
    name = "GeneratedBackwardFor_gradpath_test_residual_add_default"
    assert sorted(silent.unseen.opaque) == [f"blocks.{i}: {name}" for i in range(3)]
    assert gp.trace(model, BATCH, step=square, operations={name: "add"}).unseen.opaque == ()
    assert kinds(gp.trace(model, BATCH, step=square, operations={name: "add"})) == RESIDUAL


def test_what_was_not_met_is_noted():
    operations = {"Sonn": "skip", "Addmm": "layer"}
    notes = gp.trace(blocks(), BATCH, step=square, operations=operations).unseen.notes
    assert notes == ("operations: this pass has none that is called Sonn",)
    assert "none that is called Sonn" in paths(blocks(), BATCH, step=square, operations=operations).notes[-1]


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ({"Mul": "identity"}, "Mul is said to be 'identity': give one of skip, add, concat"),
        ({torch.add: "add"}, "neither a name nor a class"),
        ({nn.Linear: "layer"}, "neither a name nor a class"),
    ],
)
def test_errors_say_what_to_do(operations, message):
    for ask in (gp.trace, paths):
        with pytest.raises(TraceError, match=message):
            ask(blocks(), BATCH, step=square, operations=operations)
    with pytest.raises(TraceError, match=message):
        gp.trace(blocks(), operations=operations)


def test_a_class_that_says_nonsense_is_told():
    wrong = type("Wrong", (AllReduce,), {"gradpath_operation": "nothing"})
    with pytest.raises(TraceError, match="Wrong is said to be 'nothing'"):
        gp.trace(blocks(skip=wrong.apply), BATCH, step=square)
