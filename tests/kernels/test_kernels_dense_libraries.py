"""Fused DenseNets of torchvision and timm, where they are installed."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
from torch import nn

from gradpath.kernels import fuse, fused_modules
from gradpath.kernels._dense_moves import dense_moves
from sweep.libraries import load, load_torchvision


def make(library: str, rate: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    options = {"growth_rate": 4, "block_config": (3, 2, 2), "bn_size": 3, "num_classes": 5}
    if library == "torchvision":
        return module(library).DenseNet(num_init_features=6, drop_rate=rate, **options)
    return module(library).DenseNet(proj_drop_rate=rate, **options)


def module(library: str):
    with contextlib.suppress(ImportError):
        load_torchvision()  # timm imports it where it is installed
    try:
        return load(f"{library}.models.densenet")
    except ImportError as error:
        return pytest.skip(f"{library} is not installed: {error}")


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_training_step_is_that_of_the_plain_net(library):
    plain = make(library).double()
    fused = fuse(copy.deepcopy(plain), say=lambda line: None)
    assert len(fused_modules(fused)) == 3
    assert list(plain.state_dict()) == list(fused.state_dict())
    assert [name for name, _ in plain.named_modules()] == [name for name, _ in fused.named_modules()]
    blocks = [dense_moves([net.features.denseblock1]) for net in (plain, fused)]
    assert blocks[0].channels_out == blocks[1].channels_out == fused.features.transition1.norm.num_features
    x = torch.randn(3, 3, 64, 64).double()
    for net in (plain, fused):
        net(x).square().sum().backward()
    largest = max(p.grad.abs().max() for p in plain.parameters())
    for a, b in zip(plain.parameters(), fused.parameters(), strict=True):
        assert (a.grad - b.grad).abs().max() <= 1e-10 * largest
    for a, b in zip(plain.buffers(), fused.buffers(), strict=True):
        assert torch.allclose(a, b, rtol=1e-10)
    with torch.no_grad():
        assert torch.allclose(plain.eval()(x), fused.eval()(x), rtol=1e-10)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_dropout_is_that_of_the_plain_net_in_channels_last(library):
    plain = make(library, 0.4).to(memory_format=torch.channels_last)
    fused = fuse(copy.deepcopy(plain), say=lambda line: None)
    x = torch.randn(3, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    outputs = []
    for net in (plain, fused):
        torch.manual_seed(3)
        outputs.append(net(x))
    assert torch.allclose(*outputs, rtol=1e-3, atol=1e-4)
    torch.manual_seed(4)
    assert not torch.allclose(fused(x), outputs[0], rtol=1e-3, atol=1e-4)


def test_a_timm_net_with_another_activation_is_left_alone():
    lines: list[str] = []
    timm = module("timm")
    net = timm.DenseNet(growth_rate=4, block_config=(2, 2), act_layer="silu", num_classes=5)
    fuse(net, say=lines.append)
    assert not fused_modules(net)
    assert "left alone: features.denseblock1: layer 0 has a norm with another activation than ReLU" in lines[0]
