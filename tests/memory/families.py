"""Small nets whose blocks write buffers or draw random numbers, each in its own way; the ways to call a block; the
step-by-step run that everything is compared by."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp

CHANNELS, CLASSES, STEPS = 6, 4, 3
Call = Callable[..., Any]


class Normed(nn.Module):
    """A residual block with any norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), norm

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.norm(self.conv(x)))


class StochasticDepth(Normed):
    """Skips its branch for a whole batch, half of the time, by a number drawn from torch's generator."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if not self.training or torch.rand(()) < 0.5 else x


class Codebook(nn.Module):
    """Vector quantisation: the nearest codes, which then move; written through `.data`, as such code is found."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.register_buffer("codes", torch.randn(5, CHANNELS))
        self.register_buffer("used", torch.zeros(5, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        flat = self.conv(x).permute(0, 2, 3, 1)  # N H W C
        nearest = torch.cdist(flat.detach().reshape(-1, CHANNELS), self.codes).argmin(1)
        chosen = self.codes[nearest].view_as(flat)
        if self.training:
            self.codes.data.mul_(0.5).add_(0.5 * flat.detach().mean((0, 1, 2)))
            self.used += torch.bincount(nearest, minlength=5)
        return x + (flat * chosen).permute(0, 3, 1, 2)


class Reassigned(nn.Module):
    """A running mean that is another tensor after each call, and enters the result."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * out.detach().mean((0, 2, 3))[:, None, None]
        return x + torch.tanh(out - self.mean)


class DenseLayer(nn.Module):
    """Takes the list of all features before it, as torchvision's and timm's do."""

    def __init__(self, index: int) -> None:
        super().__init__()
        channels = CHANNELS + 3 * index
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, 8, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        out = self.conv1(torch.relu(self.norm1(torch.cat(features, 1))))
        return F.dropout(self.conv2(torch.relu(self.norm2(out))), 0.2, self.training)


class Chain(nn.Module):
    def __init__(self, blocks: list[nn.Module], dense: bool = False) -> None:
        super().__init__()
        self.stem, self.blocks, self.dense = nn.Conv2d(2, CHANNELS, 3, padding=1), nn.ModuleList(blocks), dense
        self.head = nn.Linear(CHANNELS + (3 * len(blocks) if dense else 0), CLASSES)

    def run(self, x: Tensor, call: Call) -> Tensor:
        features = [self.stem(x)]
        for block in self.blocks:
            features.append(call(block, list(features) if self.dense else features[-1]))
        out = torch.cat(features, 1) if self.dense else features[-1]
        return self.head(out.float().mean((2, 3)))


class Built(nn.Module):
    """A net of `gp.build`, block by block."""

    def __init__(self, name: str, **overrides: Any) -> None:
        super().__init__()
        self.net = gp.build(name, input_channels=2, input_size=8, classes=CLASSES, **overrides)

    def run(self, x: Tensor, call: Call) -> Tensor:
        x = self.net.stem(x)
        for block in self.net.blocks():
            x = call(block, x)
        return self.net.head(x)


def _chain(make: Callable[[], nn.Module]) -> Callable[[], Chain]:
    return lambda: Chain([make() for _ in range(3)])


def _spectral() -> nn.Module:
    block = Normed(nn.Identity())
    nn.utils.parametrizations.spectral_norm(block.conv, n_power_iterations=2)
    return block


def _old_spectral() -> nn.Module:
    block = Normed(nn.Identity())
    nn.utils.spectral_norm(block.conv)
    return block


FAMILIES: dict[str, Callable[[], Any]] = {
    "resnet-20": lambda: Built("resnet-20", width=4),
    "pre-activation": lambda: Built("resnet-20", width=4, activation="pre"),
    "densenet": lambda: Built("densenet-40-12", depth=13, growth_rate=4, width=8),
    "batch norm": _chain(lambda: Normed(nn.BatchNorm2d(CHANNELS))),
    "cumulative batch norm": _chain(lambda: Normed(nn.BatchNorm2d(CHANNELS, momentum=None))),
    "instance norm": _chain(lambda: Normed(nn.InstanceNorm2d(CHANNELS, affine=True, track_running_stats=True))),
    "group norm": _chain(lambda: Normed(nn.GroupNorm(2, CHANNELS))),
    "spectral norm": _chain(_spectral),
    "old spectral norm": _chain(_old_spectral),
    "dropout": _chain(lambda: nn.Sequential(Normed(nn.BatchNorm2d(CHANNELS)), nn.Dropout(0.3))),
    "stochastic depth": _chain(lambda: StochasticDepth(nn.BatchNorm2d(CHANNELS))),
    "codebook": _chain(Codebook),
    "reassigned buffer": _chain(Reassigned),
    "dense layers": lambda: Chain([DenseLayer(index) for index in range(3)], dense=True),
}


def _apply(block: Call, x: Any) -> Any:
    return block(x)


def _times_one(x: Tensor) -> Tensor:
    return x * 1.0


def ways(checkpoint: Call) -> dict[str, Call]:
    """The ways to hand a block of one input to a checkpoint."""
    return {
        "module": checkpoint,
        "closure": lambda block, x: checkpoint(lambda z: block(z), x),
        "default": lambda block, x: checkpoint(lambda z, f=block: f(z), x),
        "method": lambda block, x: checkpoint(block.forward, x),
        "partial": lambda block, x: checkpoint(functools.partial(_apply, block), x),
        "an input": lambda block, x: checkpoint(_apply, block, x),
        "keywords": lambda block, x: checkpoint(lambda *, z, scale: block(z) * scale, z=x, scale=1.0),
        "structures": lambda block, x: checkpoint(lambda d: {"y": (block(d["x"][0]), "?")}, {"x": [x], "n": 3})["y"][0],
        "nested": lambda block, x: checkpoint(lambda z: checkpoint(block, z), x),
        "twice nested": lambda block, x: checkpoint(
            lambda z: checkpoint(block, checkpoint(list, z) if isinstance(z, list) else z), x
        ),
    }


def batches(steps: int = STEPS) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        yield torch.randn(4, 2, 8, 8, generator=generator), torch.randint(CLASSES, (4,), generator=generator)


def trained(
    family: str,
    call: Call,
    *,
    accumulate: int = 1,
    autocast: bool = False,
    frozen: bool = False,
    training: bool = True,
    input_gradient: bool = False,
) -> dict[str, Tensor]:
    """Three steps of SGD; everything that they computed and left behind, by name."""
    torch.manual_seed(0)
    model = FAMILIES[family]().train(training)
    if frozen:
        for parameter in list(model.parameters())[:8]:
            parameter.requires_grad_(False)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), 0.1, momentum=0.9)
    kept: dict[str, Tensor] = {}
    for step, (x, y) in enumerate(batches()):
        optimizer.zero_grad()
        x.requires_grad_(input_gradient)
        for part in range(accumulate):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = F.cross_entropy(model.run(x * (part + 1), call), y)
            loss.backward()
            kept[f"loss {step} {part}"] = loss.detach()
        kept |= {f"gradient {step} {n}": p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        kept |= {f"buffer {step} {n}": b.clone() for n, b in model.named_buffers()}
        kept |= {f"input {step}": x.grad} if input_gradient else {}
        optimizer.step()
    kept |= {f"weight {n}": p.detach() for n, p in model.named_parameters()}
    return kept | {"random state": torch.get_rng_state()}


def plain(block: Call, *inputs: Any, **kwargs: Any) -> Any:
    return block(*inputs, **kwargs)


def different(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """The names of what is not bitwise equal (NaN equals nothing)."""
    assert ours.keys() == theirs.keys()
    return [name for name, value in ours.items() if not torch.equal(value, theirs[name])]
