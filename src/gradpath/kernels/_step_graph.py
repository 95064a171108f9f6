"""A whole training step as one CUDA graph: for thin deep nets, whose kernels end before Python has started the next.

    step = StepGraph(train_one_batch)          # zero_grad, forward, backward, optimizer.step; returns the loss
    for batch in batches:
        loss = step(*batch)

Each call is exactly one step: the first ones run as they are, then the step is captured once and replayed. Where it
cannot be captured, every call runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gradpath.errors import first_line

WARM_UP = 3  # steps on a side stream before the capture, as torch's notes on CUDA graphs ask for

Step = Callable[..., Tensor]


class StepGraph:
    """`step` behind a CUDA graph, called with batches of tensors.

    Batches of the first shapes and dtypes are replayed, any other (a last, smaller one) runs as it is. What the step
    computes in Python is captured as it was: a learning rate that changes must be a tensor on the device, Adam needs
    `capturable=True`, and nothing may wait for the device (`.item()`, BatchNorm with momentum=None). Gradients must be
    set to None at the step's beginning. The loss that a replay returns is overwritten by the next one.

    say: called once, with the reason, where the step is not captured.
    """

    def __init__(self, step: Step, *, warm_up: int = WARM_UP, say: Callable[[str], object] = print) -> None:
        self.step, self.left, self.say = step, warm_up, say
        self.inputs: tuple[Tensor, ...] = ()
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss: Tensor | None = None
        self.why_not = ""

    def __call__(self, *batch: Tensor) -> Tensor:
        """One step; its loss."""
        if not self.why_not and not all(tensor.is_cuda for tensor in batch):
            self._give_up("the batch is not on a CUDA device")
        if self.why_not:
            return self.step(*batch)
        if self.left > 0:
            self.left -= 1
            return self._beside(batch)
        if self.graph is None:
            self._capture(batch)
        if self.graph is None or not self._fits(batch):
            return self.step(*batch)
        for static, given in zip(self.inputs, batch, strict=True):
            static.copy_(given)
        self.graph.replay()
        assert self.loss is not None
        return self.loss

    def _beside(self, batch: tuple[Tensor, ...]) -> Tensor:
        """A step on a side stream: what libraries set up at their first calls must not be captured."""
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(here)
        with torch.cuda.stream(side):
            loss = self.step(*batch)
        here.wait_stream(side)
        return loss

    def _capture(self, batch: tuple[Tensor, ...]) -> None:
        """Record the step; nothing runs yet."""
        self.inputs = tuple(tensor.clone() for tensor in batch)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.loss = self.step(*self.inputs)
        except RuntimeError as error:
            torch.cuda.synchronize()
            self.inputs, self.loss = (), None
            self._give_up(first_line(error))
            return
        self.graph = graph

    def _fits(self, batch: tuple[Tensor, ...]) -> bool:
        return len(batch) == len(self.inputs) and all(
            a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
            for a, b in zip(self.inputs, batch, strict=True)
        )

    def _give_up(self, reason: str) -> None:
        self.why_not = reason
        self.say(f"CUDA graph: not used ({reason})")
