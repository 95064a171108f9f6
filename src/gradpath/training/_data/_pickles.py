"""Pickles of plain data and numpy arrays, read without running anything that they name.

A pickle is a program: it can call any function that it names. Here a name is looked up in a small table, and what
stands behind them are our own stand-ins, not numpy's functions: they note the bytes of an array, no more.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gradpath.errors import DataError, first_line

_PLAIN = ("u1", "i1", "b1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def read_pickle(path: Path) -> dict[str, Any]:
    """The mapping in a pickle; names as text, arrays as numpy arrays. Raises DataError naming the file.

    Anything but data is refused before it runs: a class, a function, an array of objects.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
    except _NotDataError as error:
        raise DataError(f"{path}: refused: {error}; it may be hostile, and nothing in it was run") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # a broken pickle can raise nearly anything
        raise DataError(f"{path}: cannot be read as a pickle, it may be truncated ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a pickled mapping, found a {type(content).__name__}")
    return {_text(name): _finished(value, path) for name, value in content.items()}


class _NotDataError(pickle.UnpicklingError):
    """The pickle asks for something that is not data."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise _NotDataError(f"it asks for {module}.{name}, which is not data"[:200])
        return _STAND_INS[module, name]()

    def persistent_load(self, pid: Any) -> Any:
        raise _NotDataError("it asks for an object outside the file")


class _Dtype:
    """What the pickle says of a numpy.dtype."""

    __slots__ = ("code", "order")

    def __init__(self, code: Any) -> None:
        self.code, self.order = _text(code), "<"

    def __setstate__(self, state: Any) -> None:
        order = _text(state[1])
        self.order = order if order in ("<", ">") else "<"


class _Array:
    """What the pickle says of a numpy.ndarray."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray[Any, np.dtype[Any]]:
        _, shape, dtype, by_column, content = self.state
        if not isinstance(dtype, _Dtype) or dtype.code not in _PLAIN:
            raise _NotDataError("it holds an array that is not of plain numbers")
        flat = np.frombuffer(_bytes(content), np.dtype(dtype.order + dtype.code))
        return flat.reshape(tuple(int(side) for side in shape), order="F" if by_column else "C")


class _Name:
    """A name of the table. An instance without attributes: a pickle can call it and change nothing about it."""

    __slots__ = ()
    made: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return type(self).made(*arguments)


def _named(make: Callable[..., Any]) -> type[_Name]:
    return type("_Named", (_Name,), {"__slots__": (), "made": staticmethod(make)})


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    """How numpy pickles an array from protocol 5 on."""
    array = _Array()
    array.state = (1, shape, dtype, _text(order) == "F", content)
    return array


_RECONSTRUCT, _FROM_BUFFER = _named(lambda *_: _Array()), _named(_from_buffer)
_STAND_INS: dict[tuple[str, str], type[_Name]] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy", "ndarray"): _named(lambda *_: _Array()),
    ("numpy", "dtype"): _named(lambda code, *_: _Dtype(code)),
    ("_codecs", "encode"): _named(lambda text, *_: text.encode("latin1")),  # how Python 3 writes bytes in protocol 2
}


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _bytes(value: Any) -> bytes:
    return value.encode("latin1") if isinstance(value, str) else bytes(value)


def _finished(value: Any, path: Path) -> Any:
    """An array, a list of numbers, or a list of names as text."""
    try:
        if isinstance(value, _Array):
            return value.array()
    except (_NotDataError, TypeError, ValueError) as error:
        raise DataError(f"{path}: holds an array that cannot be read: {first_line(error)}") from error
    if isinstance(value, list):
        return [_text(item) if isinstance(item, bytes) else item for item in value]
    return _text(value) if isinstance(value, bytes) else value
