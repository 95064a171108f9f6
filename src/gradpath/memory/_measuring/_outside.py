"""What a step needs beside the planned blocks: seen in a step in which a stub stands for them.

The stub takes the chain's input and returns a random tensor of its output's shape; in the backward it hands back zeros.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.kernels import Autocast
from gradpath.memory._as_found import gradients_allocated, left_as_found
from gradpath.memory._blocks._routing import Routing
from gradpath.memory._blocks._signature import Layout
from gradpath.memory._measuring._clock import Stopwatch
from gradpath.memory._measuring._peak import Meter, metered
from gradpath.memory._measuring._step import Step, device_of

Named = Sequence[tuple[str, nn.Module]]
SPANS = ("start", "chain", "head", "backward", "tail")
"""Before the chain; the stub's forward; after the chain, until its backward; the stub's backward; the rest."""


@dataclass(frozen=True)
class Outside:
    """Bytes beyond what is there before the step: parameters, their gradients, buffers, the optimizer, the batch."""

    start_peak_bytes: int
    """Before the chain's input is there."""
    forward_bytes: int
    """Alive while the chain runs forward, its input not counted."""
    head_bytes: int
    """Largest from the chain's output on, until its backward begins: output counted, input not."""
    backward_bytes: int
    """Alive as the chain's backward begins: neither its input nor the incoming gradient counted."""
    tail_peak_bytes: int
    """After the chain's backward."""
    seconds: float
    """Forward and backward of all of it."""
    autocast: Autocast
    """As the chain's first block is called."""
    input_needs_gradient: bool = True
    """Whether anything before the chain is trained."""


def measure_outside(
    model: nn.Module, step: Step, chain: Named, output: Layout, device: torch.device, rounds: int = 3
) -> Outside:
    """Runs the step with a stub of this output in place of the chain's modules, metered once and timed a few times.

    Raises what the model raises. Everything is left as found.
    """
    stub = Stub(chain, output)
    with left_as_found([model], device), gradients_allocated(list(model.parameters())):
        stub.run(step, model)  # warms up
        with metered(device) as meter:
            stub.run(step, model, meter)
        watch, seconds, start = Stopwatch(device), list[float](), time.perf_counter()
        while len(seconds) < rounds and (not seconds or time.perf_counter() - start < 1.0):
            seconds.append(watch.seconds(lambda: stub.run(step, model)))
    named = {span.name: span for span in meter.spans}
    before, _, head, backward, tail = (named[name] for name in SPANS)
    return Outside(
        start_peak_bytes=before.peak_bytes,
        forward_bytes=before.stop_bytes - stub.input_bytes,
        head_bytes=head.peak_bytes - stub.input_bytes,
        backward_bytes=backward.start_bytes - stub.input_bytes - stub.gradient_bytes,
        tail_peak_bytes=max(tail.peak_bytes, backward.peak_bytes),
        seconds=min(seconds),
        autocast=stub.autocast,
        input_needs_gradient=stub.needs_gradient,
    )


def input_needs_gradient(model: nn.Module, step: Step, chain: Named, output: Layout) -> bool:
    """Whether anything before the chain is trained. The model is left as found."""
    stub = Stub(chain, output)
    with left_as_found([model], device_of(model, step.batch)), torch.enable_grad():
        stub.output_of(step, model)
    return stub.needs_gradient


class Stub:
    """Stands for the chain, whatever lies in it: nothing of it runs."""

    def __init__(self, chain: Named, output: Layout) -> None:
        self.chain, self.output = chain, output
        self.meter: Meter | None = None
        self.input_bytes = self.gradient_bytes = 0
        self.autocast, self.needs_gradient = Autocast("cpu"), False

    def run(self, step: Step, model: nn.Module, meter: Meter | None = None) -> None:
        """One step; its marks are set on the meter."""
        self.meter = meter
        with Routing([self.chain], lambda _, x: self.call(x)):
            loss = step.loss(model)
        loss.backward()  # type: ignore[no-untyped-call]

    def output_of(self, step: Step, model: nn.Module) -> Any:
        """The forward alone."""
        with Routing([self.chain], lambda _, x: self.call(x)):
            return step.forward(model)

    def call(self, x: Tensor) -> Tensor:
        self.autocast = Autocast(x.device.type)
        handle = torch.empty(0, device=x.device).requires_grad_(torch.is_grad_enabled())  # the chain has parameters
        out: Tensor = _Stub.apply(x, handle, self)  # type: ignore[no-untyped-call]
        return out

    def mark(self, name: str) -> None:
        if self.meter is not None:
            self.meter.mark(name)


class _Stub(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, handle: Tensor, stub: Stub) -> Tensor:
        stub.mark("chain")
        stub.input_bytes = x.nbytes
        ctx.stub, ctx.needs = stub, ctx.needs_input_grad[0]
        stub.needs_gradient = ctx.needs
        ctx.save_for_backward(x)
        out = stub.output.random(x.device)
        ctx.output = out.detach()  # as the tape of a block that ends in a ReLU holds it, whatever the head needs
        stub.mark("head")
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        stub: Stub = ctx.stub
        (x,), ctx.output = ctx.saved_tensors, None
        stub.gradient_bytes = 0 if grads[0] is None else _own_bytes(grads[0])
        stub.mark("backward")
        grad = torch.zeros_like(x) if ctx.needs else None
        stub.mark("tail")
        return grad, None, None


def _own_bytes(grad: Tensor) -> int:
    """Bytes that go with a gradient; 0 of one that is expanded, as a sum's is, from a number that stays."""
    held = grad.untyped_storage().nbytes()
    return held if held >= grad.nbytes else 0
