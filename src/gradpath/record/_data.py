"""What a data set is: its classes, its images, what could not be read; and which images a split holds out."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record._base import Record
from gradpath.record._run import DataInfo

CORRUPT_LIMIT = 0.01
"""The fraction of a folder's images that may be unreadable: training skips them. More is an error."""


@dataclass(frozen=True, kw_only=True)
class SkippedFile(Record):
    """A file that was not used, and why."""

    file: str
    """Its path below the data set's folder, with '/'."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class ImageSizes(Record):
    """Sizes of the files' images in pixels as they are shown, before they were resized: width, height."""

    smallest: tuple[int, ...]
    """The one with the fewest pixels."""
    median: tuple[int, ...]
    """Median width, median height."""
    largest: tuple[int, ...]
    different: int
    """How many different sizes there are."""


@dataclass(frozen=True, kw_only=True)
class DataReport(Record, kind="data"):
    """A data set, described (`gradpath data`)."""

    path: str
    format: str
    """Such as 'image folder', 'IDX files', 'CIFAR-10 pickles'."""
    info: DataInfo
    """Of the images as a network sees them: after resizing and without those that were skipped."""
    train_counts: tuple[int, ...]
    """Images in each class, in the order of `info.classes`."""
    test_counts: tuple[int, ...]
    sizes: ImageSizes | None
    """None where all images have one size by their format."""
    skipped: tuple[SkippedFile, ...]
    """Images that could not be read."""
    ignored: int
    """Files of other kinds; hidden and system files do not count."""
    test_from: str
    """Where the test images come from: 'test/', or how they were held out of training."""
    notes: tuple[str, ...]
    """What was seen and not used."""
    bytes: int
    """Of the images as uint8, in memory."""


@dataclass(frozen=True, kw_only=True)
class DataSplit(Record, kind="split"):
    """Which images were held out of training."""

    seed: int
    fraction: float
    """Of each class."""
    held_out: tuple[str, ...]
    """For validation. Paths below the data set's folder, with '/'; indices as text where images have no names."""
    test: tuple[str, ...] = ()
    """The test images, where they have names."""
