"""One photo file as bytes of one size; also, run as a script, the worker process that does it for many files.

A worker imports Pillow and numpy, not gradpath: it is ready in a fraction of the time that importing torch takes, and a
user's script needs no `if __name__ == "__main__"` for it.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

Array = np.ndarray[Any, np.dtype[Any]]
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112
_REDUCED = 2  # a JPEG may be decoded at a fraction of its size, at least this many times the size asked for
_PAPER = 255  # what shows through a transparent pixel


def look(file: Any) -> tuple[int, int, bool]:
    """Width and height in pixels as shown (EXIF rotation applied), and whether it is grey. Reads the header alone.

    file: a path, or a stream of bytes.
    """
    with Image.open(file) as image:
        width, height = image.size
        whole = image.format == "PNG" and "exif" not in image.info  # Pillow would decode it to look behind its pixels
        turned = not whole and image.getexif().get(_ORIENTATION) in _TURNED
        return (height, width, _is_grey(image)) if turned else (width, height, _is_grey(image))


def decode(file: Any, size: int, channels: int) -> Array:
    """The file as uint8 (channels, size, size): upright, shorter side resized (bilinear, antialiased), centre cropped.

    Transparent pixels are laid on white. Raises what Pillow raises for a file that is no image or is cut short.
    """
    with Image.open(file) as image:
        image.draft(None, (_REDUCED * size, _REDUCED * size))
        image.load()
        upright = ImageOps.exif_transpose(image) or image
        pixels = _flattened(upright).convert("L" if channels == 1 else "RGB")
    cropped = np.asarray(_cropped(pixels, size))
    return cropped[None] if channels == 1 else cropped.transpose(2, 0, 1)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in GREY_MODES


def _flattened(image: Image.Image) -> Image.Image:
    """Without transparency, and 16 bits brought to 8."""
    if image.mode.startswith("I"):  # Pillow's own conversion clips at 255
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("LA", "La", "RGBA", "RGBa", "PA"):
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (_PAPER,) * 4)
        return Image.alpha_composite(paper, image)
    return image


def _cropped(image: Image.Image, size: int) -> Image.Image:
    """The centre square, resized: the same pixels as resizing first, without ever making a long strip larger."""
    width, height = image.size
    if width == height == size:
        return image
    shorter = min(width, height)
    left, top = (width - shorter) / 2, (height - shorter) / 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + shorter, top + shorter))


def reason(error: BaseException) -> str:
    """Why a file could not be read, in a few words and without its path."""
    if type(error).__name__ == "UnidentifiedImageError":
        return "not an image that Pillow can read"
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text[:120] or type(error).__name__


def _work() -> None:
    """Answer one request on stdin, a JSON object: `files` (index, path), and to decode them `target` (.npy, N C H W).

    One JSON line per file on stdout: [index, answer], the answer what `look` gives, null for decoded, or the reason.
    """
    request = json.loads(sys.stdin.buffer.read())
    target = np.load(request["target"], mmap_mode="r+") if request["target"] else None
    for index, file in request["files"]:
        print(json.dumps([index, _answer(file, index, target)]), flush=True)


def _answer(file: str, index: int, target: Array | None) -> Any:
    try:
        if target is None:
            return look(file)
        target[index] = decode(file, target.shape[-1], target.shape[1])
    except Exception as error:  # Pillow's readers raise almost anything for a broken file
        return reason(error)
    return None


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # remarks on odd metadata; what cannot be decoded raises
    _work()
