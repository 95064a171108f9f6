"""CIFAR-10 and CIFAR-100 as their authors publish them for Python: pickled batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError
from gradpath.training._data._images import Array, Found
from gradpath.training._data._pickles import read_pickle

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Form:
    """How one of the two data sets is laid out."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: str
    meta: str
    classes: str


_FORMS = (
    _Form(
        "CIFAR-10", "cifar-10-batches-py", tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "labels",
        "batches.meta", "label_names",
    ),
    _Form("CIFAR-100", "cifar-100-python", ("train",), "test", "fine_labels", "meta", "fine_label_names"),
)  # fmt: skip


def find_cifar(folder: Path) -> tuple[Path, _Form] | None:
    """The folder with the batches, it or one in it, and what they are; None where there are none."""
    for form in _FORMS:
        for place in (folder, folder / form.folder):
            if any((place / name).is_file() for name in (*form.train, form.test)):
                return place, form
    return None


def read_cifar(folder: Path, form: _Form) -> Found:
    """The data set. Raises DataError naming the file that is missing, broken or hostile."""
    train = [_read_batch(folder / name, form) for name in form.train]
    test = _read_batch(folder / form.test, form)
    return Found(
        path=str(folder),
        name=form.name,
        format=f"{form.name} pickles",
        arrays={
            "train_images": np.concatenate([images for images, _ in train]),
            "train_labels": np.concatenate([labels for _, labels in train]),
            "test_images": test[0],
            "test_labels": test[1],
        },
        classes=_class_names(folder / form.meta, form),
        test_from=form.test,
    )


def _mapping(file: Path, form: _Form) -> dict[str, Any]:
    if not file.is_file():
        raise DataError(f"{file}: no such file, one of those of {form.name}: {', '.join((*form.train, form.test))}")
    return read_pickle(file)


def _read_batch(file: Path, form: _Form) -> tuple[Array, Array]:
    batch = _mapping(file, form)
    if missing := {"data", form.labels} - set(batch):
        raise DataError(f"{file}: has no {sorted(missing)[0]!r}; a batch of {form.name} has 'data' and {form.labels!r}")
    data, labels = batch["data"], batch[form.labels]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
        seen = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DataError(f"{file}: 'data' is {seen}, expected uint8 (N, {_PIXELS})")
    if not isinstance(labels, (list, np.ndarray)) or not all(isinstance(y, (int, np.integer)) for y in labels):
        raise DataError(f"{file}: {form.labels!r} are not whole numbers")
    if len(labels) != len(data):
        raise DataError(f"{file}: has {len(labels)} labels for {len(data)} images")
    return data.reshape(-1, 3, 32, 32), np.array(labels, np.int64)


def _class_names(file: Path, form: _Form) -> tuple[str, ...] | None:
    """None, for numbers, where the file is missing."""
    if not file.is_file():
        return None
    names = read_pickle(file).get(form.classes)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: has no list of names {form.classes!r}: remove the file to use numbers")
    return tuple(names)
