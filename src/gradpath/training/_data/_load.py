"""What `--data` names, as images: which kind of file or folder it is, read and checked."""

from __future__ import annotations

import os
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from gradpath.errors import DataError, UserError
from gradpath.record import CORRUPT_LIMIT, DataReport
from gradpath.training._data._cifar import find_cifar, read_cifar
from gradpath.training._data._files import has_idx, read_idx_folder, read_npz
from gradpath.training._data._hub import PREFIX, read_hub
from gradpath.training._data._images import PARTS, Array, Found, Images, checked
from gradpath.training._data._listing import has_photos
from gradpath.training._data._photos import read_photos
from gradpath.training._data._svhn import has_svhn, read_svhn

FASHION_MINI = "fashion-mini"
_FASHION_CLASSES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle_boot".split()
KINDS = f"{FASHION_MINI}, an .npz file, a folder of photos (CLASS/*), IDX, CIFAR or SVHN files, or {PREFIX}NAME"
_SMALLEST, _LARGEST = 8, 4096  # pixels of a side


def load_images(
    source: str | os.PathLike[str] | Images | None = None,
    *,
    image_size: int | None = None,
    photo_size: int | None = None,
    memory_bytes: int | None = None,
    seed: int = 0,
) -> Images:
    """The data set that `source` names.

    None or 'fashion-mini': the images shipped with gradpath. A `.npz` file with the arrays train_images (N C H W or
    N H W, uint8), train_labels (N), test_images and test_labels. A folder: of photos, CLASS/* or train/CLASS/* with
    test/ or val/ beside it; with the four IDX files of the MNIST family, gzipped or not; with the pickled batches of
    CIFAR-10 or CIFAR-100, of which nothing is executed; or with SVHN's two .mat files. 'hf:NAME' or 'hf:NAME:CONFIG':
    what Hugging Face's `datasets` calls so, or a folder in one of its forms; it downloads what is neither there nor in
    its cache, unless HF_HUB_OFFLINE is set. Images: themselves.

    Args:
        image_size: for photos alone: pixels of a side. None takes their own where all are alike, else the median of
            their shorter sides, 224 at most. Refused for images that come in one size, unless it is theirs.
        photo_size: the same, where it is no more than a wish: it has no effect on images that come in one size.
        memory_bytes: what the images may take; None allows half of the memory that is free. Photos that take more are
            decoded into a file of the user's cache and read from there, batch by batch.
        seed: of the images held out for testing where a folder of photos has no test images.

    Raises DataError, one line that names the file; MissingExtraError for photos without Pillow.
    """
    if isinstance(source, Images):
        return source
    return checked(find(source, image_size, CORRUPT_LIMIT, memory_bytes, seed, photo_size))


def describe(
    source: str | os.PathLike[str] | None = None, *, image_size: int | None = None, seed: int = 0
) -> tuple[DataReport, Images]:
    """What there is to say about a data set, and its images. Unlike for training, any number of photos may be
    unreadable: they are listed. Raises DataError, MissingExtraError."""
    found = find(source, image_size, 1.0, None, seed)
    images = checked(found)
    counts = {
        part: tuple(np.bincount(getattr(images, f"{part}_labels").numpy(), minlength=len(images.info.classes)).tolist())
        for part in ("train", "test")
    }
    report = DataReport(
        path=found.path,
        format=found.format,
        info=images.info,
        train_counts=counts["train"],
        test_counts=counts["test"],
        sizes=found.sizes,
        skipped=found.skipped,
        ignored=found.ignored,
        test_from=found.test_from,
        notes=found.notes,
        bytes=images.train_images.nbytes + images.test_images.nbytes,
    )
    return report, images


def find(
    source: str | os.PathLike[str] | None,
    image_size: int | None,
    limit: float,
    memory_bytes: int | None,
    seed: int,
    photo_size: int | None = None,
) -> Found:
    """What `source` names, read but not checked."""
    if image_size is not None and not _SMALLEST <= image_size <= _LARGEST:
        raise UserError(f"the image size must lie between {_SMALLEST} and {_LARGEST} pixels, got {image_size}")
    if source is None or str(source) == FASHION_MINI:
        with as_file(files("gradpath.training") / "assets" / f"{FASHION_MINI}.npz") as path:
            return _fixed(Path(FASHION_MINI), "shipped", read_npz(path), image_size, tuple(_FASHION_CLASSES))
    if str(source).startswith(PREFIX):
        return read_hub(str(source).removeprefix(PREFIX), image_size or photo_size, limit, memory_bytes, seed)
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; data is {KINDS}")
    if path.is_dir():
        return _known_folder(path, image_size) or _photos(path, image_size or photo_size, limit, memory_bytes, seed)
    if path.suffix != ".npz":
        raise DataError(f"{path}: unknown kind of data; expected {KINDS}")
    return _fixed(path, ".npz file", read_npz(path), image_size)


def _known_folder(folder: Path, image_size: int | None) -> Found | None:
    """Of IDX, CIFAR or SVHN files; None for another folder."""
    if has_idx(folder):
        return _fixed(folder, "IDX files", read_idx_folder(folder), image_size)
    if (cifar := find_cifar(folder)) is not None:
        return _one_size(read_cifar(*cifar), image_size)
    return _one_size(read_svhn(folder), image_size) if has_svhn(folder) else None


def _photos(folder: Path, image_size: int | None, limit: float, memory_bytes: int | None, seed: int) -> Found:
    if has_photos(folder):
        return read_photos(folder, image_size, limit, memory_bytes, seed)
    raise DataError(f"{folder}: holds no images in class folders and none of the known data sets; expected {KINDS}")


def _fixed(
    path: Path, form: str, arrays: dict[str, Array], image_size: int | None, classes: tuple[str, ...] | None = None
) -> Found:
    name = path.stem if path.suffix == ".npz" else path.name
    return _one_size(Found(path=str(path), name=name, format=form, arrays=arrays, classes=classes), image_size)


def _one_size(found: Found, image_size: int | None) -> Found:
    """Arrays are not resized: another size than theirs is refused."""
    side = found.arrays[PARTS[0]].shape[-1] if found.arrays[PARTS[0]].ndim > 2 else image_size
    if image_size not in (None, side):
        raise DataError(f"{found.path}: its images are of {side} px; image_size is for folders of photos: leave it out")
    return found
