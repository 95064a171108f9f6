"""The modules that a callable can run, found without running it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

MOST_HELD = 10_000
"""A list or a dict that holds more is taken for data, not for modules: nobody waits for its walk at every call."""

_PLAIN = (Tensor, str, bytes, int, float, complex, type, ModuleType, BuiltinFunctionType, type(None))


def modules_of(*roots: Any) -> list[nn.Module]:
    """Every module that can be reached from these callables and inputs, each once.

    Followed are: a module's children; the owner of a bound method; what a `functools.partial` holds; a function's
    closure, defaults and the globals that its code names; lists, tuples, sets and dicts; and the attributes of any
    other object (not those of objects in them, so that a trainer's logger is not searched).
    """
    found: list[nn.Module] = []
    seen: dict[int, Any] = {}  # the things too: an id is one thing's for as long as it is held
    waiting = [(root, True) for root in reversed(roots)]
    while waiting:
        thing, may_open = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, nn.Module):
            found.append(thing)
            waiting += [(child, False) for child in thing._modules.values()]
        elif (held := _held(thing)) is not None:
            waiting += [(one, may_open) for one in held]
        elif may_open:
            waiting += [(one, False) for one in getattr(thing, "__dict__", {}).values()]
    return found


def _held(thing: Any) -> list[Any] | None:
    """What a callable or a container of Python's own holds; None for any other object."""
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, FunctionType):
        return list(_of_function(thing))
    if isinstance(thing, Mapping):
        return list(thing.values()) if len(thing) <= MOST_HELD else []
    if isinstance(thing, (list, tuple, set, frozenset)):
        return list(thing) if len(thing) <= MOST_HELD else []
    return None


def _of_function(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    yield from (function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).values()
    if (function.__module__ or "").partition(".")[0] != "torch":  # torch's own globals hold no module of the user's
        yield from (function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__)


def _names(code: CodeType) -> Iterator[str]:
    """The names that a function's code looks up, with those of the functions defined inside it."""
    waiting = [code]
    while waiting:
        one = waiting.pop()
        yield from one.co_names
        waiting += [constant for constant in one.co_consts if isinstance(constant, CodeType)]
