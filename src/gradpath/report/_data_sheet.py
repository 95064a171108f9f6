"""A contact sheet: a row of training images for each class, as PNG. Drawn with Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradpath.errors import MissingExtraError
from gradpath.report._facts import printable
from gradpath.report._grid import shorten

_TILE, _GAP, _NAME = 64, 4, 150  # px: an image, the space between, the column of names
_COLUMNS, _ROWS = 12, 100
_FONT = 13
_LETTERS = 20
Array = np.ndarray[Any, np.dtype[Any]]


def contact_sheet(images: Any, labels: Array, classes: Sequence[str]) -> bytes:
    """PNG bytes, of twelve images a class, evenly drawn; 100 classes at most.

    images: uint8 (N C H W), an array, or what gives one for each index; labels: (N).

    Raises MissingExtraError without Pillow.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("pillow", "build", "drawing a contact sheet") from error
    shown = classes[:_ROWS]
    step = _TILE + _GAP
    sheet = Image.new("RGB", (_NAME + _COLUMNS * step + _GAP, len(shown) * step + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for row, name in enumerate(shown):
        top = _GAP + row * step
        text = shorten(printable(name), _LETTERS)
        pen.text((_GAP * 2, top + _TILE / 2), text, fill="black", font=font, anchor="lm")
        for column, index in enumerate(_drawn(np.flatnonzero(labels == row))):
            pixels = np.asarray(images[index])  # C H W
            tile = Image.fromarray(np.ascontiguousarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)))
            sheet.paste(tile.resize((_TILE, _TILE)), (_NAME + column * step, top))
    target = io.BytesIO()
    sheet.save(target, "PNG")
    return target.getvalue()


def _drawn(members: Array) -> list[int]:
    """At most a row of them, from the first to the last."""
    count = min(len(members), _COLUMNS)
    return [int(members[i]) for i in np.linspace(0, len(members) - 1, count).round().astype(int)]
