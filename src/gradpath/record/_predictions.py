"""What a net calls images, one by one."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath.record._base import Record
from gradpath.record._data import SkippedFile


@dataclass(frozen=True, kw_only=True)
class Prediction(Record):
    """One image."""

    image: str
    """Its file, as it was named."""
    classes: tuple[str, ...]
    """Most probable first."""
    probabilities: tuple[float, ...]
    """Of `classes`, in 0..1: the softmax over all classes. As sure as the net is; not how often it is right."""


@dataclass(frozen=True, kw_only=True)
class Predictions(Record, kind="predictions"):
    """Images classified by a file of weights (`gradpath predict`)."""

    net: str
    weights: str
    """The file's name, without its folder."""
    classes: tuple[str, ...]
    """All that the net tells apart."""
    image_size: int
    """Pixels of a side to which images were resized and cropped."""
    images: tuple[Prediction, ...]
    skipped: tuple[SkippedFile, ...] = ()
    """Images that could not be read."""

    def __repr__(self) -> str:
        skipped = f", {len(self.skipped)} unreadable" if self.skipped else ""
        return f"Predictions({self.net}: {len(self.images)} images{skipped})"
