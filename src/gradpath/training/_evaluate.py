"""How many test images a file of weights gets right."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

from gradpath.errors import UserError, WeightsError
from gradpath.nets import Network, build, build_from, data_of, load_weights
from gradpath.record import DataInfo, NetSpec, Padding, Precision
from gradpath.training._batches import Batches
from gradpath.training._data import Images, load_images
from gradpath.training._loop import right_answers
from gradpath.training._machine import memory_format, pick_device, precision_context
from gradpath.training._train import fitting

Normalise = Literal["weights", "data", "imagenet"]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # per channel, of pixels in 0..1


@dataclass(frozen=True)
class Evaluation:
    """Right answers on the test images."""

    right: int
    images: int
    spec: NetSpec
    precision: Precision

    @property
    def accuracy(self) -> float:
        return self.right / self.images


def evaluate(
    weights: str | os.PathLike[str],
    data: str | os.PathLike[str] | Images | None = None,
    *,
    net: NetSpec | str | None = None,
    padding: Padding | None = None,
    normalise: Normalise = "weights",
    precision: Precision = "float32",
    device: str | None = None,
) -> Evaluation:
    """Classify the test images of `data` with a file of weights.

    Args:
        weights: .safetensors written by gradpath says which net and which normalisation it is for; for a foreign
            file (.th, .pth, .safetensors) give `net` and `normalise`, which its keys cannot tell.
        padding: for a foreign residual net with option A shortcuts: where they pad.
        normalise: by the mean and standard deviation stored with the weights, those of `data`, or ImageNet's.
        precision: float32 unless asked otherwise.

    Raises WeightsError, DataError, SpecError.
    """
    stored = data_of(weights)
    images = load_images(data, photo_size=None if stored is None else stored.image_size)
    where = pick_device(device)
    model = build_from(weights) if net is None else load_weights(_foreign(net, padding, images), weights)
    _check_fit(model, images.info, weights)
    _check_classes(images, stored, weights)
    info = _normalisation(normalise, weights, images.info)
    batches = Batches(info, where, memory_format("channels_last"), seed=0)
    held = images.to(where)
    with precision_context(precision, where):
        right = right_answers(model.to(where), held.test_images, held.test_labels, batches)
    return Evaluation(right, images.info.test_images, model.spec, precision)


def _foreign(net: NetSpec | str, padding: Padding | None, images: Images) -> Network:
    """The net that a foreign file is of. Padding is never guessed: the wrong one loads as well, and fails."""
    spec = fitting(net, images)
    if padding is not None:
        spec = replace(spec, padding=padding)
    elif isinstance(net, str) and spec.family == "residual" and spec.shortcut == "A":
        raise WeightsError(f"the weights of {net} do not tell where its shortcuts pad: give padding 'both' or 'end'")
    return build(spec)


def _check_fit(model: Network, info: DataInfo, weights: str | os.PathLike[str]) -> None:
    if model.spec.input_channels != info.channels:
        raise WeightsError(
            f"{weights}: is for images of {model.spec.input_channels} channels, {info.name} has {info.channels}"
        )
    if model.spec.classes < len(info.classes):
        raise WeightsError(f"{weights}: tells {model.spec.classes} classes apart, {info.name} has {len(info.classes)}")


def _check_classes(images: Images, stored: DataInfo | None, weights: str | os.PathLike[str]) -> None:
    """Folders give classes their numbers by name: a class more or less would number the others differently."""
    if images.train_names and stored is not None and images.info.classes != stored.classes:
        known, found = (", ".join(names[:10]) for names in (stored.classes, images.info.classes))
        raise WeightsError(f"{weights}: was trained on the classes {known}; {images.info.name} has {found}")


def _normalisation(kind: Normalise, weights: str | os.PathLike[str], info: DataInfo) -> DataInfo:
    if kind == "data":
        return info
    if kind == "imagenet":
        if info.channels != 3:
            raise UserError(f"ImageNet's normalisation is for 3 channels, {info.name} has {info.channels}: use 'data'")
        return replace(info, mean=IMAGENET[0], std=IMAGENET[1])
    stored = data_of(weights)
    if stored is None:
        raise WeightsError(
            f"{weights}: does not say how its images were normalised: "
            f"give normalise 'data' (by {info.name}) or 'imagenet'"
        )
    return stored
