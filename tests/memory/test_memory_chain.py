"""Chains of blocks: found in models of many shapes, given by name, proved, refused with a reason."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from families import FAMILIES, batches, plain
from torch import Tensor, nn

import gradpath as gp
from gradpath.errors import PlanError
from gradpath.memory._blocks._chain import find_chain


def conv(channels_in: int, channels_out: int = 4) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class Block(nn.Module):
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = conv(4), nn.BatchNorm2d(4), nn.ReLU(inplace)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.relu(self.norm(self.conv(x)))


class PreInPlace(Block):
    """Begins with an activation that writes to the block's input."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.relu_(x))


def the_input() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 4, 8, 8)


def chain_of(model: nn.Module, blocks: Any = None, x: Tensor | None = None) -> Any:
    given = the_input() if x is None else x
    return find_chain(model, lambda m: m(given), blocks)


def test_our_nets_have_their_blocks():
    for name in ("resnet-20", "plain-20", "densenet-40-12"):
        net = gp.build(name, input_channels=4, input_size=8, width=4, **({"depth": 13} if "dense" in name else {}))
        found = chain_of(net)
        assert [block for (block,) in found.blocks] == list(net.blocks())
        assert found.names[0] == "stages.0.0" and len(found.layouts) == len(found.names) + 1
        assert found.layouts[0].shape == (2, 4, 8, 8) and found.layouts[-1].shape[2:] == (2, 2)
        assert found.left_alone == ("stem: before the blocks", "head: after the blocks")


SMALL = {"input_channels": 4, "input_size": 8, "width": 4}
OURS = {
    "plain-20": SMALL,
    "resnet-20": SMALL,
    "preresnet-20": SMALL | {"bottleneck": True},
    "resnet-50": {"input_channels": 4, "input_size": 32, "width": 4},
    "densenet-bc-100-12": {"input_channels": 4, "input_size": 8, "depth": 22},
}


@pytest.mark.parametrize("name", OURS)
def test_of_our_nets_a_block_of_each_kind_is_run(name):
    """The chain is that which running the whole net proves."""
    net = gp.build(name, **OURS[name])
    x = torch.randn(2, 4, net.spec.input_size, net.spec.input_size).contiguous(memory_format=torch.channels_last)
    found, whole = chain_of(net, x=x), chain_of(net, list(net.blocks()), x)
    assert (found.names, found.layouts, found.left_alone) == (whole.names, whole.layouts, whole.left_alone)
    assert all(a is b for (a,), (b,) in zip(found.blocks, whole.blocks, strict=True))


def test_of_a_deep_net_few_blocks_are_run(monkeypatch):
    net, runs = gp.build("resnet-110", **SMALL), list[nn.Module]()
    kind = type(net.stages[0][0])
    forward = kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: runs.append(self) or forward(self, x))
    chain_of(net)
    assert len(runs) == len(set(runs)) == 6  # in each stage the first and one of the others


def test_a_net_of_ours_that_a_step_runs_twice_is_no_chain():
    net = gp.build("resnet-8", **SMALL)
    with pytest.raises(PlanError, match="is called 2 times"):
        find_chain(net, lambda m: m(the_input()) + m(the_input()))


def test_a_net_of_ours_with_one_block_at_two_places_is_told_so():
    net = gp.build("resnet-20", **SMALL)
    net.stages[1][2] = net.stages[1][1]
    with pytest.raises(PlanError, match="is called 2 times"):
        chain_of(net)


def test_a_net_of_ours_with_a_foreign_part_is_run_whole():
    """A part that reads what another block has computed, which one block of a kind does not show."""
    net = gp.build("resnet-20", **SMALL)

    class Writes(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            self.seen = x.mean()
            return x + 1

    class Reads(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            return x + net.stages[0][1].seen

    net.stages[0][1], net.stages[2][1] = Writes(), Reads()
    with pytest.raises(PlanError, match="uses a tensor that needs a gradient"):
        chain_of(net)


def test_altered_nets_of_ours_are_proved_by_running_them():
    """One that reads what is between its blocks is found out, though its class is known to run them in a row."""
    net = gp.build("resnet-8", input_channels=4, input_size=8, width=4)
    run = net.stages.forward
    net.stages.forward = lambda x: run(x) + net.stages[0][0](x).mean()
    with pytest.raises(PlanError, match=r"is called 2 times|uses what is between"):
        chain_of(net)
    seen: list[Tensor] = []
    net = gp.build("resnet-8", input_channels=4, input_size=8, width=4)
    net.stages[1].register_forward_hook(lambda module, args, out: seen.append(out))
    net.stages[2].register_forward_hook(lambda module, args, out: out + seen.pop().mean())
    with pytest.raises(PlanError, match="uses what is between"):
        chain_of(net)


class Stages(nn.Module):
    """As torchvision's and timm's ResNets: a stem of layers, stages that are sequences, a functional head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = conv(4), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(), Block())
        self.layer2 = nn.Sequential(Block(), nn.Sequential(Block(), Block(True)))
        self.pool, self.unused, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.flatten(self.pool(x), 1))


def test_stages_are_one_chain():
    found = chain_of(Stages())
    stem, *blocks = found.names
    assert stem == "conv1+bn1+relu"
    assert blocks == ["layer1.0", "layer1.1", "layer2.0", "layer2.1.0", "layer2.1.1"]
    assert found.left_alone == ("unused: is not called in this forward", "fc: after the blocks")


def test_layers_are_grouped_by_their_weights():
    layers = [
        conv(4),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        conv(4),
        nn.ReLU(inplace=True),
        conv(4),
        nn.Tanh(),
    ]
    assert chain_of(nn.Sequential(*layers)).names == ("0+1+2+3", "4+5", "6+7")


def test_what_writes_to_its_input_joins_what_made_it():
    model = nn.Sequential(
        Block(), nn.ReLU(inplace=True), Block(), nn.Identity(), nn.ReLU(inplace=True), Block(), Block()
    )
    assert chain_of(model).names == ("0+1", "2+3+4", "5", "6")
    model = nn.Sequential(*(Block() for _ in range(3)), PreInPlace(), *(Block() for _ in range(2)))
    assert chain_of(model).names == ("0", "1", "2+3", "4", "5")
    assert chain_of(nn.Sequential(PreInPlace(), *(Block() for _ in range(3)))).names == ("1", "2", "3")


class Loop(nn.Module):
    """Blocks in a list, run in a row; with ways to spoil it."""

    def __init__(self, way: str = "") -> None:
        super().__init__()
        self.blocks, self.way = nn.ModuleList(Block() for _ in range(6)), way
        self.side, self.scale = conv(4), nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        middle = x
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 2:
                middle = x
                if self.way == "add in place":
                    x += 1.0
                if self.way == "scale":
                    x = x * self.scale
        if self.way == "tap":
            x = x + middle
        if self.way == "tap by a module":
            x = x + self.side(middle)
        if self.way == "shape":
            x = x * middle.mean()
        return x


@pytest.mark.parametrize("way", ["", "add in place", "scale", "tap", "tap by a module", "shape"])
def test_lists_of_blocks(way):
    found = chain_of(Loop(way))
    names = [f"blocks.{index}" for index in range(6)]
    if way == "":
        assert list(found.names) == names
    elif way in ("tap", "shape"):  # seen by what comes out alone
        assert found.names == () and "uses what is between" in found.left_alone[0]
    else:
        assert list(found.names) in (names[:3], names[3:])
        assert chain_of(Loop(way), names[:3]).names == tuple(names[:3])
        assert chain_of(Loop(way), names[3:]).names == tuple(names[3:])


def test_values_between_stages_leave_the_largest_stage():
    class Pyramid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = (nn.Sequential(*(Block() for _ in range(n))) for n in (2, 4))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            one = self.first(x)
            return one, self.second(one)

    found = chain_of(Pyramid())
    assert found.names == tuple(f"second.{i}" for i in range(4))
    assert found.left_alone[0].startswith("first.0 to second.3: the model uses what is between")


class Borrowing(nn.Module):
    """Uses a weight that is another's, unknown to nn.Module."""

    def __init__(self, owner: nn.Linear) -> None:
        super().__init__()
        self.borrowed = [owner]

    def forward(self, x: Tensor) -> Tensor:
        return self.borrowed[0](x)


def test_a_borrowed_weight_is_found():
    owner = nn.Linear(8, 8)
    model = nn.Sequential(owner, nn.Linear(8, 8), Borrowing(owner), nn.Linear(8, 8))
    with pytest.raises(PlanError, match="2 uses a tensor that needs a gradient and is no parameter of its own"):
        chain_of(model, [model[1], model[2], model[3]], torch.randn(2, 8))


class Chosen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.two, self.pair, self.c = Block(), Block(), Two(), Pair(), Block()
        self.often, self.never = Block(), Block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.b(self.a(x)), x)
        x, _ = self.pair(x)
        return self.often(self.often(self.c(x + 1)))


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        (["a", "b", "two"], "two takes 2 inputs"),
        (["pair"], "pair returns a tuple"),
        (["a", "often"], "often is called 2 times"),
        (["a", "never"], "never is not called in this forward"),
        (["b", "a"], "a is not run on what b returned"),
        (["a", "c"], "c is not run on what a returned"),
        (["a", "nothing"], "no module 'nothing'"),
        ([nn.Linear(1, 1)], "the given Linear is no module of the model"),
        ([], "none given"),
        (nn.Sequential(Block()), "is no module of the model"),
    ],
)
def test_blocks_that_are_no_chain(blocks, why):
    torch.manual_seed(0)
    with pytest.raises(PlanError, match=rf"blocks: .*{why}"):
        chain_of(Chosen(), blocks)


def test_blocks_that_are_given():
    model = Stages()
    assert chain_of(model, ["layer1.0", "layer1.1"]).names == ("layer1.0", "layer1.1")
    assert chain_of(model, model.layer1).names == ("layer1.0", "layer1.1")
    assert chain_of(model, "layer2").names == ("layer2.0", "layer2.1")
    assert chain_of(model, [model.layer1, model.layer2]).names == ("layer1", "layer2")
    assert chain_of(Loop(), "blocks").names == tuple(f"blocks.{i}" for i in range(6))
    assert chain_of(model, ["conv1", "bn1", "relu", "layer1"]).names == ("conv1", "bn1+relu", "layer1")


def test_a_model_that_checkpoints_itself():
    model = Loop()
    model.grad_checkpointing = True
    found = chain_of(model)
    assert found.names == ()
    with pytest.raises(PlanError, match="is checkpointed by the model itself"):
        chain_of(model, "blocks")


def test_no_chain():
    found = chain_of(Branches())
    assert found.blocks == () and found.left_alone == (
        "no two modules run one after the other, each one tensor to one tensor",
    )


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = Block(), Block()

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.other(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_cannot_be_planned_at_all():
    with pytest.raises(PlanError, match=r"0 is TorchScript"):
        chain_of(nn.Sequential(torch.jit.script(nn.Tanh())))
    with pytest.raises(PlanError, match=r"must be a torch\.nn\.Module"):
        find_chain(print, print)
    sharded = nn.Linear(2, 2)
    sharded.weight.to_local = None
    with pytest.raises(PlanError, match=r"0\.weight is sharded .*FSDP2"):
        chain_of(nn.Sequential(sharded))
    with pytest.raises(PlanError, match="returned no tensor"):
        find_chain(Stages(), lambda m: str(m(the_input())))


def test_left_as_found():
    """Also when the run raises, inside a block."""
    model = nn.Sequential(*(nn.Sequential(Block(), nn.Dropout(0.5)) for _ in range(3)))
    model[1].eval()
    x = the_input()
    hook = model[0].register_forward_hook(lambda module, args, out: out * 1.0)
    dicts = {name: set(vars(module)) for name, module in model.named_modules()}
    state, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert len(chain_of(model, x=x).names) == 5  # the first is hooked, and stays one block
    hook.remove()
    model[2][0].conv.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        chain_of(model, x=x)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in state.items())
    assert flags == [m.training for m in model.modules()]
    assert torch.equal(generators[0], torch.get_rng_state()) and generators[1] == random.getstate()
    assert (generators[2] == np.random.get_state()[1]).all()  # noqa: NPY002
    assert dicts == {name: set(vars(module)) for name, module in model.named_modules()}
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family):
    """Whatever its blocks draw and write."""

    class Family(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = FAMILIES[family]()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner.run(x, plain)

    torch.manual_seed(0)
    ((x, _),) = batches(1)
    found = chain_of(Family(), x=x)
    assert (len(found.blocks) == 0) == (family == "dense layers")
    assert len(found.blocks) >= 3 or family == "dense layers"


def test_compiled_blocks_stay_whole():
    torch.manual_seed(0)
    model = Loop()
    model.blocks[1] = torch.compile(model.blocks[1], backend="eager")
    model.blocks[2].compile(backend="eager")
    assert chain_of(model).names == tuple(f"blocks.{i}" for i in range(6))
    assert model.blocks[2]._compiled_call_impl is not None
