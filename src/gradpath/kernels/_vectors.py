"""What products in C++ on vectors of float32 (_vectors.h) share: a library, its functions' arguments, the width."""

from __future__ import annotations

from ctypes import c_int64
from typing import Any, ClassVar, TypeVar

from gradpath.errors import KernelError
from gradpath.kernels._build import library

V = TypeVar("V", bound="Vectors")


class Vectors:
    """The functions of a source file. Raises KernelError, in one line, where this machine cannot have them."""

    source: ClassVar[str]
    signatures: ClassVar[dict[str, list[Any]]]
    """Arguments of its functions that return nothing."""

    def __init__(self) -> None:
        self._library = library(self.source)
        for name, arguments in self.signatures.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, None
        self._library.vector_width.restype = c_int64
        self._width: int = self._library.vector_width()
        if not self._width:
            raise KernelError("compiled products: this CPU has neither AVX2 nor AVX-512")

    def __reduce__(self) -> tuple[type[Vectors], tuple[()]]:
        return type(self), ()  # the library is neither copied nor pickled: it is looked up again

    def _whole(self, numbers: int) -> int:
        """`numbers`, filled up to whole vectors."""
        return -(-numbers // self._width) * self._width


def available(kind: type[V]) -> V | None:
    """These products, None where this machine has none."""
    try:
        return kind()
    except KernelError:
        return None
