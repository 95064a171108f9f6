"""gp.plan: what it predicts is what a real step takes, whatever the model and the budget; and it leaves no trace."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradpath as gp
from gradpath import units
from gradpath.errors import MemoryBudgetError, PlanError, UserError
from gradpath.kernels import norm_passes
from gradpath.memory import _closed_loop, apply_plan, plan
from gradpath.memory._closed_loop import measured_step
from gradpath.memory._measuring import _layers
from gradpath.memory._measuring._layers import layers_of_chain
from gradpath.memory._measuring._peak import growth
from gradpath.memory._measuring._step import Step
from gradpath.memory._predict import Constant, constant_of
from gradpath.memory._record import plan_of
from gradpath.memory._study import chain_of, named_modules, study
from gradpath.record import Plan

CPU = torch.device("cpu")
FAST = {"within_seconds": 0.0}  # bytes are exact at once; times are not what is tested here


class Sequential(nn.Module):
    """As users write them: layers in a row, in place where it can be, dropout between."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True)]
        for _ in range(6):
            layers += [nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(True), nn.Dropout(0.1)]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Residual(nn.Module):
    """Blocks of a user's own in a list, called by a loop."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return x + self.b(F.gelu(self.a(x)))

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 10)
        self.blocks = nn.ModuleList(Residual.Block() for _ in range(8))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


def ours(name, **overrides):
    return lambda: gp.build(name, **{"width": 8, "input_size": 16, **overrides})


MODELS = {
    "resnet": ours("resnet-32"),
    "pre-activation bottleneck": ours("preresnet-bottleneck-38", width=4),
    "plain": ours("plain-32"),
    "dense": ours("densenet-31-4"),
    "sequential": Sequential,
    "list": Residual,
}


def made(name="resnet", samples=8):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(samples, 3, 16, 16, generator=generator)
    return MODELS[name](), (x, torch.randint(10, (samples,), generator=generator))


def planned(name="resnet", memory="80%", **options):
    model, batch = made(name)
    return plan(model, batch, memory, criterion=F.cross_entropy, **{**FAST, **options})


def real_peak(running, model, batch, **step):
    """Bytes of a real step at its peak, optimizer included."""
    constant = constant_of(model, "sgd-momentum", batch).total
    how = Step(batch, F.cross_entropy, **step)
    return measured_step(model, running, how, CPU, constant, 0).peak_bytes


@functools.cache
def known(name):
    """(model, step, chain, study), measured once."""
    model, batch = made(name)
    how = Step(batch, F.cross_entropy)
    chain = chain_of(model, how, None)
    return model, how, chain, study(model, how, chain, "sgd-momentum", 0.0)


def budgets(of):
    """From keeping all to the least there is."""
    low, high = of.smallest_bytes, of.keep_all_bytes
    return [low, low + (high - low) // 8, (low + high) // 2, high]


# ------------------------------------------------------------ the promise


@pytest.mark.parametrize("name", MODELS)
def test_the_predicted_peak_is_the_measured_one(name):
    model, how, _, of = known(name)
    for memory in budgets(of):
        found = _closed_loop.checked(plan_of(of, memory, memory, 8), of, model, how)
        (step,) = found.measured
        assert step.predicted_bytes == found.predicted.total <= memory == found.memory_bytes
        assert step.peak_bytes == pytest.approx(found.predicted.total, rel=0.05)
        assert step.peak_bytes <= memory
        assert max(found.live_bytes) <= found.predicted.total


def relu_mlp():
    """Blocks that end in a ReLU: a full tape holds the block's output, which the next block's backward lets go."""
    layers = [layer for _ in range(6) for layer in (nn.Linear(32, 32), nn.ReLU())]
    return nn.Sequential(nn.Linear(512, 32), nn.ReLU(), *layers), torch.randn(64, 512)


def relu_residual():
    return gp.build("resnet-14", norm="none", width=8, input_size=16), torch.randn(4, 3, 16, 16)


def attention():
    layers = [nn.TransformerEncoderLayer(16, 2, 32, 0.0, batch_first=True) for _ in range(4)]
    return nn.Sequential(nn.Linear(8, 16), *layers, nn.Linear(16, 8)), torch.randn(4, 12, 8)


@pytest.mark.parametrize("make", [relu_mlp, relu_residual, attention])
def test_no_step_is_over_its_prediction(make):
    """Tight plans take it to the byte; in loose ones a forward that keeps its graph may be less than a bare one."""
    torch.manual_seed(0)
    model, x = make()
    how = Step(x)
    of = study(model, how, chain_of(model, how, None), "sgd-momentum", 0.0)
    for memory in (of.smallest_bytes, of.smallest_bytes * 101 // 100, of.keep_all_bytes):
        found = plan_of(of, memory, memory, len(x))
        running = apply_plan(model, found)
        step = measured_step(model, running, how, CPU, of.constant.total, found.predicted.total)
        assert step.peak_bytes <= found.predicted.total <= memory
        assert step.peak_bytes >= found.predicted.total * (1 if memory == of.smallest_bytes else 0.97)


@pytest.mark.parametrize("name", MODELS)
def test_keeping_all_is_predicted_as_plain_autograd_takes_it(name):
    model, how, _, of = known(name)
    assert real_peak(model, model, how.batch) == pytest.approx(of.keep_all_bytes, rel=0.05)


@pytest.mark.slow
def test_under_autocast_too():
    model, batch = made("resnet", 16)
    for memory in ("100%", "70%"):
        found = plan(model, batch, memory, criterion=F.cross_entropy, autocast="bfloat16", **FAST)
        assert found.autocast == "bfloat16"
        assert found.measured[-1].peak_bytes == pytest.approx(found.predicted.total, rel=0.05)
    whole = plan(model, batch, "100%", criterion=F.cross_entropy, check=False, **FAST)
    assert found.keep_all.activations < 0.7 * whole.keep_all.activations
    assert real_peak(model, model, batch, autocast="bfloat16") == pytest.approx(found.keep_all.total, rel=0.05)


def test_autocast_inside_the_step_is_seen():
    model, (x, y) = made()

    def step(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return F.cross_entropy(model(batch[0]), batch[1])

    found = plan(model, (x, y), "70%", step=step, **FAST)
    assert found.autocast == "bfloat16"
    assert found.measured[-1].peak_bytes == pytest.approx(found.predicted.total, rel=0.05)


def test_a_training_loop_stays_within_the_plan():
    """Not the closed loop's own step: a user's, with an optimizer, from the outside."""
    model, (x, y) = made("resnet", 16)
    before = sum(p.nbytes for p in model.parameters()) + sum(b.nbytes for b in model.buffers()) + x.nbytes + y.nbytes
    found = plan(model, (x, y), "50%", criterion=F.cross_entropy, optimizer="sgd-momentum", **FAST)

    def train():
        running, optimizer = apply_plan(model, found), torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        for _ in range(3):
            F.cross_entropy(running(x), y).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

    _, span = growth(train, CPU)
    assert before + span.peak_bytes == pytest.approx(found.predicted.total, rel=0.02)


def test_kinds_of_bytes_are_counted():
    model, batch = made()
    for optimizer, times in (("sgd", 0), ("adam", 2), (torch.optim.Adagrad(model.parameters()), 1)):
        found = plan(model, batch, "90%", criterion=F.cross_entropy, optimizer=optimizer, check=False, **FAST)
        parameters = sum(p.nbytes for p in model.parameters())
        assert (found.predicted.parameters, found.predicted.gradients) == (parameters, parameters)
        assert found.predicted.optimizer == pytest.approx(times * parameters, rel=0.03)
        assert found.predicted.buffers == sum(b.nbytes for b in model.buffers())
        assert found.predicted.total <= found.memory_bytes
        assert found.live_bytes and max(found.live_bytes) <= found.predicted.total


def test_less_memory_never_goes_faster():
    of = known("resnet")[3]
    curve = [(point.memory_bytes, point.time_ratio) for point in of.curve()]
    assert curve == sorted(curve)
    assert [ratio for _, ratio in curve] == sorted((ratio for _, ratio in curve), reverse=True)
    assert curve[0][0] <= of.smallest_bytes * 1.02
    assert curve[-1][0] <= of.keep_all_bytes
    assert len(curve) > 5


# ------------------------------------------------------------ what goes in


@pytest.mark.slow
def test_every_way_to_give_a_step_gives_the_same_bytes():
    model, (x, y) = made()

    class Output(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return {"logits": self.inner(x), "n": 3}

    found = [
        plan(model, (x, y), "70%", criterion=F.cross_entropy, check=False, **FAST),
        plan(model, (x, y), "70%", step=lambda m, b: F.cross_entropy(m(b[0]), b[1]), check=False, **FAST),
        plan(model, x, "70%", check=False, **FAST),
        plan(model, {"x": x}, "70%", check=False, **FAST),
        plan(model, (x, y), "70%", check=False, **FAST),
        plan(Output(model), (x,), "70%", check=False, **FAST),
    ]
    for one in found:
        assert one.keep_all.total == pytest.approx(found[0].keep_all.total, rel=0.01)
        assert one.batch in ("8×3×16×16", "8×3×16×16 + 8")
        assert len(one.blocks) in (15, 16)  # the stem of a stranger's model is a block too


def test_given_blocks_are_the_ones_planned():
    model, batch = made("list")
    found = plan(model, batch, "100%", criterion=F.cross_entropy, blocks=list(model.blocks)[2:5], check=False, **FAST)
    assert found.blocks == ("blocks.2", "blocks.3", "blocks.4")
    with pytest.raises(PlanError):
        plan(model, batch, "100%", criterion=F.cross_entropy, blocks=[model.stem, model.head], **FAST)


def test_a_plan_is_a_file_and_says_what_it_is_for(tmp_path):
    found = planned("resnet", "60%", check=False)
    assert (found.name, found.batch, found.device, found.dtype) == ("residual 32", "8×3×16×16", "cpu", "float32")
    assert (found.asked, found.optimizer, found.kernels) == ("60%", "sgd-momentum", "torch")
    assert found.memory_bytes == round(0.6 * found.keep_all.total)
    assert gp.read(found.save(tmp_path / "plan.json")) == found
    assert isinstance(found, Plan)
    json.loads(found.to_json())


def test_channels_last_nets_are_planned_for_the_passes_they_get():
    model, (x, y) = made()
    model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    found = plan(model, (x, y), "60%", criterion=F.cross_entropy, **FAST)
    assert found.kernels == norm_passes().passes.name
    assert found.measured[-1].peak_bytes == pytest.approx(found.predicted.total, rel=0.05)


# ------------------------------------------------------------ nothing is left behind


@pytest.mark.parametrize("name", ["resnet", "sequential", "dense"])
def test_the_model_is_left_as_found(name):
    model, batch = made(name)
    model.train()
    next(model.children()).eval()
    first = next(model.parameters())
    first.grad = torch.full_like(first, 2.0)
    model.head.requires_grad_(False)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    generators = torch.get_rng_state(), random.getstate()
    plan(model, batch, "85%", criterion=F.cross_entropy, **FAST)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == flags
    assert torch.equal(first.grad, torch.full_like(first, 2.0))
    assert all(p.grad is None for p in model.parameters() if p is not first)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert all("forward" not in vars(module) for module in model.modules())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]


def test_it_is_left_as_found_when_the_loss_raises():
    model, batch = made()
    calls = []

    def criterion(output, target):
        calls.append(output)
        if len(calls) > 1:
            raise ZeroDivisionError
        return F.cross_entropy(output, target)

    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError):
        plan(model, batch, "85%", criterion=criterion, **FAST)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# ------------------------------------------------------------ what does not fit


def test_the_error_says_what_fits_and_it_does():
    with pytest.raises(MemoryBudgetError) as caught:
        planned("resnet", "1MiB")
    text, smallest = str(caught.value), caught.value.smallest_bytes
    assert "\n" not in text
    for part in ("memory=1MiB", "the smallest step takes", "autocast to bfloat16", "SGD without momentum"):
        assert part in text
    advised = text.split("give it ")[1].split(",")[0]
    assert smallest < units.parse_memory(advised) < 1.05 * smallest
    found = planned("resnet", advised)
    assert found.measured[-1].peak_bytes <= found.memory_bytes
    with pytest.raises(MemoryBudgetError):
        planned("resnet", int(0.95 * smallest), check=False)


@pytest.mark.slow
def test_the_batch_that_the_error_names_fits():
    model, batch = made("resnet", 32)
    whole = plan(model, batch, "100%", criterion=F.cross_entropy, check=False, **FAST)
    memory = whole.smallest_bytes - 200_000
    with pytest.raises(MemoryBudgetError, match="a batch of about") as caught:
        plan(model, batch, memory, criterion=F.cross_entropy, **FAST)
    size = int(str(caught.value).split("a batch of about ")[1].split(",")[0])
    assert 8 < size < 32
    smaller = (batch[0][:size], batch[1][:size])
    assert plan(model, smaller, memory, criterion=F.cross_entropy, **FAST).measured[-1].peak_bytes <= memory


@pytest.mark.parametrize("memory", ["lots", "0%", "200%", -1, "4 gigs"])
def test_what_is_no_memory_is_refused(memory):
    with pytest.raises(UserError) as caught:
        planned("resnet", memory)
    assert "\n" not in str(caught.value)


def test_other_mistakes_are_named():
    model, batch = made()
    with pytest.raises(UserError, match="optimizer='adamm'"):
        plan(model, batch, optimizer="adamm")
    with pytest.raises(PlanError, match="autocast='int8'"):
        plan(model, batch, autocast="int8", criterion=F.cross_entropy)
    with pytest.raises(PlanError, match="frozen"):
        plan(model.requires_grad_(False), batch, criterion=F.cross_entropy)


class Tangled(nn.Module):
    """No chain: every layer takes two inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Bilinear(6, 6, 6) for _ in range(3))

    def forward(self, x):
        y = self.a(x, x)
        return self.c(self.b(x, y), y)


def test_a_model_without_a_chain_is_measured_and_left_alone():
    torch.manual_seed(0)
    model, x = Tangled(), torch.randn(50, 6)
    found = plan(model, x, "100%")
    assert (found.blocks, found.segments, found.time_ratio) == ((), (), 1.0)
    assert found.left_alone
    assert [row.kind for row in found.layers] == ["Bilinear"] * 3
    assert found.predicted == found.keep_all
    assert found.measured[-1].peak_bytes == found.keep_all.total <= found.memory_bytes
    with pytest.raises(MemoryBudgetError, match="cannot be planned") as caught:
        plan(model, x, "50%")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------ the closed loop


def test_a_plan_that_is_over_is_made_again(monkeypatch):
    """The first two steps are told to take more than the budget."""
    real, told = _closed_loop.measured_step, iter([1.04, 1.02, 1.0])

    def fake(model, running, *args):
        return dataclasses.replace(real(model, running, *args), peak_bytes=int(running.plan.memory_bytes * next(told)))

    monkeypatch.setattr(_closed_loop, "measured_step", fake)
    found = planned("resnet", "85%")
    assert len(found.measured) == 3
    predicted = [step.predicted_bytes for step in found.measured]
    assert predicted == sorted(predicted, reverse=True)
    assert predicted[-1] == found.predicted.total < predicted[0]
    assert found.measured[-1].peak_bytes <= found.memory_bytes == round(0.85 * found.keep_all.total)


def test_constant_bytes_are_part_of_every_total():
    constant = Constant(parameters=1, gradients=2, optimizer=3, buffers=4, batch=5)
    assert constant.total == 15
    made_up = constant.step_bytes(100, 60)
    assert made_up.total == 115
    assert (made_up.activations, made_up.temporaries) == (65, 40)
    assert constant.step_bytes(10, 60).total == 25


# ------------------------------------------------------------ layers


@pytest.mark.parametrize("name", MODELS)
def test_layers_keep_together_what_autograd_keeps(name):
    model, how, chain, of = known(name)
    batch = how.batch
    layers = layers_of_chain(model, how, chain, named_modules(chain), of.signatures, contextlib.nullcontext)
    kept: dict[int, int] = {}
    held = []

    def pack(tensor):
        held.append(tensor)
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(batch[0])
    own = (*model.parameters(), *model.buffers(), batch[0])
    for tensor in own:
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    assert output.shape == (8, 10)
    assert sum(row.kept_bytes for row in layers) == sum(kept.values())
    assert sum(row.parameter_bytes for row in layers) == sum(p.nbytes for p in model.parameters())


def test_rows_of_layers_are_in_the_order_of_the_forward():
    layers = planned("resnet", "100%", check=False).layers
    names = [row.name for row in layers]
    assert names[:2] == ["stem.conv", "stem.norm"]
    assert names[-1] == "head.linear"
    first = names.index("stages.1.0.conv1")
    assert names[first : first + 4] == ["stages.1.0.conv1", "stages.1.0.norm1", "stages.1.0.conv2", "stages.1.0.norm2"]
    row = layers[first]
    assert (row.kind, row.output) == ("Conv2d", "8×16×8×8")
    x_bytes, y_bytes = 8 * 8 * 16 * 16 * 4, 8 * 16 * 8 * 8 * 4
    assert row.parameter_bytes == 16 * 8 * 9 * 4
    assert row.backward_bytes >= x_bytes + row.parameter_bytes
    assert layers[first + 1].kept_bytes == pytest.approx(y_bytes, rel=0.05)  # the convolution's output


def test_a_long_net_s_rows_are_gathered(monkeypatch):
    model, how, chain, of = known("resnet")
    full, short = (
        layers_of_chain(model, how, chain, named_modules(chain), of.signatures, contextlib.nullcontext)
        for _ in (monkeypatch.setattr(_layers, "MOST_ROWS", most) for most in (2000, 30))
    )
    assert len(short) < len(full) / 2
    assert any(row.name.endswith(" ×4") for row in short)
    times = [int(row.name.split(" ×")[1]) if " ×" in row.name else 1 for row in short]
    whole = sum(row.kept_bytes * n for row, n in zip(short, times, strict=True))
    assert whole == pytest.approx(sum(row.kept_bytes for row in full), rel=0.02)
