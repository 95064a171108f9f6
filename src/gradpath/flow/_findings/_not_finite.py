"""The first operation whose result is NaN or infinite, forward or backward, with its line in the user's code.

Only looked for once a trace has met such a number: it checks every operation, which waits for the device each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradpath.flow._asfound import as_found, plain_view
from gradpath.flow._forward import Forward, forward_passes
from gradpath.flow._graph import Node, operation
from gradpath.flow._layers import tensors
from gradpath.flow._lines import line_here, line_of
from gradpath.flow._loss import compute_losses


def first_not_finite(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
) -> str | None:
    """Where the first NaN or infinity comes from: 'log in blocks.3 (model.py:41)', 'the input of conv1', 'the gradient
    of Sqrt in blocks.3 (model.py:41)'; None where everything is finite.

    Takes the arguments of `trace` and runs the model once or twice more; leaves it as found. The line is the innermost
    one outside of torch and this package.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(as_found(model))
        stack.enter_context(plain_view(model))
        watching = _Watching()
        stack.enter_context(watching)
        stack.enter_context(_scopes(model, watching))
        compute_losses(model, batch, criterion, step)
    if watching.found is not None:
        return watching.found
    with forward_passes(model, batch, criterion, step, source_lines=True) as passes:
        return next((found for one in passes.values() if (found := _backward(one))), None)


class _Watching(TorchFunctionMode):
    """Looks at the result of every operation until one is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.found: str | None = None
        self.is_mask = False
        """Whether what was found is -inf alone, which a softmax may make finite again (an attention mask)."""
        self.scopes: list[str] = []
        self.outside = line_here()  # where the trace was asked for: not a line of the model

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if (self.found is None or self.is_mask) and isinstance(result, (Tensor, tuple, list)):
            name = getattr(func, "__name__", str(func)).strip("_")
            self._look(name, result, _all_finite((args, kwargs or {})))
        return result

    def _look(self, name: str, result: Any, came_finite: bool) -> None:
        if _all_finite(result):
            if not came_finite and name != "getitem" and any(True for _ in tensors(result)):
                self.found, self.is_mask = None, False
            return
        is_mask = all(not bool(tensor.isnan().any()) and bool((tensor < math.inf).all()) for tensor in tensors(result))
        if self.found is None or (came_finite and not is_mask):
            # not finite already when it came in: data or a parameter
            self.found = self._place(name if came_finite else f"the input of {name}")
            self.is_mask = is_mask

    def _place(self, name: str) -> str:
        scope, line = self.scopes[-1] if self.scopes else "", line_here()
        return name + (f" in {scope}" if scope else "") + (f" ({line})" if line != self.outside else "")


@contextmanager
def _scopes(model: nn.Module, watching: _Watching) -> Iterator[None]:
    """Tells the watching mode which module is running."""

    def enter(name: str, *_: Any) -> None:
        watching.scopes.append(name)

    def leave(*_: Any) -> None:
        watching.scopes.pop()

    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
            stack.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield


def _backward(forward: Forward) -> str | None:
    """The first node that gets a finite gradient and hands on another."""
    found: list[str] = []

    def check(node: Node, grads: Any, arrived: Any) -> None:
        if not found and not _all_finite(grads) and _all_finite(arrived):
            line = line_of(node)
            found.append(f"the gradient of {_described(forward, node)}" + (f" ({line})" if line else ""))

    with ExitStack() as stack:
        for node in forward.graph.nodes:
            stack.callback(node.register_hook(partial(check, node)).remove)
        inputs: list[Any] = [*forward.parameters.values(), forward.at]
        torch.autograd.grad(forward.loss, inputs, allow_unused=True)
    return found[0] if found else None


def _described(forward: Forward, node: Node) -> str:
    scope = forward.meter.scopes.of(node)
    return f"{operation(node)} in {scope}" if scope else operation(node)


def _all_finite(values: Any) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors(values))
