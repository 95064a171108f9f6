"""Encoded images, wherever they lie, as pixels of one size: looked at, decoded, cached; streamed where too many."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gradpath import units
from gradpath.errors import DataError
from gradpath.record import ImageSizes, SkippedFile
from gradpath.training._data import _cache as cache
from gradpath.training._data._images import Array
from gradpath.training._data._listing import legible
from gradpath.training._data._streamed import Streamed
from gradpath.training._data._workers import reserve

LARGEST_DEFAULT = 224
"""Pixels: what nobody asked for gets no larger than ImageNet's usual crop."""
_NAMED = 3  # files that an error names
_SHARE_OF_MEMORY = 0.5  # of what is available


class Source(Protocol):
    """Encoded images by number."""

    @property
    def where(self) -> str:
        """What an error calls them all."""

    @property
    def names(self) -> Sequence[str]:
        """What an error calls each."""

    def key(self, image_size: int | None) -> str:
        """A digest of their content and of what is made of them."""

    def look(self) -> list[Any]:
        """(width, height, is grey) of each, or why it cannot be read."""

    def decode(self, rows: Sequence[int], target: Path) -> list[str | None]:
        """Write the pixels of the images `rows` into a .npy file; None for each, or why it could not be."""


@dataclass(frozen=True)
class Decoded:
    """Pixels (N C H W), of which row `places[i]` is that of file `rows[i]`; why other files could not be read."""

    pixels: Array
    streamed: tuple[Path, str] | None
    """Where they lie and what they are, where they are too many for the memory."""
    places: Array
    rows: Sequence[int]
    bad: dict[int, str]
    sizes: ImageSizes | None

    def part(self, index: Array) -> Array | Streamed:
        """The images of `rows[index]`: a copy in memory, or read as they are needed."""
        if self.streamed is None:
            return self.pixels[self.places[index]]
        return Streamed(self.streamed[0], self.places[index], self.streamed[1])

    def notes(self) -> tuple[str, ...]:
        if self.streamed is None:
            return ()
        return (
            f"too many for the memory: decoded once, and read from {legible(str(self.streamed[0]))} batch by batch",
        )

    def skipped(self, source: Source) -> tuple[SkippedFile, ...]:
        return tuple(SkippedFile(file=legible(source.names[i]), reason=why) for i, why in sorted(self.bad.items()))


def decoded(source: Source, image_size: int | None, limit: float, memory_bytes: int | None) -> Decoded:
    """The images of a source, from the cache where they are there. Raises DataError for more than `limit` (a fraction)
    that cannot be read, and for more than memory and disk hold."""
    found = _from_cache(source, image_size, memory_bytes) or _decode(source, image_size, limit, memory_bytes)
    _check_bad(source, found.bad, limit)
    return found


def _check_bad(source: Source, bad: dict[int, str], limit: float) -> None:
    if len(bad) > limit * len(source.names):
        first = ", ".join(f"{source.names[i]} ({bad[i]})" for i in sorted(bad)[:_NAMED])
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DataError(
            f"{source.where}: {len(bad)} of {len(source.names)} images cannot be read, more than "
            f"{units.percent(limit)}: {first}{more}: mend or remove them"
        )


def _from_cache(source: Source, image_size: int | None, memory_bytes: int | None) -> Decoded | None:
    cached = cache.load(source.key(image_size))
    if cached is None:
        return None
    file, seen = cached
    pixels = np.load(file, mmap_mode="r")
    streamed = (file, file.stem) if _too_large(pixels.shape, memory_bytes) else None
    bad = {int(index): why for index, why in seen["bad"].items()}
    return _good(pixels, streamed, seen["rows"], bad, _sizes(seen["sizes"]))


def _good(
    pixels: Array,
    streamed: tuple[Path, str] | None,
    rows: list[int],
    bad: dict[int, str],
    sizes: ImageSizes | None,
) -> Decoded:
    """Without the rows whose decoding failed."""
    kept = [place for place, index in enumerate(rows) if index not in bad]
    return Decoded(pixels, streamed, np.array(kept, np.int64), [rows[place] for place in kept], bad, sizes)


def _decode(source: Source, image_size: int | None, limit: float, memory_bytes: int | None) -> Decoded:
    """All that can be, and into the cache."""
    seen = source.look()
    bad = {index: answer for index, answer in enumerate(seen) if isinstance(answer, str)}
    _check_bad(source, bad, limit)
    rows = [index for index in range(len(seen)) if index not in bad]
    if not rows:
        raise DataError(
            f"{source.where}: none of its {len(source.names)} images can be read: {next(iter(bad.values()))}"
        )
    size = image_size or _default_size([seen[i][:2] for i in rows])
    shape = (len(rows), 1 if all(seen[i][2] for i in rows) else 3, size, size)
    streams = _too_large(shape, memory_bytes)
    with cache.workplace(_bytes(shape), streams) as (folder, keeps):
        if streams and not keeps:
            raise DataError(_no_room(source, shape, memory_bytes))
        file = folder / "pixels.npy"
        reserve(file, shape)
        answers = source.decode(rows, file)
        bad |= {index: why for index, why in zip(rows, answers, strict=True) if why is not None}
        sizes = [list(seen[i][:2]) for i in rows]
        if keeps:
            file = cache.keep(file, source.key(image_size), {"rows": rows, "bad": bad, "sizes": sizes})
        stays = file.parent != folder  # which goes at the end
        if streams and not stays:
            raise DataError(_no_room(source, shape, memory_bytes))
        pixels = np.load(file, mmap_mode="r" if stays else None)
        return _good(pixels, (file, file.stem) if streams else None, rows, bad, _sizes(sizes))


def _default_size(sizes: Sequence[Sequence[int]]) -> int:
    return min(round(float(np.median(np.min(sizes, axis=1)))), LARGEST_DEFAULT)


def _bytes(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _too_large(shape: tuple[int, ...], memory_bytes: int | None) -> bool:
    """Whether the images take more memory than they may."""
    allowed = memory_bytes or _available()
    return allowed is not None and _bytes(shape) > allowed


def _no_room(source: Source, shape: tuple[int, ...], memory_bytes: int | None) -> str:
    """Neither in memory nor, decoded, on the disk."""
    count, channels, size, _ = shape
    allowed = memory_bytes or _available() or 0
    fits = int((allowed / (count * channels)) ** 0.5)
    advice = f"image_size {fits} fits into memory" if fits >= 8 else "use fewer images"
    return (
        f"{source.where}: {count:,} images of {size} px take {units.memory(_bytes(shape))}, more than the "
        f"{units.memory(allowed)} of memory they may, and {cache.cache_folder()} has no room to stream them from: "
        f"free some of its disk, or set XDG_CACHE_HOME to another; {advice}"
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
