"""Layers: forward hooks note each call of a module that owns parameters, tensor hooks the gradient at its output.

Tensor hooks are set on the output inside the forward hook, before anything can write over it; module-level backward
hooks are avoided, since they fail on in-place operations and on outputs that are not tensors.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from gradpath.flow._heap import collector_paused
from gradpath.flow._norms import norm, rms
from gradpath.flow._numerics import numerics, sample
from gradpath.flow._scopes import Scopes
from gradpath.record import Numerics

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


@dataclass
class Call:
    """One call of a module that owns parameters."""

    scope: str
    number: int
    module: nn.Module
    own: list[nn.Parameter]
    shape: tuple[int, ...]
    activation_rms: float
    holds_layers: bool = False
    """Whether it called weighted layers: its own matrix is then a position embedding, a class token, a layer scale."""
    edge: GradientEdge | None = None
    """Where the first output that needs a gradient is made."""
    gradient_norm: float | None = None
    """Over all outputs that received a gradient."""
    elements: int = 0
    """Of those outputs."""
    output_sample: Tensor | None = None
    gradient_sample: Tensor | None = None
    """Of several outputs, the first that a gradient reaches."""
    numerics: Numerics | None = None

    @property
    def weighted(self) -> bool:
        """Whether depth counts this layer: it owns a weight matrix, is no norm, and called no weighted layer inside."""
        return not self.holds_layers and not isinstance(self.module, NORMS) and any(p.dim() > 1 for p in self.own)

    @property
    def gradient_rms(self) -> float | None:
        if self.gradient_norm is None:
            return None
        return self.gradient_norm / math.sqrt(self.elements) if self.elements else 0.0


class LayerMeter:
    """Hooks on all modules during one forward pass, then on the outputs of layers during one backward pass."""

    def __init__(self, model: nn.Module, numerics: bool = False, with_grad_only: bool = False) -> None:
        """`with_grad_only`: calls of the model under torch.no_grad() (a validation) are not noted."""
        self.model, self.numerics, self.with_grad_only = model, numerics, with_grad_only
        self.calls: list[Call] = []
        self.scopes = Scopes()
        self.anchors: set[Any] = set()
        self.seen: Counter[str] = Counter()
        self.transformed: dict[str, None] = {}
        """Modules that were called inside a transform of torch.func: nothing of these calls is noted."""
        self.edges: dict[str, GradientEdge] = {}
        """Where the first differentiable output of each module's first call is made."""
        self.autocast: str | None = None
        """The type that autocast computes in, where a layer was called under it."""
        self.is_stale = False
        """Set once a loss of these calls was traced: a module that is called again begins another forward pass."""
        self._outputs = ExitStack()
        self._armed = False
        self._still = False
        self._aside = False
        self._begun: list[int] = []
        """Of each open module call, how many calls had been noted when it began."""

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Keeps the hooks on outputs until the end of the block."""
        with self._outputs:
            yield

    def release(self) -> None:
        """Takes the hooks on outputs away: what comes after is not the gradient of the loss."""
        self._outputs.close()

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Notes module calls. Over before the backward pass, where checkpointed modules are called once more."""
        with ExitStack() as stack:
            with collector_paused():
                for name, module in without_parametrizations(self.model):
                    stack.callback(module.register_forward_pre_hook(self._enter(name)).remove)
                    stack.callback(module.register_forward_hook(self._leave(name, module), always_call=True).remove)
            yield

    @contextmanager
    def still(self) -> Iterator[None]:
        """Notes no module calls meanwhile: a backward pass calls checkpointed modules once more."""
        self._still = True
        try:
            yield
        finally:
            self._still = False

    def forget(self) -> None:
        """Starts anew, for another forward pass under the same hooks."""
        self.is_stale = False
        self.scopes.forget()
        self._outputs.close()
        self.calls.clear()
        self.anchors.clear()
        self.seen.clear()
        self.transformed.clear()
        self.edges.clear()

    @contextmanager
    def backward(self) -> Iterator[None]:
        """Notes gradients. Only of this pass: the forward, or another one, may take gradients of its own."""
        self._armed = True
        for call in self.calls:
            call.gradient_norm, call.elements, call.gradient_sample, call.numerics = None, 0, None, None
        try:
            yield
        finally:
            self._armed = False

    def read_samples(self) -> None:
        """What was sampled, as numbers; the samples of gradients are let go."""
        reached = [call for call in self.calls if call.output_sample is not None and call.gradient_sample is not None]
        found = numerics([c.output_sample for c in reached], [c.gradient_sample for c in reached])  # type: ignore[misc]
        for call, numbers in zip(reached, found, strict=True):
            call.numerics, call.gradient_sample = numbers, None

    def _enter(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            if not self._still:
                if not self.scopes.is_open:
                    self._begin(name)
                self.scopes.enter(name, self.seen[name])
                self._begun.append(len(self.calls))

        return hook

    def _begin(self, name: str) -> None:
        """A call from outside of the model."""
        if self.is_stale and self.seen[name]:
            self.forget()
        self._aside = self.with_grad_only and not torch.is_grad_enabled()

    def _leave(self, name: str, module: nn.Module) -> Any:
        own = own_parameters(module)

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if self._still:
                return
            self.scopes.leave()
            begun = self._begun.pop()
            if self._aside:
                return
            self.seen[name] += 1
            if is_transformed():
                self.transformed.setdefault(name)
                return
            found = list(tensors(output))
            self.anchors |= {tensor.grad_fn for tensor in found if tensor.grad_fn is not None}
            edge = next((get_gradient_edge(tensor) for tensor in found if tensor.requires_grad), None)
            if edge is not None:
                self.edges.setdefault(name, edge)
            if found and own:
                self._note(
                    Call(name, self.seen[name] - 1, module, own, tuple(found[0].shape), rms(found[0])), found, begun
                )

        return hook

    def _note(self, call: Call, outputs: list[Tensor], begun: int) -> None:
        self.autocast = self.autocast or autocast_on(outputs[0].device.type)
        call.holds_layers = any(inner.weighted for inner in self.calls[begun:])
        for output in outputs:
            if output.requires_grad:
                call.edge = call.edge or get_gradient_edge(output)
                handle = output.register_hook(self._arrive(call))  # type: ignore[no-untyped-call]
                self._outputs.callback(handle.remove)
        if self.numerics:
            call.output_sample = sample(outputs[0])
        self.calls.append(call)

    def _arrive(self, call: Call) -> Any:
        def hook(gradient: Tensor | None) -> None:
            if self._armed and gradient is not None:  # None: this output of several received nothing
                call.gradient_norm = math.hypot(call.gradient_norm or 0.0, norm(gradient))
                call.elements += gradient.numel()
                if self.numerics and call.gradient_sample is None:
                    call.gradient_sample = sample(gradient)

        return hook


def is_transformed() -> bool:
    """Whether a transform of torch.func (grad, vmap, jvp …) runs. Tensors in it are of the transform's own, and what
    they receive is no gradient of the loss."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def autocast_on(device: str) -> str | None:
    """The type that autocast computes in here and now, e.g. 'bfloat16'; None where it is off."""
    if not torch.is_autocast_enabled(device):
        return None
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")


def own_parameters(module: nn.Module) -> list[nn.Parameter]:
    """A module's own parameters, those behind its parametrizations (weight norm …) included."""
    own = [parameter for parameter in module._parameters.values() if parameter is not None]
    if is_parametrized(module):
        own += list(module.parametrizations.parameters())  # type: ignore[union-attr]
    return own


def without_parametrizations(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Named modules, less those that compute weights rather than activations."""
    skipped: set[nn.Module] = set()
    for name, module in model.named_modules():
        if isinstance(module, ParametrizationList) or module in skipped:
            skipped |= set(module.modules())
        elif is_parametrized(module):
            skipped |= set(module.parametrizations.modules())
            yield name, module
        else:
            yield name, module


def tensors(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors in a tensor, tuple, list, mapping or dataclass, in order."""
    stack = [output]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            if value.is_floating_point() or value.is_complex():
                yield value
        elif isinstance(value, Mapping):
            stack.extend(reversed(list(value.values())))
        elif isinstance(value, (tuple, list)):
            stack.extend(reversed(value))
        elif is_dataclass(value) and not isinstance(value, type):
            stack.extend(getattr(value, f.name) for f in reversed(fields(value)))


def held_here(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor (FSDP2's DTensor); any other tensor itself."""
    local: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return local


def resolution(shape: tuple[int, ...]) -> str:
    """The spatial part of an output's shape: N C H W → 'HxW', N L C → 'L', N C → ''."""
    if len(shape) >= 4:
        return "x".join(map(str, shape[2:]))
    return str(shape[1]) if len(shape) == 3 else ""
