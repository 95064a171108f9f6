"""What a specification adds to blocks, each against the formula of its paper written out here."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.flow import trace
from gradpath.nets import NetSpec, build, form_of, why_not
from gradpath.nets._blocks import DenseLayer, PostBasic, PreBasic, StageBlock, Transition
from gradpath.nets._options import StochasticDepth, drop_rate, norm_groups

TINY: dict[str, Any] = {"family": "residual", "depth": 8, "width": 4, "input_size": 8}


def block_of(net: nn.Module, stage: int, index: int) -> StageBlock:
    block = net.get_submodule(f"stages.{stage}.{index}")
    assert isinstance(block, StageBlock)
    return block


def build_tiny(**fields: Any) -> Any:
    torch.manual_seed(0)
    return build(NetSpec(**{**TINY, **fields})).double()


X = torch.randn(3, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# ---- shortcuts (He et al. 2016, table 1)


def test_constant_scales() -> None:
    block = block_of(build_tiny(shortcut_scale=0.5, branch_scale=0.25), 0, 0)
    assert isinstance(block, PostBasic)
    torch.testing.assert_close(block(X), F.relu(0.25 * block.branch(X) + 0.5 * X))


@pytest.mark.parametrize("gate", ["exclusive", "shortcut"])
@pytest.mark.parametrize("stage", [0, 1])
def test_gates(gate: str, stage: int) -> None:
    block = block_of(build_tiny(gate=gate, gate_bias=-1.5), stage, 0)
    assert isinstance(block, PostBasic) and block.gate is not None
    conv = block.gate.conv
    assert conv.bias is not None and bool((conv.bias == -1.5).all())
    stride = 1 + stage
    g = 1 / (1 + torch.exp(-F.conv2d(X, conv.weight, conv.bias, stride)))
    side = F.pad(X[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) if stage else X
    branch = block.branch(X)
    expected = g * branch + (1 - g) * side if gate == "exclusive" else branch + (1 - g) * side
    torch.testing.assert_close(block(X), F.relu(expected))


def test_dropout_on_the_shortcut_alone() -> None:
    net = build_tiny(shortcut_dropout=0.5, norm="none")
    block = block_of(net, 0, 0)
    with torch.no_grad():
        for conv in block.branch_convs():
            conv.weight.zero_()
    kept = block(X.abs()) / X.abs()
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(block.eval()(X.abs()), X.abs())


SHORTCUTS: list[tuple[dict[str, Any], str, str, str]] = [
    ({}, "residual", "skip", "branch"),
    ({"shortcut_scale": 0.5}, "residual", "skip", "branch"),
    ({"shortcut_scale": 0.5, "branch_scale": 0.5}, "residual", "skip", "branch"),
    ({"shortcut": "C"}, "residual", "projection", "branch"),
    ({"shortcut_dropout": 0.5}, "other", "gated", "branch"),
    ({"gate": "shortcut"}, "other", "gated", "branch"),
    ({"gate": "exclusive"}, "other", "gated", "branch"),
    ({"init": "rezero"}, "residual", "skip", "branch"),
    ({"init": "skipinit", "norm": "none"}, "residual", "skip", "branch"),
    ({"init": "fixup", "norm": "none"}, "residual", "skip", "branch"),
    ({"stochastic_depth": 0.5}, "residual", "skip", "branch"),
    ({"stochastic_depth": 0.5, "stochastic_depth_mode": "row"}, "residual", "skip", "branch"),
]


@pytest.mark.parametrize(("fields", "fork_kind", "side", "main"), SHORTCUTS, ids=[str(row[0]) for row in SHORTCUTS])
def test_flow_names_the_routes(fields: dict[str, Any], fork_kind: str, side: str, main: str) -> None:
    net = build_tiny(depth=14, **fields).float()
    found = trace(net, (torch.randn(4, 3, 8, 8), torch.arange(4)), F.cross_entropy)
    fork = next(fork for fork in found.forks if fork.name == "stages.0.0: Relu")
    kinds = [edge.kind for edge in fork.edges]
    assert fork.kind == fork_kind, fork
    assert side in kinds and main in kinds, kinds


# ---- stochastic depth (Huang et al. 2016)


def test_rates_of_both_modes() -> None:
    batch = NetSpec(**TINY, stochastic_depth=0.5)
    assert [drop_rate(batch, index) for index in range(3)] == pytest.approx([0.5 / 3, 1.0 / 3, 0.5])
    row = NetSpec(**TINY, stochastic_depth=0.5, stochastic_depth_mode="row")
    assert [drop_rate(row, index) for index in range(3)] == [0, 0.25, 0.5]
    net = build(batch)
    drops = [module for module in net.modules() if isinstance(module, StochasticDepth)]
    assert [drop.rate for drop in drops] == [drop_rate(batch, index) for index in range(3)]


def test_per_batch_drops_all_samples_unscaled_and_scales_in_evaluation() -> None:
    torch.manual_seed(0)
    drop, x = StochasticDepth(0.3, per_row=False), torch.ones(5, 2, 3, 3)
    draws = torch.stack([drop(x) for _ in range(2000)])
    assert all(len(draw.unique()) == 1 for draw in draws[:50])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert float(draws.mean()) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 2000))
    assert float(drop.eval()(x).mean()) == pytest.approx(0.7)


def test_per_row_drops_single_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop, x = StochasticDepth(0.3, per_row=True), torch.ones(2000, 2, 3, 3)
    out = drop(x)
    assert all(len(sample.unique()) == 1 for sample in out[:50])
    assert sorted(out.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert float((out > 0).float().mean()) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 2000))
    assert torch.equal(drop.eval()(x), x)


def test_a_dropped_branch_leaves_the_shortcut_and_a_gradient_of_zero() -> None:
    block = block_of(build_tiny(stochastic_depth=0.999), 2, 0)
    x = torch.randn(3, 8, 2, 2, dtype=torch.float64)
    torch.manual_seed(0)
    out = block(x)
    assert block.shortcut is not None
    assert torch.equal(out, F.relu(block.shortcut(x)))
    out.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in block.parameters())


# ---- dropout, norms, nonlinearities


def test_dropout_stands_between_the_convolutions_of_a_wide_block() -> None:
    net = build("wrn-10-2", width=4, input_size=8, dropout=0.4).double()
    block = block_of(net, 0, 0)
    assert isinstance(block, PreBasic)
    seen: list[Tensor] = []
    block.conv2.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    torch.manual_seed(5)
    block(X)
    inside = F.relu(block.norm2(block.conv1(F.relu(block.norm1(X)))))
    torch.manual_seed(5)
    assert torch.equal(seen[0], F.dropout(inside, 0.4))
    assert sum(isinstance(module, nn.Dropout) for module in net.modules()) == len(list(net.blocks()))


def test_a_dense_net_drops_after_every_convolution_but_the_first() -> None:
    net = build("densenet-bc-10-4", width=8, input_size=8, dropout=0.2).double()
    convs = sum(isinstance(module, nn.Conv2d) for module in net.modules())
    order: list[str] = []
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Dropout)):
            module.register_forward_hook(lambda m, *_: order.append(type(m).__name__))
    net(torch.randn(2, 3, 8, 8, dtype=torch.float64))
    assert order == ["Conv2d"] + ["Conv2d", "Dropout"] * (convs - 1)


def test_features_may_come_first() -> None:
    net = build("densenet-10-3", width=5, input_size=8, concat="prepend").double()
    layer = net.get_submodule("stages.0.0")
    assert isinstance(layer, DenseLayer) and not layer.as_published
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64)
    out = layer(x)
    assert torch.equal(out[:, 3:], x) and torch.equal(out[:, :3], layer.conv1(F.relu(layer.norm1(x))))


def test_norms() -> None:
    x = 3 + 2 * torch.randn(3, 16, 4, 4, dtype=torch.float64)
    for kind, groups in (("layer", 1), ("group", 8)):
        norm = build_tiny(norm=kind, width=16).stem.norm
        parts = x.view(3, groups, -1)
        deviation = (parts.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
        expected = ((parts - parts.mean(2, keepdim=True)) / deviation).view_as(x)
        torch.testing.assert_close(norm(x), expected)
    assert [norm_groups(c) for c in (1, 2, 3, 16, 24, 64, 80, 256)] == [1, 1, 1, 8, 12, 32, 20, 32]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("leaky-relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("gelu", lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
        ("tanh", torch.tanh),
    ],
)
def test_nonlinearities_are_everywhere(name: str, function: Any) -> None:
    block = block_of(build_tiny(nonlinearity=name), 0, 0)
    assert isinstance(block, PostBasic)
    inside = function(block.norm1(block.conv1(X)))
    torch.testing.assert_close(block(X), function(block.norm2(block.conv2(inside)) + X))
    for spec in (NetSpec(**TINY, nonlinearity=name, activation="pre", shortcut="B"),
                 NetSpec(family="dense", depth=10, bottleneck=True, compression=0.5, nonlinearity=name)):  # fmt: skip
        out = build(spec, input_size=8)(torch.randn(2, 3, 8, 8))
        names, stack = set(), [out.grad_fn]
        while stack:
            node = stack.pop()
            names.add(type(node).__name__)
            stack += [source for source, _ in node.next_functions if source is not None]  # type: ignore[union-attr]
        assert not any(found.startswith("ReluBackward") for found in names)


def test_stems_and_heads_for_imagenet() -> None:
    x = torch.randn(2, 3, 64, 64)
    for name, normed in (("resnet-18", True), ("resnetv2-50", False), ("densenet-121", True)):
        blocks = {"blocks": (1, 1), "depth": 7 if "dense" in name else 6 if "18" in name else 8}
        stem = build(name, width=8, input_size=64, **blocks).stem
        out = F.conv2d(x, stem.conv.weight, None, 2, 3)
        if normed:
            mean, variance = out.mean((0, 2, 3), keepdim=True), out.var((0, 2, 3), unbiased=False, keepdim=True)
            out = F.relu((out - mean) / (variance + 1e-5).sqrt())
        torch.testing.assert_close(stem(x), F.max_pool2d(out, 3, 2, 1))


def test_a_wide_net_of_factor_one_does_not_activate_its_first_shortcut() -> None:
    firsts = [block.first for block in build("wrn-16-1").blocks() if isinstance(block, StageBlock)]
    assert firsts == [False, False, True, False, True, False]
    assert [b.first for b in build("wrn-10-2").blocks() if isinstance(b, StageBlock)] == [True] * 3


# ---- what others may take for granted


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dropout": 0.1}, "unknown part dropout"),
        ({"gate": "shortcut"}, "unknown part gate"),
        ({"stochastic_depth": 0.1}, "unknown part wrap"),
        ({"branch_scale": 0.5}, "unknown part wrap"),
        ({"init": "rezero"}, "unknown part wrap"),
        ({"shortcut_scale": 0.5}, "shortcut: is a Sequential"),
        ({"shortcut_dropout": 0.5}, "shortcut: is a Sequential"),
        ({"nonlinearity": "tanh"}, "nonlinearity"),
        ({"norm": "group"}, "is a GroupNorm"),
        ({"norm": "none", "init": "fixup"}, "is a ShiftedConv2d"),
    ],
)
def test_blocks_with_options_have_no_form(fields: dict[str, Any], reason: str) -> None:
    block = block_of(build_tiny(**fields), 1, 0)
    assert form_of(block) is None and reason in why_not(block)


def test_options_add_no_keys_to_nets_without_them() -> None:
    bare = build("resnet-8", norm="none").state_dict()
    assert list(
        build("resnet-8", stochastic_depth=0.5, dropout=0.1, shortcut_scale=0.5, norm="none").state_dict()
    ) == list(bare)
    assert isinstance(build("densenet-10-4").get_submodule("stages.1.0"), Transition)
