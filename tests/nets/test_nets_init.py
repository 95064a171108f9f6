"""Initialisations, against the formulas of their papers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradpath.nets import build, parameters, resolve
from gradpath.nets._blocks import PostBasic, PostBottleneck, StageBlock
from gradpath.nets._init import CRITICAL_TANH, SQUARED_GAINS
from gradpath.nets._options import NONLINEARITIES, LearnedScale, Shift, ShiftedConv2d


def convs_of(net: nn.Module) -> list[nn.Conv2d]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d)]


def close_to_std(weight: Tensor, std: float) -> None:
    error = 4 / math.sqrt(2 * weight.numel())  # four standard errors of a standard deviation
    assert weight.std().item() == pytest.approx(std, rel=error)


def normal_mean(function: Any) -> float:
    """E[function(z)], z ~ N(0, 1), by the trapezoidal rule on ±12."""
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    return float(torch.trapezoid(function(z) * torch.exp(-z * z / 2) / math.sqrt(2 * math.pi), z))


@pytest.mark.parametrize("name", NONLINEARITIES)
def test_gains_keep_the_mean_square(name: Any) -> None:
    mean_square = normal_mean(lambda z: NONLINEARITIES[name](z) ** 2)
    assert SQUARED_GAINS[name] == pytest.approx(1 / mean_square, rel=1e-6)


def test_the_critical_point_of_tanh() -> None:
    """At the fixed point q of the forward map the factor of the gradient's energy is 1 (Xiao et al. 2018, eq. 2.5)."""
    weight, bias = CRITICAL_TANH
    q = 0.0259209
    assert weight * normal_mean(lambda z: torch.tanh(math.sqrt(q) * z) ** 2) + bias == pytest.approx(q, rel=1e-5)
    slope = normal_mean(lambda z: (1 - torch.tanh(math.sqrt(q) * z) ** 2) ** 2)
    assert weight * slope == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_he_fan_in(nonlinearity: Any) -> None:
    torch.manual_seed(0)
    gain = {"relu": 2.0, "tanh": 2.536175}[nonlinearity]
    for conv in convs_of(build("resnext-11-4x4d", init="he-in", nonlinearity=nonlinearity, input_size=8)):
        fan_in = conv.kernel_size[0] ** 2 * conv.in_channels // conv.groups
        close_to_std(conv.weight, math.sqrt(gain / fan_in))


def test_xavier() -> None:
    torch.manual_seed(0)
    net = build("resnet-8", init="xavier", norm="none")
    for layer in [*convs_of(net), net.head.linear]:
        size = layer.weight[0, 0].numel()
        fans = size * (layer.weight.shape[0] + layer.weight.shape[1])
        close_to_std(layer.weight, math.sqrt(2 / fans))
        assert float(layer.weight.detach().abs().max()) <= math.sqrt(6 / fans)
        assert layer.bias is not None and not layer.bias.any()


@pytest.mark.parametrize(("name", "exponent"), [("resnet-20", -1 / 2), ("resnet-bottleneck-29", -1 / 4)])
def test_fixup(name: str, exponent: float) -> None:
    """Zhang et al. 2019, section 3.2: L^(−1/(2m−2)) with L = 9 branches of m = 2 or 3 convolutions."""
    torch.manual_seed(0)
    net = build(name, init="fixup", norm="none", width=32, input_size=8)
    for block in net.blocks():
        assert isinstance(block, StageBlock)
        *inner, last = block.branch_convs()
        for conv in inner:
            he = math.sqrt(2 / (conv.kernel_size[0] ** 2 * conv.out_channels))
            close_to_std(conv.weight, he * 9**exponent)
        assert not last.weight.any()
        assert block.shortcut is not None
        scalars = [sum(p.numel() == 1 for p in part.parameters()) for part in (block, block.shortcut)]
        assert scalars[0] - scalars[1] == 2 * len(inner) + 2 + 1  # a bias before and after each convolution, a scale
        assert all(conv.bias is None for conv in convs_of(block))
    assert not net.head.linear.weight.any() and not net.head.linear.bias.any()
    assert not net(torch.randn(2, 3, 8, 8)).any()


def test_a_fixup_block_is_that_of_the_papers_code() -> None:
    torch.manual_seed(0)
    block = build("resnet-8", init="fixup", norm="none", width=4, input_size=8).double().get_submodule("stages.0.0")
    assert isinstance(block, PostBasic)
    assert isinstance(block.conv1, ShiftedConv2d) and isinstance(block.conv2, ShiftedConv2d)
    assert isinstance(block.norm1, Shift) and isinstance(block.norm2, Shift) and block.norm2.scale is not None
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    bias1a, bias1b = block.conv1.shift, block.norm1.shift
    bias2a, bias2b, scale = block.conv2.shift, block.norm2.shift, block.norm2.scale
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    out = torch.conv2d(x + bias1a, block.conv1.weight, padding=1)
    out = torch.relu(out + bias1b)
    out = torch.conv2d(out + bias2a, block.conv2.weight, padding=1) * scale + bias2b
    torch.testing.assert_close(block(x), torch.relu(out + x))


@pytest.mark.parametrize(("init", "norm"), [("skipinit", "none"), ("rezero", "batch"), ("rezero", "none")])
def test_branches_times_a_learned_zero(init: str, norm: str) -> None:
    torch.manual_seed(0)
    net = build("preresnet-14", init=init, norm=norm, width=4, input_size=8)
    usual = build("preresnet-14", norm=norm, width=4, input_size=8)
    scales = [module for module in net.modules() if isinstance(module, LearnedScale)]
    assert len(scales) == 6 and parameters(net) == parameters(usual) + 6
    block, x = net.get_submodule("stages.0.1"), torch.randn(2, 4, 8, 8)
    assert torch.equal(block(x), x)
    nn.init.constant_(scales[1].scale, 0.5)
    state = block.state_dict()
    other = usual.get_submodule("stages.0.1")
    other.load_state_dict({key: value for key, value in state.items() if "wrap" not in key})
    torch.testing.assert_close(block(x) - x, 0.5 * (other(x) - x))


def test_zero_last_norm() -> None:
    for name in ("resnet-14", "resnet-bottleneck-20"):
        for block in build(name, zero_last_norm=True).blocks():
            assert isinstance(block, (PostBasic, PostBottleneck))
            norms = [part for part in block.children() if isinstance(part, nn.BatchNorm2d)]
            assert not norms[-1].weight.any() and all(bool((norm.weight == 1).all()) for norm in norms[:-1])


def test_delta_orthogonal_weights() -> None:
    torch.manual_seed(0)
    net = build("resnext-11-2x8d", init="delta-orthogonal", norm="none", nonlinearity="relu", width=8, input_size=8)
    for conv in convs_of(net):
        size = conv.kernel_size[0]
        centre = conv.weight[:, :, size // 2, size // 2]
        assert int(conv.weight.count_nonzero()) == int(centre.count_nonzero()) > 0
        for part in centre.chunk(conv.groups):
            short = part if part.shape[0] <= part.shape[1] else part.T
            torch.testing.assert_close(short @ short.T, 2 * torch.eye(len(short)), rtol=1e-5, atol=1e-5)


def vanilla(depth: int, init: str) -> Any:
    return build(f"plain-basic-{depth}", norm="none", nonlinearity="tanh", init=init, width=16, input_size=8)


def energies(depth: int, init: str) -> list[float]:
    """The gradient's norm at the input of each stage, at initialisation."""
    torch.manual_seed(0)
    net = vanilla(depth, init)
    x, inputs = net.stem(torch.randn(8, 3, 8, 8)), []
    for stage in net.stages:
        x.retain_grad()
        inputs.append(x)
        x = stage(x)
    x.backward(torch.randn_like(x))
    return [float(tensor.grad.norm()) for tensor in inputs]


def test_delta_orthogonal_keeps_gradients_through_200_layers_of_tanh() -> None:
    kept, exploded, vanished = (energies(200, init) for init in ("delta-orthogonal", "he", "xavier"))
    assert 0.3 < kept[0] / kept[2] < 3
    assert exploded[0] / exploded[2] > 1e3
    assert vanished[0] / vanished[2] < 1e-3


@pytest.mark.slow
def test_delta_orthogonal_keeps_gradients_through_10000_layers_of_tanh() -> None:
    kept = energies(10_004, "delta-orthogonal")
    assert 0.1 < kept[0] / kept[2] < 10


def test_counting_draws_nothing_and_initialises_nothing() -> None:
    before = torch.get_rng_state()
    for init in ("he-in", "xavier", "rezero", "delta-orthogonal"):
        assert parameters(resolve("resnet-8", init=init)) > 0
    assert torch.equal(before, torch.get_rng_state())
