"""Batches from images that stay on the device as bytes: shuffled, augmented, normalised, all at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from gradpath.record import DataInfo, Recipe

_PADDING = 4


class Batches:
    """Turns indices into network input: float32, normalised by the data's own mean and standard deviation."""

    def __init__(self, info: DataInfo, device: torch.device, layout: torch.memory_format, seed: int) -> None:
        self._mean = torch.tensor(info.mean, device=device).view(1, -1, 1, 1) * 255
        self._scale = 1 / (torch.tensor(info.std, device=device).view(1, -1, 1, 1) * 255)
        self._layout = layout
        self._random = torch.Generator().manual_seed(seed)

    def order(self, images: int, batch_size: int) -> Iterator[Tensor]:
        """One epoch's indices, shuffled, in batches of one size; what does not fill a batch waits for another epoch."""
        shuffled = torch.randperm(images, generator=self._random)
        whole = images // batch_size * batch_size or images
        yield from torch.split(shuffled[:whole], batch_size)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 N C H W → float32 N C H W."""
        return ((images.float() - self._mean) * self._scale).contiguous(memory_format=self._layout)

    def augment(self, images: Tensor, kind: str) -> Tensor:
        """uint8 N C H W → the same, flipped left to right at random, and cropped at random from a padded image."""
        if kind == "crop-flip":
            images = self._crop(images)
        if kind != "none":
            flip = torch.rand(len(images), generator=self._random).lt(0.5).to(images.device).view(-1, 1, 1, 1)
            images = torch.where(flip, images.flip(3), images)
        return images

    def _crop(self, images: Tensor) -> Tensor:
        count, _, height, width = images.shape
        padded = F.pad(images, (_PADDING,) * 4)
        shifts = torch.randint(2 * _PADDING + 1, (2, count), generator=self._random).to(images.device)
        rows = shifts[0].view(-1, 1) + torch.arange(height, device=images.device)  # N H
        columns = shifts[1].view(-1, 1) + torch.arange(width, device=images.device)  # N W
        index = torch.arange(count, device=images.device).view(-1, 1, 1)
        cropped = padded[index, :, rows[:, :, None], columns[:, None, :]]  # N H W C
        return cropped.permute(0, 3, 1, 2)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`; see `Recipe.schedule`."""
    if recipe.schedule == "step":
        return recipe.learning_rate * (1.0 if 2 * step < steps else (0.1 if 4 * step < 3 * steps else 0.01))
    done, peak = (step + 0.5) / steps, 0.25
    factor = 0.1 + 0.9 * done / peak if done < peak else (1 - done) / (1 - peak)
    return recipe.learning_rate * factor
