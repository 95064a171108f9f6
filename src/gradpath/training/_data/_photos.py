"""Folders of photos as arrays: looked at, decoded to one size, cached, split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradpath import units
from gradpath.errors import DataError
from gradpath.record import ImageSizes, SkippedFile
from gradpath.training._data import _cache as cache
from gradpath.training._data._images import Array, Found
from gradpath.training._data._listing import Listing, legible, list_photos
from gradpath.training._data._split import HELD_OUT, stratified
from gradpath.training._data._workers import for_each, need_pillow

LARGEST_DEFAULT = 224
"""Pixels: what nobody asked for gets no larger than ImageNet's usual crop."""
_NAMED = 3  # files that an error names
_SHARE_OF_MEMORY = 0.5  # of what is available


@dataclass(frozen=True)
class _Decoded:
    """Pixels (N C H W), of which row `places[i]` is that of file `rows[i]`; why other files could not be read."""

    pixels: Array
    places: Array
    rows: Sequence[int]
    bad: dict[int, str]
    sizes: ImageSizes | None


def read_photos(folder: Path, image_size: int | None, limit: float, memory_bytes: int | None, seed: int) -> Found:
    """An image folder. Without test images a fifth of each class is held out, by `seed`.

    image_size: pixels of a side; None takes the images' own where all are square and alike, else the median of their
    shorter sides, 224 at most. Raises DataError, MissingExtraError.
    """
    listing = list_photos(folder)
    need_pillow(f"reading the images of {folder}")
    decoded = _from_cache(listing, image_size, memory_bytes) or _decode(listing, image_size, limit, memory_bytes)
    _check_bad(listing, decoded.bad, limit)
    labels = np.array(listing.labels)[list(decoded.rows)]
    is_test = np.array(listing.is_test)[list(decoded.rows)]
    names = [listing.files[i] for i in decoded.rows]
    test_from = listing.test_from
    if not is_test.any():
        _check_twos(listing, labels)
        is_test[stratified(labels, HELD_OUT, seed, names)[1]] = True
        test_from = f"{units.percent(HELD_OUT)} of each class, held out by seed {seed}"
    parts = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    return Found(
        path=legible(str(folder)),
        name=legible(folder.resolve().name),
        format="image folder",
        arrays={f"{part}_images": decoded.pixels[decoded.places[index]] for part, index in parts.items()}
        | {f"{part}_labels": labels[index] for part, index in parts.items()},
        classes=tuple(map(legible, listing.classes)),
        names={part: tuple(names[i] for i in index) for part, index in parts.items()},
        sizes=decoded.sizes,
        skipped=tuple(
            SkippedFile(file=legible(listing.files[i]), reason=why) for i, why in sorted(decoded.bad.items())
        ),
        ignored=listing.ignored,
        test_from=test_from,
        notes=listing.notes,
    )


def _check_twos(listing: Listing, labels: Array) -> None:
    counts = np.bincount(labels, minlength=len(listing.classes))
    if counts.min() < 2:
        few = listing.classes[int(counts.argmin())]
        raise DataError(
            f"{listing.folder}: class {few} has {counts.min()} readable images: "
            "it takes two to train on one and test on another"
        )


def _check_bad(listing: Listing, bad: dict[int, str], limit: float) -> None:
    if len(bad) > limit * len(listing.files):
        first = ", ".join(f"{listing.files[i]} ({bad[i]})" for i in sorted(bad)[:_NAMED])
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DataError(
            f"{listing.folder}: {len(bad)} of {len(listing.files)} images cannot be read, more than "
            f"{units.percent(limit)}: {first}{more}: mend or remove them"
        )


def _from_cache(listing: Listing, image_size: int | None, memory_bytes: int | None) -> _Decoded | None:
    cached = cache.load(cache.key(listing, image_size))
    if cached is None:
        return None
    file, seen = cached
    pixels = np.load(file, mmap_mode="r")
    _check_memory(listing, pixels.shape, memory_bytes)
    bad = {int(index): why for index, why in seen["bad"].items()}
    return _good(pixels, seen["rows"], bad, _sizes(seen["sizes"]))


def _good(pixels: Array, rows: list[int], bad: dict[int, str], sizes: ImageSizes | None) -> _Decoded:
    """Without the rows whose decoding failed."""
    kept = [place for place, index in enumerate(rows) if index not in bad]
    return _Decoded(pixels, np.array(kept, np.int64), [rows[place] for place in kept], bad, sizes)


def _decode(listing: Listing, image_size: int | None, limit: float, memory_bytes: int | None) -> _Decoded:
    """All that can be, and into the cache."""
    paths = [listing.folder / file for file in listing.files]
    seen = for_each(paths)
    bad = {index: answer for index, answer in enumerate(seen) if isinstance(answer, str)}
    _check_bad(listing, bad, limit)
    rows = [index for index in range(len(seen)) if index not in bad]
    if not rows:
        raise DataError(f"{listing.folder}: none of its {len(paths)} images can be read: {next(iter(bad.values()))}")
    size = image_size or _default_size([seen[i][:2] for i in rows])
    shape = (len(rows), 1 if all(seen[i][2] for i in rows) else 3, size, size)
    _check_memory(listing, shape, memory_bytes)
    with cache.workplace(int(np.prod(shape, dtype=np.int64))) as (folder, keeps):
        file = folder / "pixels.npy"
        _reserve(file, shape)
        answers = for_each([paths[i] for i in rows], file)
        bad |= {index: why for index, why in zip(rows, answers, strict=True) if why is not None}
        sizes = [list(seen[i][:2]) for i in rows]
        if keeps:
            file = cache.keep(file, cache.key(listing, image_size), {"rows": rows, "bad": bad, "sizes": sizes})
        pixels = np.load(file, mmap_mode="r" if file.parent != folder else None)  # the folder goes at the end
        return _good(pixels, rows, bad, _sizes(sizes))


def _reserve(file: Path, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape).flush()


def _default_size(sizes: Sequence[Sequence[int]]) -> int:
    return min(round(float(np.median(np.min(sizes, axis=1)))), LARGEST_DEFAULT)


def _check_memory(listing: Listing, shape: tuple[int, ...], memory_bytes: int | None) -> None:
    count, channels, size, _ = shape
    allowed = memory_bytes or _available()
    needed = count * channels * size * size
    if allowed is not None and needed > allowed:
        fits = int((allowed / (count * channels)) ** 0.5)
        advice = f"--image-size {fits} fits" if fits >= 8 else "use fewer images"
        raise DataError(
            f"{listing.folder}: {count:,} images of {size} px take {units.memory(needed)}, "
            f"more than the {units.memory(allowed)} they may: {advice}"
        )


def _available() -> int | None:
    """Half of the memory that is free now; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return None
    return int(_SHARE_OF_MEMORY * free)


def _sizes(sizes: Sequence[Any]) -> ImageSizes:
    """sizes: width and height of each image."""
    table = np.array(sizes)  # N 2
    pixels = table.prod(axis=1)
    return ImageSizes(
        smallest=tuple(table[pixels.argmin()].tolist()),
        median=tuple(round(side) for side in np.median(table, axis=0).tolist()),
        largest=tuple(table[pixels.argmax()].tolist()),
        different=len(np.unique(table, axis=0)),
    )
