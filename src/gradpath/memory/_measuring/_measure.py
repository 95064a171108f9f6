"""What blocks cost: one block of each signature is run alone on a random input, every move metered and timed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.memory._as_found import left_as_found
from gradpath.memory._blocks._signature import Layout, signature
from gradpath.memory._measuring._clock import Stopwatch, best_of_rounds
from gradpath.memory._measuring._peak import metered
from gradpath.nets import Moves
from gradpath.record import BlockCost, ModeCost

ALIKE = {"full": "full", "lean": "lean", "raw": "lean", "last": "last", "input": "none", "none": "none"}
"""Which tapes are the same as a backward begins: 'raw' is 'lean' without the input, which the caller holds."""
ORDER = ("full", "lean", "last", "none")
SLOWEST_PLAIN = 1.5
"""Plain autograd's time at most, in those of mode full: fused norm passes reach 1.2."""
Group = Sequence[nn.Module]
_FIRST = "whose input needs no gradient"


@dataclass(frozen=True)
class Measured:
    """A signature's cost, and what plain autograd needs beside what it keeps."""

    cost: BlockCost
    plain_forward_bytes: int
    """Largest growth in the forward, beside input and what is kept."""
    plain_backward_bytes: int
    """Largest growth in the backward, beside what is kept and the incoming gradient."""


def measure_chain(
    groups: Sequence[Group],
    moves_of: Callable[[Group], Moves],
    layouts: Sequence[Layout],
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
    within_seconds: float = 10.0,
    input_needs_gradient: bool = True,
) -> tuple[tuple[int, ...], tuple[Measured, ...]]:
    """(for each block, which of the costs it has; the costs).

    groups: of modules that run one after the other, each a block. layouts: of the blocks' inputs in order, then of the
    chain's output. autocast: a context as the blocks run in. Times are measured for `within_seconds` in all.
    input_needs_gradient: of the whole chain; the first block hands no gradient back where nobody waits for it.
    """
    keys: list[Any] = [signature(group, layout) for group, layout in zip(groups, layouts, strict=False)]
    if not input_needs_gradient:
        keys[0] = (_FIRST, keys[0])
    first: dict[Any, int] = {}
    for index, key in enumerate(keys):
        first.setdefault(key, index)
    places = {key: place for place, key in enumerate(first)}
    share = within_seconds / max(1, len(first))
    costs = [
        measure_block(
            groups[t], moves_of(groups[t]), layouts[t], device, autocast, share, input_needs_gradient or t > 0
        )
        for t in first.values()
    ]
    return tuple(places[key] for key in keys), tuple(costs)


def measure_block(
    group: Group,
    moves: Moves,
    layout: Layout,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[Any]],
    within_seconds: float,
    needs_input_grad: bool = True,
) -> Measured:
    """One block's cost; buffers, gradients, flags and random numbers are left as found."""
    with left_as_found(group, device), torch.no_grad():
        bench = _Bench(group, moves, layout.random(device), device, autocast, needs_input_grad)
        seen, plain = {mode: bench.metered_mode(mode) for mode in bench.modes}, bench.metered_plain()
        seconds = {name: took for one in (seen["none"], *seen.values(), plain) for name, took in one.seconds.items()}
        seconds = _monotone(best_of_rounds(seconds, bench.seconds, within_seconds), bench.modes)
    always, y = seen["none"].kept_bytes, bench.y
    cost = BlockCost(
        label=f"{'+'.join(type(m).__name__ for m in group)} {layout.text} → {Layout.of(y).text}",
        input_bytes=bench.x.nbytes,
        output_bytes=y.nbytes,
        always_bytes=always,
        parameter_bytes=sum(p.nbytes for p in moves.parameters if p.requires_grad),
        ends_in_relu=moves.ends_in_relu,
        forward_bytes=max(one.forward_bytes for one in seen.values()),
        first_seconds=seconds["first"],
        redo_seconds=seconds["redo"],
        sweep_seconds=seconds["sweep"],
        plain_seconds=seconds["plain"],
        plain_bytes=plain.kept_bytes,
        modes=tuple(
            ModeCost(
                mode=mode,  # type: ignore[arg-type]
                kept_bytes=max(0, seen[ALIKE[mode]].kept_bytes - always),
                backward_seconds=seconds[ALIKE[mode]],
                backward_bytes=seen[ALIKE[mode]].backward_bytes,
            )
            for mode in moves.modes
        ),
    )
    return Measured(cost, plain.forward_bytes, plain.backward_bytes)


def _monotone(seconds: dict[str, float], modes: Sequence[str]) -> dict[str, float]:
    """Noise must not make a redo free: full ≤ lean ≤ last ≤ none, and a sweep ≤ a redo ≤ a first forward. Nor must one
    slow moment of plain autograd, which does the work of mode full, make every plan of the chain seem fast."""
    there = [mode for mode in ORDER if mode in modes]
    for cheap, dear in (*itertools.pairwise(there), ("sweep", "redo"), ("redo", "first")):
        seconds[dear] = max(seconds[dear], seconds[cheap])
    if "full" in modes:
        seconds["plain"] = min(seconds["plain"], SLOWEST_PLAIN * (seconds["first"] + seconds["full"]))
    return seconds


@dataclass(frozen=True)
class _Seen:
    """Of one forward and backward, beside input and incoming gradient."""

    kept_bytes: int
    forward_bytes: int
    """Largest growth beside what is kept, the output included."""
    backward_bytes: int
    seconds: dict[str, float]


class _Bench:
    """One block, its input and an incoming gradient."""

    def __init__(
        self,
        group: Group,
        moves: Moves,
        x: Tensor,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]],
        needs_input_grad: bool,
    ) -> None:
        self.group, self.moves, self.x, self.device, self.autocast = group, moves, x, device, autocast
        self.needs_input_grad = needs_input_grad
        self.watch = Stopwatch(device)
        self.parameters = [p for p in moves.parameters if p.requires_grad]
        self.modes = [mode for mode in ORDER if mode in moves.modes]
        self.y, _ = self.advance("none")  # warms up libraries, whose first use allocates
        self.grad = torch.randn_like(self.y)
        self.back(self.advance("none")[1])

    def advance(self, mode: str, tape: Any = None) -> tuple[Tensor, Any]:
        tape = self.moves.new_tape() if tape is None else tape
        with self.autocast():
            return self.moves.advance(self.x, tape, mode), tape

    def back(self, tape: Any) -> Any:
        with self.autocast():
            return self.moves.backward(self.grad, self.x, tape, self.needs_input_grad)

    def metered_mode(self, mode: str) -> _Seen:
        """A forward, a redo and a backward, all inside the meter: so it sees the tape come and go."""
        tape, seconds = [self.moves.new_tape()], dict[str, float]()
        with metered(self.device) as meter:
            (y, _), first = self.watch.timed(lambda: self.advance(mode, tape[0]))
            meter.mark("redo")
            if mode in ("none", "last"):
                seconds["redo" if mode == "none" else "sweep"] = self.watch.seconds(lambda: self.advance(mode, tape[0]))
            kept_y = self._own_bytes(y)
            del y, _
            meter.mark("backward")
            seconds[mode] = self.watch.seconds(lambda: self.back(tape.pop()))
        if mode == "none":
            seconds = {"first": first, "sweep": seconds["redo"], **seconds}
        forward, redo, backward = meter.spans
        kept = forward.stop_bytes - kept_y
        most = max(forward.peak_bytes - kept, redo.peak_bytes - redo.start_bytes)
        # An output that the tape holds is not among what is kept, being the next block's input; that block's backward
        # lets it go, this one's has it still.
        return _Seen(kept, most, backward.peak_bytes - min(backward.start_bytes, kept), seconds)

    def metered_plain(self) -> _Seen:
        """The same under plain autograd; the output counts as kept."""
        with metered(self.device) as meter:
            (x, y, kept), forth = self.watch.timed(self._plain_forward)
            waiting = [y]
            del y
            meter.mark("backward")
            _, back = self.watch.timed(lambda: self._plain_backward(x, waiting.pop()))
        forward, backward = meter.spans
        growth = backward.peak_bytes - backward.start_bytes
        return _Seen(kept, max(0, forward.peak_bytes - kept), growth, {"plain": forth + back})

    def _own_bytes(self, y: Tensor) -> int:
        """Of an output, where it is not the input's storage."""
        return 0 if _storage(y) == _storage(self.x) else y.nbytes

    def seconds(self) -> dict[str, float]:
        """One round: every move once."""
        found: dict[str, float] = {}
        tapes = {mode: self.advance(mode)[1] for mode in self.modes if mode != "none"}
        tapes["none"] = self.moves.new_tape()
        swept = tapes.get("last", tapes["none"])
        found["first"] = self.watch.seconds(lambda: self.advance("none", tapes["none"]))
        found["redo"] = self.watch.seconds(lambda: self.advance("none", tapes["none"]))
        found["sweep"] = self.watch.seconds(lambda: self.advance("last" if "last" in tapes else "none", swept))
        for mode in self.modes:
            found[mode] = self.watch.seconds(lambda mode=mode: self.back(tapes.pop(mode)))  # type: ignore[misc]
        found["plain"] = self.watch.seconds(self._plain)
        return found

    def _plain(self) -> None:
        x, y, _ = self._plain_forward()
        self._plain_backward(x, y)

    def _plain_forward(self) -> tuple[Tensor, Tensor, int]:
        """Input, output, and bytes that autograd keeps: each storage once, the output's too, parameters' not."""
        trains = self.needs_input_grad and (self.x.is_floating_point() or self.x.is_complex())
        x = y = self.x.detach().requires_grad_(trains)
        with kept_storages() as kept, torch.enable_grad(), self.autocast():
            for module in self.group:
                y = module(y)
        kept[_storage(y)] = y.untyped_storage().nbytes()
        left_out = {_storage(tensor) for tensor in (x, *_held_by(self.group))}
        return x, y, sum(size for storage, size in kept.items() if storage not in left_out)

    def _plain_backward(self, x: Tensor, y: Tensor) -> Any:
        sources = [*([x] if x.requires_grad else []), *self.parameters]
        if not sources or not y.requires_grad:
            return None
        return torch.autograd.grad(y, sources, self.grad, allow_unused=True)


@contextmanager
def kept_storages() -> Iterator[dict[int, int]]:
    """Inside, what autograd saves for the backward: storage → bytes. Valid while the graph lives."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided:
            kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield kept


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _held_by(group: Group) -> Iterator[Tensor]:
    for module in group:
        yield from module.parameters()
        yield from module.buffers()
