"""The photos below a folder: CLASS/*, or train/CLASS/* with test/ or val/ beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gradpath.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found")


@dataclass(frozen=True)
class Listing:
    """Which files there are. `files` are paths below the folder; `labels` and `is_test` go with them."""

    folder: Path
    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: tuple[int, ...]
    is_test: tuple[bool, ...]
    ignored: int
    notes: tuple[str, ...]
    test_from: str
    """The folder of the test images, '' where there is none."""


def list_photos(folder: Path) -> Listing:
    """The photos and their classes, sorted by name. Raises DataError naming the folder that does not fit."""
    parts = _folders(folder)
    train = next((parts[name] for name in parts if name.lower() in _TRAIN and _has_classes(parts[name])), None)
    if train is None:
        return _listed(folder, folder, None, ())
    wanted = sorted((p for p in parts if p.lower() in _TEST), key=lambda name: _TEST.index(name.lower()))
    usable = [name for name in wanted if _has_classes(parts[name])]
    notes = [f"{name}/ is not used: it has no class folders" for name in wanted if name not in usable]
    notes += [f"{name}/ is not used: the test images are those of {usable[0]}/" for name in usable[1:]]
    notes += [f"{name}/ is not used" for name in parts if parts[name] != train and name not in wanted]
    return _listed(folder, train, parts[usable[0]] if usable else None, tuple(notes))


def photos_below(folder: Path) -> list[Path]:
    """All photos in a folder and below it, sorted by name, whatever the folders are called."""
    return _photos(folder)[0]


def has_photos(folder: Path) -> bool:
    """Whether it is an image folder of either form: some folder in it, or in one of those, holds photos."""
    return any(_has_photo(inner) or _has_classes(inner) for inner in _folders(folder).values())


def _listed(folder: Path, train: Path, test: Path | None, notes: tuple[str, ...]) -> Listing:
    classes = tuple(_folders(train))
    _check_classes(folder, train, classes)
    files, labels, is_test, ignored = [], [], [], 0
    for part in (train, test):
        if part is None:
            continue
        for name, inner in _folders(part).items():
            if name not in classes:
                raise DataError(f"{inner}: is a class that {train} does not have: {', '.join(classes[:10])}")
            photos, others = _photos(inner)
            if not photos and part is train:
                raise DataError(f"{inner}: holds no image ({' '.join(ENDINGS)}): fill or remove this class")
            files += [file.relative_to(folder).as_posix() for file in photos]
            labels += [classes.index(name)] * len(photos)
            is_test += [part is test] * len(photos)
            ignored += others
    test_from = f"{test.name}/" if test is not None and any(is_test) else ""
    return Listing(folder, classes, tuple(files), tuple(labels), tuple(is_test), ignored, notes, test_from)


def _check_classes(folder: Path, train: Path, classes: tuple[str, ...]) -> None:
    if not classes:
        raise DataError(f"{train}: has no class folders: put the images of each class into a folder of its name")
    if len(classes) == 1:
        only = train / classes[0]
        nested = f"; is it {only} that was meant?" if train == folder and _has_classes(only) else ""
        raise DataError(f"{train}: has one class only ({classes[0]}); at least two are needed{nested}")


def legible(name: str) -> str:
    """A file's name as text that can be written: bytes that are no UTF-8 are replaced."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _visible(name: str) -> bool:
    return not name.startswith((".", "~$")) and name.lower() not in _OF_THE_SYSTEM


def _folders(folder: Path) -> dict[str, Path]:
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and _visible(path.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return {path.name: path for path in inner}


def _has_photo(folder: Path) -> bool:
    try:
        return any(_is_photo(file.name) for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error})") from error


def _has_classes(folder: Path) -> bool:
    return bool(_folders(folder)) and not _has_photo(folder)


def _is_photo(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and _visible(name)


def _photos(folder: Path) -> tuple[list[Path], int]:
    """All photos below a class's folder, and how many visible files are of another kind."""
    photos, others = [], 0
    for base, inner, names in os.walk(folder, onerror=_refuse):
        inner[:] = sorted(filter(_visible, inner))
        for name in sorted(filter(_visible, names)):
            if _is_photo(name):
                photos.append(Path(base) / name)
            else:
                others += 1
    return photos, others


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error
