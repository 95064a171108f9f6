"""Signs that a console lacks, replaced before lines are laid out: '→' as '->' takes a column more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

Replacements = Mapping[int, str]
"""Code point → what stands for it, as for `str.translate`."""

_REPLACEMENTS: ContextVar[Replacements] = ContextVar("replacements", default=MappingProxyType({}))


@contextmanager
def replacing(replacements: Replacements) -> Iterator[None]:
    """Lines that are laid out inside the block have these replacements, and fit the width with them."""
    token = _REPLACEMENTS.set(replacements)
    try:
        yield
    finally:
        _REPLACEMENTS.reset(token)


def replaced(text: str) -> str:
    """The text as it will be shown; as it is where nothing has to be replaced."""
    return text.translate(_REPLACEMENTS.get())
