"""`trace`: one forward and backward pass of any model, seen from the inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

from gradpath.errors import TraceError
from gradpath.flow._flow_record import flow_record
from gradpath.flow._forks import ForkMeter, Taps, branch_uses
from gradpath.flow._forward import Forward, Place, forward_passes
from gradpath.flow._graph import elements
from gradpath.flow._heap import reserve
from gradpath.flow._nonlinearities import nonlinearities
from gradpath.flow._paths import MeanLength
from gradpath.flow._statistics import statistics
from gradpath.record import Flow


@overload
def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: None = None,
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
) -> Flow: ...
@overload
def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any],
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
) -> Any: ...
def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
    at: Place = None,
    source_lines: bool = False,
    batches: Iterable[Any] = (),
    quick: bool = False,
) -> Any:
    """Where the gradient of one batch went in a model: layers, forks with their edges, gains, effective depth.

    Args:
        model: any module, in the mode it is in. Its parameters, gradients, buffers, hooks and the random state are
            left as found.
        batch: with a criterion, a pair (input, target); else the input: a tensor, a tuple of positional arguments or
            a mapping of keyword arguments.
        criterion: criterion(output, target) → scalar loss. Without it the output is a scalar, has `.loss` or a key
            "loss".
        step: step(model, batch) → scalar loss, for anything else, or a mapping of scalar losses. It must not call
            `backward()` itself.
        at: where paths are taken: a module or its name (its output), or an input that needs a gradient. Usually the
            output of the first layer that has parameters.
        source_lines: note file and line of each fork's merge and of each edge's consumer (about 5 times the time).
        batches: more batches of the same form; the record then holds the mean and standard error over all of them.
        quick: layers and forks alone: no effective depth (one more backward pass), nothing about single elements
            (zeros, what float16 would lose, dead and saturated units), no map of reuse.

    Returns: a `Flow` record; for a step with several losses, a dictionary of them. Definitions: docs/definitions.md.

    Raises: TraceError when there is no scalar loss, or no gradient can be taken through the model.
    """
    def flows(batch: Any) -> dict[str, Flow]:
        with forward_passes(model, batch, criterion, step, at, source_lines, not quick) as passes:
            last = next(reversed(passes))
            return {name: Tracing(one, quick, name != last).flow() for name, one in passes.items()}

    found = [flows(one) for one in (batch, *batches)]
    records = {name: statistics([each[name] for each in found]) for name in found[0]}
    return records[""] if list(records) == [""] else records


class Tracing:
    """The backward pass of one loss, from hooks to the record."""

    def __init__(self, forward: Forward, quick: bool = False, keep_graph: bool = False) -> None:
        self.forward, self.meter, self.quick, self.keep_graph = forward, forward.meter, quick, keep_graph
        self.forks, self.lengths, self.taps = ForkMeter(forward.plans), MeanLength(branch_uses(forward.plans)), Taps()
        self.forks.attach(self.taps)
        if not quick:
            self.lengths.attach(self.taps)

    def flow(self) -> Flow:
        """Run the pass and read everything off."""
        roof = self._reserve_heap()
        units = nonlinearities(self.forward) if not self.quick else ()
        gradients, gradient_at = self._backward()
        if not self.keep_graph:
            self.meter.release()
        depth = self._effective_depth(gradient_at)
        del roof
        return flow_record(self.forward, self.forks, gradients, depth, units)

    def _effective_depth(self, gradient_at: Tensor | None) -> float | None:
        if self.quick or gradient_at is None or not self.forward.has_residual_forks:
            return None
        return self.lengths.value(self.forward.loss, self.forward.at, gradient_at, self.keep_graph)

    def _reserve_heap(self) -> Tensor | None:
        """Room for what the passes hold: the gradient of each branch, and a few temporaries of the largest size."""
        if self.forward.loss.device.type != "cpu":
            return None
        held = sum(elements(*node.next_functions[slot]) for node, slot in branch_uses(self.forward.plans))
        largest = max((math.prod(call.shape) for call in self.meter.calls), default=0)
        return reserve(2 * self.forward.loss.element_size() * (held + 8 * largest))

    def _backward(self) -> tuple[dict[str, Tensor | None], Tensor | None]:
        """Run the pass: the parameters' gradients by name, and that at `at`. Nothing is written to `.grad`."""
        parameters = self.forward.parameters
        inputs: list[Any] = [*parameters.values(), self.forward.at]
        with self.taps.listening(), self.meter.backward():
            try:
                found = torch.autograd.grad(self.forward.loss, inputs, retain_graph=True, allow_unused=True)
            except RuntimeError as error:
                raise TraceError(f"the backward pass failed: {_first_line(error)}") from error
        return dict(zip(parameters, found[:-1], strict=True)), found[-1]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
