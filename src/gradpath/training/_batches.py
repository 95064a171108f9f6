"""Batches from images that stay on the device as bytes: shuffled, augmented, normalised, all at once.

Everything random is a function of the seed and the epoch or the step (`_random`): a batch can be made again, alone.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gradpath.errors import UserError
from gradpath.record import DataInfo, Recipe
from gradpath.training import _augment as augment
from gradpath.training._data import Images
from gradpath.training._mix import Mix, draw_mix
from gradpath.training._random import generator

_MOST_PIXELS = 64  # side of images whose mean image is kept with the record and the weights
_WHOLE = slice(None)


@dataclass(frozen=True)
class Batch:
    """What a net is fed, and what it should say."""

    inputs: Tensor  # float32 N C H W
    labels: Tensor  # int64 N
    partners: Tensor | None = None  # labels of the images mixed in
    share: float = 1.0  # of an image's own label


class Batches:
    """Turns indices into network input: float32, normalised by the data's own mean and standard deviation."""

    def __init__(
        self,
        info: DataInfo,
        device: torch.device,
        layout: torch.memory_format,
        seed: int,
        recipe: Recipe | None = None,
    ) -> None:
        self.recipe = recipe or Recipe(epochs=1)
        self._colour = torch.tensor(info.mean, device=device).view(1, -1, 1, 1) * 255
        self._mean = mean_image(info).to(device) * 255 if info.pixel_mean else self._colour  # 1 C H W or 1 C 1 1
        self._scale = 1 / (torch.tensor(info.std, device=device).view(1, -1, 1, 1) * 255)
        self._layout, self._seed, self._device = layout, seed, device
        self._first_flips: Tensor | None = None

    def order(self, labels: Tensor | int, batch_size: int, epoch: int = 1) -> Tensor:
        """One epoch's indices, shuffled: steps × batch. What does not fill a batch waits for another epoch.

        `labels`: int64 N, or how many images there are where the recipe does not balance the classes.
        """
        random = generator(self._seed, "order", epoch)
        images = labels if isinstance(labels, int) else len(labels)
        shuffled = torch.randperm(images, generator=random)
        if self.recipe.balance and not isinstance(labels, int):
            shuffled = balanced(labels.cpu()[shuffled], random, shuffled)
        size = min(batch_size, images)
        return shuffled[: images // size * size].view(-1, size)

    def make(self, images: Images, index: Tensor, step: int, epoch: int, part: slice = _WHOLE) -> Batch:
        """The input of step `step` (from 0), of the images `index` (int64, on the CPU); of a `part` of them: what that
        part is in the whole batch."""
        height, width = images.train_images.shape[2:]
        size = self.recipe.crop_size if self.recipe.augment == "resized-crop-flip" else None
        mix = draw_mix(self.recipe, self._seed, step, len(index), size or height, size or width)
        inputs, labels = self._augmented(images, index, step, epoch, part)
        if mix is None:
            return Batch(inputs, labels)
        others, other_labels = self._partners(images, index, step, epoch, part, mix)
        return Batch(mix.of(inputs, others), labels, other_labels, mix.share)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 N C H W → float32 N C H W; the middle of images larger than the recipe's crops."""
        images = augment.centre(images, self.recipe.crop_size)
        values = (images.float() - self._mean).mul_(self._scale)
        return values.contiguous(memory_format=self._layout)

    def _partners(
        self, images: Images, index: Tensor, step: int, epoch: int, part: slice, mix: Mix
    ) -> tuple[Tensor, Tensor]:
        """The images that are mixed in, augmented as they are at their own place in the batch."""
        return self._augmented(images, index, step, epoch, mix.partners[part])

    def _augmented(
        self, images: Images, index: Tensor, step: int, epoch: int, part: slice | Tensor
    ) -> tuple[Tensor, Tensor]:
        chosen = index[part]
        inputs = images.train_images[chosen.to(self._device)]
        inputs = self._cropped(inputs, len(index), step, part)
        if self.recipe.augment != "none":
            inputs = augment.flip(inputs, self._flips(images, index, step, epoch)[part].to(self._device))
        return self.normalise(inputs), images.train_labels[chosen.to(self._device)]

    def _cropped(self, images: Tensor, count: int, step: int, part: slice | Tensor) -> Tensor:
        recipe, random = self.recipe, generator(self._seed, "crop", step)
        if recipe.augment == "crop-flip":
            height, width = images.shape[2:]
            shifts = torch.randint(2 * recipe.crop_padding + 1, (2, count), generator=random)
            images = augment.padded(images, recipe.crop_padding, recipe.crop_fill, self._colour)
            return augment.crop(images, shifts[:, part].to(self._device), height, width)
        if recipe.augment == "resized-crop-flip":
            box = augment.boxes(torch.rand(4, count, generator=random), recipe.crop_area)
            return augment.resized_crop(images, box[:, part].to(self._device), recipe.crop_size or images.shape[2])
        return images

    def _flips(self, images: Images, index: Tensor, step: int, epoch: int) -> Tensor:
        """Which images of the batch are mirrored (bool, N)."""
        if self.recipe.flip == "random":
            return torch.rand(len(index), generator=generator(self._seed, "flip", step)).lt(0.5)
        if self._first_flips is None:
            draws = generator(self._seed, "flip")
            self._first_flips = torch.rand(len(images.train_labels), generator=draws).lt(0.5)
        return self._first_flips[index] ^ bool(epoch % 2)


def balanced(labels: Tensor, random: torch.Generator, shuffled: Tensor) -> Tensor:
    """As many indices as were given, every class as often as the others: rare ones repeated, common ones left out.

    `labels` of the images `shuffled`, both N. Drawn in turns from each class's images in their shuffled order.
    """
    classes = [shuffled[labels == label] for label in torch.unique(labels)]
    turns = -(-len(labels) // len(classes))
    rows = torch.stack([members.repeat(-(-turns // len(members)))[:turns] for members in classes], 1)  # turns classes
    drawn = rows.flatten()[: len(labels)]
    return drawn[torch.randperm(len(drawn), generator=random)]


def as_seen(images: Images, recipe: Recipe) -> Images:
    """The images, said to be of the size of the recipe's crops: what the net is built for and is fed. Raises UserError
    where the crops, or the padding that reflects, are larger than the images."""
    size, side = recipe.crop_size, min(images.train_images.shape[2:])
    if recipe.augment == "crop-flip" and recipe.crop_fill == "reflect" and recipe.crop_padding >= side:
        raise UserError(
            f"crop_padding {recipe.crop_padding} reflects more than images of {side} px have ({images.info.name}): "
            f"give at most {side - 1}"
        )
    if size is None:
        return images
    if size > side:
        raise UserError(
            f"crop_size {size} is larger than the images of {images.info.name} ({side} px): keep them larger "
            "(image_size), or leave out crop_size"
        )
    return replace(images, info=replace(images.info, image_size=size))


def prepared(images: Images, recipe: Recipe) -> Images:
    """The images with what the recipe's normalisation needs to know of them. Raises UserError where it cannot be."""
    if not recipe.pixel_mean or images.info.pixel_mean:
        return images
    side = max(images.train_images.shape[2:])
    if side > _MOST_PIXELS:
        raise UserError(
            f"pixel_mean is for images of up to {_MOST_PIXELS} px, {images.info.name} has {side}: leave it off"
        )
    parts = torch.split(images.train_images, 4096)
    total = torch.stack([part.sum(0, dtype=torch.int64) for part in parts]).sum(0)
    mean = (total.double().cpu() / (255 * len(images.train_images))).numpy().astype("<f4")  # C H W
    return replace(images, info=replace(images.info, pixel_mean=base64.b64encode(mean.tobytes()).decode()))


def mean_image(info: DataInfo) -> Tensor:
    """1 C H W, of pixel values in 0..1."""
    values = np.frombuffer(base64.b64decode(info.pixel_mean), "<f4").astype(np.float32)
    side = round((len(values) / info.channels) ** 0.5)
    return torch.from_numpy(values).view(1, info.channels, side, side)
