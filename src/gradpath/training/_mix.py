"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): a batch blended with its own images in another order."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor

from gradpath.record import Recipe
from gradpath.training._random import generator, mixed


@dataclass(frozen=True)
class Mix:
    """What was drawn for one batch."""

    partners: Tensor
    """For each image of the batch, the index in it of the one that is mixed in (int64, N)."""
    share: float
    """Of an image's own pixels and label; the rest is its partner's."""
    box: tuple[int, int, int, int] | None = None
    """Top, bottom, left, right of what is pasted from the partner (CutMix); None: all pixels are blended (mixup)."""

    def of(self, images: Tensor, partners: Tensor) -> Tensor:
        """Both float N C H W, the second each image's partner → the mixed images."""
        if self.box is None:
            return images.lerp(partners, 1 - self.share)
        top, bottom, left, right = self.box
        images = images.clone()
        images[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
        return images


def draw_mix(recipe: Recipe, seed: int, step: int, count: int, height: int, width: int) -> Mix | None:
    """The mix of a step's batch of `count` images; None where the recipe has none. One share for a batch, as in the
    papers' code. With both kinds on, each batch has one of them, at even odds."""
    if not (recipe.mixup or recipe.cutmix):
        return None
    partners = torch.randperm(count, generator=generator(seed, "mix", step))
    draw = random.Random(mixed(seed, "mix", step))
    pasting = bool(recipe.cutmix) and (not recipe.mixup or draw.random() < 0.5)
    alpha = recipe.cutmix if pasting else recipe.mixup
    share = draw.betavariate(alpha, alpha)
    if not pasting:
        return Mix(partners, share)
    box = _box(draw, share, height, width)
    area = (box[1] - box[0]) * (box[3] - box[2])
    return Mix(partners, 1 - area / (height * width), box)


def _box(draw: random.Random, share: float, height: int, width: int) -> tuple[int, int, int, int]:
    """A box of 1 − share of the image around a uniform centre, cut at the image's edge (the paper's algorithm)."""
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    y, x = draw.randrange(height), draw.randrange(width)
    return max(y - half_height, 0), min(y + half_height, height), max(x - half_width, 0), min(x + half_width, width)
