"""The backward pass of one loss, from hooks to the record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from gradpath.errors import TraceError, first_line
from gradpath.flow._findings import with_findings
from gradpath.flow._flow_record import flow_record
from gradpath.flow._forks import ForkMeter, Taps, branch_uses
from gradpath.flow._forward import Forward
from gradpath.flow._nonlinearities import nonlinearities
from gradpath.flow._paths._mean_length import MeanLength
from gradpath.flow._reuse import ReuseMeter
from gradpath.record import Flow

Arrived = tuple[dict[str, Tensor | None], Tensor | None]
"""What a backward pass brought: the parameters' gradients by name, and the gradient where paths are taken."""


class Tracing:
    """The backward pass of one loss, from hooks to the record."""

    def __init__(self, forward: Forward, quick: bool = False, keep_graph: bool = False) -> None:
        self.forward, self.meter, self.quick, self.keep_graph = forward, forward.meter, quick, keep_graph
        self.forks, self.lengths, self.taps = ForkMeter(forward.plans), MeanLength(branch_uses(forward.plans)), Taps()
        self.holds_graph = keep_graph or not quick
        """Whether the first pass leaves the graph for another one. What is read off later is its structure alone."""
        self.listening = ExitStack()
        """Open while the pass runs; what closes it earlier keeps later passes out."""
        self.forks.attach(self.taps)
        self.reuse = None if quick else ReuseMeter(forward)
        if self.reuse is not None:
            self.lengths.attach(self.taps)
            self.reuse.attach(self.taps)

    def flow(self, backward: Callable[[], Arrived] | None = None) -> Flow:
        """Run the pass and read everything off. `backward` runs it in another way and keeps the graph."""
        roof = self._reserve_heap()
        units = nonlinearities(self.forward) if not self.quick else ()
        with self.listening:
            self.listening.enter_context(self.taps.listening())
            self.listening.enter_context(self.meter.backward())
            gradients, gradient_at = (backward or self._take)()
        if not self.keep_graph:
            self.meter.release()
        self.meter.read_samples()
        depth = self._effective_depth(gradient_at)
        del roof
        reuse = () if self.reuse is None else self.reuse.finish()
        flow = flow_record(self.forward, self.forks, gradients, depth, units, reuse)
        return flow if self.quick else with_findings(self.forward.model, flow)

    def _reserve_heap(self) -> Tensor | None:
        if not self.holds_graph:  # each operation gives its memory to the next
            return None
        return self.forward.reserve_heap(node.next_functions[slot] for node, slot in branch_uses(self.forward.plans))

    def _effective_depth(self, gradient_at: Tensor | None) -> float | None:
        if self.quick or gradient_at is None or not self.forward.has_residual_forks:
            return None
        return self.lengths.value(self.forward.loss, self.forward.at, gradient_at, self.keep_graph)

    def _take(self) -> Arrived:
        """Nothing is written to `.grad`."""
        parameters = self.forward.parameters
        inputs: list[Any] = [*parameters.values(), self.forward.at]
        try:
            found = torch.autograd.grad(self.forward.loss, inputs, retain_graph=self.holds_graph, allow_unused=True)
        except RuntimeError as error:
            if "a second time" in str(error):
                raise TraceError(_USED_UP) from error
            raise TraceError(f"the backward pass failed: {first_line(error)}") from error
        return dict(zip(parameters, found[:-1], strict=True)), found[-1]


_USED_UP = (
    "the graph behind the loss is used up: the step (or the model) called backward() itself; leave that to trace and "
    "return the loss alone, or use `with trace(model) as traced:` around your own step"
)
