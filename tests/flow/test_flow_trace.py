"""The tracer against an independent walk, against autograd itself, and against what is known in closed form."""

from __future__ import annotations

import math
import random as python_random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracle import walk
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow._forks import branch_uses, plan_forks
from gradpath.flow._graph import Graph
from gradpath.flow._layers import LayerMeter
from gradpath.flow._loss import compute_loss
from problems import PROBLEMS, Dense, PlainMLP, ResidualMLP


def traced_graph(problem):
    """The graph as `trace` sees it, alive."""
    model, batch, criterion = problem.build()
    meter = LayerMeter(model)
    with meter.forward():
        loss = compute_loss(model, batch, criterion, None)
    return meter, loss, Graph(loss.grad_fn, frozenset(meter.anchors))


@pytest.mark.parametrize("name", PROBLEMS)
def test_forks_are_what_the_table_says(name):
    problem = PROBLEMS[name]
    flow = gp.trace(*problem.build())
    found = tuple((f.kind, f.merge, tuple(sorted(e.kind for e in f.edges))) for f in flow.forks)
    expected = problem.forks
    if name == "shared":  # the merge of a shared weight is wherever its uses meet; only its kind matters
        found = tuple((kind, "other", kinds) for kind, _, kinds in found)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("name", PROBLEMS)
def test_edges_and_shares_agree_with_the_walk(name):
    problem = PROBLEMS[name]
    _, loss, graph = traced_graph(problem)
    at, edges = walk(loss)
    expected = []
    for plan in plan_forks(graph):
        whole = at[plan.made][0]
        for consumer, slot in plan.uses:
            edge = edges[consumer, slot][0]
            expected.append((float(edge.norm()), float((edge * whole).sum() / (whole * whole).sum())))
    flow = gp.trace(*problem.build())
    measured = [(e.norm, e.share) for f in flow.forks for e in f.edges]
    assert len(measured) == len(expected)
    for (norm, share), (norm_, share_) in zip(measured, expected, strict=True):
        assert norm == pytest.approx(norm_, rel=1e-10)
        assert share == pytest.approx(share_, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("name", PROBLEMS)
def test_effective_depth_agrees_with_the_walk(name):
    problem = PROBLEMS[name]
    meter, loss, graph = traced_graph(problem)
    uses = branch_uses(plan_forks(graph))
    at, _ = walk(loss, frozenset(uses))
    edge = meter.calls[0].edge
    parts = at[edge.node, edge.output_nr]
    whole = sum(parts.values())
    assert max(parts) == problem.branches
    depth = gp.trace(*problem.build()).effective_depth
    if not uses:
        assert depth is None
        return
    mean = sum(k * float((g * whole).sum()) for k, g in parts.items()) / float((whole * whole).sum())
    assert depth == pytest.approx(mean, rel=1e-10)


def test_a_running_concatenation_and_a_feature_list_have_the_same_effective_depth():
    listed, running = (gp.trace(*PROBLEMS[name].build()) for name in ("dense, list", "dense, running"))
    assert listed.effective_depth == pytest.approx(running.effective_depth, rel=1e-12)
    assert isinstance(listed.effective_depth, float)


@pytest.mark.parametrize(
    "name", sorted(PROBLEMS.keys() - {"residual in place"})
)  # whose outputs autograd cannot retain
def test_layers_agree_with_retained_gradients(name):
    model, batch, criterion = PROBLEMS[name].build()
    outputs = []
    handles = [
        m.register_forward_hook(lambda m, i, o: outputs.append(o.clone()) or outputs[-1].retain_grad() or outputs[-1])
        for m in model.modules()
        if any(True for _ in m.parameters(recurse=False))
    ]
    loss = compute_loss(model, batch, criterion, None)
    loss.backward()
    for handle in handles:
        handle.remove()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model, batch, criterion = PROBLEMS[name].build()
    flow = gp.trace(model, batch, criterion)
    assert flow.loss == pytest.approx(float(loss.detach()), rel=1e-12)
    assert [layer.gradient_norm for layer in flow.layers] == pytest.approx(
        [float(o.grad.norm()) for o in outputs], rel=1e-9
    )
    for layer in flow.layers:
        own = [g for n, g in gradients.items() if n.rpartition(".")[0] == layer.scope]
        expected = math.sqrt(sum(float(g.norm()) ** 2 for g in own))
        assert 10**layer.log10_parameter_gradient_norm == pytest.approx(expected, rel=1e-9)
    weighted = [layer for layer in flow.layers if layer.weighted]
    assert flow.stem_over_head == pytest.approx(weighted[0].gradient_norm / weighted[-1].gradient_norm, rel=1e-12)


def test_the_layers_of_an_in_place_model_equal_those_of_its_twin():
    twins = [gp.trace(*PROBLEMS[name].build()) for name in ("residual", "residual in place")]
    first, second = ([layer.gradient_norm for layer in flow.layers] for flow in twins)
    assert first == pytest.approx(second, rel=1e-12)


def legacy_states():
    return python_random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002


@pytest.mark.parametrize("name", ["residual", "shortcut B"])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_left_as_found(name, fails):
    model, batch, criterion = PROBLEMS[name].build()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    list(model.children())[-1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    random, others = torch.get_rng_state(), legacy_states()

    def drawing(output, target):
        python_random.random(), np.random.rand(), torch.rand(3)  # noqa: NPY002
        return criterion(output, target) if criterion is not None else output

    def bad_criterion(output, target):
        python_random.random(), np.random.rand(), torch.rand(3)  # noqa: NPY002
        raise RuntimeError("as planned")

    if fails:
        with pytest.raises(RuntimeError, match="as planned"):
            gp.trace(model, batch, bad_criterion)
    else:
        gp.trace(model, batch, None if criterion is None else drawing)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert others == legacy_states()
    for module in model.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def test_a_gradient_whose_square_underflows_is_kept():
    """100 linear layers that each scale by 1e-1: the gradient at the stem is 1e-98 times that at the head."""
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(30)))
    with torch.no_grad():
        for layer in model:
            layer.weight.fill_(0.1)
    flow = gp.trace(model, torch.ones(1, 1), step=lambda m, x: m(x).sum())
    assert flow.layers[0].log10_gradient_norm == pytest.approx(-29, abs=1e-4)  # 1e-29 squares to 0 in float32
    assert flow.gain_per_layer[0].energy_gain == pytest.approx(0.01, rel=1e-4)
    assert flow.gain_per_layer[0].rms_gain == pytest.approx(0.1, rel=1e-4)


def test_an_exact_zero_is_an_exact_zero():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    nn.init.zeros_(model[1].weight)
    flow = gp.trace(model, torch.ones(1, 2), step=lambda m, x: m(x).sum())
    assert flow.layers[0].log10_gradient_norm == -math.inf
    assert flow.layers[0].gradient_norm == 0.0
    assert flow.stem_over_head == 0.0


def test_what_was_not_seen_is_said():
    model = nn.ModuleDict({"used": nn.Linear(5, 4), "unused": nn.Linear(3, 3), "frozen": nn.Linear(5, 5)})
    model["frozen"].requires_grad_(False)
    flow = gp.trace(model, torch.ones(2, 5), step=lambda m, x: m["used"](m["frozen"](x)).sum())
    assert flow.unseen.modules_not_called == ("unused",)
    assert flow.unseen.layers_without_gradient == ("frozen",)
    assert set(flow.unseen.parameters_without_gradient) == {"unused.weight", "unused.bias"}


def test_a_plain_net_with_batchnorm_explodes_backward_by_pi_over_pi_minus_one():
    """Yang et al. 2019: energy grows by π/(π − 1) = 1.467 per layer in a wide ReLU net with BatchNorm."""
    torch.manual_seed(0)
    width = 256
    layers = [nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()) for _ in range(40)]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    flow = gp.trace(model, (torch.randn(256, width), torch.randint(10, (256,))), F.cross_entropy)
    assert flow.gain_per_layer[0].energy_gain == pytest.approx(math.pi / (math.pi - 1), rel=0.04)
    assert flow.effective_depth is None


def test_a_residual_mlp_with_batchnorm_has_the_effective_depth_of_the_formula():
    """Pre-activation BatchNorm blocks at He initialisation: block l passes 1 / (2 + (1 − 1/π)(l − 1)) to its branch."""
    torch.manual_seed(0)
    width, blocks = 128, 16

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.BatchNorm1d(width), nn.Linear(width, width, bias=False)
            nn.init.kaiming_normal_(self.linear.weight)

        def forward(self, x):
            return x + self.linear(F.relu(self.norm(x)))

    model = nn.Sequential(nn.Linear(width, width), *(Block() for _ in range(blocks)), nn.Linear(width, 10))
    nn.init.orthogonal_(model[0].weight)
    flow = gp.trace(model, (torch.randn(256, width), torch.randint(10, (256,))), F.cross_entropy)
    expected = sum(1 / (2 + (1 - 1 / math.pi) * (block - 1)) for block in range(1, blocks + 1))
    assert flow.effective_depth == pytest.approx(expected, rel=0.08)
    assert len(flow.residual_forks) == blocks


def test_the_articles_plain_net_has_a_stem_gradient_of_7e_24():
    """Depth 56, no norm, PyTorch's initialisation, 32×32: the number the article's argument comes down to."""
    torch.manual_seed(0)
    net = gp.build("plain-56", norm="none", init="default")
    flow = gp.trace(net, (torch.randn(16, 3, 32, 32), torch.randint(10, (16,))), F.cross_entropy)
    assert -24.5 < flow.log10_stem_gradient_norm < -21.5
    assert all(gain.energy_gain < 0.3 and gain.r_squared > 0.99 for gain in flow.gain_per_layer)
    assert flow.skip_share is None
    assert flow.effective_depth is None


def test_a_thousand_layers_are_traced_without_recursion():
    model = ResidualMLP(1000)
    flow = gp.trace(model, (torch.randn(2, 5), torch.randint(4, (2,))), F.cross_entropy)
    assert len(flow.residual_forks) == 1000


def test_plain_view_is_entered_and_said():
    entered = []

    class Fused(nn.Linear):
        def plain_view(self):
            from contextlib import contextmanager

            @contextmanager
            def view():
                entered.append("in")
                yield
                entered.append("out")

            return view()

    flow = gp.trace(Fused(3, 1), torch.ones(2, 3), step=lambda m, x: m(x).sum())
    assert entered == ["in", "out"]
    assert any("plain_view" in note for note in flow.unseen.notes)


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        (torch.ones(2, 5), {"criterion": F.cross_entropy}, "a pair"),
        (torch.ones(2, 5), {}, "not one number"),
        (torch.ones(2, 5), {"step": lambda m, x: m(x).detach().sum()}, "no graph"),
    ],
)
def test_errors_say_what_to_do(batch, options, message):
    with pytest.raises(TraceError, match=message) as error:
        gp.trace(PlainMLP(), batch, **options)
    assert "\n" not in str(error.value)


def test_a_record_of_a_flow_comes_back_equal(tmp_path):
    flow = gp.trace(*PROBLEMS["residual"].build())
    assert gp.read(flow.save(tmp_path / "flow.json")) == flow


def test_the_dense_list_shares_sum_to_one():
    flow = gp.trace(Dense(False), (torch.randn(7, 5), torch.randint(4, (7,))), F.cross_entropy)
    for fork in flow.residual_forks:
        assert sum(edge.share for edge in fork.edges) == pytest.approx(1, abs=1e-5)
        assert 0 <= fork.cancellation < 1


class Unseen(nn.Module):
    """A model of the user's that no table holds: `build` makes its parts, `run` its forward."""

    def __init__(self, run, **parts):
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.run = run

    def forward(self, x):
        return self.run(self.parts, x)


def scalar(model, x):
    out = model(x)
    return out.square().mean()


def test_effective_depth_counts_only_what_left_through_the_branch():
    """Gradient that enters a branch's last tensor from another stream has not passed the fork's branch edge."""
    parts = {name: nn.Linear(3, 3, bias=False) for name in ("stem", "a", "b")}
    for name in ("a", "b"):
        nn.init.zeros_(parts[name].weight)

    def run(p, x):
        x = p["stem"](x)
        h = p["a"](x).tanh()
        y = x + h
        return (y + p["b"](y).tanh()) + h

    flow = gp.trace(Unseen(run, **parts), torch.randn(4, 3), step=scalar)
    assert flow.effective_depth == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("z_at", [(1.001, 0.999)])
def test_effective_depth_is_the_derivative_in_a_factor_on_every_branch(z_at):
    """For any net: d‖·‖ along z of the gradient with every branch scaled by z in the backward pass only."""
    torch.manual_seed(0)

    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, z):
            ctx.z = z
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.z, None

    stem, layers, head = nn.Linear(5, 6), [nn.Linear(6, 6) for _ in range(4)], nn.Linear(6, 4)
    model = nn.ModuleList([stem, *layers, head]).double()
    x, y = torch.randn(7, 5).double(), torch.randint(4, (7,))

    def gradient(z):
        out = first = stem(x)
        first.retain_grad()
        for layer in layers:
            out = out + torch.tanh(layer(Scale.apply(out, z) if z is not None else out))
        F.cross_entropy(head(out), y).backward()
        return first.grad

    def step(model, batch):
        out = stem(x)
        for layer in layers:
            out = out + torch.tanh(layer(out))
        return F.cross_entropy(head(out), y)

    whole = gradient(None)
    slope = (gradient(z_at[0]) - gradient(z_at[1])) / (z_at[0] - z_at[1])
    expected = float((slope * whole).sum() / (whole * whole).sum())
    assert gp.trace(model, None, step=step).effective_depth == pytest.approx(expected, rel=1e-5)


def test_transformers_with_dropout_are_traced():
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Linear(4, 8), block, nn.Linear(8, 2))
    flow = gp.trace(model, torch.randn(3, 5, 4), step=scalar)
    assert len(flow.residual_forks) == 2
    assert flow.unseen.modules_not_called == ()
    assert 0 < flow.effective_depth < 2


def test_a_backward_that_still_waits_is_not_disturbed():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    x = torch.randn(6, 4)
    for training in (True, False):
        model.train(training)
        loss = scalar(model, x)
        gp.trace(model, x, step=scalar)
        loss.backward()


def test_buffers_made_in_the_forward_do_not_stay():
    class Caching(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.register_buffer("cache", None)
            self.register_buffer("wide", torch.ones(1).expand(4))

        def forward(self, x):
            self.cache = x.detach()
            self.register_buffer("mask", torch.ones(len(x)))
            return self.linear(x)

    model = Caching()
    before = set(model.state_dict())
    gp.trace(model, torch.randn(2, 3), step=scalar)
    assert set(model.state_dict()) == before
    assert model.cache is None
    assert not hasattr(model, "mask")


def test_parametrised_layers_are_layers():
    from torch.nn.utils.parametrizations import spectral_norm, weight_norm

    torch.manual_seed(0)
    model = nn.Sequential(
        weight_norm(nn.Conv2d(2, 3, 3, bias=False)), nn.ReLU(), spectral_norm(nn.Conv2d(3, 3, 3, bias=False))
    )
    flow = gp.trace(model, torch.randn(2, 2, 8, 8), step=scalar)
    assert [layer.scope for layer in flow.layers if layer.weighted] == ["0", "2"]
    assert flow.unseen.modules_not_called == ()
    assert flow.layers[0].log10_parameter_gradient_norm is not None


def test_an_expert_that_got_nothing_is_no_crash():
    def run(p, x):
        return p["a"](x).sum() + p["b"](x[:0]).sum()

    model = Unseen(run, a=nn.Linear(3, 3), b=nn.Linear(3, 3))
    flow = gp.trace(model, torch.randn(2, 3), step=lambda m, x: m(x))
    assert flow.layers[1].gradient_rms == 0.0


def test_checkpointed_blocks_are_noted_once():
    from torch.utils.checkpoint import checkpoint

    def make(reentrant):
        def run(p, x):
            x = p["stem"](x)
            for name in ("a", "b"):
                x = x + checkpoint(p[name], x, use_reentrant=reentrant)
            return x

        return Unseen(run, stem=nn.Linear(3, 3), a=nn.Linear(3, 3), b=nn.Linear(3, 3))

    flow = gp.trace(make(False), torch.randn(2, 3), step=scalar)
    assert [(layer.scope, layer.call) for layer in flow.layers] == [("parts.stem", 0), ("parts.a", 0), ("parts.b", 0)]
    assert flow.unseen.layers_without_gradient == ()
    with pytest.raises(TraceError, match="use_reentrant=False"):
        gp.trace(make(True), torch.randn(2, 3), step=scalar)


def test_gradients_that_the_step_takes_itself_are_not_those_of_the_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    x = torch.randn(4, 3)

    def penalised(model, x):
        x = x.clone().requires_grad_()
        (inner,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return 1e-3 * model(x).square().mean() + 0 * inner.sum()

    flow = gp.trace(model, x, step=penalised)
    plain = gp.trace(model, x, step=lambda m, x: 1e-3 * m(x).square().mean())
    assert flow.layers[-1].gradient_norm == pytest.approx(plain.layers[-1].gradient_norm, rel=1e-6)


def test_linear_residual_nets_have_depth_0_and_dead_first_layers_do_not_hide_it():
    def linear(p, x):
        x = p["stem"](x)
        return x + p["a"](x)

    def dead(p, x):
        p["unused"](x)
        x = p["stem"](x)
        return x + torch.tanh(p["a"](x))

    parts = {name: nn.Linear(3, 3) for name in ("stem", "a")}
    assert gp.trace(Unseen(linear, **parts), torch.randn(2, 3), step=scalar).effective_depth == 0.0
    flow = gp.trace(Unseen(dead, **parts, unused=nn.Linear(3, 3)), torch.randn(2, 3), step=scalar)
    assert flow.at == "parts.stem"
    assert flow.effective_depth > 0


def test_a_root_with_raw_parameters_takes_paths_at_its_first_fork():
    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.u, self.v, self.w = (nn.Parameter(torch.randn(3, 3)) for _ in range(3))

        def forward(self, x):
            x = x @ self.u
            x = x + torch.tanh(x @ self.v)
            return x + torch.tanh(x @ self.w)

    torch.manual_seed(0)
    flow = gp.trace(Raw(), torch.randn(4, 3), step=scalar)
    assert len(flow.residual_forks) == 2
    assert 0 < flow.effective_depth < 2
    assert any("first residual fork" in note for note in flow.unseen.notes)


def test_data_that_meets_a_parameter_first_is_data():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.pos = nn.Parameter(torch.zeros(1, 3))
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            x = x + self.pos
            x = x + torch.tanh(self.a(x))
            return x + torch.tanh(self.b(x))

    flow = gp.trace(Positions(), torch.randn(4, 3), step=scalar)
    assert [f.kind for f in flow.forks] == ["residual", "residual"]


def test_frozen_branches_are_branches_and_a_frozen_stem_has_a_gradient():
    torch.manual_seed(0)
    model = ResidualMLP(2)
    model.requires_grad_(False)
    model.stem.requires_grad_(True)
    flow = gp.trace(model, (torch.randn(3, 5), torch.randint(4, (3,))), F.cross_entropy)
    thawed = gp.trace(model.requires_grad_(True), (torch.randn(3, 5), torch.randint(4, (3,))), F.cross_entropy)
    assert len(flow.residual_forks) == len(thawed.residual_forks) == 2
    model.stem.requires_grad_(False)
    inputs = torch.randn(3, 5, requires_grad=True)
    flow = gp.trace(model, (inputs, torch.randint(4, (3,))), F.cross_entropy)
    assert flow.layers[0].gradient_norm > 0
    assert flow.effective_depth is not None


def test_a_recurrent_layer_of_which_only_the_state_is_used_has_a_gradient():
    model = Unseen(lambda p, x: p["head"](p["lstm"](x)[1][0][-1]), lstm=nn.LSTM(3, 4), head=nn.Linear(4, 2))
    flow = gp.trace(model, torch.randn(5, 2, 3), step=scalar)
    assert flow.unseen.layers_without_gradient == ()
    assert flow.layers[0].gradient_norm > 0


def test_compiled_modules_are_run_eagerly_and_it_is_said():
    model = ResidualMLP(2)
    model.compile(backend="eager")
    flow = gp.trace(model, (torch.randn(3, 5), torch.randint(4, (3,))), F.cross_entropy)
    assert len(flow.residual_forks) == 2
    assert "compiled modules were run eagerly" in flow.unseen.notes


@pytest.mark.parametrize(
    ("skip", "kind"),
    [
        (lambda p, x: x, "skip"),
        (lambda p, x: 0.5 * x, "skip"),
        (lambda p, x: x + p["a"].bias, "projection"),
        (lambda p, x: 1 / (x + 9), "branch"),
        (lambda p, x: x * torch.ones(3), "gated"),
        (lambda p, x: x * p["a"].bias, "projection"),
        (lambda p, x: torch.cumsum(x, 1), "skip"),
        (lambda p, x: p["c"](x), "projection"),
    ],
)
def test_kinds_of_routes(skip, kind):
    def run(p, x):
        x = p["stem"](x)
        return torch.tanh(p["b"](torch.tanh(x))) + skip(p, x)

    model = Unseen(run, **{name: nn.Linear(3, 3) for name in ("stem", "a", "b", "c")})
    flow = gp.trace(model, torch.randn(2, 3), step=scalar)
    fork = next(f for f in flow.forks if f.kind != "shared")
    assert sorted(e.kind for e in fork.edges) == sorted(["branch", kind])


def test_gradients_that_are_not_finite_have_no_shares():
    def run(p, x):
        x = p["stem"](x)
        return x + torch.log(p["a"](x) * 0)

    flow = gp.trace(
        Unseen(run, stem=nn.Linear(3, 3), a=nn.Linear(3, 3)), torch.randn(2, 3), step=lambda m, x: m(x).sum()
    )
    fork = flow.residual_forks[0]
    assert math.isnan(fork.log10_norm)
    assert {edge.share for edge in fork.edges} == {edge.norm_mass for edge in fork.edges} == {None}
    assert fork.cancellation is None
    assert flow.effective_depth is None


def test_lazy_parameters_and_pairs_without_a_criterion_say_what_to_do():
    with pytest.raises(TraceError, match="run one batch through it"):
        gp.trace(nn.LazyLinear(3), torch.randn(2, 3), step=scalar)
    with pytest.raises(TraceError, match="give a criterion"):
        gp.trace(PlainMLP(), (torch.randn(2, 5), torch.randint(4, (2,))))


def test_the_graph_is_freed():
    import gc
    import weakref

    model, batch, criterion = PROBLEMS["residual"].build()
    alive = []
    handle = model.head.register_forward_hook(lambda m, i, o: alive.append(weakref.ref(o)))
    gc.disable()
    try:
        gp.trace(model, batch, criterion)
    finally:
        gc.enable()
        handle.remove()
    gc.collect()
    assert alive[0]() is None
