"""MATLAB files of version 5, as far as arrays of numbers go: what SVHN's cropped digits come in.

Format: "MAT-File Format", MathWorks, chapter 1 (level 5): a header of 128 bytes, then elements of type, size, content.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_MATRIX, _COMPRESSED, _COMPLEX = 14, 15, 0x0800
_HEADER, _LARGEST = 128, 2**33  # bytes of one array, so that a small file cannot fill the memory
Element = tuple[int, bytes]


def read_mat(path: Path) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """The arrays of numbers in a .mat file of version 5, by name. Raises DataError naming the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if content.startswith(b"MATLAB 7.3"):
        raise DataError(f"{path}: is a MATLAB file of version 7.3 (HDF5), expected version 5: save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise DataError(f"{path}: is not a MATLAB file of version 5 (it ends before 128 bytes, or has no 'IM' there)")
    try:
        return dict(_arrays(content[_HEADER:], order))
    except (struct.error, ValueError, IndexError, zlib.error, UnicodeDecodeError, MemoryError) as error:
        raise DataError(f"{path}: cannot be read as a MATLAB file, it may be truncated ({error})") from error


def _arrays(content: bytes, order: str) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[Any]]]]:
    for kind, inner in _elements(content, order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(inner, _LARGEST)
            if not unpacker.eof:
                raise ValueError("a compressed array ends early")
            yield from _arrays(unpacked, order)
        elif kind == _MATRIX and (found := _array(list(_elements(inner, order)), order)):
            yield found


def _elements(content: bytes, order: str) -> Iterator[Element]:
    """Type and content of each; small ones share eight bytes with their tag, large ones are padded to eight."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + size > len(content):
            raise ValueError(f"{start + size - len(content)} bytes are missing")
        yield kind, content[start : start + size]
        place = place + 8 if start == place + 4 else start + size + (-size % 8 if kind != _COMPRESSED else 0)


def _array(parts: list[Element], order: str) -> tuple[str, np.ndarray[Any, np.dtype[Any]]] | None:
    """Name and values of an array of real numbers; None for text, cells, structures and complex numbers."""
    flags = struct.unpack(f"{order}I", parts[0][1][:4])[0]
    stored = parts[3][0] if len(parts) > 3 else None
    if flags & 0xFF not in _CLASSES or flags & _COMPLEX or stored not in _NUMBERS:
        return None
    shape = np.frombuffer(parts[1][1], f"{order}i4").tolist()
    values = np.frombuffer(parts[3][1], order + _NUMBERS[stored]).astype(_CLASSES[flags & 0xFF], copy=False)
    return parts[2][1].decode("ascii"), values.reshape(shape, order="F")
