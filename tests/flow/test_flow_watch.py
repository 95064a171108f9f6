"""`gp.watch` against `gp.trace` on the same step; under compilation, mixed precision, accumulation, checkpoints."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import signal
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import gradpath as gp
from gradpath.errors import TraceError, UserError
from gradpath.flow._watch import HFWatch, LightningWatch, Watch, watch
from gradpath.flow._watch._budget import LONGEST, Budget
from gradpath.flow._watch._ring import FEWEST as FEWEST_LOSSES
from gradpath.flow._watch._ring import Ring
from gradpath.flow._watch._watch import Settings
from gradpath.record import (
    Flow,
    Spike,
    WatchHeader,
    WatchLayer,
    WatchLog,
    WatchReport,
    first_move,
    read,
    read_watch,
    watch_line,
)
from gradpath.record._watch import from_line
from problems import ResidualMLP


class ConvNet(nn.Module):
    """Convolutions, norms, an in-place ReLU, an in-place sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        y = self.conv(x)
        y += x
        return self.head(F.relu(y, inplace=True).mean((2, 3)))


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.stem, self.block, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        block = lambda x: torch.tanh(self.block(x))  # noqa: E731
        x = block(x) if self.reentrant is None else checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def batch(kind=ResidualMLP, n=7):
    shape = (n, 3, 6, 6) if kind is ConvNet else (n, 5)
    return torch.randn(shape), torch.randint(4, (n,))


def backward(model, data, scale=1.0, reduce=F.cross_entropy):
    loss = reduce(model(data[0]), data[1])
    (loss * scale).backward()
    return loss


def close(report: WatchReport, flow: Flow, header: WatchHeader, rel=1e-5):
    """A report's columns equal a trace's layers."""
    layers = {layer.scope: layer for layer in flow.layers}
    assert len(layers) == len(header.layers)
    for i, layer in enumerate(header.layers):
        known = layers[layer.scope]
        assert layer.weighted == known.weighted
        assert 10 ** report.log10_gradient_rms[i] == pytest.approx(known.gradient_rms, rel=rel)
        assert 10 ** report.log10_activation_rms[i] == pytest.approx(known.activation_rms, rel=rel)
        norm = 10**known.log10_parameter_gradient_norm
        assert 10 ** report.log10_parameter_gradient_norm[i] == pytest.approx(norm, rel=rel)


def values(report: WatchReport) -> list[float | None]:
    return [*report.log10_activation_rms, *report.log10_gradient_rms, *report.log10_parameter_gradient_norm]


def hooks(model):
    """Everything that could have been left behind."""
    count = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())
    return count + sum(
        len(p._post_accumulate_grad_hooks or ()) + len(p._backward_hooks or ()) for p in model.parameters()
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", [ResidualMLP, ConvNet])
def test_values_equal_a_trace_of_the_same_step(kind):
    model, data = kind(), batch(kind)
    flow = gp.trace(model, data, F.cross_entropy)
    with watch(model) as watched:
        loss = backward(model, data)
        watched.step(loss)
    report = watched.reports[0]
    close(report, flow, watched.header)
    assert report.loss == loss.item()
    assert not report.compiled


def test_an_lstm_with_several_outputs_equals_a_trace():
    model = nn.LSTM(5, 6, batch_first=True)
    x = torch.randn(3, 4, 5)
    step = lambda model, x: model(x)[0].square().mean()  # noqa: E731
    flow = gp.trace(model, x, step=step)
    with watch(model) as watched:
        step(model, x).backward()
        watched.step()
    close(watched.reports[0], flow, watched.header)
    assert watched.reports[0].losses == ()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("kind", [ResidualMLP, ConvNet])
def test_under_compile_one_graph_for_each_variant_no_break_and_equal_values(backend, kind):
    model, data = kind(), batch(kind)
    plain = copy.deepcopy(model)
    flow = gp.trace(model, data, F.cross_entropy)
    counters = torch._dynamo.utils.counters
    with watch(model, every=2) as watched:
        compiled = torch.compile(model, backend=backend, fullgraph=True)
        watched.step(backward(compiled, data))
        assert counters["stats"]["unique_graphs"] == 1
        for _ in range(4):
            model.zero_grad()
            watched.step(backward(compiled, data))
    assert counters["stats"]["unique_graphs"] == 2  # with probes, without
    assert not counters["graph_break"]
    assert [report.step for report in watched.reports] == [1, 3, 5]
    assert watched.reports[-1].compiled
    close(watched.reports[0], flow, watched.header)
    if kind is ResidualMLP:  # no running statistics: every step sees the same
        assert values(watched.reports[2]) == values(watched.reports[0])
    backward(plain, data)
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_every_step_sampled_is_one_compiled_variant():
    model, data = ResidualMLP(), batch()
    with watch(torch.compile(model, backend="aot_eager", fullgraph=True), every=1) as watched:
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        for _ in range(3):
            watched.step(backward(compiled, data))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert watched.header.layers[0].scope == "stem"
    assert any("compiled" in note for note in watched.header.notes)


@pytest.mark.parametrize("how", ["wrapped", "the same module", "module.compile()", "a container", "a part"])
def test_watching_after_the_first_compiled_call_is_refused(how):
    model, data = ResidualMLP(), batch()
    if how == "module.compile()":
        called = watched = model
        model.compile(backend="eager")
    elif how == "a container":
        called = watched = torch.compile(nn.Sequential(nn.Linear(5, 4)), backend="eager")
    elif how == "a part":
        called = watched = nn.Sequential(torch.compile(model, backend="eager"))
    else:
        called = torch.compile(model, backend="eager")
        watched = called if how == "wrapped" else model
    watch(watched).close()  # compiled, but not called: fine
    backward(called, data)
    with pytest.raises(TraceError, match="watch first, compile second"):
        watch(watched)
    torch._dynamo.reset()
    watch(watched).close()


def test_hooks_that_never_fire_are_told():
    model, data = ResidualMLP(), batch()
    step = torch.compile(lambda data: F.cross_entropy(model(data[0]), data[1]), backend="eager")
    step(data).backward()
    with watch(model) as watched, pytest.warns(UserWarning, match="no layer reported in step 1"):
        loss = step(data)
        loss.backward()
        watched.step(loss)
    assert set(watched.reports[0].log10_gradient_rms) == {None}


@pytest.mark.parametrize("kind", [ResidualMLP, ConvNet])
def test_gradients_are_bitwise_equal_with_and_without_a_watch(kind):
    model, data = kind(), batch(kind)
    other = copy.deepcopy(model)
    with watch(model, every=2) as watched:
        for _ in range(3):
            model.zero_grad(), other.zero_grad()
            watched.step(backward(model, data))
            backward(other, data)
            for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
                assert torch.equal(mine.grad, theirs.grad)
    for mine, theirs in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_in_eager_mode_a_step_without_a_sample_has_no_hooks_and_close_takes_all_away():
    model, data = ResidualMLP(), batch()
    watched = watch(model, every=3)
    armed = hooks(model)
    assert armed > len(list(model.parameters()))
    watched.step(backward(model, data))
    assert hooks(model) == 0
    for _ in range(2):
        watched.step(backward(model, data))
    assert hooks(model) == armed
    watched.close()
    watched.close()
    assert hooks(model) == 0


def test_hooks_are_gone_after_an_exception():
    model, data = ResidualMLP(), batch()
    with pytest.raises(ZeroDivisionError), watch(model) as watched:
        backward(model, data)
        watched.trace_next()
        1 / 0  # noqa: B018
    assert hooks(model) == 0


def test_a_graph_that_outlives_the_watch_writes_nothing():
    model, data = ResidualMLP(), batch()
    watched = watch(model)
    loss = F.cross_entropy(model(data[0]), data[1])
    watched.close()
    loss.backward()
    assert watched.probes.buffers.layers[:, 2].sum() == 0


def test_gradient_scaling_is_taken_out_and_skipped_steps_are_marked():
    model, data = ResidualMLP(), batch()
    flow = gp.trace(model, data, F.cross_entropy)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
    with watch(model, optimizer, scaler, every=1) as watched:
        for step in range(1, 5):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data[0]), data[1]) * (math.inf if step == 3 else 1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            watched.step(loss)
    reports = watched.reports
    assert [report.loss_scale for report in reports] == [1024, 1024, 2048, 1024]
    assert [report.skipped_steps for report in reports] == [(), (), (3,), ()]
    assert math.isnan(reports[2].log10_gradient_rms[0])
    assert reports[0].learning_rate == 0.0
    for report in (reports[0], reports[1], reports[3]):
        close(report, flow, watched.header)


def test_a_disabled_scaler_is_none():
    model, data = ResidualMLP(), batch()
    with watch(model, scaler=torch.amp.GradScaler("cpu", enabled=False)) as watched:
        watched.step(backward(model, data))
    assert watched.reports[0].loss_scale is None


def test_accumulation_activations_over_micro_batches_and_the_whole_steps_parameter_gradient():
    model, data = ResidualMLP(), batch(n=8)
    whole = gp.trace(model, data, F.cross_entropy)
    halves = [(data[0][i : i + 4], data[1][i : i + 4]) for i in (0, 4)]
    parts = [gp.trace(model, half, lambda out, y: F.cross_entropy(out, y) / 2) for half in halves]
    with watch(model) as watched:
        for half in halves:
            backward(model, half, 0.5)
        watched.step()
    report = watched.reports[0]
    places = {layer.scope: i for i, layer in enumerate(watched.header.layers)}
    for call, layer in enumerate(whole.layers):
        i = places[layer.scope]
        gradient = math.sqrt(sum(part.layers[call].gradient_rms ** 2 for part in parts) / 2)
        assert 10 ** report.log10_gradient_rms[i] == pytest.approx(gradient, rel=1e-5)
        assert 10 ** report.log10_activation_rms[i] == pytest.approx(layer.activation_rms, rel=1e-5)
        norm = 10**layer.log10_parameter_gradient_norm
        assert 10 ** report.log10_parameter_gradient_norm[i] == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputed_layers_are_counted_once(reentrant):
    data = batch()
    plain = Checkpointed(None)
    flow = gp.trace(plain, data, F.cross_entropy)
    model = Checkpointed(reentrant)
    model.load_state_dict(plain.state_dict())
    with watch(model) as watched:
        backward(model, data)
        elements = watched.probes.buffers.layers[:, 1].tolist()
        watched.step()
    close(watched.reports[0], flow, watched.header)
    assert elements == [7 * 6, 7 * 6, 7 * 4]


def test_a_checkpointed_region_inside_compiled_code():
    data, plain = batch(), Checkpointed(None)
    flow = gp.trace(plain, data, F.cross_entropy)
    model = Checkpointed(False)
    model.load_state_dict(plain.state_dict())
    with watch(model) as watched:
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        backward(compiled, data)
        watched.step()
    assert watched.reports[0].compiled
    close(watched.reports[0], flow, watched.header)


def test_validation_passes_without_gradients_do_not_count():
    model, data = ResidualMLP(), batch()
    flow = gp.trace(model, data, F.cross_entropy)
    with watch(model) as watched:
        backward(model, data)
        with torch.no_grad():
            model(100 * data[0])
        watched.step()
    close(watched.reports[0], flow, watched.header)


def test_frozen_and_unused_layers_are_none_not_zero():
    model, data = ResidualMLP(), batch()
    model.spare = nn.Linear(2, 2)
    model.stem.requires_grad_(False)
    with watch(model) as watched:
        watched.step(backward(model, data))
    report, scopes = watched.reports[0], [layer.scope for layer in watched.header.layers]
    stem, spare = scopes.index("stem"), scopes.index("spare")
    assert report.log10_activation_rms[stem] is not None
    assert report.log10_gradient_rms[stem] is report.log10_parameter_gradient_norm[stem] is None
    assert report.log10_activation_rms[spare] is report.log10_gradient_rms[spare] is None


def test_what_float32_cannot_square_is_measured_in_float64_from_the_next_report_on():
    model, data = ResidualMLP(), batch()
    loss = lambda out, y: 1e-30 * F.cross_entropy(out, y)  # noqa: E731
    flow = gp.trace(model, data, loss)
    with watch(model, every=1) as watched:
        for _ in range(2):
            model.zero_grad()
            watched.step(backward(model, data, reduce=loss))
    assert watched.reports[0].log10_gradient_rms[0] == -math.inf
    assert 10 ** watched.reports[1].log10_gradient_rms[0] == pytest.approx(flow.layers[0].gradient_rms, rel=1e-5)


def test_one_device_copy_holds_losses_given_as_tensors_or_numbers():
    model, data = ResidualMLP(), batch()
    with watch(model, every=4) as watched:
        for value in (torch.tensor([2.0]), 3, 4.5, torch.tensor(5.0), 6.0):
            backward(model, data)
            watched.step(value)
        with pytest.raises(TraceError, match=r"takes a scalar.*\(2,\)"):
            watched.step(torch.ones(2))
    assert [report.losses for report in watched.reports] == [(2.0,), (3.0, 4.5, 5.0, 6.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_overhead": 0}, "max_overhead must be above 0, got 0"),
        ({"every": 0}, "every must be above 0"),
        ({"spike_factor": 1}, "spike_factor must be above 1"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(TraceError, match=message):
        watch(ResidualMLP(), **options)


def test_models_without_layers_are_refused():
    with pytest.raises(TraceError, match="no module that owns parameters"):
        watch(nn.ReLU())
    with pytest.raises(TraceError, match=r"must be a torch\.nn\.Module"):
        watch(lambda x: x)


# --- the budget, with a clock of its own


def run(budget, clock, steps, step, probe, own_idle=0.0, own_sample=0.0, compiled=False):
    """A training loop of steps of `step` seconds, `probe` more in sampled ones. Returns the sampled steps' numbers."""
    sampled, next_sample = [], 1
    for number in range(1, steps + 1):
        on = number >= next_sample
        clock.now += step + (probe if on else 0)
        if on:
            budget.inside += 0 if compiled else probe
        budget.enter()
        if on:
            sampled.append(number)
            next_sample = number + budget.period()
        clock.now += own_sample if on else own_idle
        budget.leave(on)
    return sampled


def test_the_period_keeps_the_time_inside_the_probes_within_the_bound():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    sampled = run(budget, clock, 1000, step=0.1, probe=0.010, own_sample=0.005)
    assert sampled[:3] == [1, 2, 3]
    assert sampled[3] == 30  # the first samples are paid back
    assert {b - a for a, b in itertools.pairwise(sampled[4:])} == {15}  # 15 ms of 100 ms, at 1 %: every 15
    assert budget.sample_seconds == pytest.approx(0.015)
    assert budget.overhead == pytest.approx(0.01, rel=0.05)


def test_the_period_follows_when_steps_become_faster():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    first, second = (run(budget, clock, 400, step=step, probe=0.010) for step in (0.1, 0.05))
    assert (first[-1] - first[-2], second[-1] - second[-2]) == (10, 20)


def test_what_an_unsampled_step_costs_is_paid_first():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    run(budget, clock, 300, step=0.1, probe=0.010, own_idle=0.0005, own_sample=0.0005)
    assert budget.period() == 20  # half of the bound is left
    run(budget, clock, 300, step=0.1, probe=0.010, own_idle=0.002, own_sample=0.002)
    assert budget.period() == LONGEST


def test_inside_compiled_code_a_sample_costs_the_difference_of_steps():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    budget.by_difference = True
    sampled = run(budget, clock, 400, step=0.1, probe=0.010, compiled=True)
    assert sampled[:5] == [1, 2, 6, 9, 12]
    assert budget.period() == 10
    assert budget.overhead == pytest.approx(0.01, rel=0.1)


def test_a_pause_between_steps_is_no_step_time():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    run(budget, clock, 100, step=0.1, probe=0.010)
    before = budget.overhead
    clock.now += 1000  # a validation epoch
    run(budget, clock, 1, step=0.1, probe=0.010)
    assert budget.overhead == pytest.approx(before, rel=0.1)


def test_the_compiling_sample_is_left_out():
    clock = Clock()
    budget = Budget(0.01, None, clock)
    run(budget, clock, 1, step=60.0, probe=1.0)
    assert budget.overhead is None
    assert budget.sample_seconds is None


def test_a_fixed_period():
    clock = Clock()
    assert run(Budget(0.01, 7, clock), clock, 20, step=0.1, probe=0.01) == [1, 8, 15]


def test_the_watch_books_its_own_time(tmp_path):
    """Every reading of this clock is a millisecond later: the overhead must be known and above zero."""
    ticks = iter(range(10**6))
    model, data = ResidualMLP(), batch()
    with Watch(model, settings=Settings(every=1), clock=lambda: next(ticks) / 1000) as watched:
        for _ in range(3):
            watched.step(backward(model, data))
    assert 0.5 < watched.overhead < 1.0
    assert watched.reports[0].overhead is None
    assert watched.reports[2].overhead == pytest.approx(watched.reports[2].overhead)


# --- the folder: lines, spikes, traces


def test_lines_come_back_equal_and_a_torn_last_line_waits(tmp_path):
    model, data = ResidualMLP(), batch()
    watched = watch(model, folder=tmp_path, every=1)
    for _ in range(3):
        watched.step(backward(model, data))
    file = tmp_path / "watch.jsonl"
    log = read_watch(tmp_path)
    assert log.header == watched.header
    assert tuple(log.reports) == watched.reports  # flushed line by line: it was not closed yet
    line = watch_line(watched.reports[0])
    with file.open("a", encoding="utf-8") as torn:
        torn.write(line[:50])
        torn.flush()
        assert log.poll() == 0
        torn.write(line[50:])
    assert log.poll() == 1
    assert log.reports[-1] == watched.reports[0]
    assert log.broken == 0
    watched.close()


def test_a_run_that_goes_on_after_a_kill_ends_the_torn_line_and_keeps_the_reports(tmp_path):
    for tear in (True, False):
        with watch(ResidualMLP(), folder=tmp_path, max_overhead=0.01 if tear else 0.02) as watched:
            if not tear:
                backward(watched.model, batch())
                watched.step(1.0)
        if tear:
            with (tmp_path / "watch.jsonl").open("a", encoding="utf-8") as file:
                file.write('{"schema":1,"kind":"watch-rep')
    log = read_watch(tmp_path)
    assert log.broken == 1
    assert log.header.max_overhead == 0.02  # the line after the torn one is whole
    assert len(log.reports) == 1


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    model = ResidualMLP()
    with pytest.raises(UserError, match="cannot be written"):
        watch(model, folder=tmp_path / "file")
    assert hooks(model) == 0


def header(layers=3):
    return WatchHeader(
        model="Net",
        layers=tuple(WatchLayer(scope=f"layer{i}", module="Linear", weighted=True) for i in range(layers)),
        system="",
        device="cpu",
        threads=1,
        python="",
        torch="",
        rank=0,
        world_size=1,
        max_overhead=0.01,
        every=None,
    )


def report(step, gradients, activations=(0.0, 0.0, 0.0)):
    return WatchReport(
        step=step,
        seconds=step,
        losses=(1.0,),
        log10_activation_rms=tuple(activations),
        log10_gradient_rms=tuple(gradients),
        log10_parameter_gradient_norm=(None,) * 3,
    )


def test_the_layer_that_moved_first_is_the_earliest_then_the_largest():
    calm = [report(step, (-2.0, -2.0, -2.0)) for step in range(1, 7)]
    moved = [
        report(7, (-2.0, -1.3, -1.4)),  # layer1 ×5, layer2 ×4
        report(8, (1.0, -1.0, -1.0)),  # layer0 ×1000, later
    ]
    first = first_move(header(), [*calm, *moved])
    assert (first.scope, first.step, first.quantity) == ("layer1", 7, "gradient")
    assert first.ratio == pytest.approx(10**0.7)
    assert first_move(header(), calm) is None
    vanished = first_move(header(), [*calm, report(7, (-2.0, -2.0, -math.inf)), *moved])
    assert (vanished.scope, vanished.ratio) == ("layer2", 0.0)
    broken = first_move(header(), [*calm, report(7, (-2.0,) * 3, (0.0, math.nan, 0.0)), *moved])
    assert (broken.scope, broken.quantity) == ("layer1", "activation")
    assert math.isnan(broken.ratio)


def test_a_spike_is_told_once_and_needs_a_history():
    ring = Ring(header(), 5, 3.0)
    assert ring.loss(1, 100.0) is None
    for step in range(2, 2 + FEWEST_LOSSES):
        assert ring.loss(step, 1.0) is None
    assert ring.loss(20, 2.9) is None
    spike = ring.loss(21, 3.1)
    assert (spike.loss, spike.median_loss) == (3.1, 1.0)
    assert ring.loss(22, 100.0) is None  # the same event
    assert Ring(header(), 5, 3.0).loss(1, math.nan).median_loss is None


def test_a_loss_spike_dumps_the_ring_and_samples_the_next_step(tmp_path):
    model, data = ResidualMLP(), batch()
    with watch(model, folder=tmp_path, every=3, ring=4) as watched:
        for _ in range(20):
            watched.step(backward(model, data))
        watched.step(50.0)
        backward(model, data)
        watched.step(1.0)
    assert watched.reports[-1].step == 22
    spike = read(tmp_path / "spike-21.json")
    assert isinstance(spike, Spike)
    assert (spike.step, spike.loss, len(spike.reports)) == (21, 50.0, 4)
    assert spike.first is None
    (event,) = read_watch(tmp_path).events
    assert (event.what, event.file) == ("spike", "spike-21.json")
    assert "no layer moved before it" in event.text


def test_a_touched_file_has_the_next_step_traced(tmp_path):
    model, data, clock = ResidualMLP(), batch(), Clock()
    flow = gp.trace(model, data, F.cross_entropy, quick=True)
    with Watch(model, settings=Settings(folder=tmp_path, every=5), clock=clock) as watched:
        (tmp_path / "trace-now").touch()
        watched.step(backward(model, data))  # looked at most once a second
        clock.now += 2
        watched.step(backward(model, data))
        model.zero_grad()
        watched.step(backward(model, data))
        for _ in range(2):
            watched.step(backward(model, data))
    assert not (tmp_path / "trace-now").exists()
    traced = read(tmp_path / "trace-3.json")
    assert traced == watched.traced
    assert [fork.skip_share for fork in traced.forks] == pytest.approx([fork.skip_share for fork in flow.forks])
    assert [event.file for event in read_watch(tmp_path).events] == ["trace-3.json"]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this platform")
def test_a_signal_asks_for_a_trace_only_where_the_user_allows_it():
    model, data, before = ResidualMLP(), batch(), signal.getsignal(signal.SIGUSR1)
    with watch(model):
        assert signal.getsignal(signal.SIGUSR1) is before
    with watch(model, signal=True) as watched:
        os.kill(os.getpid(), signal.SIGUSR1)
        watched.step(backward(model, data))
        watched.step(backward(model, data))
        assert watched.traced is not None
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_traced_step_without_a_backward_pass_is_told(tmp_path):
    model = ResidualMLP()
    with watch(model, folder=tmp_path, every=5) as watched:
        backward(model, batch())
        watched.step(1.0)
        watched.trace_next()
        watched.step(1.0)
    assert watched.traced is None
    assert "nothing was traced" in read_watch(tmp_path).events[0].text


# --- adapters, with fakes of the same method names


class FakeWriter:
    def __init__(self):
        self.seen = []

    def add_scalar(self, tag, value, step):
        self.seen.append((tag, value, step))


def test_tensorboard_and_wandb_get_every_report():
    model, data, writer, logged = ResidualMLP(), batch(), FakeWriter(), []
    flow = gp.trace(model, data, F.cross_entropy)
    with watch(model, every=1) as watched:
        watched.to_tensorboard(writer)
        watched.to_wandb(lambda values, step: logged.append((values, step)))
        watched.step(backward(model, data))
    tags = {tag: value for tag, value, _ in writer.seen}
    assert tags["gradient_rms/stem"] == pytest.approx(flow.layers[0].gradient_rms, rel=1e-5)
    assert {step for *_, step in writer.seen} == {1}
    assert logged == [(tags, 1)]


def fake_module(monkeypatch, name, **names):
    module = types.ModuleType(name)
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_lightning_callback_steps_with_the_optimiser(monkeypatch):
    fake_module(monkeypatch, "lightning")
    fake_module(monkeypatch, "lightning.pytorch", Callback=object)
    model, data = ResidualMLP(), batch()
    trainer = types.SimpleNamespace(global_step=0, optimizers=[torch.optim.SGD(model.parameters(), 0.5)])
    callback = LightningWatch(every=1)
    callback.on_fit_start(trainer, model)
    for micro in range(4):
        loss = backward(model, data)
        trainer.global_step += micro % 2  # two micro-batches a step
        callback.on_train_batch_end(trainer, model, {"loss": loss}, data, micro)
    callback.on_fit_end(trainer, model)
    assert [report.step for report in callback.watch.reports] == [1, 2]
    assert callback.watch.reports[0].learning_rate == 0.5
    assert hooks(model) == 0


def test_the_trainer_callback_takes_the_logged_loss(monkeypatch):
    fake_module(monkeypatch, "transformers", TrainerCallback=object)
    model, data = ResidualMLP(), batch()
    callback = HFWatch(every=1)
    callback.on_train_begin(None, None, None, model=model, optimizer=None)
    backward(model, data)
    callback.on_log(None, None, None, logs={"loss": 1.25})
    callback.on_step_end(None, None, None)
    callback.on_train_end(None, None, None)
    assert callback.watch.reports[0].loss == 1.25
    assert hooks(model) == 0


@pytest.mark.parametrize(("make", "package"), [(LightningWatch, "lightning"), (HFWatch, "transformers")])
def test_a_missing_framework_is_named(monkeypatch, make, package):
    for name in ("lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        make()


# --- several processes


@pytest.fixture
def one_rank(tmp_path):
    dist = pytest.importorskip("torch.distributed")
    if not dist.is_available():
        pytest.skip("no torch.distributed")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_distributed_data_parallel_is_unwrapped(one_rank):
    model, data = ResidualMLP(), batch()
    flow = gp.trace(model, data, F.cross_entropy)
    parallel = nn.parallel.DistributedDataParallel(model)
    with watch(parallel) as watched:
        watched.step(backward(parallel, data))
    close(watched.reports[0], flow, watched.header)


def sharded_rank(rank: int, folder: str) -> None:
    """One of two processes that train a sharded model; the first keeps its report, the second its own numbers."""
    from torch.distributed import destroy_process_group, init_process_group
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.set_num_threads(1)
    init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.manual_seed(0)
    model, data = ResidualMLP(), batch()
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    with watch(model, folder=f"{folder}/run") as watched:
        for _ in range(4):
            model.zero_grad()
            watched.step(backward(model, data))
    destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_fully_sharded_gradients_are_reduced_and_the_first_rank_writes(tmp_path):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    if not hasattr(fsdp, "fully_shard"):
        pytest.skip("FSDP2 is not in this version's torch.distributed.fsdp")
    model, data = ResidualMLP(), batch()
    flow = gp.trace(model, data, F.cross_entropy)
    torch.multiprocessing.spawn(sharded_rank, (str(tmp_path),), nprocs=2)
    log = read_watch(tmp_path / "run")
    close(log.reports[0], flow, log.header)  # both ranks have the same batch: the mean of their gradients is its own
    assert "FSDP2" in log.header.notes[0]
    assert log.header.world_size == 2


def test_only_the_first_rank_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("gradpath.flow._watch._watch.rank_and_world", lambda: (1, 2))
    model = ResidualMLP()
    with watch(model, folder=tmp_path / "run") as watched:
        watched.step(backward(model, batch()))
    assert not (tmp_path / "run").exists()
    assert "rank-local" in watched.header.notes[0]


def test_a_line_of_something_else_is_refused_by_name():
    with pytest.raises(UserError, match=r"x:1: kind 'flow' is none of a watched run"):
        from_line('{"schema":1,"kind":"flow"}', "x:1")
    newer = json.dumps(json.loads(watch_line(header())) | {"schema": 99})
    with pytest.raises(UserError, match="upgrade gradpath"):
        from_line(newer, "x:1")


def test_a_report_that_does_not_fit_its_header_is_left_out(tmp_path):
    file = tmp_path / "watch.jsonl"
    file.write_text(watch_line(header(2)) + watch_line(report(1, (0.0, 0.0, 0.0))))
    log = WatchLog(file)
    log.poll()
    assert (log.broken, log.reports) == (1, [])
