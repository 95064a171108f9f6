"""Whole networks: against a functional rewriting of the papers, twins, depth, inputs, initialisation."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.errors import SpecError
from gradpath.nets import Block, NetSpec, Transition, build, parameters

State = dict[str, Tensor]


class Rewritten:
    """The forward pass written again, from the papers and the names in the state_dict alone."""

    def __init__(self, spec: NetSpec, state: State) -> None:
        self.spec, self.state = spec, state

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, self.state.get(f"{name}.bias"), stride, weight.shape[-1] // 2, groups=groups)

    def norm(self, name: str, x: Tensor) -> Tensor:
        if self.spec.norm == "none":
            return x
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
        weight, bias = (self.state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * weight + bias

    def short(self, name: str, x: Tensor, channels: int, stride: int) -> Tensor:
        spec, new = self.spec, channels - x.shape[1]
        if spec.shortcut == "C" or (spec.shortcut == "B" and (new or stride > 1)):
            x = self.conv(f"{name}.shortcut.conv", x, stride)
            return self.norm(f"{name}.shortcut.norm", x) if spec.activation == "post" else x
        x = x[:, :, ::stride, ::stride]
        zeros = x.new_zeros(x.shape[0], new, *x.shape[2:])
        parts = [zeros[:, : new // 2], x, zeros[:, new // 2 :]] if spec.padding == "both" else [x, zeros]
        return torch.cat(parts, 1)

    def post(self, name: str, x: Tensor, channels: int, stride: int) -> Tensor:
        if self.spec.bottleneck:
            first, second = (stride, 1) if self.spec.stride_on == "1x1" else (1, stride)
            out = F.relu(self.norm(f"{name}.norm1", self.conv(f"{name}.conv1", x, first)))
            out = F.relu(self.norm(f"{name}.norm2", self.conv(f"{name}.conv2", out, second)))
            out = self.norm(f"{name}.norm3", self.conv(f"{name}.conv3", out))
        else:
            out = F.relu(self.norm(f"{name}.norm1", self.conv(f"{name}.conv1", x, stride)))
            out = self.norm(f"{name}.norm2", self.conv(f"{name}.conv2", out))
        return F.relu(out + self.short(name, x, channels, stride) if self.spec.family == "residual" else out)

    def pre(self, name: str, x: Tensor, channels: int, stride: int) -> Tensor:
        out = F.relu(self.norm(f"{name}.norm1", x))
        if name.endswith(".0") and (self.spec.widen is None or x.shape[1] != channels):
            x = out
        strides = (1, stride, 1) if self.spec.stride_on == "3x3" else (stride, 1, 1)
        out = self.conv(f"{name}.conv1", out, strides[0])
        for i in (2, 3) if self.spec.bottleneck else (2,):
            out = self.conv(f"{name}.conv{i}", F.relu(self.norm(f"{name}.norm{i}", out)), strides[i - 1])
        return out + self.short(name, x, channels, stride) if self.spec.family == "residual" else out

    def stages(self, x: Tensor) -> Tensor:
        block = self.pre if self.spec.activation == "pre" else self.post
        for stage, blocks in enumerate(self.spec.blocks or [self.spec.blocks_per_stage] * 3):
            channels = self.spec.width * (self.spec.widen or 1) * 2**stage * (4 if self.spec.bottleneck else 1)
            for index in range(blocks):
                x = block(f"stages.{stage}.{index}", x, channels, 2 if stage and not index else 1)
        return x

    def dense(self, x: Tensor) -> Tensor:
        for stage in range(3):
            start = 0
            if stage:
                name, start = f"stages.{stage}.0", 1
                x = F.avg_pool2d(self.conv(f"{name}.conv", F.relu(self.norm(f"{name}.norm", x))), 2)
            features = [x]
            for index in range(start, start + self.spec.blocks_per_stage):
                new = torch.cat(features, 1)
                for i in (1, 2) if self.spec.bottleneck else (1,):
                    name = f"stages.{stage}.{index}"
                    new = self.conv(f"{name}.conv{i}", F.relu(self.norm(f"{name}.norm{i}", new)))
                features.append(new)
            x = torch.cat(features, 1)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        pre = self.spec.activation == "pre" or self.spec.family == "dense"
        x = self.conv("stem.conv", x)
        x = x if pre else F.relu(self.norm("stem.norm", x))
        x = self.dense(x) if self.spec.family == "dense" else self.stages(x)
        x = F.relu(self.norm("head.norm", x)) if pre else x
        return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.state["head.linear.weight"], self.bias)

    @property
    def bias(self) -> Tensor:
        return self.state["head.linear.bias"]


CASES: list[tuple[str, dict[str, Any]]] = [
    ("plain-14", {}),
    ("plain-14", {"norm": "none", "init": "default"}),
    ("preplain-14", {}),
    ("plain-bottleneck-20", {}),
    ("resnet-14", {}),
    ("resnet-14", {"padding": "end"}),
    ("resnet-14", {"shortcut": "B"}),
    ("resnet-14", {"shortcut": "C"}),
    ("resnet-14", {"norm": "none", "init": "default"}),
    ("resnet-bottleneck-20", {}),
    ("resnet-bottleneck-20", {"shortcut": "A"}),
    ("preresnet-14", {}),
    ("preresnet-14", {"shortcut": "A"}),
    ("preresnet-14", {"norm": "none", "init": "default"}),
    ("preresnet-bottleneck-20", {}),
    ("wrn-16-1", {}),
    ("wrn-10-3", {}),
    ("plain-wrn-10-3", {}),
    ("resnext-20-2x3d", {}),
    ("plain-resnext-20-2x3d", {}),
    ("resnet-50-v1", {"stem": "cifar", "blocks": (1, 2), "depth": 11}),
    ("resnetv2-50", {"stem": "cifar", "blocks": (2, 1), "depth": 11}),
    ("wide-resnet-50-2", {"stem": "cifar", "blocks": (1, 1), "depth": 8}),
    ("densenet-13-4", {}),
    ("densenet-bc-16-4", {}),
    ("densenet-c-13-5", {}),
]


@pytest.mark.parametrize(("name", "overrides"), CASES, ids=[f"{n}{list(o.values()) or ''}" for n, o in CASES])
def test_forward_equals_the_papers_rewritten(name: str, overrides: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = build(name, width=4, input_size=18, classes=5, **overrides).double()  # 18 → 9 → 5, or 4 by pooling
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # 1 and 0 would hide a norm that is missing or exchanged
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    x = torch.randn(3, 3, 18, 18, dtype=torch.float64)
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    expected = Rewritten(net.spec, state)(x)
    assert expected.std() > 1e-3
    torch.testing.assert_close(net(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["resnet-14", "preresnet-basic-14", "resnet-bottleneck-11", "preresnet-11"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_the_plain_twin_has_the_same_parameters(name: str, norm: str) -> None:
    torch.manual_seed(3)
    residual = build(name, shortcut="A", norm=norm)
    torch.manual_seed(3)
    plain = build(name.replace("resnet", "plain"), norm=norm)
    theirs, ours = residual.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)  # one seed, the same weights
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(plain(x), residual(x))
    assert [type(block) for block in plain.blocks()] == [type(block) for block in residual.blocks()]


def test_twins_differ_by_the_add_alone() -> None:
    residual, plain = build("preresnet-basic-14"), build("preplain-basic-14")
    with torch.no_grad():
        for net in (residual, plain):
            for block in net.blocks():
                block.conv2.weight.zero_()  # type: ignore[union-attr, operator]
    x = torch.randn(2, 3, 32, 32)
    assert not plain.stages(plain.stem(x)).any()
    assert residual.stages(residual.stem(x)).any()


def test_names_of_modules() -> None:
    net = build("resnet-20", shortcut="B")
    for name in ("stem.conv", "stem.norm", "stages.0.2.conv1", "stages.2.0.shortcut.conv", "head.linear"):
        net.get_submodule(name)
    assert len(list(net.blocks())) == 9
    assert all(isinstance(block, Block) for block in net.blocks())
    assert isinstance(build("densenet-40-12").get_submodule("stages.1.0"), Transition)


@pytest.mark.parametrize("name", ["resnet-8", "preresnet-11", "densenet-bc-10-4"])
def test_stages_halve_the_resolution(name: str) -> None:
    net = build(name, input_size=28, input_channels=1)
    x = net.stem(torch.randn(2, 1, 28, 28))
    sizes = []
    for stage in net.stages:
        x = stage(x)
        sizes.append(tuple(x.shape[2:]))
    assert sizes == [(28, 28), (14, 14), (7, 7)]


def test_without_norm_convolutions_have_a_bias_and_nothing_normalises() -> None:
    bare, normed = build("resnet-14", norm="none", shortcut="B"), build("resnet-14", shortcut="B")
    convs = [module for module in bare.modules() if isinstance(module, nn.Conv2d)]
    assert all(conv.bias is not None and not conv.bias.any() for conv in convs)
    assert not any("norm" in key for key in bare.state_dict())
    assert all(conv.bias is None for conv in normed.modules() if isinstance(conv, nn.Conv2d))


def test_he_initialisation_is_fan_out() -> None:
    torch.manual_seed(0)
    net = build("densenet-bc-22-12")
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            expected = math.sqrt(2 / (module.kernel_size[0] ** 2 * module.out_channels))
            error = 4 / math.sqrt(2 * module.weight.numel())  # four standard errors of a standard deviation
            assert module.weight.std().item() == pytest.approx(expected, rel=error)
    linear = net.head.linear
    assert not linear.bias.any()
    assert linear.weight.abs().max() <= 1 / math.sqrt(linear.in_features)


def test_default_initialisation_is_torchs_own() -> None:
    torch.manual_seed(0)
    net = build("plain-8", init="default")
    torch.manual_seed(0)
    assert torch.equal(net.stem.conv.weight, nn.Conv2d(3, 16, 3, bias=False).weight)
    assert net.head.linear.bias.any()


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(SpecError, match=r"residual 8 takes images N×3×H×W, got 2×1×32×32: .*input_channels"):
        build("resnet-8")(torch.zeros(2, 1, 32, 32))
    with pytest.raises(SpecError, match="got 32×3×32"):
        build("resnet-8")(torch.zeros(32, 3, 32))


def test_another_size_warns_once_and_runs() -> None:
    net = build("resnet-8")
    with pytest.warns(UserWarning, match=r"residual 8 is built for 32×32 images, fed 40×48: .*input_size"):
        assert net(torch.zeros(2, 3, 40, 48)).shape == (2, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(torch.zeros(2, 3, 40, 48))
        build("resnet-8")(torch.zeros(2, 3, 32, 32))


def test_1202_layers_forward_and_backward() -> None:
    net = build("resnet-1202", width=2, input_size=8)
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_10001_layers_build() -> None:
    net = build("preresnet-10001", width=2)
    assert len(list(net.blocks())) == 3 * 1111
    # A block of inner width c = 2, 4, 8 has convolutions 4c·c + 9c·c + c·4c and norms 2(4c + c + c).
    per_block = [17 * c * c + 12 * c for c in (2, 4, 8)]
    assert parameters(net) - parameters(build("preresnet-11", width=2)) == 1110 * sum(per_block)


def test_build_takes_a_specification_with_overrides() -> None:
    spec = NetSpec(family="residual", depth=8)
    assert build(spec, classes=3).spec == dataclasses.replace(spec, classes=3)
    assert build(spec).spec is not None and build(spec)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
