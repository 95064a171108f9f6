"""A form is given where it is proved, and nowhere else."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lean_blocks import (
    BLOCKS,
    POST,
    C,
    TimmBottleneck,
    VisionBasic,
    awake,
    by_autograd,
    by_moves,
    make,
    pooled_projection,
)
from torch import nn
from torch.nn.utils import parametrizations, prune

from gradpath.nets import Form, LeanMoves, NetSpec, PostBasic, build, form_of, why_not
from sweep.libraries import load, load_torchvision


@pytest.mark.parametrize("name", BLOCKS)
def test_every_known_block_has_a_form(name: str) -> None:
    block = make(name)
    form = form_of(block)
    assert isinstance(form, Form)
    assert why_not(block) == ""
    assert form.pre is name.startswith("pre")
    assert len(form.convs) == len(form.norms) == (3 if "bottleneck" in name else 2)
    assert all(a is b for a, b in zip(form.parameters(), block.parameters(), strict=True))


def test_parameters_are_those_of_the_moment() -> None:
    block = make("post basic, projection")
    form = form_of(block)
    assert form is not None
    block.load_state_dict({k: v.clone() for k, v in block.state_dict().items()}, assign=True)
    assert all(a is b for a, b in zip(LeanMoves(form).parameters, block.parameters(), strict=True))


def _parametrised(block: Any) -> None:
    parametrizations.weight_norm(block.conv2)


def _old_weight_norm(block: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.utils.weight_norm(block.conv2)


def _set(path: str, value: Callable[[], Any]) -> Callable[[Any], None]:
    """block.path = value()."""

    def change(block: Any) -> None:
        owner, _, name = path.rpartition(".")
        setattr(block.get_submodule(owner), name, value())

    return change


class MyConv(nn.Conv2d):
    pass


class MyNorm(nn.BatchNorm2d):
    pass


CONV = {"in_channels": C, "out_channels": C, "kernel_size": 3, "padding": 1, "bias": False}
UNPROVED: list[tuple[str, str, Callable[[Any], Any], str]] = [
    ("a convolution's subclass", "post basic, identity", _set("conv2", lambda: MyConv(**CONV)), "conv2: is a MyConv"),
    ("a norm's subclass", "post basic, identity", _set("norm1", lambda: MyNorm(C)), "norm1: is a MyNorm"),
    ("synchronised norm", "post basic, identity", _set("norm1", lambda: nn.SyncBatchNorm(C)), "is a SyncBatchNorm"),
    ("no norm", "pre basic, identity", _set("norm2", nn.Identity), "norm2: is a Identity"),
    ("norm without weight", "pre basic, identity", _set("norm2", lambda: nn.BatchNorm2d(C, affine=False)), "no weight"),
    ("bias", "post basic, identity", _set("conv1", lambda: nn.Conv2d(C, C, 3, padding=1)), "conv1: has a bias"),
    (
        "padding mode",
        "post basic, identity",
        _set("conv1", lambda: nn.Conv2d(**CONV, padding_mode="reflect")),
        "conv1: padding",
    ),
    (
        "padding by name",
        "post basic, identity",
        _set("conv1", lambda: nn.Conv2d(**CONV | {"padding": "same"})),
        "padding",
    ),
    ("parametrisation", "post basic, identity", _parametrised, "conv2: is a ParametrizedConv2d"),
    ("weight norm as a hook", "post basic, identity", _old_weight_norm, "conv2: has a hook"),
    ("pruning", "post basic, identity", lambda b: prune.l1_unstructured(b.conv1, "weight", 0.5), "conv1: has a hook"),
    ("forward hook", "post basic, identity", lambda b: b.norm1.register_forward_hook(print), "norm1: has a hook"),
    ("hook before", "post basic, identity", lambda b: b.register_forward_pre_hook(print), "PostBasic: has a hook"),
    ("backward hook", "post basic, identity", lambda b: b.register_full_backward_hook(print), "PostBasic: has a hook"),
    (
        "hook before the backward",
        "post basic, identity",
        lambda b: b.conv1.register_full_backward_pre_hook(print),
        "hook",
    ),
    ("forward replaced", "post basic, identity", lambda b: setattr(b.conv1, "forward", b.conv2.forward), "replaced"),
    ("shared convolution", "post basic, identity", lambda b: setattr(b, "conv2", b.conv1), "used twice"),
    ("shared weight", "post basic, identity", lambda b: setattr(b.conv2, "weight", b.conv1.weight), "used twice"),
    ("another part", "post basic, identity", _set("gate", nn.Sigmoid), "unknown part gate"),
    (
        "another parameter",
        "post basic, identity",
        _set("scale", lambda: nn.Parameter(torch.ones(1))),
        "parameters beside",
    ),
    ("strange shortcut", "post basic, identity", _set("shortcut", nn.Sigmoid), "shortcut: is a Sigmoid"),
    ("dropout as shortcut", "pre basic, identity", _set("shortcut", nn.Dropout), "shortcut: is a Dropout"),
    ("norm of a projection", "post basic, projection", _set("shortcut.norm", lambda: MyNorm(C)), "shortcut.norm: is a"),
    (
        "bias of a projection",
        "post basic, projection",
        _set("shortcut.conv.bias", lambda: nn.Parameter(torch.ones(16))),
        "bias",
    ),
    ("another activation", "torchvision basic, identity", _set("relu", nn.GELU), "relu: is a GELU"),
    ("ReLU6", "torchvision basic, identity", _set("relu", nn.ReLU6), "relu: is a ReLU6"),
    ("downsample of one part", "torchvision basic, projection", lambda b: b.downsample.pop(1), "downsample"),
    (
        "downsample not a row",
        "torchvision basic, identity",
        _set("downsample", lambda: nn.Conv2d(8, 8, 1)),
        "downsample",
    ),
    ("attention", "timm bottleneck, identity", _set("se", nn.Identity), "se: is a Identity"),
    ("stochastic depth", "timm bottleneck, identity", _set("drop_path", nn.Dropout), "drop_path: is a Dropout"),
    ("anti-aliasing", "timm bottleneck, identity", _set("aa", lambda: nn.AvgPool2d(2)), "aa: is a AvgPool2d"),
    ("DropBlock", "timm bottleneck, identity", _set("drop_block", nn.Dropout2d), "drop_block: is a Dropout2d"),
    ("SiLU", "timm bottleneck, identity", _set("act2", nn.SiLU), "act2: is a SiLU"),
    ("max pooling", "timm bottleneck, pooled projection", _set("downsample.0", lambda: nn.MaxPool2d(2)), "downsample"),
]


@pytest.mark.parametrize(
    ("name", "change", "reason"), [case[1:] for case in UNPROVED], ids=[case[0] for case in UNPROVED]
)
def test_what_is_not_proved_has_no_form(name: str, change: Callable[[Any], Any], reason: str) -> None:
    block = make(name, torch.float32)
    assert form_of(block) is not None
    change(block)
    assert form_of(block) is None
    assert reason in why_not(block)


def test_a_subclass_of_a_known_block_has_no_form() -> None:
    class Mine(PostBasic):
        pass

    class BasicBlock(VisionBasic):
        """Of the same name, in another module."""

    assert form_of(Mine(POST, C, C, 1, False)) is None
    assert form_of(BasicBlock(C, C, 1, None)) is None
    assert why_not(nn.Linear(2, 2)) == "Linear is not a block whose arithmetic is known"


def test_a_pad_that_takes_channels_away_has_no_form() -> None:
    block = PostBasic(POST, C, 2 * C, 2, True)
    block.shortcut.before = -1  # type: ignore[union-attr]
    assert "takes channels away" in why_not(block)


def test_projections_of_pre_activation_nets_have_no_norm() -> None:
    form = form_of(make("pre basic, projection"))
    assert form is not None and form.shortcut is not None
    assert form.shortcut.norm is None and form.shortcut.from_activated


def test_an_identity_before_a_projection_is_passed_over() -> None:
    row = pooled_projection(C, C, 1)
    row[0] = nn.Identity()
    form = form_of(TimmBottleneck(C, C, 1, row))
    assert form is not None and form.shortcut is not None and form.shortcut.pool is None


@pytest.mark.parametrize("family", ["residual", "plain"])
@pytest.mark.parametrize("activation", ["pre", "post"])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_all_blocks_of_our_nets_have_a_form(family: Any, activation: Any, bottleneck: bool) -> None:
    depth = 29 if bottleneck else 20
    spec = NetSpec(family=family, depth=depth, width=4, activation=activation, bottleneck=bottleneck, shortcut="B")
    assert [why_not(block) for block in build(spec).blocks()] == [""] * 9


def test_blocks_without_norm_have_no_form() -> None:
    blocks = build(NetSpec(family="residual", depth=8, width=4, norm="none")).blocks()
    assert [why_not(block) for block in blocks] == ["conv1: has a bias"] * 3


def _library(load_it: Callable[[], Any]) -> Any:
    try:
        return load_it()
    except ImportError as missing:
        pytest.skip(str(missing))


def _residual_blocks(net: nn.Module) -> list[nn.Module]:
    return [m for m in net.modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")]


def _agree(block: Any) -> None:
    torch.manual_seed(0)
    awake(block)
    x = torch.randn(2, block.conv1.in_channels, 6, 6)
    with torch.no_grad():
        grad = torch.randn_like(copy.deepcopy(block)(x))
    for cast in (False, True):
        expected = by_autograd(block, x, grad, cast)
        for script in (("full",), ("last", "last"), ("none", "input")):
            assert by_moves(block, x, grad, script, cast).differences(expected) == []


@pytest.mark.slow
def test_torchvision_blocks_have_a_form_and_agree() -> None:
    models = _library(load_torchvision).models
    for name in ("resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2"):
        blocks = _residual_blocks(getattr(models, name)(weights=None))
        assert len(blocks) in (8, 16) and [why_not(block) for block in blocks] == [""] * len(blocks)
        for block in blocks[:4]:
            _agree(block)
    dilated = _residual_blocks(models.resnet50(weights=None, replace_stride_with_dilation=[True, False, False]))
    assert dilated[8].conv2.dilation == (2, 2)
    _agree(dilated[8])


@pytest.mark.slow
def test_timm_blocks_have_a_form_and_agree() -> None:
    timm = _library(lambda: load("timm"))
    for name in ("resnet18", "resnet50", "resnet50d", "resnet26t", "resnext50_32x4d"):
        blocks = _residual_blocks(timm.create_model(name))
        assert len(blocks) in (8, 16) and [why_not(block) for block in blocks] == [""] * len(blocks)
        for block in blocks[:4]:
            _agree(block)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("seresnet50", {}, "se: is a SEModule"),
        ("resnetblur50", {}, "aa: is a BlurPool2d"),
        ("resnet18", {"drop_path_rate": 0.1}, "drop_path: is a DropPath"),
        ("resnet50", {"drop_block_rate": 0.1}, "drop_block: is a DropBlock2d"),
        ("resnet18", {"act_layer": nn.SiLU}, "act1: is a SiLU"),
        ("resnetv2_50", {}, "is not a block"),
    ],
)
def test_timm_blocks_that_do_more_have_no_form(name: str, options: dict[str, Any], reason: str) -> None:
    net = _library(lambda: load("timm")).create_model(name, **options)
    kinds = ("BasicBlock", "Bottleneck", "PreActBottleneck", "PreActBasic")
    reasons = [why_not(module) for module in net.modules() if type(module).__name__ in kinds]
    assert any(reason in found for found in reasons), set(reasons)
