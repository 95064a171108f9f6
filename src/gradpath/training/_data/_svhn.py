"""SVHN's cropped digits: train_32x32.mat and test_32x32.mat, with X (32 32 3 N) and y, in which 10 stands for 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradpath.errors import DataError
from gradpath.training._data._images import Array, Found
from gradpath.training._data._mat import read_mat

_TRAIN, _TEST, _EXTRA = "train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"


def has_svhn(folder: Path) -> bool:
    """Whether one of its files is there."""
    return (folder / _TRAIN).is_file() or (folder / _TEST).is_file()


def read_svhn(folder: Path) -> Found:
    """The data set. Raises DataError naming the file that is missing or broken."""
    train, test = _read_part(folder / _TRAIN), _read_part(folder / _TEST)
    return Found(
        path=str(folder),
        name="SVHN",
        format="SVHN .mat files",
        arrays={
            "train_images": train[0],
            "train_labels": train[1],
            "test_images": test[0],
            "test_labels": test[1],
        },
        classes=tuple("0123456789"),
        test_from=_TEST,
        notes=(f"{_EXTRA} is not used",) if (folder / _EXTRA).is_file() else (),
    )


def _read_part(file: Path) -> tuple[Array, Array]:
    if not file.is_file():
        raise DataError(f"{file}: no such file, one of the two of SVHN: {_TRAIN}, {_TEST}")
    arrays = read_mat(file)
    images, labels = arrays.get("X"), arrays.get("y")
    if images is None or labels is None:
        raise DataError(f"{file}: has no arrays X and y, found {', '.join(arrays) or 'nothing'}")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[2] != 3:
        raise DataError(f"{file}: X is {images.dtype} {images.shape}, expected uint8 (H, W, 3, N)")
    digits = labels.ravel().astype(np.int64)
    if digits.size and not 1 <= digits.min() <= digits.max() <= 10:
        wrong = digits.min() if digits.min() < 1 else digits.max()
        raise DataError(f"{file}: label {wrong} is out of range: y counts from 1 to 10")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1)), digits % 10
