"""Images held out of training: as many of each class, chosen by a digest of seed and name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradpath.errors import DataError
from gradpath.record import DataSplit
from gradpath.training._data._listing import legible

Indices = np.ndarray[Any, np.dtype[np.int64]]
HELD_OUT = 0.2
"""The fraction of each class that is held out where nobody asks for another."""


def stratified(
    labels: Sequence[int] | np.ndarray[Any, Any],
    fraction: float = HELD_OUT,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> tuple[Indices, Indices]:
    """Indices to train on and indices held out, both ascending: `fraction` of each class, at least one of it.

    An image's place in the draw depends on the seed and its name alone (its index where there are no names): the same
    on every machine, and files added later do not reshuffle the others. Raises DataError where a class has one image
    only, or for a fraction outside 0..1.
    """
    labels = np.asarray(labels)
    if not 0 < fraction < 1:
        raise DataError(f"the fraction held out must lie between 0 and 1, got {fraction:g}")
    held: list[int] = []
    for label in np.unique(labels):
        members: list[int] = np.flatnonzero(labels == label).tolist()
        if len(members) < 2:
            raise DataError(f"class {label} has {len(members)} image: it takes two to train on one and hold one out")
        drawn = sorted(members, key=lambda i: _draw(seed, str(i) if names is None else names[i]))
        held += drawn[: min(max(round(fraction * len(members)), 1), len(members) - 1)]
    inside = np.zeros(len(labels), bool)
    inside[held] = True
    return np.flatnonzero(~inside), np.flatnonzero(inside)


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode(errors="surrogateescape")).digest()


def split_record(names: Sequence[str], held: Sequence[int] | Indices, seed: int, fraction: float) -> DataSplit:
    """The list to save beside a result: `split_record(...).save('split.json')`."""
    return DataSplit(seed=seed, fraction=fraction, held_out=tuple(legible(names[i]) for i in held))
