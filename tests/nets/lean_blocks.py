"""Blocks for the tests of forms and lean moves, and both ways to run one: by autograd, the oracle, and by its moves.

Stand-ins for torchvision's and timm's classes bear the names by which forms know the originals and do what these do,
so that the tests need neither library; `test_nets_form` compares the originals where they are installed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gradpath.nets import LeanMoves, NetSpec, PostBasic, PostBottleneck, PreBasic, PreBottleneck, form_of

POST = NetSpec(family="residual", depth=8, width=4, input_size=8)
PLAIN = NetSpec(family="plain", depth=8, width=4, input_size=8)
POST_3 = NetSpec(family="residual", depth=11, width=4, input_size=8, bottleneck=True, shortcut="B")
GROUPED = replace(POST_3, groups=2, group_width=3)
PRE = NetSpec(family="residual", depth=8, width=4, input_size=8, activation="pre", shortcut="B")
PRE_3 = replace(POST_3, activation="pre")


class VisionBasic(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, downsample: nn.Module | None, groups: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 2, dilation=2, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class TimmBottleneck(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        inner = cout // 4
        self.conv1, self.bn1 = nn.Conv2d(cin, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.drop_block, self.act2, self.aa = nn.Identity(), nn.ReLU(inplace=True), nn.Identity()
        self.conv3, self.bn3 = nn.Conv2d(inner, cout, 1, bias=False), nn.BatchNorm2d(cout)
        self.se = self.drop_path = None
        self.act3, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.aa(self.act2(self.drop_block(self.bn2(self.conv2(out)))))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.act3(out)


VisionBasic.__module__, VisionBasic.__qualname__ = "torchvision.models.resnet", "BasicBlock"
TimmBottleneck.__module__, TimmBottleneck.__qualname__ = "timm.models.resnet", "Bottleneck"


def projection(cin: int, cout: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))


def pooled_projection(cin: int, cout: int, stride: int, pool: nn.Module | None = None) -> nn.Module:
    pool = pool or nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))


C = 16  # fewer, and oneDNN may write past its buffer where a projection strides (gradpath.nets._conv_passes)
BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "post basic, identity": lambda: PostBasic(POST, C, C, 1, False),
    "post basic, pad": lambda: PostBasic(POST, C, 2 * C, 2, True),
    "post basic, pad at the end": lambda: PostBasic(replace(POST, padding="end"), C, 2 * C, 2, True),
    "post basic, projection": lambda: PostBasic(replace(POST, shortcut="B"), C, 2 * C, 2, True),
    "post basic, projection of the same shape": lambda: PostBasic(replace(POST, shortcut="C"), C, C, 1, False),
    "post basic, plain": lambda: PostBasic(PLAIN, C, 2 * C, 2, True),
    "post bottleneck, identity": lambda: PostBottleneck(POST, C, C, 1, False),
    "post bottleneck, projection": lambda: PostBottleneck(replace(POST, shortcut="B"), C, 2 * C, 2, True),
    "post bottleneck, pad": lambda: PostBottleneck(POST, C, 2 * C, 2, True),
    "post bottleneck, groups": lambda: PostBottleneck(GROUPED, C, 2 * C, 2, True),
    "post bottleneck, stride on 1x1": lambda: PostBottleneck(replace(POST_3, stride_on="1x1"), C, 2 * C, 2, True),
    "pre bottleneck, stride on 3x3": lambda: PreBottleneck(replace(PRE_3, stride_on="3x3"), C, 2 * C, 2, True),
    "pre basic, identity": lambda: PreBasic(PRE, C, C, 1, False),
    "pre basic, identity of the activation": lambda: PreBasic(PRE, C, C, 1, True),
    "pre basic, projection": lambda: PreBasic(PRE, C, 2 * C, 2, True),
    "pre basic, pad": lambda: PreBasic(replace(PRE, shortcut="A"), C, 2 * C, 2, True),
    "pre basic, pad of the input": lambda: PreBasic(replace(PRE, shortcut="A"), C, 2 * C, 2, False),
    "pre basic, plain": lambda: PreBasic(replace(PLAIN, activation="pre"), C, 2 * C, 2, True),
    "pre bottleneck, identity": lambda: PreBottleneck(PRE, C, C, 1, False),
    "pre bottleneck, projection": lambda: PreBottleneck(PRE, C, 2 * C, 2, True),
    "pre bottleneck, projection of the input": lambda: PreBottleneck(PRE, C, 2 * C, 2, False),
    "torchvision basic, identity": lambda: VisionBasic(C, C, 1, None, groups=2),
    "torchvision basic, projection": lambda: VisionBasic(C, 2 * C, 2, projection(C, 2 * C, 2)),
    "timm bottleneck, identity": lambda: TimmBottleneck(C, C, 1, None),
    "timm bottleneck, pooled projection": lambda: TimmBottleneck(C, 2 * C, 2, pooled_projection(C, 2 * C, 2)),
    "timm bottleneck, padded pool": lambda: TimmBottleneck(
        C, 2 * C, 2, pooled_projection(C, 2 * C, 2, nn.AvgPool2d(3, 2, 1, count_include_pad=False))
    ),
}


def awake(block: nn.Module) -> nn.Module:
    """Norms with weights, biases and running statistics of their own, some weights negative."""
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                nn.init.normal_(tensor)  # type: ignore[arg-type]
            nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return block


def make(name: str, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return awake(BLOCKS[name]()).to(dtype)


def images(
    dtype: torch.dtype = torch.float64, layout: torch.memory_format = torch.contiguous_format, size: int = 6
) -> Tensor:
    """3 C size size."""
    return torch.randn(3, C, size, size, dtype=dtype).contiguous(memory_format=layout)


@dataclass
class Result:
    """What one forward and backward gives."""

    out: Tensor
    grad_x: Tensor | None
    grads: list[Tensor | None]
    buffers: list[Tensor]

    def differences(self, other: Result) -> list[str]:
        """Where it is not the other, bit for bit."""
        pairs = {"out": (self.out, other.out), "grad_x": (self.grad_x, other.grad_x)}
        pairs |= {f"gradient {i}": pair for i, pair in enumerate(zip(self.grads, other.grads, strict=True))}
        pairs |= {f"buffer {i}": pair for i, pair in enumerate(zip(self.buffers, other.buffers, strict=True))}
        return [name for name, (ours, theirs) in pairs.items() if not same(ours, theirs)]

    def tensors(self) -> list[Tensor]:
        return [t for t in (self.out, self.grad_x, *self.grads) if t is not None]


def same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and torch.equal(a, b)


def autocast(on: bool) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if on else nullcontext()


def by_autograd(block: nn.Module, x: Tensor, grad: Tensor, cast: bool = False, needs_x: bool = True) -> Result:
    block, leaf = copy.deepcopy(block), x.clone().requires_grad_(needs_x)
    with autocast(cast):
        out = block(leaf.clone())  # as inside a net: autocast would cast a leaf once for all that read it
    out.backward(grad.to(out.dtype))
    return Result(out.detach(), leaf.grad, [p.grad for p in block.parameters()], list(block.buffers()))


@torch.no_grad()
def by_moves(
    block: nn.Module, x: Tensor, grad: Tensor, script: tuple[str, ...], cast: bool = False, needs_x: bool = True
) -> Result:
    """Forward in each of the modes on one tape, then backward. What is handed in must be left as it is."""
    block = copy.deepcopy(block)
    form = form_of(block)
    assert form is not None
    moves, x_before = LeanMoves(form), x.clone()
    tape = moves.new_tape()
    with autocast(cast):
        for mode in script:
            out = moves.advance(x, tape, mode)
        grad = grad.to(out.dtype).contiguous(memory_format=_layout(out))
        grad = torch.ops.aten.threshold_backward(grad, out, 0) if moves.ends_in_relu else grad
        grad_before = grad.clone()
        grad_x, grads = moves.backward(grad, x, tape, needs_x)
    assert torch.equal(x, x_before) and torch.equal(grad, grad_before)
    assert len(moves.parameters) == len(list(block.parameters()))
    assert all(a is b for a, b in zip(moves.parameters, block.parameters(), strict=True))
    return Result(out, grad_x, grads, list(block.buffers()))


def _layout(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last
