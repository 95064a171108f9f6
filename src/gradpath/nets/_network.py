"""From a specification to a network of blocks."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.errors import SpecError
from gradpath.nets._blocks import (
    EXPANSION,
    DenseBottleneckLayer,
    DenseLayer,
    PostBasic,
    PostBottleneck,
    PreBasic,
    PreBottleneck,
    StageBlock,
    Transition,
)
from gradpath.nets._init import initialise
from gradpath.nets._names import net_name, resolve
from gradpath.nets._options import NONLINEARITIES, Shift, make_norm
from gradpath.nets._protocol import Block
from gradpath.record import NetSpec

_STAGE_BLOCKS: dict[tuple[str, bool], type[StageBlock]] = {
    ("post", False): PostBasic,
    ("post", True): PostBottleneck,
    ("pre", False): PreBasic,
    ("pre", True): PreBottleneck,
}


class Stem(nn.Module):
    """cifar: a 3×3 convolution at full resolution. imagenet: 7×7 with stride 2, and 3×3 max-pooling with stride 2.

    Between them norm and ReLU in post-activation nets, and in dense nets for ImageNet.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.large = spec.stem == "imagenet"
        self.post = not spec.preactivated or (spec.family == "dense" and self.large)
        size, stride = (7, 2) if self.large else (3, 1)
        bias = spec.norm == "none" and spec.init != "fixup"
        self.conv = nn.Conv2d(spec.input_channels, spec.width, size, stride, padding=size // 2, bias=bias)
        self.norm = make_norm(spec, spec.width) if self.post else nn.Identity()
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        out = self.nonlinearity(out) if self.post else out
        return F.max_pool2d(out, 3, 2, padding=1) if self.large else out  # N width H W, or a quarter of both


class Head(nn.Module):
    """The mean over all pixels and a linear layer; in pre-activation and dense nets norm and ReLU first."""

    def __init__(self, spec: NetSpec, channels: int) -> None:
        super().__init__()
        self.pre = spec.preactivated
        bare = Shift() if spec.init == "fixup" else nn.Identity()
        self.norm = make_norm(spec, channels) if self.pre else bare
        self.linear = nn.Linear(channels, spec.classes)
        self.nonlinearity = NONLINEARITIES[spec.nonlinearity]

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        x = self.nonlinearity(x) if self.pre else x
        out: Tensor = self.linear(x.mean((2, 3)))  # N classes
        return out


class Network(nn.Module):
    """`stem`, `stages` (sequences of blocks) and `head`: N C H W → N classes (logits).

    Every block lies in a stage and a stage has one resolution at its output: the block that halves the resolution
    (strided, or a dense net's transition) is the first of the next stage.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.stem = Stem(spec)
        stages, channels = _dense_stages(spec) if spec.family == "dense" else _stages(spec)
        self.stages = nn.Sequential(*(nn.Sequential(*blocks) for blocks in stages))
        self.head = Head(spec, channels)
        self._warned_of_size = False
        initialise(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """N C H W → N classes. Raises SpecError for other channels than the net's; warns once of another size."""
        self._check_input(x)
        out: Tensor = self.head(self.stages(self.stem(x)))
        return out

    @property
    def model_name(self) -> str:
        """What records call it: 'resnet-110', whatever its images; 'residual 110' where options make another net."""
        return net_name(self.spec)

    def blocks(self) -> Iterator[Block]:
        """All blocks, in the order of the forward pass."""
        for stage in self.stages:
            yield from cast("Iterable[Block]", stage)

    def _check_input(self, x: Tensor) -> None:
        spec = self.spec
        if x.dim() != 4 or x.shape[1] != spec.input_channels:
            raise SpecError(
                f"{spec.label} takes images N×{spec.input_channels}×H×W, got {'×'.join(map(str, x.shape))}: "
                f"give it such a batch, or build it with input_channels=..."
            )
        height, width = x.shape[2:]
        if (height, width) != (spec.input_size, spec.input_size) and not self._warned_of_size:
            self._warned_of_size = True
            warnings.warn(
                f"{spec.label} is built for {spec.input_size}×{spec.input_size} images, fed {height}×{width}: it "
                f"runs, but with another receptive field and cost than meant; build it with input_size=... to agree",
                stacklevel=2,
            )


def build(spec: NetSpec | str, /, **overrides: Any) -> Network:
    """The network of a specification or of a name such as 'resnet-110', with fields of NetSpec overridden.

    build("densenet-bc-100-12", classes=100). Raises SpecError for what does not make a network.
    """
    if isinstance(spec, str):
        return Network(resolve(spec, **overrides))
    return Network(dataclasses.replace(spec, **overrides))


def _stages(spec: NetSpec) -> tuple[list[list[Block]], int]:
    """The blocks of a plain or residual net by stage, and the channels that leave the last."""
    kind = _STAGE_BLOCKS[spec.activation, spec.bottleneck]
    stages: list[list[Block]] = []
    channels, count = spec.width, 0
    for stage, number in enumerate(spec.stage_blocks):
        channels_out = spec.width * (spec.widen or 1) * 2**stage * (EXPANSION if spec.bottleneck else 1)
        blocks: list[Block] = []
        for index in range(number):
            stride = 2 if stage > 0 and index == 0 else 1
            # In wide nets (their code) and those for ImageNet (timm's resnetv2-18 and -34) a first block that changes
            # no shape has the shortcut of any other.
            always = spec.widen is None and spec.stem == "cifar"
            first = index == 0 and (always or (channels, stride) != (channels_out, 1))
            blocks.append(kind(spec, channels, channels_out, stride, first, count))
            channels, count = channels_out, count + 1
        stages.append(blocks)
    return stages, channels


def _dense_stages(spec: NetSpec) -> tuple[list[list[Block]], int]:
    """The layers and transitions of a dense net by stage, and the channels that leave the last."""
    kind = DenseBottleneckLayer if spec.bottleneck else DenseLayer
    stages: list[list[Block]] = []
    channels = spec.width
    for stage, number in enumerate(spec.stage_blocks):
        blocks: list[Block] = []
        if stage > 0:
            transition = Transition(spec, channels)
            blocks.append(transition)
            channels = transition.channels_out
        for _ in range(number):
            layer = kind(spec, channels)
            blocks.append(layer)
            channels = layer.channels_out
        stages.append(blocks)
    return stages, channels
