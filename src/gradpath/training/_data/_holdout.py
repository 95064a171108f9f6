"""Training images held out to validate on, and what is uneven among the classes."""

from __future__ import annotations

from dataclasses import replace

import torch

from gradpath.errors import DataError, UserError
from gradpath.record import DataSplit
from gradpath.training._data._images import Images
from gradpath.training._data._split import split_record, stratified
from gradpath.training._data._streamed import rows_of

VALIDATION = 0.1
"""The fraction of each class that `gp.train` holds out of training to choose the best epoch by."""


def hold_out(images: Images, fraction: float = VALIDATION, seed: int = 0) -> tuple[Images, DataSplit | None]:
    """The data set with a fraction of each class's training images held out, and their list to save; 0: as it is.

    Which ones depends on the seed and their names (indices where they have none) alone. Mean and standard deviation
    stay those of all training images. Raises UserError, DataError.
    """
    if not 0 <= fraction < 1:
        raise UserError(f"the fraction held out to validate lies between 0 and 1, got {fraction:g}")
    if not fraction:
        return images, None
    labels, names = images.train_labels.cpu().numpy(), images.train_names or None
    try:
        kept, held = (torch.from_numpy(index) for index in stratified(labels, fraction, seed, names))
    except DataError as error:
        raise DataError(f"{images.info.name}: {error}; validation 0 holds none out") from error
    inside = replace(
        images,
        train_images=rows_of(images.train_images, kept),
        train_labels=images.train_labels[kept],
        train_names=tuple(names[i] for i in kept.tolist()) if names else (),
        validation_images=rows_of(images.train_images, held),
        validation_labels=images.train_labels[held],
        validation_names=tuple(names[i] for i in held.tolist()) if names else (),
    )
    counts = torch.bincount(inside.train_labels, minlength=len(images.info.classes))
    info = replace(
        images.info,
        train_images=len(kept),
        validation_images=len(held),
        class_shares=tuple((counts / counts.sum()).tolist()),
    )
    listed = split_record(names or list(map(str, range(len(labels)))), held.tolist(), seed, fraction)
    return replace(inside, info=info), replace(listed, test=images.test_names)


def with_channels(images: Images, channels: int) -> Images:
    """Grey images as three equal channels, for a net that sees colours; others as they are. Raises DataError."""
    info = images.info
    if info.channels == channels:
        return images
    if info.channels != 1:
        raise DataError(f"{info.name}: its images have {info.channels} channels, the net takes {channels}")
    wide = {
        part: tensor.expand(-1, channels, -1, -1)
        for part in ("train_images", "test_images", "validation_images")
        if (tensor := getattr(images, part)) is not None
    }
    info = replace(info, channels=channels, mean=info.mean * channels, std=info.std * channels)
    return replace(images, info=info, **wide)
