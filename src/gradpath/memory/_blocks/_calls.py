"""Which modules a forward calls, on what: seen from where they are called, once, without grad mode."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from gradpath.memory._blocks._routing import CALL
from gradpath.memory._blocks._signature import Layout

Token = tuple[int, int]
"""A tensor and how often it had been written to."""


class Call:
    """One call of a module."""

    __slots__ = "children bytes input inputs layout made module name output problem storage storage_out writes".split()

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module
        self.children: list[Call] = []
        self.bytes = 0
        """Of what the modules without children inside it returned."""
        self.problem = ""
        """Why it cannot be a block of a chain."""
        self.input: Token | None = None
        self.output: Token | None = None
        self.inputs: set[Token] = set()
        """Every tensor that it was given."""
        self.layout: Layout | None = None
        self.made: Layout | None = None
        self.storage = self.storage_out = -1
        self.writes = False
        """Whether it wrote to its input."""


class Calls:
    """Records while a model runs. Tensors are told apart by weak references: none is kept alive."""

    def __init__(self, model: nn.Module) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.root = Call("", model)
        self._open = [self.root]
        self._of: dict[nn.Module, list[Call]] = {}
        self._tensors: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._storages: dict[StorageWeakRef, StorageWeakRef] = {}
        self._count = 0

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Inside, calls of the model's modules are recorded; those inside a compiled module are its own affair."""
        hidden = {
            inner for module in self.names if is_compiled(module) for inner in module.modules() if inner is not module
        }
        watched = [module for module in self.names if module is not self.root.module and module not in hidden]
        before = [(module, module.__dict__.get(CALL)) for module in watched]
        try:
            for module, call in before:
                module.__dict__[CALL] = partial(self._call, module, call or module._call_impl)
            yield
        finally:
            for module, call in before:
                module.__dict__.pop(CALL, None)
                if call is not None:
                    module.__dict__[CALL] = call

    def of(self, module: nn.Module) -> list[Call]:
        return self._of.get(module, [])

    def all(self) -> Iterator[Call]:
        """Every call, those inside a call after it."""
        return self.inside(self.root)

    def inside(self, call: Call) -> Iterator[Call]:
        """The calls that were made during this one, in the order in which they began."""
        waiting = list(reversed(call.children))
        while waiting:
            call = waiting.pop()
            yield call
            waiting += reversed(call.children)

    def _call(self, module: nn.Module, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        call = Call(self.names[module], module)
        self._open[-1].children.append(call)
        self._of.setdefault(module, []).append(call)
        self._open.append(call)
        version = self._enter(call, args, kwargs)
        out = run(*args, **kwargs)
        call.writes = version is not None and _version(args[0]) != version
        self._leave(call, out)
        self._open.pop()
        self._open[-1].bytes += call.bytes
        return out

    def _enter(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
        call.inputs = {self._token(one) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
            call.problem = (
                f"takes {len(args) + len(kwargs)} inputs, not one tensor"
                if len(args) + len(kwargs) != 1
                else (f"takes a {type((*args, *kwargs.values())[0]).__name__}, not a tensor")
            )
            return None
        call.input, call.layout, call.storage = self._token(args[0]), Layout.of(args[0]), self._storage(args[0])
        return _version(args[0])

    def _leave(self, call: Call, out: Any) -> None:
        if not call.children:
            call.bytes = sum(one.nbytes for one in tree_leaves(out) if isinstance(one, Tensor))
        if not isinstance(out, Tensor):
            call.problem = call.problem or f"returns a {type(out).__name__}, not a tensor"
        elif not out.is_floating_point():
            call.problem = call.problem or f"returns {out.dtype}, which has no gradient"
        else:
            call.output, call.made, call.storage_out = self._token(out), Layout.of(out), self._storage(out)

    def _token(self, tensor: Tensor) -> Token:
        known = self._tensors.get(id(tensor))
        if known is None or known[0]() is not tensor:
            self._count += 1
            known = self._tensors[id(tensor)] = weakref.ref(tensor), self._count
        return known[1], _version(tensor)

    def _storage(self, tensor: Tensor) -> int:
        """A number that no other storage has, as long as this object lives."""
        try:
            reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        except (NotImplementedError, RuntimeError):  # sparse and the like
            return -self._token(tensor)[0] - 1
        return self._storages.setdefault(reference, reference).cdata  # type: ignore[no-any-return]


def is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
