"""Folders of photos as arrays: looked at, decoded to one size, cached, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gradpath import units
from gradpath.errors import DataError
from gradpath.training._data import _cache as cache
from gradpath.training._data._decoded import Decoded, Source, decoded
from gradpath.training._data._images import Array, Found
from gradpath.training._data._listing import Listing, legible, list_photos
from gradpath.training._data._split import HELD_OUT, stratified
from gradpath.training._data._workers import for_each, need_pillow


@dataclass(frozen=True)
class _Files:
    """The photos of a listing, as a source."""

    listing: Listing

    @property
    def where(self) -> str:
        return str(self.listing.folder)

    @property
    def names(self) -> Sequence[str]:
        return self.listing.files

    def key(self, image_size: int | None) -> str:
        return cache.key(self.listing, image_size)

    def look(self) -> list[Any]:
        return for_each(self._paths(range(len(self.names))))

    def decode(self, rows: Sequence[int], target: Path) -> list[str | None]:
        return for_each(self._paths(rows), target)

    def _paths(self, rows: Sequence[int]) -> list[Path]:
        return [self.listing.folder / self.listing.files[i] for i in rows]


def read_photos(folder: Path, image_size: int | None, limit: float, memory_bytes: int | None, seed: int) -> Found:
    """An image folder. Without test images a fifth of each class is held out, by `seed`.

    image_size: pixels of a side; None takes the images' own where all are square and alike, else the median of their
    shorter sides, 224 at most. What takes more than `memory_bytes` (None: half of what is free) is streamed.
    Raises DataError, MissingExtraError.
    """
    listing = list_photos(folder)
    need_pillow(f"reading the images of {folder}")
    source = _Files(listing)
    found = divided(
        source,
        decoded(source, image_size, limit, memory_bytes),
        np.array(listing.labels),
        np.array(listing.is_test),
        tuple(map(legible, listing.classes)),
        seed,
        name=legible(folder.resolve().name),
        form="image folder",
        test_from=listing.test_from,
        notes=listing.notes,
    )
    return replace(found, ignored=listing.ignored)


def divided(
    source: Source,
    seen: Decoded,
    labels: Array,
    is_test: Array,
    classes: tuple[str, ...] | None,
    seed: int,
    *,
    name: str,
    form: str,
    test_from: str,
    notes: tuple[str, ...],
) -> Found:
    """The readable images of a source, in two parts. `labels` and `is_test` are those of all its images."""
    labels, is_test = labels[list(seen.rows)], is_test[list(seen.rows)]
    known = source.names
    names = [known[i] for i in seen.rows]
    if not is_test.any():
        _check_twos(source, labels, classes)
        is_test[stratified(labels, HELD_OUT, seed, names)[1]] = True
        test_from = f"{units.percent(HELD_OUT)} of each class, held out by seed {seed}"
    parts = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    return Found(
        path=legible(source.where),
        name=name,
        format=form,
        arrays={f"{part}_images": seen.part(index) for part, index in parts.items()}
        | {f"{part}_labels": labels[index] for part, index in parts.items()},
        classes=classes,
        names={part: tuple(names[i] for i in index) for part, index in parts.items()},
        sizes=seen.sizes,
        skipped=seen.skipped(source),
        test_from=test_from,
        notes=notes + seen.notes(),
    )


def _check_twos(source: Source, labels: Array, classes: tuple[str, ...] | None) -> None:
    counts = np.bincount(labels, minlength=len(classes or ()))
    if counts.min() < 2:
        number = int(counts.argmin())
        few = str(number) if classes is None else classes[number]
        raise DataError(
            f"{source.where}: class {few} has {counts.min()} readable images: "
            "it takes two to train on one and test on another"
        )
