"""A model's own forward, of which a chain of blocks is computed elsewhere: a span of blocks at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from gradpath.errors import PlanError, first_line

CALL = "_compiled_call_impl"  # what nn.Module calls, if it is there, instead of itself and its hooks


class Routing:
    """For one forward: the first module of each span, when the model calls it, runs the whole span (`run(index, x)`);
    the others are then not run again but hand on what they are given. So the code around the blocks stays as it is.

    spans: for each, its modules in the order of the forward, with their names. A module is routed once; inside `run`
    all of them are themselves. Afterwards nothing is left of the routing, whatever was raised. Raises PlanError where
    the model does not run the modules of a span one after the other, each on the output of the one before.
    """

    def __init__(self, spans: Sequence[Sequence[tuple[str, nn.Module]]], run: Callable[[int, Tensor], Tensor]) -> None:
        self.spans, self.run = spans, run
        self.replaced: dict[nn.Module, Any] = {}
        self.waiting: dict[nn.Module, str] = {}

    def __enter__(self) -> Routing:
        for index, span in enumerate(self.spans):
            self._replace(span[0][1], partial(self._begin, index))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for module in list(self.replaced):
            self._put_back(module)
        if not self.waiting or isinstance(error, PlanError) or not isinstance(error, (Exception, type(None))):
            return
        name = next(iter(self.waiting.values()))
        if error is None:
            raise PlanError(
                f"plan: the model did not call {name} after the blocks before it, with which it was computed: "
                "plan blocks= that every forward calls one after the other"
            )
        raise PlanError(
            f"plan: before {name} the model does more than to hand on what the planned block before it returned: plan "
            f"this model anew, or give blocks= that are called one after the other ({first_line(error)})"
        ) from error

    def _begin(self, index: int, *args: Any, **kwargs: Any) -> Tensor:
        (name, first), *others = self.spans[index]
        self._put_back(first)
        x = _only_input(name, args, kwargs)
        out = self.run(index, x)
        for name, module in others:
            self._replace(module, partial(self._hand_on, name, module, out, out._version))
            self.waiting[module] = name
        return out

    def _hand_on(self, name: str, module: nn.Module, out: Tensor, version: int, *args: Any, **kwargs: Any) -> Tensor:
        self._put_back(module)
        if _only_input(name, args, kwargs) is not out or out._version != version:
            raise PlanError(
                f"plan: the model gives {name} another input than the output of the planned block before it: "
                "plan this model anew, or give blocks= that are called one after the other"
            )
        del self.waiting[module]
        return out

    def _replace(self, module: nn.Module, call: Callable[..., Tensor]) -> None:
        self.replaced[module] = module.__dict__.get(CALL)
        module.__dict__[CALL] = call

    def _put_back(self, module: nn.Module) -> None:
        before = self.replaced.pop(module)
        if before is None:
            del module.__dict__[CALL]
        else:
            module.__dict__[CALL] = before


def _only_input(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
        raise PlanError(
            f"plan: the model gives {name} {len(args) + len(kwargs)} inputs: a planned block takes one tensor"
        )
    return args[0]
