"""Images and labels in memory, from the wheel, an `.npz` file or a folder of IDX files, checked once and for all."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradpath.errors import DataError
from gradpath.record import DataInfo
from gradpath.training._idx import read_idx

FASHION_MINI = "fashion-mini"
_FASHION_CLASSES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot".split()
_PARTS = ("train_images", "train_labels", "test_images", "test_labels")
_IDX_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Images:
    """A data set: images uint8 (N C H W, square), labels int64 (N), held on one device."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    info: DataInfo

    def to(self, device: torch.device) -> Images:
        """The same images on another device."""
        return replace(self, **{part: getattr(self, part).to(device) for part in _PARTS})


def load_images(source: str | os.PathLike[str] | None = None) -> Images:
    """The data set that `source` names.

    None or 'fashion-mini': the images shipped with gradpath. A `.npz` file with the arrays train_images (N C H W or
    N H W, uint8), train_labels (N), test_images and test_labels. A folder with the four IDX files of the MNIST
    family, gzipped or not. Raises DataError, one line that names the file.
    """
    if source is None or str(source) == FASHION_MINI:
        with as_file(files("gradpath.training") / "assets" / f"{FASHION_MINI}.npz") as path:
            return _checked(_read_npz(path), FASHION_MINI, FASHION_MINI, tuple(_FASHION_CLASSES))
    path = Path(source)
    if not path.exists():
        raise DataError(
            f"{path}: no such file or folder; --data takes {FASHION_MINI}, an .npz file or a folder of IDX files"
        )
    if path.is_dir():
        return _checked(_read_idx_folder(path), str(path), path.name, None)
    if path.suffix != ".npz":
        raise DataError(f"{path}: unknown kind of data; expected an .npz file or a folder of IDX files")
    return _checked(_read_npz(path), str(path), path.stem, None)


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [part for part in _PARTS if part not in archive]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path}: has no array {missing[0]!r}; expected {', '.join(_PARTS)}, found {found}")
            return {part: archive[part] for part in _PARTS}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an .npz file, it may be truncated ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """numpy's first words: it goes on to recommend loading pickles."""
    return "not an .npz file" if "allow_pickle" in str(error) else (str(error).splitlines() or [""])[0]


def _read_idx_folder(folder: Path) -> dict[str, Array]:
    arrays = {}
    for part, name in _IDX_NAMES.items():
        candidates = [folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")]
        file = next((c for c in candidates if c.is_file()), None)
        if file is None:
            raise DataError(f"{folder}: has no {name} (or {name}.gz), one of the four IDX files of the MNIST family")
        arrays[part] = read_idx(file)
    return arrays


def _checked(arrays: dict[str, Array], where: str, name: str, classes: tuple[str, ...] | None) -> Images:
    """The arrays as a data set. Raises DataError for shapes, types and labels that cannot be trained on."""
    images = {part: _as_images(arrays[f"{part}_images"], f"{where}: {part}_images") for part in ("train", "test")}
    labels = {
        part: _as_labels(arrays[f"{part}_labels"], len(images[part]), f"{where}: {part}_labels")
        for part in ("train", "test")
    }
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise DataError(
            f"{where}: train and test images differ in shape: {images['train'].shape[1:]}, {images['test'].shape[1:]}"
        )
    count = len(classes) if classes else int(labels["train"].max()) + 1
    _check_classes(labels["train"], labels["test"], count, where)
    mean, std = _pixel_statistics(images["train"])
    info = DataInfo(
        name=name,
        train_images=len(images["train"]),
        test_images=len(images["test"]),
        image_size=images["train"].shape[2],
        channels=images["train"].shape[1],
        classes=classes or tuple(map(str, range(count))),
        mean=mean,
        std=std,
        class_shares=tuple((np.bincount(labels["train"], minlength=count) / len(labels["train"])).tolist()),
    )
    return Images(
        train_images=torch.from_numpy(np.array(images["train"])),
        train_labels=torch.from_numpy(labels["train"]),
        test_images=torch.from_numpy(np.array(images["test"])),
        test_labels=torch.from_numpy(labels["test"]),
        info=info,
    )


def _pixel_statistics(images: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels in 0..1, exact, from counts of the 256 values."""
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[1]):
        shares = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean = float(shares @ values)
        means.append(mean)
        deviations.append(max(float(shares @ (values - mean) ** 2) ** 0.5, 1 / 255))  # a constant channel: not 0
    return tuple(means), tuple(deviations)


def _as_images(array: Array, where: str) -> Array:
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


def _as_labels(array: Array, images: int, where: str) -> Array:
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{where}: expected whole numbers of shape N, found {array.dtype} {array.shape}")
    if len(array) != images:
        raise DataError(f"{where}: has {len(array)} labels for {images} images")
    if array.min() < 0 or array.max() > np.iinfo(np.int32).max:
        wrong = array.min() if array.min() < 0 else array.max()
        raise DataError(f"{where}: label {wrong} is out of range: labels count from 0")
    return array.astype(np.int64)


def _check_classes(train: Array, test: Array, classes: int, where: str) -> None:
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
        raise DataError(f"{where}: class {empty[0]} has no training image (labels go up to {classes - 1})")
