"""Layers one by one, without memory: against the counts, against real passes, and against published numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradpath.errors import SpecError
from gradpath.nets import (
    PUBLISHED,
    InceptionBlock,
    NetSpec,
    Network,
    build,
    describe,
    macs,
    parameters,
    resolve,
    side_by_side,
)
from gradpath.nets._catalogue import catalogue
from gradpath.nets._layer_table import watch, without_memory

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("resnet-8", {}),
    ("plain-8", {"norm": "none"}),
    ("resnet-8", {"shortcut": "C", "norm": "group"}),
    ("preresnet-11", {"gate": "exclusive", "stride_on": "3x3"}),
    ("preresnet-8", {"gate": "shortcut", "shortcut_dropout": 0.2}),
    ("wrn-10-2", {"dropout": 0.3, "stochastic_depth": 0.5}),
    ("resnext-29-4x4d", {"norm": "layer", "nonlinearity": "leaky-relu"}),
    ("densenet-bc-16-8", {"concat": "prepend", "dropout": 0.2}),
    ("densenet-c-10-4", {"nonlinearity": "gelu"}),
    ("resnet-18", {"blocks": (1, 1, 1, 1), "depth": 10, "width": 8, "input_size": 48}),
    ("resnet-50-v1", {"blocks": (1, 1, 1, 1), "depth": 14, "width": 8, "input_size": 48, "zero_last_norm": True}),
    ("densenet-121", {"blocks": (2, 1, 1, 1), "depth": 15, "growth_rate": 4, "input_size": 48}),
    ("resnetv2-50", {"blocks": (1, 1, 1, 1), "depth": 14, "width": 8, "input_size": 48}),
    *(
        ("resnet-8", {"norm": "none", "init": init, "nonlinearity": "tanh" if init == "delta-orthogonal" else "relu"})
        for init in ("fixup", "skipinit", "rezero", "xavier")
    ),
    ("plain-8", {"norm": "none", "init": "delta-orthogonal", "nonlinearity": "tanh"}),
]


@pytest.mark.parametrize(("name", "overrides"), KINDS)
def test_layers_are_those_of_a_real_pass(name: str, overrides: dict[str, Any]) -> None:
    spec = resolve(name, **overrides)
    table = describe(spec)
    assert (table.parameters, table.macs) == (parameters(spec), macs(spec))
    net = build(spec)
    seen: dict[str, tuple[int, ...]] = {}
    for module_name, module in net.named_modules():
        if next(module.children(), None) is None and next(module.parameters(), None) is not None:
            module.register_forward_hook(lambda _, __, out, n=module_name: seen.update({n: tuple(out.shape[1:])}))
    net(torch.randn(2, 3, spec.input_size, spec.input_size))
    layers = {layer.name: layer for layer in table.layers if layer.parameters}
    assert {name: layer.shape for name, layer in layers.items()} == seen
    assert [name for name in layers] == list(seen)  # noqa: C416
    for name, layer in layers.items():
        own = net.get_submodule(name).parameters(recurse=False)
        assert layer.parameters == sum(parameter.numel() for parameter in own)


def bytes_kept(net: Network, batch: int) -> int:
    """By a real forward pass: storages that autograd holds, without parameters and statistics."""
    held: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.dim() > 1:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = net(torch.randn(batch, 3, net.spec.input_size, net.spec.input_size))
    for parameter in net.parameters():
        held.pop(parameter.untyped_storage().data_ptr(), None)
    assert out.requires_grad
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values())


@pytest.mark.parametrize(("name", "overrides"), KINDS[:12])
def test_activations_are_those_that_autograd_holds(name: str, overrides: dict[str, Any]) -> None:
    spec = resolve(name, **overrides | {"stochastic_depth": 0.0})
    net = build(spec)
    assert describe(spec).activation_bytes == pytest.approx(bytes_kept(net, 4) / 4, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "batch", "gibibytes"),
    [
        ("resnet-110", 128, 1.0),
        ("densenet-bc-100-12", 64, 2.08),
        pytest.param("resnet-1202", 128, 11.0, marks=pytest.mark.slow),
        pytest.param("preresnet-1001", 64, 9.1, marks=pytest.mark.slow),
        pytest.param("densenet-bc-190-40", 64, 20.9, marks=pytest.mark.slow),
        pytest.param("densenet-bc-250-24", 64, 20.6, marks=pytest.mark.slow),
    ],
)
def test_activations_computed_elsewhere(name: str, batch: int, gibibytes: float) -> None:
    assert describe(resolve(name)).activation_bytes * batch / 2**30 == pytest.approx(gibibytes, rel=0.01)


@pytest.mark.parametrize(("name", "pixels"), [("resnet-50-v1", 483), ("resnet-101", 971)])
def test_receptive_fields_of_imagenet_nets(name: str, pixels: int) -> None:
    """483 for v1: Araujo et al. 2019. v1.5 has the 3×3 of three stages before the stride: 8 + 16 + 32 pixels less."""
    assert max(layer.receptive_field or 0 for layer in describe(resolve(name)).layers) == pixels


def field_by_gradient(net: nn.Module, features: Any, size: int) -> int:
    """Rows of the input that a pixel in the middle has a gradient to: all weights 1, nothing cancels."""
    net.double().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1 / parameter[0].numel() if parameter.dim() > 1 else 1)
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    out = features(image)
    middle = out.shape[2] // 2
    out[0, :, middle, middle].sum().backward()
    return int((image.grad[0].abs().sum((0, 2)) > 0).sum())  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "overrides", "size"),
    [
        ("resnet-8", {"width": 2, "shortcut": "B"}, 64),
        ("preresnet-11", {"width": 4}, 64),
        ("resnet-11", {"width": 4, "bottleneck": True, "stride_on": "1x1", "shortcut": "C"}, 64),
        ("plain-14", {"width": 2}, 96),
        ("densenet-bc-16-8", {"width": 4}, 96),
    ],
)
def test_receptive_fields_by_gradient(name: str, overrides: dict[str, Any], size: int) -> None:
    net = build(name, **overrides, input_size=size)
    seen = field_by_gradient(net, lambda image: net.stages(net.stem(image)), size)
    blocks = [layer for layer in describe(net.spec).layers if layer.block]
    assert max(layer.receptive_field or 0 for layer in blocks) == seen


def test_an_inception_block_sees_what_its_largest_branch_sees() -> None:
    spec = NetSpec(family="residual", depth=8)
    with torch.device("meta"):
        block = InceptionBlock(spec, 3, 32)
    layers = watch(block, torch.empty(2, 3, 12, 12, device="meta")).layers
    assert max(layer.receptive_field or 0 for layer in layers) == 5
    real = InceptionBlock(spec, 3, 32)
    assert field_by_gradient(real, real, 12) == 5
    assert sum(layer.parameters for layer in layers) == parameters(real)
    x, expected = torch.randn(1, 3, 12, 12), 0
    for name, module in real.named_modules():
        if isinstance(module, nn.Conv2d):
            expected += module.weight.numel() * 144
            assert next(layer for layer in layers if layer.name == name).shape == (module.out_channels, 12, 12)
    assert sum(layer.macs for layer in layers) == expected
    assert real.float().eval()(x).shape == (1, 32, 12, 12)


def test_strides_and_kinds() -> None:
    layers = {(layer.name, layer.kind): layer for layer in describe(resolve("resnet-50")).layers}
    assert layers["stem.conv", "7×7 /2"].stride == 2
    assert layers["stem", "max 3×3 /2"].shape == (64, 56, 56)
    assert layers["stages.3.0.conv2", "3×3 /2"].stride == 32
    assert layers["head", "mean over pixels"].receptive_field is None
    assert ("stages.1.0.conv2", "3×3 /2 in 32 groups") in {
        (layer.name, layer.kind) for layer in describe(resolve("resnext-50-32x4d")).layers
    }
    dense = describe(resolve("densenet-bc-10-4")).layers
    assert next(layer for layer in dense if layer.kind == "mean 2×2 /2").name == "stages.1.0"


def test_several_side_by_side() -> None:
    names = ["resnet-20", "densenet-bc-22-12"]
    comparison = side_by_side([resolve(name) for name in names])
    assert [net.name for net in comparison.nets] == names
    residual, dense = comparison.nets
    assert (residual.layers, residual.blocks, residual.width) == (20, 9, 64)
    assert (dense.layers, dense.blocks, dense.width) == (22, 11, 69)
    own, layer, *inception = comparison.blocks
    assert (own.name, own.reads, own.writes, own.computes, own.size) == ("stages.1.2", 32, 32, 32, 16)
    assert own.parameters == 2 * (9 * 32 * 32 + 64)
    assert (layer.name, layer.reads, layer.writes, layer.computes) == ("stages.1.3", 54, 66, 12)
    assert layer.parameters == 2 * 54 + 54 * 48 + 2 * 48 + 9 * 48 * 12
    assert [(block.reads, block.writes, block.name) for block in inception] == [
        (32, 32, "Inception-style"),
        (54, 64, "Inception-style"),  # 66 cannot be shared out
    ]


def test_the_list_has_every_published_net_and_the_builders_counts() -> None:
    from gradpath.cli.nets import _catalogue

    kept = _catalogue()
    assert sorted(net.name for net in kept.nets) == sorted(PUBLISHED)
    assert {net.group for net in kept.nets} == {group.title for group in kept.groups}
    for net in [net for net in kept.nets if net.layers < 60][::8]:
        spec = resolve(net.name)
        counted = (spec.depth, parameters(spec), macs(spec), spec.input_size, spec.classes)
        assert (net.layers, net.parameters, net.macs, net.input_size, net.classes) == counted


@pytest.mark.slow
def test_the_list_is_up_to_date() -> None:
    """If it is not: python scripts/write_nets.py"""
    from gradpath.cli.nets import _catalogue

    assert _catalogue() == catalogue()


def test_nothing_is_allocated_and_nothing_is_left() -> None:
    net = without_memory(resolve("resnet-8"))
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}
    watch(net.train(), torch.empty(2, 3, 32, 32, device="meta"))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    with pytest.raises(SpecError, match=r"takes images N×3×H×W"):
        watch(net, torch.empty(2, 5, 32, 32, device="meta"))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_stochastic_depth_is_described_with_every_branch() -> None:
    spec = resolve("resnet-8")
    dropped = dataclasses.replace(spec, stochastic_depth=0.5)
    assert describe(dropped).layers == describe(spec).layers
