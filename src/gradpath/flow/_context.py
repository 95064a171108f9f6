"""`with trace(model) as traced:` around a user's own forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradpath.errors import TraceError
from gradpath.flow._asfound import plain_view
from gradpath.flow._findings import over_losses, with_findings
from gradpath.flow._forward import Forward, Place, check_model
from gradpath.flow._graph import Node
from gradpath.flow._layers import LayerMeter
from gradpath.flow._lines import lines_kept
from gradpath.flow._operations import Operations, checked
from gradpath.flow._paths._question import unwrapped
from gradpath.flow._scaler import divided, scale_in
from gradpath.flow._tracing import Arrived, Tracing
from gradpath.record import Flow


class TraceContext:
    """Traces every `loss.backward()` inside its block whose loss the model had a part in.

    The gradients in `.grad` are those that the user's own call gives. Buffers and random numbers move on as they do
    without the block. A backward pass inside keeps its graph until the record is made.
    """

    def __init__(
        self,
        model: nn.Module,
        at: Place,
        source_lines: bool,
        quick: bool,
        operations: Operations | None = None,
        scaler: Any = None,
    ) -> None:
        check_model(model)
        self.scaler = scaler
        self.operations = checked(operations)
        self.model, self._wrapper = unwrapped(model)
        self.at, self.source_lines, self.quick = at, source_lines, quick
        self.flows: list[Flow] = []
        """One record for each backward pass."""
        self._stack = ExitStack()

    @property
    def flow(self) -> Flow:
        """The record of the last backward pass."""
        if not self.flows:
            raise TraceError(
                "no backward pass was seen: inside the block, run the model and call backward() on a scalar loss of it"
            )
        return self.flows[-1]

    def __enter__(self) -> TraceContext:
        with ExitStack() as stack:  # what was entered is left again when a later one fails
            self._meter = LayerMeter(self.model, not self.quick, with_grad_only=True)
            self._notes = [*self._wrapper, *stack.enter_context(plain_view(self.model))]
            stack.enter_context(self._meter.hooked())
            stack.enter_context(self._meter.forward())
            stack.enter_context(lines_kept(self.source_lines))
            stack.enter_context(_Backwards(self._trace))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, where: Any) -> None:
        self._stack.close()
        self.flows[:] = over_losses(self.flows)
        if kind is None:
            self.flow  # noqa: B018  (says what is missing)

    def _trace(self, loss: Tensor, backward: Callable[..., None], options: dict[str, Any]) -> None:
        """Run the user's backward pass with everything attached."""
        if loss.grad_fn is None or loss.numel() != 1 or not _leads_to(loss.grad_fn, self._meter):
            backward(loss, **options)
            return
        scale = scale_in(loss, self.scaler)
        notes = [*self._notes, "traced inside the user's own step", *scale.notes]
        forward = Forward(self.model, self._meter, loss, notes, self.at, self.operations)
        keep = bool(options.get("retain_graph") or options.get("create_graph"))
        tracing = Tracing(forward, self.quick, keep)
        with self._meter.still():
            flow = tracing.flow(partial(_run, tracing, backward, loss, options | {"retain_graph": True}))
        self.flows.append(flow if scale.factor is None else self._divided(flow, scale.factor))
        self._meter.is_stale = True
        if not keep:
            self._meter.forget()

    def _divided(self, flow: Flow, factor: float) -> Flow:
        flow = divided(flow, factor)
        return flow if self.quick else with_findings(self.model, flow)


def _leads_to(start: Node, meter: LayerMeter) -> bool:
    """Whether a loss made by `start` depends on a call that was noted. A GAN's discriminator loss on detached samples
    does not depend on the generator, whose calls then wait for its own loss."""
    made = {call.edge.node for call in meter.calls if call.edge is not None}
    stack, seen = [start], {start}
    while stack and made:
        node = stack.pop()
        if node in made:
            return True
        sources = {source for source, _ in node.next_functions if source is not None} - seen
        seen |= sources
        stack.extend(sources)
    return False


def _run(tracing: Tracing, backward: Callable[..., None], loss: Tensor, options: dict[str, Any]) -> Arrived:
    forward = tracing.forward
    gradients: dict[str, Tensor | None] = dict.fromkeys(forward.parameters)
    place: list[Tensor] = []
    with _noted(forward, gradients, place), _first_pass_only(loss, tracing):
        backward(loss, **options)
    return gradients, place[0] if place else None


@contextmanager
def _first_pass_only(loss: Tensor, tracing: Tracing) -> Iterator[None]:
    """Stop listening when a second pass starts at the loss: that of another context inside which this one lies."""
    passes = count()

    def starts(gradient: Tensor) -> None:
        if next(passes):
            tracing.listening.close()

    handle = loss.register_hook(starts)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _noted(forward: Forward, gradients: dict[str, Tensor | None], place: list[Tensor]) -> Iterator[None]:
    """Keep what this pass brings to each parameter (`.grad` holds earlier passes too) and to `at`."""

    def arrived(grads: Any) -> None:
        if grads[forward.at.output_nr] is not None:
            place.append(grads[forward.at.output_nr].detach())

    with ExitStack() as stack:
        for name, parameter in forward.parameters.items():
            handle = parameter.register_hook(partial(gradients.__setitem__, name))  # type: ignore[no-untyped-call]
            stack.callback(handle.remove)
        stack.callback(forward.at.node.register_prehook(arrived).remove)
        yield


class _Backwards(TorchFunctionMode):
    """Hands `tensor.backward()` to a function."""

    def __init__(self, instead: Callable[[Tensor, Callable[..., None], dict[str, Any]], None]) -> None:
        super().__init__()
        self.instead = instead

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not torch.Tensor.backward:
            return function(*args, **(kwargs or {}))
        names = ("gradient", "retain_graph", "create_graph", "inputs")
        options = dict(zip(names, args[1:], strict=False)) | (kwargs or {})
        return self.instead(args[0], torch.Tensor.backward, options)
