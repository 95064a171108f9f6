"""The gradient by path length, from sweeps of autograd's own engine that stop at marked edges.

One sweep is one backward pass. What arrives at a marked edge is held back there and sent on in the next sweep, so that
sweep k brings to any tensor exactly the part of its gradient whose paths passed k marks. The engine does all the work:
custom Functions, tensor hooks, checkpointed regions, casts and broadcasts are as in any backward pass, and parts of
the net that length k does not reach are not run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from gradpath.errors import TraceError, first_line
from gradpath.flow._graph import Made, Node, Use
from gradpath.flow._norms import norm, norms
from gradpath.flow._paths._marks import made_by

_WORTH = 1 / 8
"""What is left out at many marks adds up: on a trained ResNet-110 to about four times the part left out at one."""
Answer = TypeVar("Answer")
Arrive = Callable[[int, Tensor], None]
"""What is done with the gradient that a pass brings to the place of a number, as it comes by: nothing is kept."""


class Sweeps:
    """Backward passes from a loss to a tensor in its graph, with marked edges, past other places on the way. Held: at
    most two gradients for each marked tensor."""

    def __init__(
        self, loss: Tensor, marks: Iterable[Use], at: GradientEdge, places: Sequence[GradientEdge] = ()
    ) -> None:
        self.loss, self.at, self.places = loss, at, places
        self.arrive: Arrive = _forget
        self.length = 0
        """Of the paths that the sweep which runs follows."""
        self.fill = False
        """Whether zeros, not nothing, go on from where a gradient is held back."""
        self.dropped = 0
        self.held_bytes = 0
        """The most that was held back and sent on at one time."""
        self._held: dict[Made, Tensor] = {}
        self._listens = self._stop = False
        self._slots: dict[Node, list[tuple[int, Made]]] = defaultdict(list)
        for use in marks:
            self._slots[use[0]].append((use[1], made_by(use)))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Register the hooks on the consumers of marked edges; remove them however the sweeps end."""
        with ExitStack() as stack:
            for node, slots in self._slots.items():
                stack.callback(node.register_hook(partial(self._hold, slots)).remove)
            for number, place in enumerate(self.places):
                stack.callback(place.node.register_prehook(partial(self._pass, number, place.output_nr)).remove)
            yield

    def _pass(self, number: int, output: int, grads: Any) -> None:
        if grads[output] is not None:
            self.arrive(number, grads[output].detach())

    def _hold(self, slots: list[tuple[int, Made]], grads: Any, _: Any) -> Any:
        if not self._listens:
            return None
        changed = list(grads)
        for slot, made in slots:
            grad = grads[slot]
            if grad is not None:
                before = self._held.get(made)
                self._held[made] = grad.detach() if before is None else before + grad
                changed[slot] = nothing(grad, self.fill)
        return tuple(changed) if self._stop else None

    def plain(self, note: bool = False) -> Tensor | None:
        """Autograd's own gradient. `note`: keep what passed the marked edges, for `lengths` to compare with."""
        self._held, self._listens, self._stop = {}, note, False
        return self._run([self.loss], [torch.ones_like(self.loss)])

    def lengths(self, tolerance: float = 0.0) -> Iterator[tuple[int, Tensor | None]]:
        """(k, what paths over k marks bring to the tensor) for k = 0, 1, … in turn; None where nothing arrived.

        tolerance: a length does not pass on where it carries less than tolerance / 8 of the whole gradient there, as
        noted by `plain(note=True)` just before. An exact zero never does."""
        whole = _sizes(self._held) if tolerance else {}
        self._held, self._listens, self._stop, self.dropped = {}, True, True, 0
        self.length = 0
        yield 0, self._run([self.loss], [torch.ones_like(self.loss)])
        while start := self._next_start(whole, tolerance):
            self.length += 1
            part = self._run([GradientEdge(*made) for made in start], list(start.values()))
            self.held_bytes = max(self.held_bytes, _bytes(start) + _bytes(self._held))
            yield self.length, part

    def _next_start(self, whole: dict[Made, float], tolerance: float) -> dict[Made, Tensor]:
        """What was held back and is worth sending on."""
        held, self._held = self._held, {}
        sizes = _sizes(held)
        start = {made: g for made, g in held.items() if sizes[made] > tolerance * _WORTH * whole.get(made, 0.0)}
        self.dropped += sum(sizes[made] > 0 for made in held.keys() - start.keys())
        return start

    def _run(self, roots: list[Any], gradients: list[Tensor]) -> Tensor | None:
        return torch.autograd.grad(roots, [self.at], gradients, retain_graph=True, allow_unused=True)[0]


def _forget(number: int, grad: Tensor) -> None:
    """Places that nobody asked about."""


def nothing(grad: Tensor, fill: bool) -> Tensor | None:
    """What goes on from an edge that is closed."""
    return torch.zeros_like(grad) if fill else None


def ask(passes: Callable[[bool], Answer]) -> Answer:
    """Run passes with edges closed to all gradient; where something of the user's cannot take that, with zeros.

    The engine leaves out what nothing reaches, but calls hooks on tensors there with None. A hook that computes with it
    raises, so the passes are run again, with zeros everywhere and the full work. `passes(fill)` starts anew each time.
    Raises TraceError where those fail as well.
    """
    try:
        return passes(False)
    except TraceError:
        raise
    except Exception:  # whatever a hook raises
        pass
    try:
        return passes(True)
    except RuntimeError as error:
        raise TraceError(f"the backward pass failed: {first_line(error)}") from error


def _bytes(held: dict[Made, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in held.values())


def _sizes(held: dict[Made, Tensor]) -> dict[Made, float]:
    """Norms of large tensors: one by one on a CPU, together where each would be a wait for the device."""
    on_cpu = all(tensor.device.type == "cpu" for tensor in held.values())
    found = map(norm, held.values()) if on_cpu else norms(held.values())
    return dict(zip(held, found, strict=True))
