"""The tracer against an independent walk, against autograd itself, and against what is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from oracle import walk
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow._forks import branch_ends, plan_forks
from gradpath.flow._graph import Graph
from gradpath.flow._layers import LayerMeter
from gradpath.flow._loss import compute_loss
from problems import PROBLEMS, Dense, PlainMLP, ResidualMLP


def traced_graph(problem):
    """The graph as `trace` sees it, alive."""
    model, batch, criterion = problem.build()
    meter = LayerMeter(model)
    with meter.listening():
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
    ends = branch_ends(graph, plan_forks(graph))
    at, _ = walk(loss, ends)
    edge = meter.first.edge
    parts = at[edge.node, edge.output_nr]
    whole = sum(parts.values())
    assert max(parts) == problem.branches
    depth = gp.trace(*problem.build()).effective_depth
    if not ends:
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


@pytest.mark.parametrize("name", ["residual", "shortcut B"])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_left_as_found(name, fails):
    model, batch, criterion = PROBLEMS[name].build()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    list(model.children())[-1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    random = torch.get_rng_state()

    def bad_criterion(output, target):
        torch.rand(3)
        raise RuntimeError("as planned")

    if fails:
        with pytest.raises(RuntimeError, match="as planned"):
            gp.trace(model, batch, bad_criterion)
    else:
        gp.trace(model, batch, criterion)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert modes == [m.training for m in model.modules()]
    assert torch.equal(random, torch.get_rng_state())
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
