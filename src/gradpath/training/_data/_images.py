"""Images and labels in memory, checked once and for all, and what their reader has to say about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradpath.errors import DataError
from gradpath.record import DataInfo, ImageSizes, SkippedFile
from gradpath.training._data._streamed import Streamed, as_tensor

PARTS = ("train_images", "train_labels", "test_images", "test_labels")
_COUNTED = 2**23  # pixels counted at once: numpy takes eight bytes for each
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Images:
    """A data set: images uint8 (N C H W, square), labels int64 (N), held on one device.

    Images that do not fit into the memory are `Streamed`: they lie on disk, and what is asked for is read.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    info: DataInfo
    train_names: tuple[str, ...] = ()
    """Paths of the files below their folder; empty where images have no files of their own."""
    test_names: tuple[str, ...] = ()
    validation_images: Tensor | None = None
    """Held out of the training images (`hold_out`); None where none were."""
    validation_labels: Tensor | None = None
    validation_names: tuple[str, ...] = ()

    def to(self, device: torch.device) -> Images:
        """The same images on another device."""
        held = {part: getattr(self, part) for part in (*PARTS, "validation_images", "validation_labels")}
        return replace(self, **{part: tensor.to(device) for part, tensor in held.items() if tensor is not None})

    @property
    def bytes(self) -> int:
        """Of all images and labels: what they take on their device."""
        held = [getattr(self, part) for part in (*PARTS, "validation_images", "validation_labels")]
        return sum(getattr(tensor, "held_bytes", tensor.nbytes) for tensor in held if tensor is not None)


@dataclass(frozen=True)
class Found:
    """What a reader found in a file or a folder, not yet checked."""

    path: str
    name: str
    format: str
    arrays: Mapping[str, Array | Streamed]
    """The four PARTS: images uint8 N C H W (in memory or streamed), labels whole numbers N."""
    classes: tuple[str, ...] | None = None
    """None: as many as there are labels, named by their number."""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """'train' and 'test' → the files' paths below the folder."""
    sizes: ImageSizes | None = None
    skipped: tuple[SkippedFile, ...] = ()
    ignored: int = 0
    test_from: str = "its own"
    notes: tuple[str, ...] = ()


def checked(found: Found) -> Images:
    """The arrays as a data set. Raises DataError for shapes, types and labels that cannot be trained on."""
    arrays, where = found.arrays, found.path
    images = {part: _as_images(arrays[f"{part}_images"], f"{where}: {part}_images") for part in ("train", "test")}
    labels = {
        part: _as_labels(arrays[f"{part}_labels"], len(images[part]), f"{where}: {part}_labels")
        for part in ("train", "test")
    }
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise DataError(
            f"{where}: train and test images differ in shape: {images['train'].shape[1:]}, {images['test'].shape[1:]}"
        )
    count = len(found.classes) if found.classes else int(labels["train"].max()) + 1
    _check_classes(labels["train"], labels["test"], count, where, found.classes)
    info = _info(found, images, labels["train"], count)
    return Images(
        train_images=_tensor(images["train"]),
        train_labels=_tensor(labels["train"]),
        test_images=_tensor(images["test"]),
        test_labels=_tensor(labels["test"]),
        info=info,
        train_names=found.names.get("train", ()),
        test_names=found.names.get("test", ()),
    )


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Streamed):
        return as_tensor(array)
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))  # copied only where it is read-only


def _info(found: Found, images: dict[str, Any], labels: Array, count: int) -> DataInfo:
    mean, std = pixel_statistics(images["train"])
    return DataInfo(
        name=found.name,
        train_images=len(images["train"]),
        test_images=len(images["test"]),
        image_size=images["train"].shape[2],
        channels=images["train"].shape[1],
        classes=found.classes or tuple(map(str, range(count))),
        mean=mean,
        std=std,
        class_shares=tuple((np.bincount(labels, minlength=count) / len(labels)).tolist()),
    )


def pixel_statistics(images: Array | Streamed) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels in 0..1, exact, from counts of the 256 values."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in _counts(images):
        shares = channel / channel.sum()
        mean = float(shares @ values)
        means.append(mean)
        deviations.append(max(float(shares @ (values - mean) ** 2) ** 0.5, 1 / 255))  # a constant channel: not 0
    return tuple(means), tuple(deviations)


def _counts(images: Array | Streamed) -> Array:
    """How often each of the 256 values occurs in each channel (C 256)."""
    channels = images.shape[1]
    counts = np.zeros((channels, 256), np.int64)
    step = max(_COUNTED // (images.shape[2] * images.shape[3]), 1)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        pixels = part.read().numpy() if isinstance(part, Streamed) else part
        for channel in range(channels):
            counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
    return counts


def _as_images(array: Any, where: str) -> Any:
    if isinstance(array, Streamed):
        return array
    array = array[:, None] if array.ndim == 3 else array
    if array.ndim != 4 or array.dtype != np.uint8:
        raise DataError(f"{where}: expected uint8 of shape N C H W or N H W, found {array.dtype} {array.shape}")
    if not array.size:
        raise DataError(f"{where}: is empty: {array.shape}")
    if array.shape[2] != array.shape[3]:
        raise DataError(f"{where}: expected square images, found {array.shape[2]}×{array.shape[3]}")
    if array.shape[1] not in (1, 3):
        raise DataError(f"{where}: expected 1 or 3 channels in second place (N C H W), found {array.shape[1]}")
    return array


def _as_labels(array: Any, images: int, where: str) -> Array:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{where}: expected whole numbers of shape N, found {array.dtype} {array.shape}")
    if len(array) != images:
        raise DataError(f"{where}: has {len(array)} labels for {images} images")
    if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
        wrong = array.min() if array.min() < 0 else array.max()
        raise DataError(f"{where}: label {wrong} is out of range: labels count from 0")
    labels: Array = array.astype(np.int64)
    return labels


def _check_classes(train: Array, test: Array, classes: int, where: str, names: tuple[str, ...] | None) -> None:
    highest = int(max(train.max(), test.max()))
    if highest >= classes:
        part = "train" if train.max() == highest else "test"
        raise DataError(
            f"{where}: {part}_labels holds label {highest}, out of range for {classes} classes (0 to {classes - 1})"
        )
    if classes < 2:
        raise DataError(f"{where}: has one class only; at least two are needed to learn anything")
    if classes > len(train):
        raise DataError(
            f"{where}: train_labels holds label {highest}, out of range: more classes than {len(train)} images"
        )
    empty = np.flatnonzero(np.bincount(train, minlength=classes) == 0)
    if len(empty):
        named = f"{empty[0]}" if names is None else f"{empty[0]} ({names[empty[0]]})"
        raise DataError(f"{where}: class {named} has no training image (labels go up to {classes - 1})")
