"""What a net gets right of images that it was not trained on, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record

MOST_CLASSES = 200
"""Up to so many classes the whole confusion matrix is kept; of more, the classes alone."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record, kind="evaluation"):
    """Images classified once (`gradpath eval`, and the end of `gp.train`)."""

    name: str
    """Of the net, or of its file of weights."""
    data: str
    """Name of the data set."""
    part: Literal["test", "validation"] = "test"
    right: int
    images: int
    classes: tuple[str, ...]
    class_images: tuple[int, ...]
    """Images of each class."""
    class_right: tuple[int, ...]
    """How many of them were called by their class."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """[true class][class that it was called]: images. Empty for more than MOST_CLASSES classes. What was called by a
    class that the images do not have counts in one more column, at the end."""
    precision: str = "float32"

    @property
    def accuracy(self) -> float:
        """Fraction of the images called by their class."""
        return self.right / self.images

    @property
    def class_accuracies(self) -> tuple[float | None, ...]:
        """Of each class; None for a class without images."""
        pairs = zip(self.class_right, self.class_images, strict=True)
        return tuple(right / images if images else None for right, images in pairs)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' accuracies: what a rare class counts as much in as a frequent one."""
        known = [accuracy for accuracy in self.class_accuracies if accuracy is not None]
        return sum(known) / len(known)

    def mistakes(self) -> tuple[tuple[str, str, int], ...]:
        """(true class, called, images) of each pair that was confused, most frequent first."""
        called = (*self.classes, "another class")
        found = [
            (self.classes[i], called[j], count)
            for i, row in enumerate(self.confusion)
            for j, count in enumerate(row)
            if count and i != j
        ]
        return tuple(sorted(found, key=lambda mistake: -mistake[2]))

    def __repr__(self) -> str:
        return f"Evaluation({self.name}: {self.right} of {self.images} {self.part} images right, {self.accuracy:.1%})"
