"""Data sets of Hugging Face's library `datasets`: from a local folder, from its cache, or as it downloads them."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError, MissingExtraError, first_line
from gradpath.training._data._decoded import decoded
from gradpath.training._data._images import Array, Found
from gradpath.training._data._photos import divided
from gradpath.training._data._workers import need_pillow

PREFIX = "hf:"
_SAVED = ("dataset_dict.json", "state.json")  # what save_to_disk leaves
_TEST = ("test", "validation", "valid", "val", "dev")
_LABELS = ("label", "labels", "fine_label", "class")
_AT_ONCE = 256  # images read from the table together


@dataclass(frozen=True)
class _Table:
    """One split: its images, encoded, and its labels."""

    name: str
    rows: Any
    """datasets.Dataset with the column of images not decoded."""
    images: str
    label: str

    @property
    def feature(self) -> Any:
        return self.rows.features[self.label]

    def labels(self) -> list[Any]:
        return list(self.rows[self.label][:])


@dataclass(frozen=True)
class _Tables:
    """The splits one after the other, as a source."""

    where: str
    tables: tuple[_Table, ...]

    @property
    def names(self) -> Sequence[str]:
        return [f"{table.name}/{i:06}" for table in self.tables for i in range(len(table.rows))]

    def key(self, image_size: int | None) -> str:
        digest = hashlib.sha256(f"hf 1 {image_size}".encode())
        for table in self.tables:
            digest.update(f"\n{table.name} {table.images} {table.rows._fingerprint} {len(table.rows)}".encode())
        return digest.hexdigest()[:32]

    def look(self) -> list[Any]:
        from gradpath.training._data import _decode

        return list(self._each(_decode.look, range(len(self.names))))

    def decode(self, rows: Sequence[int], target: Path) -> list[str | None]:
        from gradpath.training._data import _decode

        pixels = np.load(target, mmap_mode="r+")
        answers: list[str | None] = []
        images = self._each(lambda image: _decode.decode(image, pixels.shape[-1], pixels.shape[1]), rows)
        for place, image in enumerate(images):
            answers.append(image if isinstance(image, str) else None)
            if not isinstance(image, str):
                pixels[place] = image
        pixels.flush()
        return answers

    def _each(self, answer: Callable[[Any], Any], rows: Sequence[int]) -> Iterator[Any]:
        """What `answer` gives for each image, or why it cannot be read. Threads: Pillow lets others work meanwhile."""
        from gradpath.training._data import _decode

        def tried(image: Any) -> Any:
            try:
                return answer(io.BytesIO(image["bytes"]) if image["bytes"] is not None else image["path"])
            except Exception as error:  # Pillow's readers raise almost anything for a broken file
                return _decode.reason(error)

        with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            warnings.simplefilter("ignore")  # remarks on odd metadata
            for images in self._encoded(rows):
                yield from pool.map(tried, images)

    def _encoded(self, rows: Sequence[int]) -> Iterator[list[Any]]:
        """The images of `rows` (ascending) as they are stored: {'bytes', 'path'}."""
        start, wanted = 0, np.asarray(rows)
        for table in self.tables:
            own = wanted[(wanted >= start) & (wanted < start + len(table.rows))] - start
            for first in range(0, len(own), _AT_ONCE):
                yield table.rows[own[first : first + _AT_ONCE].tolist()][table.images]
            start += len(table.rows)


def read_hub(name: str, image_size: int | None, limit: float, memory_bytes: int | None, seed: int) -> Found:
    """The data set that 'NAME' or 'NAME:CONFIG' means to `datasets.load_dataset`, or a folder that save_to_disk wrote.

    Without test images (a split test or validation with labels) a fifth of each class is held out, by `seed`. Sizes,
    decoding and the cache are those of folders of photos. Raises DataError, MissingExtraError.
    """
    need_pillow(f"reading the images of {PREFIX}{name}")
    where = PREFIX + name
    splits = _loaded(name)
    train = _table(where, "train", splits)
    tests = [_table(where, split, splits) for split in _TEST if split in splits]
    test = next((table for table in tests if _is_labelled(table)), None)
    unlabelled = [table.name for table in tests if not _is_labelled(table)]
    unused = [split for split in splits if split not in (train.name, None if test is None else test.name)]
    notes = tuple(
        f"split {split} is not used{': its labels are missing' if split in unlabelled else ''}" for split in unused
    )
    source = _Tables(where, (train,) if test is None else (train, test))
    seen = decoded(source, image_size, limit, memory_bytes)
    labels, classes = _numbered(where, source.tables)
    is_test = np.arange(len(labels)) >= len(train.rows)
    return divided(
        source,
        seen,
        labels,
        is_test,
        classes,
        seed,
        name=Path(name).name,
        form="Hugging Face data set",
        test_from="" if test is None else f"split {test.name}",
        notes=notes,
    )


def _loaded(name: str) -> dict[str, Any]:
    """Split → table. The library's errors, network and all, become one line."""
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError("datasets", "hf", f"reading {PREFIX}{name}") from error
    folder = Path(name).expanduser()
    if name.startswith((".", "~")) or folder.is_absolute():  # a path, and no name: not asked for elsewhere
        _check_folder(name, folder)
    try:
        with _silent(datasets):
            if any((folder / file).is_file() for file in _SAVED):
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(*_name_and_config(name))
    except Exception as error:
        said = " ".join(first_line(error).split())[:200]
        raise DataError(f"{PREFIX}{name}: cannot be loaded ({type(error).__name__}: {said})") from error
    return dict(found) if isinstance(found, dict) else {"train": found}


def _check_folder(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{PREFIX}{name}: there is no such folder")


def _name_and_config(name: str) -> list[str]:
    base, colon, config = name.rpartition(":")
    return [name] if Path(name).expanduser().exists() or not colon else [base, config]


@contextmanager
def _silent(datasets: Any) -> Iterator[None]:
    """Without its progress bars, where it had any."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def _table(where: str, split: str, splits: dict[str, Any]) -> _Table:
    import datasets

    if split not in splits:
        raise DataError(f"{where}: has no split 'train', but {', '.join(splits)}")
    rows = splits[split]
    columns: dict[str, Any] = dict(rows.features)
    images = [name for name, feature in columns.items() if isinstance(feature, datasets.Image)]
    labels = [name for name, feature in columns.items() if isinstance(feature, datasets.ClassLabel)]
    labels = [name for name in _LABELS if name in columns] + labels
    if not images or not labels:
        told = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in columns.items())
        missing = "no column of images" if not images else "no column of labels"
        raise DataError(f"{where}: split {split} has {missing}: its columns are {told}")
    return _Table(split, rows.cast_column(images[0], datasets.Image(decode=False)), images[0], labels[0])


def _is_labelled(table: _Table) -> bool:
    """Test splits of contests come with −1 or nothing in the place of labels."""
    return all(label is not None and label != -1 for label in table.labels())


def _numbered(where: str, tables: Sequence[_Table]) -> tuple[Array, tuple[str, ...] | None]:
    """The labels of all tables as numbers, and the classes' names; None for numbers."""
    labels = [label for table in tables for label in table.labels()]
    names = getattr(tables[0].feature, "names", None)
    if labels and all(isinstance(label, str) for label in labels):
        classes = tuple(sorted(set(labels)))
        return np.array([classes.index(label) for label in labels], np.int64), classes
    if not all(isinstance(label, int) for label in labels):
        raise DataError(f"{where}: labels are whole numbers or names, the column {tables[0].label!r} holds others")
    return np.array(labels, np.int64), None if names is None else tuple(names)
