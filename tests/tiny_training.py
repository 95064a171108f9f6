"""The smallest things that can be trained: 4 classes of 8 × 8 images, a net that draws at random."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gradpath.record import DataInfo, Execution, Recipe
from gradpath.training import Images
from gradpath.training._events import ignore
from gradpath.training._loop import Loop

PLAIN = Execution(precision="float32", layout="contiguous", reason="a test")
NHWC = Execution(precision="float32", layout="channels_last", reason="a test")
PETS = DataInfo(
    name="pets",
    train_images=6,
    test_images=2,
    image_size=8,
    channels=3,
    classes=("cat", "dog", "owl"),
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.25),
)
"""What weights of a net for small colour images say that they were trained on."""


def tiny_images(train: int = 40, test: int = 8, channels: int = 2, side: int = 8, classes: int = 4) -> Images:
    """Noise, brighter in the class's own corner."""
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 120, (train + test, channels, side, side), dtype=torch.uint8, generator=random)
    labels = torch.arange(train + test) % classes
    for image, label in zip(images, labels.tolist(), strict=True):
        half = side // 2
        image[:, half * (label // 2) :, half * (label % 2) :][:, :half, :half] += 100
    info = DataInfo(
        name="tiny",
        train_images=train,
        test_images=test,
        image_size=side,
        channels=channels,
        classes=tuple(map(str, range(classes))),
        mean=(0.4,) * channels,
        std=(0.25,) * channels,
    )
    return Images(images[:train], labels[:train], images[train:], labels[train:], info)


def tiny_net(norm: bool = True, dropout: float = 0.0, channels: int = 2) -> nn.Module:
    """conv, norm, ReLU, dropout, conv, ReLU, linear; always the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3, 2, 1),
            nn.BatchNorm2d(6) if norm else nn.Identity(),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(6, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32, 4),
        )


def tiny_loop(net: nn.Module, recipe: Recipe, execution: Execution = PLAIN, seed: int = 5, **more: Any) -> Loop:
    """A loop over the tiny images, or others (`images`)."""
    images = more.pop("images", None) or tiny_images()
    return Loop(net, images, recipe, execution, seed, more.pop("listener", ignore), "tiny", **more)
