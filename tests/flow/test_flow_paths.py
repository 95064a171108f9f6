"""`paths` against an independent walk, against autograd itself, and against what is known in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from oracle import walk
from torch import nn
from torch.utils.checkpoint import checkpoint

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow import paths
from gradpath.flow._forks import branch_uses
from gradpath.flow._forward import forward_pass
from gradpath.flow._graph import is_weighted
from gradpath.flow._paths._marks import Reach, find_branches
from gradpath.flow._paths._veit import SinglePaths
from gradpath.record import PathLengths
from problems import PROBLEMS, ResidualMLP


def walked(problem, unit, convert=lambda model, batch: (model, batch)):
    """({place: {length: part}}, place of `at`, scopes and places of layers), by the independent walk."""
    model, batch, criterion = problem.build()
    model, batch = convert(model, batch)
    with forward_pass(model, batch, criterion) as forward:
        graph = forward.graph
        marks = branch_uses(forward.plans) if unit == "branches" else uses_by_layers(graph)
        parts, _ = walk(forward.loss, frozenset(marks))
        layers = [(c.scope, (c.edge.node, c.edge.output_nr)) for c in forward.meter.calls]
        return parts, (forward.at.node, forward.at.output_nr), layers


def uses_by_layers(graph):
    """Where a weighted operation took an activation in."""
    return frozenset(
        (node, slot)
        for node in graph.nodes
        if is_weighted(node) and node in graph.parametric
        for slot, (source, _) in enumerate(node.next_functions)
        if source in graph.activations
    )


def expected_split(parts):
    """(lengths, shares, norms) of those parts that are not zero, in float64."""
    parts = {k: part.double() for k, part in sorted(parts.items()) if part.norm() > 0}
    whole = sum(parts.values())
    shares = [float((part * whole).sum() / (whole * whole).sum()) for part in parts.values()]
    return tuple(parts), shares, [float(part.norm()) for part in parts.values()]


@pytest.mark.parametrize("by_depth", [False, True])
@pytest.mark.parametrize("unit", ["branches", "layers"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_parts_are_those_of_the_walk(name, unit, by_depth):
    parts, at, layers = walked(PROBLEMS[name], unit)
    found = paths(*PROBLEMS[name].build(), unit=unit, tolerance=0.0, by_depth=by_depth)
    lengths, shares, norms = expected_split(parts[at])
    assert found.lengths == lengths
    assert found.shares == pytest.approx(shares, rel=1e-10, abs=1e-12)
    assert found.norms == pytest.approx(norms, rel=1e-10)
    assert found.relative_error < 1e-12
    assert sum(found.shares) == pytest.approx(1, abs=1e-12)
    assert found.mean_length == pytest.approx(sum(k * s for k, s in zip(lengths, shares, strict=True)), abs=1e-12)
    assert found.dropped == 0
    seen = {row.scope: row for row in found.by_depth if row.call == 0}
    if not by_depth:
        assert not seen
        return
    assert found.at in seen
    for scope, place in layers:
        if scope in seen:
            lengths, shares, norms = expected_split(parts[place])
            row = seen.pop(scope)
            assert row.lengths == lengths
            assert row.shares == pytest.approx(shares, rel=1e-9, abs=1e-11)
            assert row.norms == pytest.approx(norms, rel=1e-9)
    assert not seen


@pytest.mark.parametrize("unit", ["branches", "layers"])
@pytest.mark.parametrize("name", sorted(PROBLEMS.keys() - {"keyword and mapping"}))
def test_the_parts_agree_in_float32_too(name, unit):
    def narrow(model, batch):
        return model.float(), (batch[0].float(), batch[1])

    parts, at, _ = walked(PROBLEMS[name], unit)
    model, batch, criterion = PROBLEMS[name].build()
    found = paths(*narrow(model, batch), criterion, unit=unit)
    exact = dict(zip(*expected_split(parts[at])[:2], strict=True))
    assert found.relative_error < 1e-4
    assert dict(zip(found.lengths, found.shares, strict=True)) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize("unit", ["branches", "layers"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_mean_alone_is_the_mean_of_the_parts(name, unit):
    exact = paths(*PROBLEMS[name].build(), unit=unit, tolerance=0.0)
    mean = paths(*PROBLEMS[name].build(), unit=unit, method="mean")
    assert mean.mean_length == pytest.approx(exact.mean_length, rel=1e-10, abs=1e-12)
    assert (mean.lengths, mean.shares, mean.relative_error) == ((), None, None)
    assert mean.quantile(0.5) is None
    assert mean.log10_gradient_norm == pytest.approx(exact.log10_gradient_norm, abs=1e-12)
    flow = gp.trace(*PROBLEMS[name].build())
    for found in (exact, mean):
        assert found.effective_depth == (
            None if flow.effective_depth is None else pytest.approx(flow.effective_depth, rel=1e-10)
        )
    if unit == "branches":
        assert mean.deviation == pytest.approx(exact.deviation, abs=1e-6)
        assert max(exact.lengths) <= PROBLEMS[name].branches


class Nested(nn.Module):
    """Residual blocks inside a branch, and a block that is itself a residual sum."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(7))

    def forward(self, x):
        layers = self.layers
        x = layers[0](x)
        y = torch.tanh(layers[1](x))
        y = y + torch.tanh(layers[2](y))
        z = x + (y + torch.tanh(layers[3](y)))
        u = torch.tanh(layers[4](z))
        return layers[6](z + (u + torch.tanh(layers[5](u))))


class Attention(nn.Module):
    """Post-norm: query, key and value start at the fork itself, and are one branch."""

    def __init__(self):
        super().__init__()
        self.stem, self.head, self.norm = nn.Linear(4, 8), nn.Linear(8, 3), nn.LayerNorm(8)
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x):
        x = self.stem(x)
        weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2), -1)
        return self.head(self.norm(x + self.out(weights @ self.value(x))))


class Cross(nn.Module):
    """A second stream enters a branch in its middle: gradient that entered the branch may leave it elsewhere."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.a, self.b, self.c, self.head = (nn.Linear(4, 4) for _ in range(4))

    def forward(self, x):
        x = self.stem(x)
        memory = torch.tanh(self.a(x))
        y = torch.tanh(x * 0.7)
        y = y + torch.tanh(self.b(torch.sigmoid(self.c(y)) * memory))
        return self.head(y)


@pytest.mark.parametrize("unit", ["branches", "layers"])
@pytest.mark.parametrize(("make", "branches"), [(Nested, 5), (Attention, 1), (Cross, 1)])
def test_branches_in_branches_and_beside_them(make, branches, unit):
    torch.manual_seed(0)
    model, batch = make().double(), torch.randn(3, 5, 4).double()
    with forward_pass(model, batch, step=scalar) as forward:
        marks = frozenset(branch_uses(forward.plans))
        if unit == "layers":
            marks = uses_by_layers(forward.graph)
        parts, _ = walk(forward.loss, marks)
        lengths, shares, norms = expected_split(parts[forward.at.node, forward.at.output_nr])
    found = paths(model, batch, step=scalar, unit=unit, tolerance=0.0)
    assert found.branches == branches
    assert found.lengths == lengths
    assert found.shares == pytest.approx(shares, rel=1e-10, abs=1e-12)
    assert found.norms == pytest.approx(norms, rel=1e-10)


def chain(blocks, branch, width=1):
    """A stem and blocks x + branch(x), all linear."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = branch()

        def forward(self, x):
            return x + self.branch(x)

    return nn.Sequential(nn.Linear(width, width), *(Block() for _ in range(blocks))).double()


def two_layers():
    """A branch; one linear layer alone would be a projection."""
    return nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))


def total(model, batch):
    return model(batch).sum()


def test_the_paths_of_54_blocks_are_binomial():
    """Veit et al. 2016: of 2⁵⁴ paths, 0.45 % have length 5 to 17 and more than 95 % have 19 to 35."""
    model = chain(54, two_layers)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    found = paths(model, torch.ones(1, 1).double(), step=total, tolerance=0.0)
    assert found.lengths == tuple(range(55))
    counts = [math.comb(54, k) for k in range(55)]
    assert found.norms == pytest.approx(counts, rel=1e-12)
    assert sum(found.shares[5:18]) == pytest.approx(0.004537, abs=5e-7)
    assert sum(found.shares[19:36]) == pytest.approx(0.980, abs=5e-4)
    assert found.mean_length == pytest.approx(27, rel=1e-12)
    assert found.deviation == pytest.approx(math.sqrt(54) / 2, rel=1e-10)
    assert (found.quantile(0.0), found.quantile(0.5), found.quantile(1.0)) == (0, 27, 54)
    assert (found.branches, found.shortest_path, found.longest_path) == (54, 0, 108)


def preactivation(blocks, width=128, norm=True, seed=0):
    """The residual MLP of the formula: He initialisation, unit stem."""
    torch.manual_seed(seed)

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width, bias=False)
            nn.init.kaiming_normal_(self.linear.weight)

        def forward(self, x):
            return self.linear(F.relu(self.norm(x) if norm else x))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.branch = Branch()

        def forward(self, x):
            return x + self.branch(x)

    model = nn.Sequential(nn.Linear(width, width), *(Block() for _ in range(blocks)), nn.Linear(width, 10))
    nn.init.orthogonal_(model[0].weight)
    batch = (torch.randn(256, width), torch.randint(10, (256,)))
    return model, batch, Branch


def test_54_batchnorm_blocks_are_as_deep_as_the_formula_says():
    """Block l hands 1 / (2 + (1 − 1/π)(l − 1)) to its branch: a mean of 4.60 branches, not 27 (De & Smith 2020)."""
    model, batch, branch = preactivation(54)
    expected = sum(1 / (2 + (1 - 1 / math.pi) * (block - 1)) for block in range(1, 55))
    assert expected == pytest.approx(4.60, abs=0.005)
    found = paths(model, batch, F.cross_entropy)
    assert found.effective_depth == pytest.approx(expected, rel=0.05)
    assert found.relative_error < 1e-4
    assert found.dropped > 0
    assert 0 < found.held_bytes <= 2 * 54 * 256 * 128 * 4  # at most two gradients for each branch
    flow = gp.trace(model, batch, F.cross_entropy)
    assert found.effective_depth == pytest.approx(flow.effective_depth, rel=1e-4)
    shares = [sum(e.share for e in fork.edges if e.kind == "branch") for fork in flow.residual_forks]
    for block in (1, 2, 5, 10, 20, 54):
        assert shares[block - 1] == pytest.approx(1 / (2 + (1 - 1 / math.pi) * (block - 1)), abs=0.03)
    given = paths(model, batch, F.cross_entropy, block=branch)
    assert given.shares == pytest.approx(found.shares, abs=1e-4)


def test_without_batchnorm_the_length_is_binomial():
    """Each block hands half to its branch: n/2 in the mean, and shares near C(n, k) / 2ⁿ."""
    model, batch, _ = preactivation(12, norm=False)
    found = paths(model, batch, F.cross_entropy, tolerance=0.0)
    assert found.mean_length == pytest.approx(6, abs=0.3)
    assert found.deviation == pytest.approx(math.sqrt(12) / 2, rel=0.1)
    for k, share in zip(found.lengths, found.shares, strict=True):
        assert share == pytest.approx(math.comb(12, k) / 2**12, abs=0.03)


def test_a_branch_times_zero_is_no_depth():
    """ReZero at initialisation: the gradient takes the skips alone."""

    class ReZero(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.alpha = nn.Linear(3, 3), nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.alpha * torch.relu(self.linear(x))

    model = chain(20, ReZero, width=3)
    for tolerance in (0.0, 1e-4):
        found = paths(model, torch.randn(4, 3).double(), step=total, tolerance=tolerance)
        assert (found.lengths, found.shares) == ((0,), (pytest.approx(1, abs=1e-15),))
        assert found.mean_length == found.effective_depth == 0
        assert found.branches == 20
    assert paths(model, torch.randn(4, 3).double(), step=total, method="mean").effective_depth == 0
    arrived = []

    def step(model, batch):
        stem = model[0](batch)
        stem.register_hook(arrived.append)
        return model[1:](stem).sum()

    assert paths(model, torch.randn(4, 3).double(), step=step, tolerance=0.0).lengths == (0,)
    assert len(arrived) == 3  # autograd's own pass, and lengths 0 and 1: what is exactly zero is not sent on


def test_an_orthogonal_linear_net_keeps_the_norm():
    layers = [nn.Linear(16, 16, bias=False).double() for _ in range(50)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight)
    model, batch = nn.Sequential(*layers), torch.randn(4, 16).double()
    norms = [paths(model, batch, step=scalar, at=at).gradient_norm for at in ("0", "49")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-12)


def test_a_scaled_skip_alone_is_the_scale_to_the_power_of_the_depth():
    """He et al. 2016b: with a skip times 0.5 the pure-skip part of 54 blocks is 0.5⁵⁴."""

    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return 0.5 * x + torch.tanh(self.linear(x))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), *(Half() for _ in range(54))).double()
    batch = torch.randn(4, 3).double()
    found = paths(model, batch, step=scalar, tolerance=0.0)
    last = paths(model, batch, step=scalar, at="54")
    assert found.lengths[0] == 0
    assert found.norms[0] / last.gradient_norm == pytest.approx(5.55e-17, rel=1e-3)
    assert found.norms[0] / last.gradient_norm == pytest.approx(0.5**54, rel=1e-10)


def scalar(model, batch):
    return model(batch).square().mean()


def residual(blocks=3, width=6):
    torch.manual_seed(0)
    return ResidualMLP(blocks, width), (torch.randn(7, 5), torch.randint(4, (7,)))


@pytest.mark.parametrize("method", ["exact", "mean", "veit"])
@pytest.mark.parametrize("fails", ["no", "forward", "backward"])
def test_everything_is_left_as_found(method, fails):
    torch.manual_seed(0)
    conv = PROBLEMS["shortcut B"].build()[0]
    model, batch = nn.ModuleList([conv, nn.Dropout(0.5)]), torch.randn(7, 2, 8, 8).double()
    labels = torch.randint(4, (7,))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    kept = []

    def fail(gradient):
        raise RuntimeError("as planned")

    def step(model, batch):
        out = model[1](model[0](batch))
        kept.append(out.grad_fn.next_functions[0][0])
        if fails == "forward":
            raise RuntimeError("as planned")
        if fails == "backward":
            out.register_hook(fail)
        return F.cross_entropy(out, labels)

    if fails == "no":
        paths(model, batch, step=step, method=method, block=None)
    else:
        with pytest.raises((RuntimeError, TraceError), match="as planned"):
            paths(model, batch, step=step, method=method)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert torch.equal(random, torch.get_rng_state())
    for module in model.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def test_no_hook_stays_on_the_graph():
    """A second pass over a graph that the caller keeps gives the gradient that a first one would have given."""
    model, batch = residual()
    losses = []

    def step(model, batch):
        losses.append(F.cross_entropy(model(batch[0]), batch[1]))
        return losses[-1]

    found = paths(model, batch, step=step)
    assert len(found.lengths) > 1
    again = torch.autograd.grad(losses[0], list(model.parameters()), retain_graph=True)
    fresh = torch.autograd.grad(step(model, batch), list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(again, fresh, strict=True))


@pytest.mark.parametrize("blocks", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_a_thousand_layers_need_no_recursion(blocks):
    model, batch = residual(blocks)
    found = paths(model, batch, F.cross_entropy)
    assert (found.branches, found.longest_path, found.shortest_path) == (blocks, 2 * blocks + 1, 1)
    assert found.relative_error < 1e-4
    assert found.effective_depth == pytest.approx(gp.trace(model, batch, F.cross_entropy).effective_depth, rel=1e-3)
    plain = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(1001))).double()
    for layer in plain:
        nn.init.orthogonal_(layer.weight)
    assert paths(plain, torch.randn(3, 2).double(), step=scalar, unit="layers").lengths == (1000,)


def test_a_users_gradient_reversal_is_honoured():
    """A tensor hook that turns the gradient around in one branch turns the sign of the paths over it."""

    class Reversed(ResidualMLP):
        def forward(self, x):
            x = self.stem(x)
            branch = self.second[0](F.relu(self.first[0](x)))
            branch.register_hook(torch.neg)
            return self.head(x + branch)

    torch.manual_seed(0)
    model, batch = Reversed(1).double(), (torch.randn(7, 5).double(), torch.randint(4, (7,)))
    turned = paths(model, batch, F.cross_entropy, tolerance=0.0)
    plain = paths(model, batch, lambda output, target: F.cross_entropy(output, target), at="stem", tolerance=0.0)
    assert turned == plain
    reference = ResidualMLP(1).double()
    reference.load_state_dict(model.state_dict())
    straight = paths(reference, batch, F.cross_entropy, tolerance=0.0)
    assert turned.norms == pytest.approx(straight.norms, rel=1e-12)
    cross = straight.shares[1] * straight.gradient_norm**2 - straight.norms[1] ** 2  # ⟨skip, branch⟩
    whole = turned.norms[0] ** 2 + turned.norms[1] ** 2 - 2 * cross
    assert turned.gradient_norm**2 == pytest.approx(whole, rel=1e-10)
    assert turned.shares[1] == pytest.approx((turned.norms[1] ** 2 - cross) / whole, rel=1e-9)
    assert turned.relative_error < 1e-14


class Scale(torch.autograd.Function):
    """A custom Function; it sees zeros where autograd's own operations see nothing."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad


class Noise(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * (1 + torch.rand_like(grad))


def custom(function):
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return function(torch.tanh(self.linear(x)))

    torch.manual_seed(0)
    return chain(4, Branch, width=4), torch.randn(5, 4).double()


@pytest.mark.parametrize("tolerance", [0.0, 1e-6])
def test_custom_functions_are_run(tolerance):
    model, batch = custom(Scale.apply)
    twin, _ = custom(lambda x: 2 * x)
    twin.load_state_dict(model.state_dict())
    found, expected = (paths(m, batch, step=scalar, tolerance=tolerance) for m in (model, twin))
    assert found.lengths == expected.lengths
    assert found.shares == pytest.approx(expected.shares, rel=1e-10)


def clipped(x):
    x = x.clone()
    x.register_hook(lambda grad: grad.clamp(-1e-3, 1e-3))
    return x


@pytest.mark.parametrize(
    ("function", "cause"), [(Noise.apply, "deterministic"), (clipped, "not linear in the gradient")]
)
def test_parts_that_do_not_sum_to_the_gradient_are_not_shown(function, cause):
    model, batch = custom(function)
    with pytest.raises(TraceError, match=cause) as error:
        paths(model, batch, step=scalar, tolerance=0.0)
    assert "\n" not in str(error.value)


def test_a_tolerance_that_leaves_out_too_much_says_so():
    model, batch, _ = preactivation(20, width=32)
    with pytest.raises(TraceError, match=r"tolerance=0\.5 left out \d+ parts; give tolerance=0"):
        paths(model, batch, F.cross_entropy, tolerance=0.5)


def test_sixteen_bits_are_named_as_the_cause():
    model, batch, _ = preactivation(20, width=32)
    with pytest.raises(TraceError, match="16 bits"):
        paths(model.bfloat16(), (batch[0].bfloat16(), batch[1]), F.cross_entropy)


def test_a_smaller_tolerance_leaves_out_less():
    model, batch, _ = preactivation(30, width=32)
    whole = paths(model, batch, F.cross_entropy, tolerance=0.0)
    assert (whole.lengths, whole.dropped) == (tuple(range(31)), 0)
    for tolerance in (1e-2, 1e-3, 1e-4):
        try:
            found = paths(model, batch, F.cross_entropy, tolerance=tolerance)
        except TraceError:
            assert tolerance == 1e-2
            continue
        assert 1e-7 < found.relative_error < tolerance
        assert found.dropped > 0
        assert found.lengths == whole.lengths[: len(found.lengths)]
        assert len(found.lengths) < 31
        assert found.shares == pytest.approx(whole.shares[: len(found.shares)], abs=tolerance)


class Checkpointed(nn.Module):
    def __init__(self, recompute):
        super().__init__()
        self.recompute = recompute
        self.stem, self.head = nn.Linear(5, 6), nn.Linear(6, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 6))
            for _ in range(3)
        )

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + (checkpoint(block, x, use_reentrant=False) if self.recompute else block(x))
        return self.head(x)


def test_checkpointed_regions_are_seen_through():
    found = []
    for recompute in (False, True):
        torch.manual_seed(0)
        model, batch = Checkpointed(recompute).double(), (torch.randn(7, 5).double(), torch.randint(4, (7,)))
        before = {key: value.clone() for key, value in model.state_dict().items()}
        found.append(paths(model, batch, F.cross_entropy, tolerance=0.0, block=nn.Sequential))
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert found[0].lengths == found[1].lengths == (0, 1, 2, 3)
    assert found[0].shares == pytest.approx(found[1].shares, rel=1e-12)


@pytest.mark.parametrize(("one", "other"), [("residual", "residual in place"), ("dense, list", "dense, running")])
@pytest.mark.parametrize("unit", ["branches", "layers"])
def test_the_same_net_written_in_another_way_has_the_same_paths(one, other, unit):
    first, second = (paths(*PROBLEMS[name].build(), unit=unit, tolerance=0.0) for name in (one, other))
    assert first.lengths == second.lengths
    assert first.shares == pytest.approx(second.shares, rel=1e-10, abs=1e-14)
    assert first.norms == pytest.approx(second.norms, rel=1e-10)
    assert first.branches == second.branches


def test_the_split_by_depth_sums_to_one_everywhere():
    model, batch = residual(5)
    model, batch = model.double(), (batch[0].double(), batch[1])
    found = paths(model, batch, F.cross_entropy, tolerance=0.0, by_depth=True)
    assert len(found.by_depth) == 12
    for row in found.by_depth:
        assert sum(row.shares) == pytest.approx(1, abs=1e-12)
    stem, head = found.by_depth[0], found.by_depth[-1]
    assert (stem.scope, stem.lengths, stem.shares) == ("stem", found.lengths, found.shares)
    assert stem.mean_length == found.mean_length
    assert (head.scope, head.lengths, head.mean_length) == ("head", (0,), 0)
    longest = [row.lengths[-1] for row in found.by_depth if row.scope.startswith("second")]
    assert longest == sorted(longest, reverse=True)


class Repeat(nn.Module):
    """One cell called three times in a row, and a plain layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.cell = nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Tanh())

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = self.cell(x)
        return x


def test_calls_of_a_given_block_are_counted():
    model, batch = Repeat().double(), torch.randn(4, 3).double()
    found = paths(model, batch, step=scalar, block=nn.Sequential, tolerance=0.0)
    assert (found.unit, found.block, found.lengths, found.branches) == ("blocks", "Sequential", (3,), 3)
    assert found.effective_depth == pytest.approx(3)
    mean = paths(model, batch, step=scalar, block=(nn.Sequential, nn.Tanh), method="mean")
    assert (mean.mean_length, mean.block) == (pytest.approx(3), "Sequential, Tanh")
    inner = paths(model, batch, step=scalar, block=(nn.Sequential, nn.Linear), tolerance=0.0)
    assert (inner.lengths, inner.branches) == ((3,), 3)  # a call inside a call is a part of it
    every = paths(model, batch, step=scalar, block=(nn.Linear, nn.Tanh), tolerance=0.0)
    assert every.lengths == (6,)


def test_a_gradient_at_any_scale_has_the_same_parts():
    model, batch = residual(4)
    plain = paths(model, batch, step=lambda m, b: 5 * m(b[0]).sum(), tolerance=0.0)
    for k in range(-37, 38, 2):
        found = paths(model, batch, step=lambda m, b, k=k: (5 * m(b[0]).sum()) * 10.0**k, tolerance=0.0)
        assert found.log10_gradient_norm == pytest.approx(plain.log10_gradient_norm + k, abs=1e-4)
        held = found.lengths
        assert found.shares == pytest.approx(plain.shares[: len(held)], abs=1e-4)
        assert found.norm_masses == pytest.approx(plain.norm_masses[: len(held)], abs=1e-4)
        assert found.mean_length == pytest.approx(plain.mean_length, abs=1e-3)


def test_a_gradient_of_zero_has_no_shares():
    model, batch = residual()
    found = paths(model, batch, step=lambda m, b: 0 * m(b[0]).sum())
    assert (found.lengths, found.shares, found.mean_length, found.relative_error) == ((), None, None, None)
    assert (found.log10_gradient_norm, found.gradient_norm, found.effective_depth) == (-math.inf, 0, None)
    mean = paths(model, batch, step=lambda m, b: 0 * m(b[0]).sum(), method="mean")
    assert (mean.mean_length, mean.effective_depth) == (None, None)


def test_parts_that_cancel_have_norms_and_no_shares():
    model = chain(1, two_layers)
    nn.init.constant_(model[1].branch[0].weight, -1)
    nn.init.ones_(model[1].branch[1].weight)
    found = paths(model, torch.ones(2, 1).double(), step=total, tolerance=0.0)
    assert (found.lengths, found.shares, found.gradient_norm) == ((0, 1), None, 0)
    assert found.norms == pytest.approx([math.sqrt(2)] * 2)
    assert found.quantile(0.5) == 0


def test_paths_are_taken_where_they_are_asked_for():
    model, batch = residual(4)
    assert paths(model, batch, F.cross_entropy, at="second.1").branches == 2
    assert paths(model, batch, F.cross_entropy, at=model.head).lengths == (0,)
    image = batch[0].clone().requires_grad_()
    found = paths(model, (image, batch[1]), F.cross_entropy, at=image, unit="layers", tolerance=0.0)
    assert (found.shortest_path, found.longest_path) == (2, 10)
    assert image.grad is None
    (direct,) = torch.autograd.grad(F.cross_entropy(model(image), batch[1]), image)
    assert found.gradient_norm == pytest.approx(float(direct.norm()), rel=1e-5)


def test_of_several_outputs_only_the_one_asked_for_counts():
    class Halves(nn.Module):
        def forward(self, x):
            return x.chunk(2, -1)

    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"stem": nn.Linear(3, 8), "halves": Halves(), "deep": nn.Linear(4, 4), "head": nn.Linear(4, 2)}
    )

    def step(model, batch):
        first, second = model["halves"](model["stem"](batch))
        return model["head"](torch.addmm(first, second, model["deep"].weight)).square().mean()

    found = paths(model, torch.randn(5, 3), step=step, at="halves", unit="layers")
    assert (found.lengths, found.shortest_path, found.longest_path) == ((1,), 1, 1)  # what is added passes no weight
    assert paths(model, torch.randn(5, 3), step=step, at="stem", unit="layers").lengths == (1, 2)


def test_single_paths_are_those_of_detached_twins():
    """The gradient over one path equals that of a net which detaches everything else."""
    torch.manual_seed(0)
    model, batch = ResidualMLP(3).double(), (torch.randn(7, 5).double(), torch.randint(4, (7,)))

    def twin(chosen):
        x = first = model.stem(batch[0])
        first.retain_grad()
        for i, (a, b) in enumerate(zip(model.first, model.second, strict=True)):
            branch = b(F.relu(a(x)))
            x = x.detach() + branch if i in chosen else x + branch.detach()
        F.cross_entropy(model.head(x), batch[1]).backward()
        return float(first.grad.norm())

    with forward_pass(model, batch, F.cross_entropy) as forward:
        reach = Reach(forward.graph, forward.at)
        single = SinglePaths(forward.loss, find_branches(forward, reach), reach)
        with single.listening():
            for count in range(4):
                for chosen in itertools.combinations(range(3), count):
                    expected = twin(set(chosen))
                    assert 10 ** single.log10_norm(set(chosen)) == pytest.approx(expected, rel=1e-10, abs=1e-300)


def test_path_norm_mass_of_equal_paths_is_exact():
    """Branches that multiply by 1/2: every path of k branches has norm 2⁻ᵏ, so the mass is C(n, k) 2⁻ᵏ."""
    model = chain(10, two_layers)
    for block in model[1:]:
        nn.init.constant_(block.branch[0].weight, 0.5)
        nn.init.ones_(block.branch[1].weight)
    found = paths(model, torch.ones(1, 1).double(), step=total, method="veit", samples=2, seed=3)
    assert found.norms == pytest.approx([math.comb(10, k) * 0.5**k for k in range(11)], rel=1e-10)
    assert (found.shares, found.mean_length, found.effective_depth, found.relative_error) == (None,) * 4
    assert (found.samples, found.seed) == (2, 3)
    assert sum(found.norm_masses) == pytest.approx(1)


def test_the_sampled_paths_follow_the_seed():
    model, batch = residual(6)
    first, again, other = (paths(model, batch, F.cross_entropy, method="veit", seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.log10_norms != other.log10_norms


@pytest.mark.parametrize("name", ["parallel", "dense, list", "plain", "highway"])
def test_single_paths_need_a_chain(name):
    with pytest.raises(TraceError, match="chain of residual forks"):
        paths(*PROBLEMS[name].build(), method="veit")


@pytest.fixture
def one_process():
    """A process group of this process alone."""
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_ddp_is_unwrapped_and_said(one_process):
    model, batch = residual()
    wrapped = nn.parallel.DistributedDataParallel(model)
    found, plain = (paths(m, batch, F.cross_entropy) for m in (wrapped, model))
    assert any("DistributedDataParallel was unwrapped" in note for note in found.notes)
    assert (found.model, found.shares) == ("ResidualMLP", plain.shares)


@pytest.mark.filterwarnings("ignore")
def test_sharded_parameters_are_refused_by_name(one_process):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, distribute_tensor

    model, batch = residual()
    mesh = init_device_mesh("cpu", (1,))
    model.head.weight = nn.Parameter(distribute_tensor(model.head.weight.detach(), mesh))
    assert isinstance(model.head.weight.data, DTensor)
    with pytest.raises(TraceError, match=r"head\.weight is sharded .*FSDP2"):
        paths(model, batch, F.cross_entropy)


def test_an_opaque_whole_is_refused_and_an_opaque_part_is_noted():
    def out(model, batch):
        return model(batch)[0].square().mean()

    lstm, batch = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    opaque = gp.trace(lstm, batch, step=out).unseen.opaque
    if not opaque:
        pytest.skip("this build of torch shows the inside of an LSTM")
    with pytest.raises(TraceError, match="opaque as a whole"):
        paths(lstm, batch, step=out)
    model = nn.ModuleList([lstm, nn.Linear(4, 2)])
    found = paths(model, batch, step=lambda m, b: m[1](m[0](b)[0]).square().mean(), unit="layers")
    assert any("is opaque" in note for note in found.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "blocks"}, "'branches' or 'layers'"),
        ({"method": "guess"}, "'exact', 'mean', 'veit'"),
        ({"tolerance": -1.0}, "tolerance=-1"),
        ({"tolerance": math.nan}, "tolerance=nan"),
        ({"samples": 0}, "at least one path"),
        ({"block": nn.Linear, "unit": "layers"}, "give one of them"),
        ({"block": nn.Linear, "method": "veit"}, "leave unit and block"),
        ({"by_depth": True, "method": "mean"}, "needs method='exact'"),
        ({"block": "Block"}, "no module class"),
        ({"block": nn.Conv2d}, "no gradient passes such a module"),
        ({"at": "nothing"}, "no module of the model"),
        ({"step": lambda m, b: m(b[0]).sum() * math.inf}, "infinite or NaN"),
        ({"step": lambda m, b: m(b[0]).sum() * math.inf, "method": "mean"}, "infinite or NaN"),
        ({"step": lambda m, b: {"a": m(b[0]).sum(), "b": m(b[0]).sum()}}, "2 losses"),
    ],
)
def test_errors_say_what_to_do(options, message):
    model, batch = residual()
    with pytest.raises(TraceError, match=message) as error:
        paths(model, batch, **({"criterion": F.cross_entropy} | options))
    assert "\n" not in str(error.value)


def test_the_record_comes_back_equal(tmp_path):
    model, batch = residual()
    found = paths(model, batch, F.cross_entropy, by_depth=True)
    back = gp.read(found.save(tmp_path / "paths.json"))
    assert isinstance(back, PathLengths)
    assert back == found
    assert repr(back).startswith("PathLengths(ResidualMLP at stem: lengths 0 to")
    with pytest.raises(ValueError, match="between 0 and 1"):
        back.quantile(1.5)


@pytest.mark.parametrize("method", ["exact", "mean"])
def test_a_plain_net_is_counted_in_layers_unless_branches_are_asked_for(method):
    build = PROBLEMS["plain"].build
    usual, layers = (paths(*build(), method=method, unit=unit) for unit in (None, "layers"))
    assert usual == layers
    assert usual.mean_length > 0
    asked = paths(*build(), method=method, unit="branches")
    assert (asked.unit, asked.mean_length, asked.effective_depth) == ("branches", 0, None)
    model, batch = residual()
    assert (
        paths(model, batch, F.cross_entropy, at=model.head).unit == "branches"
    )  # none lie behind, but the net has some
