"""What a file of weights gets right of the test images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from gradpath.errors import WeightsError
from gradpath.nets import SPEC_KEY, Network, build, build_from, data_of, load_weights, read_metadata
from gradpath.record import DataInfo, Evaluation, NetSpec, Padding, Precision
from gradpath.training._batches import Batches
from gradpath.training._classify import counted, predictions
from gradpath.training._data import Images, load_images, with_channels
from gradpath.training._fitting import fitting, with_padding
from gradpath.training._machine import memory_format, pick_device, precision_context
from gradpath.training._start import Model, Normalise, begin, imagenet

PathLike = str | os.PathLike[str]


def evaluate(
    weights: PathLike,
    data: str | os.PathLike[str] | Images | None = None,
    *,
    net: Model | None = None,
    padding: Padding | None = None,
    normalise: Normalise = "weights",
    precision: Precision = "float32",
    device: str | None = None,
) -> Evaluation:
    """Classify the test images of `data` with a file of weights, and count what was called what.

    Args:
        weights: .safetensors written by gradpath says which net and which normalisation it is for; for a foreign
            file (.th, .pth, .safetensors) give `net` and `normalise`, which its keys cannot tell.
        net: a name, a specification, a model, or a function that makes one; None: a net of gradpath's own.
        padding: for a foreign residual net with option A shortcuts: where they pad.
        normalise: by the mean and standard deviation stored with the weights, those of `data`, or ImageNet's.
        precision: float32 unless asked otherwise.

    Raises WeightsError, DataError, SpecError, UserError.
    """
    stored = data_of(weights)
    images = load_images(data, photo_size=None if stored is None else stored.image_size)
    if stored is not None and images.info.channels == 1:
        images = with_channels(images, stored.channels)
    where = pick_device(device)
    model = _model(weights, net, padding, images, stored)
    _check_fit(model, images.info, weights)
    _check_classes(images, stored, weights)
    info = _normalisation(normalise, weights, images.info, stored)
    batches = Batches(info, where, memory_format("channels_last"), seed=0)
    held = images.to(where)
    with precision_context(precision, where):
        called = predictions(model.to(where), held.test_images, batches)
    return counted(called, held.test_labels, images.info, name=Path(weights).name, precision=precision)


def _model(
    weights: PathLike, net: Model | None, padding: Padding | None, images: Images, stored: DataInfo | None
) -> nn.Module:
    """The net with the weights in it."""
    if net is None:
        if SPEC_KEY not in read_metadata(weights):
            raise WeightsError(
                f"{weights}: does not say which network it is of: give net, such as resnet-20, timm:NAME or "
                "file.py:function"
            )
        return build_from(weights)
    if isinstance(net, NetSpec | str):
        return load_weights(build(with_padding(fitting(net, images), net, padding, f"{weights}: ")), weights)
    info = images.info if stored is None else replace(images.info, classes=stored.classes)
    model = begin(net, replace(images, info=info), 0).net  # with a classifier of the file's size
    return load_weights(model, weights)


def _check_fit(model: nn.Module, info: DataInfo, weights: PathLike) -> None:
    if not isinstance(model, Network):
        return
    if model.spec.input_channels != info.channels:
        raise WeightsError(
            f"{weights}: is for images of {model.spec.input_channels} channels, {info.name} has {info.channels}"
        )
    if model.spec.classes < len(info.classes):
        raise WeightsError(f"{weights}: tells {model.spec.classes} classes apart, {info.name} has {len(info.classes)}")


def _check_classes(images: Images, stored: DataInfo | None, weights: PathLike) -> None:
    """Folders give classes their numbers by name: a class more or less would number the others differently."""
    if images.train_names and stored is not None and images.info.classes != stored.classes:
        known, found = (", ".join(names[:10]) for names in (stored.classes, images.info.classes))
        raise WeightsError(f"{weights}: was trained on the classes {known}; {images.info.name} has {found}")


def _normalisation(kind: Normalise, weights: PathLike, info: DataInfo, stored: DataInfo | None) -> DataInfo:
    if kind == "data":
        return info
    if kind == "imagenet":
        return imagenet(info)
    if stored is None:
        raise WeightsError(
            f"{weights}: does not say how its images were normalised: "
            f"give normalise 'data' (by {info.name}) or 'imagenet'"
        )
    return stored
