"""The two moves of any modules, by autograd: what a plan runs where no faster form of a block is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from gradpath.errors import PlanError
from gradpath.memory._state import Snapshot

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class ModuleMoves:
    """Modules that run one after the other, as a block of a plan (`gradpath.nets.Moves`).

    Mode full keeps autograd's graph, every other mode nothing: the backward then computes the block again, from the
    buffers, training flags and random numbers (torch's: of the CPU and of the input's device) that the first forward
    found. Modes raw, last and lean are taken for input and none, so that any plan can run on any block.
    Forward hooks run at every forward, since they may change what is computed.
    """

    modes: tuple[str, ...] = ("full", "input", "none")
    ends_in_relu = False

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = tuple(modules)
        inside = dict.fromkeys(inner for module in modules for inner in module.modules())
        self.parameters = tuple(dict.fromkeys(p for m in inside for p in m._parameters.values() if p is not None))
        self._inside = list(inside)
        compiled = any(type(m).__name__ == "OptimizedModule" or m._compiled_call_impl is not None for m in inside)
        # A compiled block is not asked to leave its statistics alone: it would be compiled a second time.
        self._norms = [] if compiled else [m for m in inside if type(m) in _NORMS]
        self._others = [m for m in inside if type(m) not in _NORMS or compiled]

    def new_tape(self) -> ModuleTape:
        return ModuleTape()

    def advance(self, x: Tensor, tape: ModuleTape, mode: str) -> Tensor:
        redone_on_copies = tape.found is not None and tape.found.buffers is not None
        with self._state(x, tape):
            if mode == "full" and not redone_on_copies:  # such a graph has saved buffers that are put back here
                return self._keep(x, tape).detach()
            return self._run(x).detach()

    def backward(
        self, grad: Tensor, x: Tensor, tape: ModuleTape, needs_input_grad: bool = True
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        if tape.out is None:
            with self._state(x, tape):  # to the end: the graph has saved buffers as they are inside
                self._keep(x, tape)
                return self._gradients(grad, tape, needs_input_grad)
        return self._gradients(grad, tape, needs_input_grad)

    def _gradients(
        self, grad: Tensor, tape: ModuleTape, needs_input_grad: bool
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        leaf, out = tape.leaf, tape.out
        tape.clear()
        assert leaf is not None and out is not None
        wanted = [parameter for parameter in self.parameters if parameter.requires_grad]
        sources = [*wanted, leaf] if needs_input_grad and leaf.requires_grad else wanted
        grads: list[Tensor | None] = [None] * (len(wanted) + 1)
        if sources and out.requires_grad:
            with _autocast_off(leaf.device.type), _tensor_hooks_off(wanted):
                grads[: len(sources)] = torch.autograd.grad(out, sources, grad, allow_unused=True)
        grad_x, found = grads[-1], iter(grads)
        return grad_x, [next(found) if parameter.requires_grad else None for parameter in self.parameters]

    def _keep(self, x: Tensor, tape: ModuleTape) -> Tensor:
        leaf = x.detach()
        if leaf.is_floating_point() or leaf.is_complex():
            leaf.requires_grad_()
        with torch.enable_grad():
            tape.leaf, tape.out = leaf, self._run(leaf)
        return tape.out

    def _run(self, x: Tensor) -> Tensor:
        for module in self.modules:
            x = module(x)
        if not isinstance(x, Tensor):
            raise PlanError(
                f"plan: a {type(module).__name__} returned a {type(x).__name__}: a block returns one tensor"
            )
        return x

    def _state(self, x: Tensor, tape: ModuleTape) -> AbstractContextManager[None]:
        if tape.found is not None:
            return tape.found.again()
        tape.found = _Found(self._inside, self._norms, self._others, x.device)
        return tape.found.first()


class ModuleTape:
    """What the first forward found, and in mode full autograd's graph with the leaf that it starts from."""

    __slots__ = ("found", "leaf", "out")

    def __init__(self) -> None:
        self.found: _Found | None = None
        self.leaf: Tensor | None = None
        self.out: Tensor | None = None

    def tensors(self) -> list[Tensor]:
        """Copies of buffers and random states, leaf and output; not what autograd's graph saves between these two."""
        kept = [] if self.found is None else self.found.tensors()
        return kept + [tensor for tensor in (self.leaf, self.out) if tensor is not None]

    def clear(self) -> None:
        self.found = self.leaf = self.out = None


class _Found:
    """Buffers, flags and random numbers as a block's first forward finds them, for all that come after it.

    BatchNorm that trains computes the same without its running statistics: these are not copied, they are switched
    off. Random states are kept only where the block has drawn.
    """

    def __init__(
        self, inside: list[nn.Module], norms: list[nn.Module], others: list[nn.Module], device: torch.device
    ) -> None:
        self.inside, self.device = inside, device
        self.training = [module.training for module in inside]
        self.quiet = [norm for norm in norms if norm.training and norm.track_running_stats]
        written = [module for module in others if module._buffers]
        self.buffers = Snapshot(written) if written else None
        self.random: list[Tensor] = []

    @contextmanager
    def first(self) -> Iterator[None]:
        before = _random_states(self.device)
        yield
        if not all(map(torch.equal, before, _random_states(self.device))):
            self.random = before
        if self.buffers is not None:
            self.buffers.forget_constants()

    @contextmanager
    def again(self) -> Iterator[None]:
        """Inside, all is as the first forward found it; afterwards as before, also when something raises."""
        training = [module.training for module in self.inside]
        now = _random_states(self.device) if self.random else []
        try:
            self._set_flags(training, self.training)
            for norm in self.quiet:
                vars(norm)["track_running_stats"] = False
            _set_random_states(self.device, self.random)
            with nullcontext() if self.buffers is None else self.buffers.again():
                yield
        finally:
            _set_random_states(self.device, now)
            for norm in self.quiet:
                vars(norm)["track_running_stats"] = True
            self._set_flags(self.training, training)

    def tensors(self) -> list[Tensor]:
        return self.random + ([] if self.buffers is None else self.buffers.values)

    def _set_flags(self, now: list[bool], wanted: list[bool]) -> None:
        if now != wanted:
            for module, training in zip(self.inside, wanted, strict=True):
                module.training = training


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_states(device: torch.device, states: list[Tensor]) -> None:
    if states:
        torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def _autocast_off(device_type: str) -> AbstractContextManager[object]:
    """Autograd's own operations are not cast: a plain backward runs outside of autocast."""
    if not torch.is_autocast_enabled(device_type):
        return nullcontext()
    return torch.autocast(device_type, enabled=False)


@contextmanager
def _tensor_hooks_off(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Hooks of parameters run where the whole gradient arrives, once, and not on a block's part of it too."""
    hooked = [(p._backward_hooks, dict(p._backward_hooks)) for p in parameters if p._backward_hooks]
    for hooks, _ in hooked:
        hooks.clear()
    try:
        yield
    finally:
        for hooks, kept in hooked:
            hooks.update(kept)
