"""A planned model is the plain one, but for the memory: loss, gradients, buffers and random numbers, by any plan."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, batches, different, plain
from plans import grid, plan_of
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import PlanError
from gradpath.memory._blocks._chain import find_chain
from gradpath.memory._running._planned import apply_plan

NETS: dict[str, dict[str, Any]] = {
    "post": {"name": "resnet-20", "width": 4},
    "post B": {"name": "resnet-20", "width": 4, "shortcut": "B"},
    "pre": {"name": "resnet-20", "width": 4, "activation": "pre"},
    "pre B": {"name": "resnet-20", "width": 4, "activation": "pre", "shortcut": "B"},
    "bottleneck": {"name": "resnet-29", "width": 4, "bottleneck": True, "shortcut": "B"},
    "pre bottleneck": {"name": "resnet-29", "width": 4, "bottleneck": True, "shortcut": "B", "activation": "pre"},
    "plain": {"name": "plain-20", "width": 4},
    "dense": {"name": "densenet-40-12", "depth": 13, "growth_rate": 4, "width": 8},
}


def net(kind: str, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    settings = {"input_channels": 2, "input_size": 8, "classes": 4} | NETS[kind] | more
    return gp.build(settings.pop("name"), **settings)


class Family(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = FAMILIES[name]()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.run(x, plain)


def step(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Loss, gradients, buffers and random state after one forward and backward from a seed."""
    torch.manual_seed(1)
    loss = F.cross_entropy(model(x).float(), y)
    loss.backward()
    seen = {"loss": loss.detach(), "random state": torch.get_rng_state()}
    seen |= {f"gradient {n}": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return seen | {f"buffer {n}": b.clone() for n, b in model.named_buffers()}


def planned(model: nn.Module, way: str, x: Tensor) -> nn.Module:
    chain = find_chain(model, lambda m: m(x))
    return apply_plan(model, plan_of(chain.names, grid(len(chain.names))[way]))


def compared(model: nn.Module, way: str, dtype: torch.dtype = torch.float64) -> None:
    ((x, y),) = batches(1)
    model, x = model.to(dtype), x.to(dtype)
    oracle = step(copy.deepcopy(model), x, y)
    assert len(oracle) > 4
    assert different(step(planned(model, way, x), x, y), oracle) == []


WAYS = list(grid(9))
QUICK = {"lean", "none", "raw in twos", "each in turn"}


@pytest.mark.parametrize("way", [way if way in QUICK else pytest.param(way, marks=pytest.mark.slow) for way in WAYS])
@pytest.mark.parametrize("kind", NETS)
def test_every_net_by_every_plan(kind, way):
    compared(net(kind), way)


@pytest.mark.parametrize("way", ["full", "none", "each in turn"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "dense layers"])
def test_families(family, way):
    compared(Family(family), way, torch.float32)


@pytest.mark.parametrize("way", ["full", "none", "each in turn"])
def test_lean_blocks_are_run_lean(way):
    model, ((x, _),) = net("pre B").double(), batches(1)
    chain = planned(model, way, x.double())._chain
    assert {type(moves).__name__ for moves in chain.moves} == {"LeanMoves"}
    assert {type(moves).__name__ for moves in planned(net("dense"), way, x)._chain.moves} == {"ModuleMoves"}


@pytest.mark.parametrize("kind", ["post", "pre B", "dense"])
@pytest.mark.parametrize("way", ["lean", "none", "raw in twos"])
def test_training(kind, way):
    """Steps of SGD, with two backward passes in each, frozen blocks, and an evaluation between."""
    seen = []
    for make in (lambda m, x: planned(m, way, x), lambda m, x: m):
        model = net(kind).double()
        for parameter in list(model.parameters())[:12]:
            parameter.requires_grad_(False)
        trained = make(model, next(batches(1))[0].double())
        optimizer = torch.optim.SGD((p for p in trained.parameters() if p.requires_grad), 0.1, momentum=0.9)
        for x, y in batches(3):
            optimizer.zero_grad()
            losses = [F.cross_entropy(trained(scale * x.double()), y) for scale in (1, 2)]
            (losses[0] + losses[1]).backward()
            F.cross_entropy(trained(x.double()), y).backward()
            optimizer.step()
            trained.eval()
            with torch.no_grad():
                seen.append(trained(x.double()))
            trained.train()
        seen.append(trained.state_dict())
    half = len(seen) // 2
    assert different(seen[-1], seen[half - 1]) == []
    assert all(map(torch.equal, seen[: half - 1], seen[half:-1]))


@pytest.mark.parametrize("kind", ["post B", "pre", "dense"])
def test_evaluation_with_gradients(kind):
    """Running statistics are read, and stay."""
    ((x, y),) = batches(1)
    model = net(kind).double()
    model(x.double())
    oracle = step(copy.deepcopy(model).eval(), x.double(), y)
    trained = planned(model, "each in turn", x.double()).eval()
    assert not model.training and not trained.training
    assert different(step(trained, x.double(), y), oracle) == []


@pytest.mark.parametrize("kind", ["post B", "pre bottleneck", "dense"])
def test_autocast(kind):
    """bfloat16: the same bits by every plan, and the plain model's within its own error."""
    ((x, y),) = batches(1)

    def bits(model: nn.Module) -> dict[str, Tensor]:
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        return found | dict(model.named_buffers()) | {"loss": loss.detach()}

    first = bits(planned(net(kind), "full", x))
    for way in ("lean", "none", "raw in twos"):
        assert different(bits(planned(net(kind), way, x)), first) == []
    plain, exact = bits(net(kind)), step(net(kind).double(), x.double(), y)
    for name in ("head.linear.weight", "stem.conv.weight"):
        error = (plain[name] - exact[f"gradient {name}"]).norm()
        assert (first[name] - plain[name]).norm() <= error


# ---- the module


def test_shared_with_the_model():
    model, ((x, y),) = net("post"), batches(1)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    trained = planned(model, "lean", x)
    assert different(trained.state_dict(), state) == [] and different(model.state_dict(), state) == []
    assert all(a is b for a, b in zip(trained.parameters(), model.parameters(), strict=True))
    assert [n for n, _ in trained.named_modules()] == [n for n, _ in model.named_modules()]
    assert trained.spec == model.spec and trained.head is model.head and "spec" in dir(trained)
    trained.note = "a new attribute"
    trained.extra = nn.Linear(1, 1)
    assert model.note == "a new attribute" and model.extra is trained.extra
    del trained.extra
    assert not hasattr(model, "extra") and not hasattr(trained, "extra")
    trained.eval()
    assert not model.training
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = trained.nothing_such
    trained.load_state_dict({name: value + 1 for name, value in state.items()})
    assert torch.equal(model.head.linear.bias, state["head.linear.bias"] + 1)
    assert trained.to(torch.float64) is trained and model.head.linear.bias.dtype == torch.float64
    assert step(trained.train(), x.double(), y)["loss"].dtype == torch.float32
    outer = nn.Sequential(trained)
    assert list(outer.state_dict()) == [f"0.{name}" for name in state]
    outer.load_state_dict({f"0.{name}": value for name, value in state.items()})
    assert torch.equal(model.head.linear.bias, state["head.linear.bias"].double())


def test_the_model_stays_plain():
    model, ((x, y),) = net("post"), batches(1)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    trained = planned(model, "lean", x)
    step(trained, x, y)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before
    assert "SegmentFn" not in graph_of(model(x)) and "SegmentFn" in graph_of(trained(x))
    handle = model.stages[1][1].conv1.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained(x)
    handle.remove()
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


def graph_of(out: Tensor) -> str:
    names, waiting = [], [out.grad_fn]
    while waiting:
        node = waiting.pop()
        names.append(node.name())
        waiting += [behind for behind, _ in node.next_functions if behind is not None]
    return " ".join(names)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: saved(model)])
def test_copies(again, tmp_path):
    model, ((x, y),) = net("post").double(), batches(1)
    trained = planned(model, "none", x.double())
    step(trained, x.double(), y)
    other = again(trained)
    oracle = step(copy.deepcopy(model), x.double(), y)
    assert oracle.keys() == step(other, x.double(), y).keys()
    assert "SegmentFn" in graph_of(other(x.double()))
    assert all(a is not b for a, b in zip(other.parameters(), model.parameters(), strict=True))
    assert other.head is other._plain.head and other.plan == trained.plan
    with torch.no_grad():
        other.head.linear.bias.add_(1)
        assert not torch.equal(other.eval()(x.double()), trained.eval()(x.double()))


def saved(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_plain_view():
    model, ((x, _),) = net("post"), batches(1)
    trained = planned(model, "lean", x)
    with trained.plain_view():
        with trained.plain_view():
            assert graph_of(trained(x)) == graph_of(model(x))
        assert graph_of(trained(x)) == graph_of(model(x))
    assert "SegmentFn" in graph_of(trained(x))


def test_trace_and_paths_are_those_of_the_plain_model():
    model, ((x, y),) = net("post").double(), batches(1)
    trained = planned(model, "none", x.double())
    ours, theirs = (gp.trace(m, (x.double(), y), F.cross_entropy).to_dict() for m in (trained, model))
    assert "seen through its plain_view()" in str(ours["unseen"])
    for flow in (ours, theirs):
        assert flow["forks"] and flow.pop("unseen")
    assert repr(ours).replace("PlannedModel", "Network") == repr(theirs)
    ours, theirs = (gp.paths(m, (x.double(), y), F.cross_entropy) for m in (model, trained))
    assert ours.shares == theirs.shares and ours.effective_depth == theirs.effective_depth


def test_hooks_on_blocks_see_their_block():
    """What is hooked is not run lean; hooks see what the block takes and gives, at every forward that computes it."""
    model, ((x, y),) = net("post").double(), batches(1)
    trained, seen = planned(model, "lean", x.double()), []
    oracle = step(copy.deepcopy(model), x.double(), y)
    handle = model.stages[1][1].register_forward_hook(lambda module, args, out: seen.append((args[0].shape, out.shape)))
    assert different(step(trained, x.double(), y), oracle) == []
    assert len(set(seen)) == 1 and len(seen) == 2  # the forward, and again in the backward
    handle.remove()
    trained(x.double())
    assert len(seen) == 2 and {type(m).__name__ for m in trained._chain.moves} == {"LeanMoves"}


def test_an_exchanged_layer_is_noticed():
    model, ((x, y),) = net("post").double(), batches(1)
    trained = planned(model, "lean", x.double())
    step(trained, x.double(), y)
    model.zero_grad()
    model.stages[0][1].conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False).double()
    oracle = step(copy.deepcopy(model), x.double(), y)
    assert different(step(trained, x.double(), y), oracle) == []


def test_a_larger_batch_is_warned_of_once():
    model, ((x, _),) = net("post"), batches(1)
    chain = find_chain(model, lambda m: m(x))
    trained = apply_plan(model, plan_of(chain.names, grid(9)["lean"], input_bytes=4 * 4 * 64 * 4))
    trained(x)
    trained(x[:2])
    with pytest.warns(UserWarning, match=r"2\.00 times"):
        trained(torch.cat([x, x]))
    trained(torch.cat([x, x]))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_plans_that_do_not_fit():
    model = net("post")
    names = [f"stages.{i}.{j}" for i in range(3) for j in range(3)]
    with pytest.raises(PlanError, match=r"stages\.0\.7.*did you mean"):
        apply_plan(model, plan_of([*names[:8], "stages.0.7"], grid(9)["lean"]))
    with pytest.raises(PlanError, match="not whole"):
        apply_plan(model, plan_of(names, grid(9)["lean in twos"][1:]))
    with pytest.raises(PlanError, match="9 blocks and segments for 8"):
        apply_plan(model, plan_of(names, grid(8)["lean"]))
    with pytest.raises(PlanError, match="twice"):
        apply_plan(model, plan_of([*names[:8], names[0]], grid(9)["lean"]))
    with pytest.raises(PlanError, match="TorchScript"):
        apply_plan(nn.Sequential(torch.jit.script(nn.Linear(1, 1))), plan_of(["0"], grid(1)["lean"]))
    x = next(batches(1))[0]
    skips = apply_plan(model, plan_of(names[:4] + names[5:], grid(8)["lean"]))
    with pytest.raises(PlanError, match=r"before stages\.1\.2 the model does more"):
        skips(x)
    with pytest.raises(PlanError, match=r"gives stages\.0\.2 another input"):
        apply_plan(model, plan_of([names[0], *names[2:]], grid(8)["lean in twos"]))(x)
    before = {name: set(vars(module)) for name, module in net("post").named_modules()}
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


class Skips(nn.Module):
    """Leaves its middle block out if it is asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, self.skip = nn.ModuleList(nn.Linear(3, 3) for _ in range(3)), False

    def forward(self, x: Tensor) -> Tensor:
        for index, block in enumerate(self.blocks):
            x = x if self.skip and index == 1 else block(x)
        return x


def test_a_block_that_is_not_called():
    model, x = Skips(), torch.randn(2, 3)
    trained = apply_plan(model, plan_of([f"blocks.{i}" for i in range(3)], grid(3)["full"]))
    trained(x)
    model.skip = True
    with pytest.raises(PlanError, match=r"did not call blocks\.1"):
        trained(x)
    model.skip = False
    assert torch.equal(trained(x), model(x))


def test_no_segments_and_data_parallel():
    model, x = Skips(), torch.randn(2, 3)
    trained = apply_plan(model, plan_of([], []))
    assert torch.equal(trained(x), model(x))
    with pytest.raises(PlanError, match="DistributedDataParallel"):
        trained._replicate_for_data_parallel()


def test_compiled_around_it():
    model, ((x, y),) = net("post"), batches(1)
    oracle = step(copy.deepcopy(model), x, y)
    compiled = torch.compile(planned(model, "lean", x), backend="eager")
    ours = {name.replace("_orig_mod.", ""): value for name, value in step(compiled, x, y).items()}
    assert different(ours, oracle) == []
