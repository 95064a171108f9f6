"""What a trace is asked beyond the usual: another place, lines, batches, losses, a user's own loop, single elements."""

from __future__ import annotations

import gc
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.flow._numerics import sample
from problems import PROBLEMS, PlainMLP, ResidualMLP

POSITIONAL = sorted(name for name, problem in PROBLEMS.items() if not problem.keyword)


def residual(blocks: int = 3):
    torch.manual_seed(0)
    model = ResidualMLP(blocks).double()
    return model, (torch.randn(7, 5, dtype=torch.float64), torch.randint(4, (7,)))


# --- at


def test_paths_are_taken_where_asked():
    model, batch = residual()
    below = gp.trace(model, batch, F.cross_entropy, at="first.2")  # inside the last branch: it has passed no other
    assert below.at == "first.2"
    assert below.effective_depth == pytest.approx(0.0, abs=1e-12)
    usual = gp.trace(model, batch, F.cross_entropy)
    assert usual.at == "stem"
    assert gp.trace(model, batch, F.cross_entropy, at=model.stem).effective_depth == usual.effective_depth


def test_paths_are_taken_at_an_input_that_needs_a_gradient():
    model, (inputs, labels) = residual()
    inputs.requires_grad_()
    flow = gp.trace(model, (inputs, labels), F.cross_entropy, at=inputs)
    assert flow.at == "the given tensor"
    assert flow.effective_depth is not None
    assert 0 < flow.effective_depth < 3


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("nowhere", "is no module of the model; it has: stem"),
        ("stemm", r"at='stemm' is no module of the model: did you mean 'stem'\?$"),
        (nn.Linear(1, 1), "neither a module of the model"),
        (torch.zeros(1), "call requires_grad_"),
        (torch.zeros(1, requires_grad=True), "does not depend on"),
    ],
)
def test_a_place_that_cannot_be_says_why(at, message):
    model, batch = residual()
    with pytest.raises(TraceError, match=message):
        gp.trace(model, batch, F.cross_entropy, at=at)


# --- lines


def test_lines_lead_to_the_merge_and_to_the_consumers():
    model, batch = residual()
    flow = gp.trace(model, batch, F.cross_entropy, source_lines=True)
    source = Path(__file__).parent.parent / "problems.py"
    add = 1 + source.read_text().splitlines().index("                x = x + branch")
    for fork in flow.forks:
        assert fork.line is not None
        assert fork.line.endswith(f"problems.py:{add}")
        assert {edge.line.rpartition("/")[2] for edge in fork.edges} == {f"problems.py:{add}", f"problems.py:{add - 5}"}
    assert not torch.is_anomaly_enabled()
    assert all(fork.line is None for fork in gp.trace(model, batch, F.cross_entropy).forks)


# --- several batches, several losses


def test_statistics_over_batches_are_those_of_the_single_traces():
    model, batch = residual()
    more = [(torch.randn(7, 5, dtype=torch.float64), torch.randint(4, (7,))) for _ in range(4)]
    flow = gp.trace(model, batch, F.cross_entropy, batches=more)
    alone = [gp.trace(model, each, F.cross_entropy) for each in [batch, *more]]
    assert flow.effective_depth == alone[0].effective_depth
    values = np.array([each.effective_depth for each in alone])
    (found,) = (s for s in flow.statistics if s.name == "effective_depth")
    assert (found.n, found.mean) == (5, pytest.approx(values.mean(), rel=1e-12))
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(5), rel=1e-10)
    assert {"loss", "stem_over_head", "skip_share", "log10_gradient_rms of stem"} <= {s.name for s in flow.statistics}


def test_each_loss_has_a_record_of_its_own():
    model, (inputs, labels) = residual()

    def step(model: nn.Module, batch: Tensor) -> dict[str, Tensor]:
        logits = model(batch)
        return {"class": F.cross_entropy(logits, labels), "size": logits.square().mean()}

    flows = gp.trace(model, inputs, step=step)
    assert list(flows) == ["class", "size"]
    single = gp.trace(model, inputs, step=lambda m, b: step(m, b)["size"])
    assert flows["size"] == single
    assert flows["class"] == gp.trace(model, (inputs, labels), F.cross_entropy)


@pytest.mark.parametrize(
    ("losses", "message"), [({}, "empty mapping"), ({"a": torch.zeros(2)}, r"\['a'\] is a tensor")]
)
def test_a_mapping_of_something_else_says_so(losses, message):
    model, (inputs, _) = residual()
    with pytest.raises(TraceError, match=message):
        gp.trace(model, inputs, step=lambda m, b: losses)


# --- around a user's own loop


@pytest.mark.parametrize("name", POSITIONAL)
def test_a_users_own_step_gives_the_same_record_and_the_same_gradients(name):
    model, (inputs, labels), criterion = PROBLEMS[name].build()
    expected = gp.trace(model, (inputs, labels), criterion)
    criterion(model(inputs), labels).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model, (inputs, labels), criterion = PROBLEMS[name].build()
    with gp.trace(model) as traced:
        criterion(model(inputs), labels).backward()
    assert [torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True)] == [True] * len(
        gradients
    )
    flow = traced.flow
    assert (flow.layers, flow.forks, flow.parameters) == (expected.layers, expected.forks, expected.parameters)
    if expected.effective_depth is None:
        assert flow.effective_depth is None
    else:
        assert flow.effective_depth == pytest.approx(expected.effective_depth, rel=1e-12)
    assert "user's own step" in flow.unseen.notes[-1]


def test_every_backward_pass_inside_has_a_record():
    model, (inputs, labels) = residual()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with gp.trace(model) as traced:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    assert len(traced.flows) == 3
    assert [f.loss for f in traced.flows] == sorted((f.loss for f in traced.flows), reverse=True)
    assert all(len(f.layers) == len(traced.flow.layers) for f in traced.flows)


def test_accumulated_gradients_are_those_of_each_pass():
    model, (inputs, labels) = residual()
    with gp.trace(model) as traced:
        for _ in range(2):
            F.cross_entropy(model(inputs), labels).backward()
    first, second = traced.flows
    assert first.parameters == second.parameters
    (weight,) = (p for p in first.parameters if p.name == "head.weight")
    assert 10**weight.log10_gradient_norm == pytest.approx(float(model.head.weight.grad.norm()) / 2, rel=1e-12)


def test_two_losses_on_one_graph_and_a_second_order_gradient():
    model, (inputs, labels) = residual()
    with gp.trace(model) as traced:
        logits = model(inputs)
        F.cross_entropy(logits, labels).backward(retain_graph=True)
        logits.square().mean().backward()
    assert len(traced.flows) == 2
    expected = gp.trace(model, inputs, step=lambda m, b: m(b).square().mean())
    assert traced.flow.forks == expected.forks


def test_checkpointed_layers_are_noted_once_in_a_users_own_step():
    class Checkpointed(ResidualMLP):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for first, second in zip(self.first, self.second, strict=True):
                x = x + checkpoint(lambda x, a=first, b=second: b(F.relu(a(x))), x, use_reentrant=False)
            return self.head(x)

    torch.manual_seed(0)
    model, (inputs, labels) = Checkpointed().double(), residual()[1]
    with gp.trace(model) as traced:
        F.cross_entropy(model(inputs), labels).backward()
    assert [layer.call for layer in traced.flow.layers] == [0] * 8
    assert traced.flow.layers == gp.trace(model, (inputs, labels), F.cross_entropy).layers


def test_nothing_stays_behind_a_users_own_step():
    model, (inputs, _) = residual()
    with pytest.raises(RuntimeError, match="broken"), gp.trace(model):
        model(inputs)
        raise RuntimeError("broken")
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert all(not p._backward_hooks for p in model.parameters())
    assert torch.Tensor.backward.__qualname__ == "Tensor.backward"
    with pytest.raises(TraceError, match="no backward pass was seen"), gp.trace(model):
        model(inputs)


def test_a_criterion_without_a_batch_says_so():
    with pytest.raises(TraceError, match="no batch"):
        gp.trace(PlainMLP(), criterion=F.cross_entropy)


# --- quick


def test_a_quick_trace_has_the_same_layers_and_forks():
    model, batch = residual()
    quick, full = gp.trace(model, batch, F.cross_entropy, quick=True), gp.trace(model, batch, F.cross_entropy)
    assert quick.effective_depth is None
    assert quick.forks == full.forks
    assert [layer.log10_gradient_norm for layer in quick.layers] == [layer.log10_gradient_norm for layer in full.layers]
    assert quick.nonlinearities == ()
    assert all(layer.numerics is None for layer in quick.layers)


# --- single elements


class Units(nn.Module):
    """One nonlinearity whose input is known."""

    def __init__(self, function, inputs: Tensor) -> None:
        super().__init__()
        self.function, self.shift = function, nn.Parameter(torch.zeros_like(inputs[:1]))
        self.inputs = inputs

    def forward(self, scale: Tensor) -> Tensor:
        return (self.function(self.inputs + self.shift) * scale).sum()


@pytest.mark.parametrize(
    ("function", "row", "off"),
    [
        (F.relu, [-1.0, 0.0, 2.0, 3.0], 0.5),
        (torch.tanh, [0.0, 1.0, 2.9, 3.1], 0.25),  # 1 − tanh² is 0.0120 at 2.9 and 0.0081 at 3.1
        (torch.sigmoid, [0.0, 5.0, 6.1, -6.1], 0.5),  # σ(1 − σ)/¼ is 0.0266 at 5 and 0.0089 at 6.1
        (F.relu6, [-1.0, 3.0, 5.9, 6.1], 0.5),
        (F.gelu, [0.0, 1.0, -2.0, -4.0], 0.25),
        (F.silu, [0.0, 1.0, -2.0, -8.0], 0.25),
        (F.elu, [0.0, 1.0, -4.0, -5.0], 0.25),
    ],
)
def test_units_that_are_off(function, row, off):
    inputs = torch.tensor([row, row], dtype=torch.float64)
    x = (inputs.clone()).requires_grad_()
    (slope,) = torch.autograd.grad(function(x).sum(), x)
    largest = {torch.sigmoid: 0.25}.get(function, 1.0)
    assert float((slope.abs() < 0.0105 * largest).double().mean()) == off  # the rule itself, by autograd
    (found,) = gp.trace(Units(function, inputs), torch.ones(())).nonlinearities
    assert (found.off_share, found.dead_units) == (off, off)


def test_a_unit_is_dead_only_if_it_is_off_everywhere():
    inputs = torch.tensor([[-1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
    (found,) = gp.trace(Units(F.relu, inputs), torch.ones(())).nonlinearities
    assert (found.off_share, found.dead_units) == (0.5, pytest.approx(1 / 3))


def test_dead_channels_are_counted_by_channel():
    inputs = torch.randn(3, 4, 5, 5)
    inputs[:, 1] = -inputs[:, 1].abs()
    (found,) = gp.trace(Units(F.relu, inputs), torch.ones(())).nonlinearities
    assert found.dead_units == 0.25


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 3), (15, 31, 30)])
def test_a_unit_that_is_on_at_one_place_of_many_is_alive(layout, place):
    torch.manual_seed(0)
    inputs = torch.randn(16, 8, 32, 32)  # far more than are sampled
    inputs[:, 2:5] = -inputs[:, 2:5].abs()
    inputs[place[0], 3, place[1], place[2]] = 1.0
    inputs = inputs.contiguous(memory_format=layout)
    (found,) = gp.trace(Units(F.relu, inputs), torch.ones(())).nonlinearities
    assert (found.dead_units, found.units) == (2 / 8, 8)
    assert found.off_share == pytest.approx(float((inputs <= 0).double().mean()), abs=0.01)


@pytest.mark.parametrize("count", [0, 1, 4096, 4097, 5000, 8191, 100_000])
def test_samples_are_copies_spread_over_all_elements(count):
    elements = torch.arange(count, dtype=torch.float64)
    found = sample(elements)
    assert min(count, 1365) <= len(found) <= 4096
    assert len(found.unique()) == len(found)
    if count:
        assert float(found.max()) >= 0.95 * (count - 1)
        found.fill_(-1)
        assert float(elements.min()) == 0


@pytest.mark.parametrize("was_on", [True, False])
def test_pythons_collector_is_left_as_found(was_on):
    seen = []

    def step(model, batch):
        seen.append(gc.isenabled())
        if len(seen) > 1:
            raise ValueError("the user's own")
        return model(batch).sum()

    (gc.enable if was_on else gc.disable)()
    try:
        gp.trace(nn.Linear(2, 2), torch.ones(1, 2), step=step)
        assert gc.isenabled() is was_on
        with pytest.raises(ValueError, match="own"):
            gp.trace(nn.Linear(2, 2), torch.ones(1, 2), step=step)
        assert seen == [was_on, was_on]  # the user's forward pass is collected as always
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("size", "half", "brain"), [(1.0, 0.0, 0.0), (2.0**-24, 0.0, 0.0), (2.0**-25, 1.0, 0.0), (2.0**-135, 1.0, 1.0)]
)
def test_gradients_that_sixteen_bits_would_lose(size, half, brain):
    model = nn.Linear(3, 4, dtype=torch.float64)
    weights = torch.full((5, 4), size, dtype=torch.float64)
    weights[:, 0] = 0.0
    flow = gp.trace(model, torch.randn(5, 3, dtype=torch.float64), step=lambda m, b: (m(b) * weights).sum())
    numerics = flow.layers[0].numerics
    assert (numerics.float16_underflow, numerics.bfloat16_underflow) == (half, brain)
    assert (numerics.zero_gradients, numerics.sampled, numerics.not_finite) == (0.25, 20, 0.0)
    lost = torch.full((), size, dtype=torch.float64)
    assert (float(lost.half()) == 0.0) == bool(half)  # the rule itself, by torch
    assert (float(lost.bfloat16()) == 0.0) == bool(brain)


def test_large_layers_are_sampled_alike_in_every_layout():
    torch.manual_seed(0)
    model = nn.Conv2d(3, 16, 3, padding=1)
    images = torch.randn(8, 3, 32, 32)
    weights = (torch.rand(8, 16, 32, 32) < 0.5).float()
    step = lambda m, b: (m(b) * weights).sum()  # noqa: E731
    flows = [
        gp.trace(model, images.to(memory_format=layout), step=step)
        for layout in (torch.contiguous_format, torch.channels_last)
    ]
    first, second = (flow.layers[0].numerics for flow in flows)
    assert first.zero_gradients == pytest.approx(second.zero_gradients, abs=0.02)
    assert 3_000 < first.sampled == second.sampled <= 4_096
    assert first.zero_gradients == pytest.approx(float((weights == 0).float().mean()), abs=0.02)


def test_parameters_tell_how_far_a_step_moves_them():
    model, batch = residual()
    flow = gp.trace(model, batch, F.cross_entropy)
    for layer in flow.layers:
        own = [p for p in flow.parameters if p.name.rpartition(".")[0] == layer.scope]
        gradient = math.hypot(*(10**p.log10_gradient_norm for p in own))
        assert layer.update_ratio == pytest.approx(gradient / math.hypot(*(10**p.log10_norm for p in own)), rel=1e-12)


def test_a_module_that_holds_layers_is_no_layer_of_its_own():
    """A position embedding or a layer scale is a matrix, but depth counts the layers inside."""

    class WithPositions(ResidualMLP):
        def __init__(self) -> None:
            super().__init__(2)
            self.positions, self.scale = nn.Parameter(torch.randn(1, 5)), nn.Parameter(torch.full((1, 4), 0.1))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.positions) * self.scale

    torch.manual_seed(0)
    flow = gp.trace(WithPositions(), (torch.randn(7, 5), torch.randint(4, (7,))), F.cross_entropy)
    assert [layer.scope for layer in flow.layers if not layer.weighted] == [""]
    assert sum(layer.weighted for layer in flow.layers) == 6
    whole = next(layer for layer in flow.layers if layer.scope == "")
    assert whole.log10_parameter_gradient_norm is not None


@pytest.mark.parametrize(
    ("layer", "shape", "units"),
    [
        (nn.Conv1d(4, 6, 3), (3, 4, 9), 6),
        (nn.Conv2d(4, 6, 3), (3, 4, 9, 9), 6),
        (nn.Linear(4, 6), (3, 5, 4), 6),
        (nn.Linear(4, 6), (3, 5, 5, 4), 6),
        (nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6)), (3, 4, 9), 6),
    ],
)
def test_units_are_channels_behind_a_convolution_and_features_behind_a_linear_layer(layer, shape, units):
    model = nn.Sequential(layer, nn.ReLU())
    (found,) = gp.trace(model, torch.randn(shape), step=lambda m, b: m(b).sum()).nonlinearities
    assert found.units == units


def test_a_long_loop_keeps_no_names_of_old_steps():
    model, (inputs, labels) = residual()
    with gp.trace(model) as traced:
        for _ in range(20):
            F.cross_entropy(model(inputs), labels).backward()
            if len(traced.flows) == 1:
                first = len(traced._meter.scopes._starts)
    assert len(traced._meter.scopes._starts) <= first
    assert traced.flows[0].forks == traced.flow.forks
