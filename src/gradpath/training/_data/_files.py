"""Data sets that are arrays in files: `.npz`, and the four IDX files of the MNIST family."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gradpath.errors import DataError
from gradpath.training._data._images import PARTS, Array
from gradpath.training._idx import read_idx

IDX_NAMES = {
    "train_images": "train-images-idx3-ubyte",
    "train_labels": "train-labels-idx1-ubyte",
    "test_images": "t10k-images-idx3-ubyte",
    "test_labels": "t10k-labels-idx1-ubyte",
}


def read_npz(path: Path) -> dict[str, Array]:
    """The four arrays of an .npz file. Raises DataError naming the file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [part for part in PARTS if part not in archive]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path}: has no array {missing[0]!r}; expected {', '.join(PARTS)}, found {found}")
            return {part: archive[part] for part in PARTS}
    except DataError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as an .npz file, it may be truncated ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """numpy's first words: it goes on to recommend loading pickles."""
    return "not an .npz file" if "allow_pickle" in str(error) else (str(error).splitlines() or [""])[0]


def has_idx(folder: Path) -> bool:
    """Whether any of the four files is there."""
    return any(_idx_file(folder, name) for name in IDX_NAMES.values())


def _idx_file(folder: Path, name: str) -> Path | None:
    candidates = [folder / name, folder / f"{name}.gz", folder / name.replace("-idx", ".idx")]
    return next((c for c in candidates if c.is_file()), None)


def read_idx_folder(folder: Path) -> dict[str, Array]:
    """The four arrays. Raises DataError naming the file that is missing or broken."""
    arrays = {}
    for part, name in IDX_NAMES.items():
        file = _idx_file(folder, name)
        if file is None:
            raise DataError(f"{folder}: has no {name} (or {name}.gz), one of the four IDX files of the MNIST family")
        arrays[part] = read_idx(file)
    return arrays
