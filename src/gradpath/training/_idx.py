"""IDX, the file format of the MNIST family: a magic number, the sizes, then unsigned bytes."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array in an IDX file, gzipped or not. Raises DataError naming the file."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    return parse_idx(content, str(path))


def parse_idx(content: bytes, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array in the bytes of an IDX file. Raises DataError naming `name`."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE or not 1 <= content[3] <= 4:
        raise DataError(f"{name}: is not an IDX file of unsigned bytes (it does not begin with 00 00 08 and 1 to 4)")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"{name}: is truncated: its header alone needs {start} bytes, found {len(content)}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "longer than its header says"
        raise DataError(f"{name}: is {state}: {shape} needs {expected} bytes, found {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
