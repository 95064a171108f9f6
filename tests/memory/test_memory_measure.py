"""What a call, a block, an optimizer takes: against counts that are made another way."""

from __future__ import annotations

import contextlib
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath.errors import PlanError, UserError
from gradpath.memory import _budget
from gradpath.memory._as_found import gradients_allocated, left_as_found
from gradpath.memory._blocks._signature import Layout, signature
from gradpath.memory._measuring import _optimizer, _peak
from gradpath.memory._measuring._clock import best_of_rounds
from gradpath.memory._measuring._measure import _monotone, measure_block, measure_chain
from gradpath.memory._measuring._outside import measure_outside
from gradpath.memory._measuring._step import Step, batch_size, batch_text, device_of, resized
from gradpath.memory._running._planned import moves_of

CPU = torch.device("cpu")
FLOAT = 4


# ------------------------------------------------------------ the meter


def test_growth_is_exact_to_the_byte():
    def call():
        a = torch.zeros(1000, 10)  # 40,000 bytes
        b = torch.relu(a)  # with a: 80,000
        del a
        return b[:10].clone()  # 400

    out, span = _peak.growth(call, CPU)
    assert out.shape == (10, 10)
    assert (span.start_bytes, span.peak_bytes, span.stop_bytes) == (0, 80_000, 400)


def test_marks_cut_a_measurement_into_spans():
    with _peak.metered(CPU) as meter:
        kept = torch.zeros(100)
        meter.mark("middle")
        gone = torch.zeros(1000)
        del gone
        meter.mark("end")
        more = torch.zeros(10)
    spans = [(span.name, span.start_bytes, span.peak_bytes, span.stop_bytes) for span in meter.spans]
    assert spans == [("start", 0, 400, 400), ("middle", 400, 4400, 400), ("end", 400, 440, 440)]
    assert len(kept) + len(more) == 110


def test_allocations_of_the_backward_are_seen():
    x = torch.zeros(1000, requires_grad=True)
    _, span = _peak.growth(lambda: (x * 2).exp().sum().backward(), CPU)
    assert span.stop_bytes == 4000  # the gradient
    assert span.peak_bytes >= 8000


def test_the_meter_ends_also_when_the_call_raises():
    with pytest.raises(ZeroDivisionError), _peak.metered(CPU):
        _ = 1 // 0
    assert _peak.growth(lambda: torch.zeros(5), CPU)[1].stop_bytes == 20


def test_a_second_meter_is_refused():
    with _peak.metered(CPU), pytest.raises(UserError, match="profiler runs: stop it first"), _peak.metered(CPU):
        pass


def test_a_device_without_counters_is_refused():
    with pytest.raises(UserError, match="cannot be measured on meta"), _peak.metered(torch.device("meta")):
        pass


def test_rounds_stop_in_time_and_give_the_least():
    rounds = iter([{"a": 3.0, "b": 1.0}, {"a": 2.0, "b": 5.0}] * 50)
    assert best_of_rounds({"a": 9.0, "b": 9.0}, lambda: next(rounds), 1e9) == {"a": 2.0, "b": 1.0}
    assert best_of_rounds({"a": 9.0, "b": 0.5}, lambda: next(rounds), 0.1) == {"a": 2.0, "b": 0.5}  # never one alone


# ------------------------------------------------------------ blocks


def block_and_layout(name="resnet-20", index=1, **overrides):
    torch.manual_seed(0)
    net = gp.build(name, **{"width": 8, "input_size": 16, **overrides})
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        h = net.stem(x)
        for place, block in enumerate(net.blocks()):
            if place == index:
                return block, Layout.of(h)
            h = block(h)
    raise AssertionError


def measured(block, layout, autocast=contextlib.nullcontext):
    return measure_block((block,), moves_of((block,)), layout, CPU, autocast, 0.05)


@pytest.mark.parametrize("name", ["resnet-20", "preresnet-20", "resnet-bottleneck-29", "densenet-22-4"])
@pytest.mark.parametrize("index", [0, 1])
def test_what_a_tape_holds_is_what_its_tensors_are(name, index):
    block, layout = block_and_layout(name, index)
    cost = measured(block, layout).cost
    moves, x = moves_of((block,)), layout.random(CPU)
    assert {mode.mode for mode in cost.modes} == set(moves.modes)
    for mode in moves.modes:
        if mode == "full" and len(moves.modes) == 3:
            continue  # autograd's graph: its tensors cannot be listed
        tape = moves.new_tape()
        with torch.no_grad():
            y = moves.advance(x, tape, mode)
        known = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tape.tensors()}
        apart = {t.untyped_storage().data_ptr() for t in (x, y, *block.parameters(), *block.buffers())}
        held = sum(size for storage, size in known.items() if storage not in apart)
        assert cost.always_bytes + cost.of(mode).kept_bytes == held


def test_a_basic_block_costs_what_is_counted_by_hand():
    block, layout = block_and_layout("resnet-20", 1)
    one = layout.shape[0] * layout.shape[1] * layout.shape[2] * layout.shape[3] * FLOAT
    found = measured(block, layout)
    cost = found.cost
    assert cost.label == "PostBasic 4×8×16×16 → 4×8×16×16"
    assert (cost.input_bytes, cost.output_bytes, cost.ends_in_relu) == (one, one, True)
    assert cost.parameter_bytes == sum(p.nbytes for p in block.parameters())
    assert {mode.mode: mode.kept_bytes // one for mode in cost.modes} == {
        "full": 3, "lean": 2, "raw": 2, "last": 1, "input": 0, "none": 0
    }  # fmt: skip
    assert cost.plain_bytes == pytest.approx(4 * one, rel=0.02)  # conv 1, relu 1, conv 2, and the output
    assert one <= cost.forward_bytes <= 3.2 * one
    for cheap, dear in (("full", "lean"), ("lean", "last"), ("last", "none")):
        assert cost.of(cheap).backward_bytes <= cost.of(dear).backward_bytes


def test_plain_bytes_are_what_autograd_holds_after_the_forward():
    for name in ("resnet-20", "preresnet-20", "densenet-22-4"):
        block, layout = block_and_layout(name, 1)
        found = measured(block, layout)
        x = layout.random(CPU).requires_grad_()
        block(x)  # warm
        _, span = _peak.growth(lambda block=block, x=x: block(x), CPU)
        assert found.cost.plain_bytes == pytest.approx(span.stop_bytes, rel=0.01)
        assert found.cost.plain_bytes + found.plain_forward_bytes == pytest.approx(span.peak_bytes, rel=0.01)


def test_noise_never_makes_a_redo_free():
    noisy = {"full": 3.0, "lean": 2.0, "last": 2.5, "none": 1.0, "sweep": 4.0, "redo": 2.0, "first": 1.0, "plain": 9.0}
    quiet = _monotone(noisy, ("full", "lean", "raw", "last", "input", "none"))
    assert [quiet[name] for name in ("full", "lean", "last", "none")] == [3.0, 3.0, 3.0, 3.0]
    assert [quiet[name] for name in ("sweep", "redo", "first")] == [4.0, 4.0, 4.0]


class Drawing(nn.Module):
    """Draws random numbers from three generators and writes to a buffer."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        scale = 1 + 0 * (random.random() + np.random.rand())  # noqa: NPY002
        return F.dropout(self.norm(self.conv(x)), 0.5, self.training) * scale


def test_measuring_leaves_no_trace():
    torch.manual_seed(3)
    block = Drawing()
    block.conv.weight.grad = torch.ones_like(block.conv.weight)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    found = measured(block, Layout((2, 3, 8, 8), (192, 64, 8, 1), torch.float32))
    assert {mode.mode for mode in found.cost.modes} == {"full", "input", "none"}
    assert found.cost.always_bytes > 5000  # the state of torch's generator
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())
    assert torch.equal(block.conv.weight.grad, torch.ones_like(block.conv.weight))
    assert block.conv.bias.grad is None
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2])  # noqa: NPY002


def test_all_is_put_back_when_the_block_raises():
    block = Drawing()
    with pytest.raises(RuntimeError), left_as_found([block], CPU), gradients_allocated(list(block.parameters())):
        block(torch.randn(1, 3, 8, 8)).sum().backward()
        block(torch.randn(1, 4, 8, 8))
    assert block.calls == 0
    assert all(p.grad is None for p in block.parameters())


def test_a_chain_is_measured_once_for_each_signature():
    torch.manual_seed(0)
    net = gp.build("resnet-32", width=4, input_size=8)
    asked = []
    layouts = []
    with torch.no_grad():
        h = net.stem(torch.randn(2, 3, 8, 8))
        for block in net.blocks():
            layouts.append(Layout.of(h))
            h = block(h)

    def asking(group):
        asked.append(group)
        return moves_of(group)

    groups = [(block,) for block in net.blocks()]
    places, costs = measure_chain(groups, asking, [*layouts, Layout.of(h)], CPU, contextlib.nullcontext, 0.0)
    assert places == (0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 5, 5, 5)  # a stage's first block differs
    assert len(costs) == len(asked) == 6


def test_autocast_is_measured_in_its_own_bytes():
    block, layout = block_and_layout("resnet-20", 1)
    half = Layout(layout.shape, layout.strides, torch.bfloat16)
    plain, cast = measured(block, layout).cost, measured(block, half, lambda: torch.autocast("cpu")).cost
    for mode in ("full", "lean", "last"):
        assert cast.of(mode).kept_bytes == pytest.approx(plain.of(mode).kept_bytes / 2, rel=0.1)


# ------------------------------------------------------------ signatures


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), True),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2)), True),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval(), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double(), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), False),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).requires_grad_(False), False),
    ],
)
def test_signatures_tell_blocks_apart(other, same):
    layout = Layout((2, 3, 8, 8), (192, 64, 8, 1), torch.float32)
    one = signature([nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))], layout)
    assert (one == signature([other()], layout)) is same
    assert (hash(one) == hash(signature([other()], layout))) is same


def test_signatures_tell_inputs_apart():
    block = [nn.Conv2d(3, 4, 3)]
    x = torch.randn(2, 3, 8, 8)
    layouts = [x, x.bfloat16(), x.contiguous(memory_format=torch.channels_last), x[:1]]
    assert len({signature(block, Layout.of(x)) for x in layouts}) == 4


def test_the_rate_of_a_dropout_counts_only_where_it_is_none():
    layout = Layout((2, 3), (3, 1), torch.float32)
    one, other, none = (signature([nn.Dropout(rate)], layout) for rate in (0.1, 0.5, 0.0))
    assert one == other != none


def test_random_tensors_have_the_layout_and_draw_from_no_shared_generator():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).bfloat16()
    before = torch.get_rng_state()
    made = Layout.of(x).random(CPU)
    assert (made.shape, made.stride(), made.dtype) == (x.shape, x.stride(), x.dtype)
    assert made.float().std() > 0.5
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------ outside


def test_what_lies_around_the_chain():
    torch.manual_seed(0)
    net = gp.build("resnet-20", width=4, input_size=16)
    x, y = torch.randn(8, 3, 16, 16), torch.randint(10, (8,))
    with torch.no_grad():
        out = Layout.of(net.stages(net.stem(x)))
    chain = [(f"stages.{s}.{i}", block) for s, stage in enumerate(net.stages) for i, block in enumerate(stage)]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    found = measure_outside(net, Step((x, y), F.cross_entropy), chain, out, CPU, 1)
    one = 8 * 4 * 16 * 16 * FLOAT
    # the stem keeps its convolution's output and BatchNorm's output (here ReLU's input is freed, its output is x₀)
    assert found.forward_bytes == pytest.approx(one, rel=0.05)
    assert found.backward_bytes == pytest.approx(found.forward_bytes, rel=0.05)
    assert found.start_peak_bytes == pytest.approx(3 * one, rel=0.05)
    assert found.head_bytes >= found.forward_bytes + out.random(CPU).nbytes
    assert found.seconds > 0
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


# ------------------------------------------------------------ optimizers


@pytest.mark.parametrize("name", sorted(_optimizer.NAMES))
def test_an_optimizers_state_is_what_it_makes(name):
    net = gp.build("resnet-8", width=4)
    net.head.linear.weight.requires_grad_(False)
    kind, settings = _optimizer.NAMES[name]
    optimizer = kind([p for p in net.parameters() if p.requires_grad], **settings)
    predicted = _optimizer.optimizer_bytes(name, net.parameters())
    of_instance = _optimizer.optimizer_bytes(optimizer, net.parameters())
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    real = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor))
    assert predicted == of_instance == real
    assert _optimizer.optimizer_bytes(optimizer, net.parameters()) == real


def test_settings_of_an_instance_count():
    net = nn.Linear(10, 10, bias=False)
    sizes = [
        _optimizer.optimizer_bytes(optimizer, net.parameters()) // 400
        for optimizer in (
            torch.optim.SGD(net.parameters(), 0.1),
            torch.optim.SGD(net.parameters(), 0.1, momentum=0.9),
            torch.optim.Adam(net.parameters(), amsgrad=True),
            torch.optim.RMSprop(net.parameters(), centered=True, momentum=0.9),
        )
    ]
    assert sizes == [0, 1, 3, 3]


def test_an_unknown_optimizer_is_named():
    with pytest.raises(UserError, match=r"optimizer='adamm' is not known: give sgd, .*adamw"):
        _optimizer.optimizer_name("adamm")
    assert _optimizer.optimizer_name("SGD_momentum") == "sgd-momentum"
    assert _optimizer.optimizer_name(torch.optim.Adam(nn.Linear(1, 1).parameters())) == "Adam"


def test_an_optimizer_that_cannot_be_tried_says_so():
    class Odd(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("needs a closure")

    with pytest.raises(UserError, match="needs a closure"):
        _optimizer.optimizer_bytes(Odd(nn.Linear(2, 2).parameters(), 0.1), [])


# ------------------------------------------------------------ budgets


def test_a_budget_is_bytes_or_a_part_or_what_is_free(monkeypatch):
    monkeypatch.setattr(_budget, "free_bytes", lambda device: 1000)
    assert _budget.budget_bytes("4GiB", 100, 0, CPU) == 4 * 2**30
    assert _budget.budget_bytes(12345, 100, 0, CPU) == 12345
    assert _budget.budget_bytes("80%", 200, 0, CPU) == 160
    assert _budget.budget_bytes(" 12.5 % ", 200, 0, CPU) == 25
    assert _budget.budget_bytes("auto", 200, 50, CPU) == 50 + 750
    for wrong in ("0%", "101%", "%", "half", -5):
        with pytest.raises(UserError):
            _budget.budget_bytes(wrong, 200, 0, CPU)


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    assert _budget._left_in_group(tmp_path) is None
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert _budget._left_in_group(tmp_path) == 3000
    monkeypatch.setattr(_budget, "_available", lambda: 9000)
    monkeypatch.setattr(_budget, "_left_in_group", lambda: 3000)
    assert _budget.free_bytes(CPU) == 3000
    monkeypatch.setattr(_budget, "_available", lambda: None)
    monkeypatch.setattr(_budget, "_left_in_group", lambda: None)
    with pytest.raises(UserError, match="does not tell how much is free"):
        _budget.free_bytes(CPU)


def test_free_memory_is_found_here():
    assert _budget.free_bytes(CPU) > 2**20


# ------------------------------------------------------------ batches


def test_batches_are_resized_sample_by_sample():
    x, y = torch.arange(6.0).reshape(3, 2), torch.arange(3)
    bigger = resized({"x": (x, y), "n": 3, "scalar": torch.tensor(1)}, 5)
    assert torch.equal(bigger["x"][0], x[[0, 1, 2, 0, 1]])
    assert torch.equal(bigger["x"][1], y[[0, 1, 2, 0, 1]])
    assert bigger["n"] == 3
    assert batch_size(bigger) == 5
    assert batch_size(resized((x, y), 1)) == 1
    assert batch_text((x, y)) == "3×2 + 3"
    with pytest.raises(PlanError, match="no tensor with samples"):
        batch_size("words")


def test_a_model_on_several_devices_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, device="meta"))
    with pytest.raises(PlanError, match="lies on cpu, meta"):
        device_of(model, None)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step(torch.randn(2, 3), autocast="float99"), "autocast='float99' is not known"),
        (Step(torch.randn(2, 3), F.mse_loss), "must be a pair"),
        (Step(torch.randn(2, 3), step=lambda model, batch: "no"), "gave a str, not one number"),
        (Step(torch.randn(2, 3), step=lambda model, batch: model(batch).sum().detach()), "depends on nothing"),
    ],
)
def test_what_is_no_step_is_refused(step, message):
    with pytest.raises(PlanError, match=message):
        step.loss(nn.Linear(3, 3))
