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

from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn.utils.parametrize import ParametrizationList

from gradpath.flow._norms import log10, norm, norm_together, rms
from gradpath.flow._scopes import Scopes
from gradpath.record import Layer

_WEIGHTED = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.Bilinear,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)


@dataclass
class Call:
    """One call of a module that owns parameters."""

    scope: str
    number: int
    module: nn.Module
    shape: tuple[int, ...]
    activation_rms: float
    edge: Any = None  # GradientEdge of the output; None where the output needs no gradient
    gradient_norm: float | None = None
    gradient: Tensor | None = None  # kept for the first call only: paths are taken there

    @property
    def weighted(self) -> bool:
        """Whether depth counts this layer: a known layer of weights, or any module with a weight matrix."""
        weight = getattr(self.module, "weight", None)
        return isinstance(self.module, _WEIGHTED) or (isinstance(weight, Tensor) and weight.dim() > 1)


class LayerMeter:
    """Hooks on all modules of a model during one forward pass."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.calls: list[Call] = []
        self.scopes = Scopes()
        self.anchors: set[Any] = set()
        self.seen: Counter[str] = Counter()
        self._stack = ExitStack()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Register the hooks; tensor hooks stay until the end of the block as well."""
        with self._stack as stack:
            for name, module in _without_parametrizations(self.model):
                stack.callback(module.register_forward_pre_hook(self._enter(name)).remove)
                stack.callback(module.register_forward_hook(self._leave(name), always_call=True).remove)
            yield

    def _enter(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any) -> None:
            self.scopes.enter(name)

        return hook

    def _leave(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            self.scopes.leave()
            self.seen[name] += 1
            tensor = first_tensor(output)
            if tensor is None:
                return
            if tensor.grad_fn is not None:
                self.anchors.add(tensor.grad_fn)
            if any(True for _ in module.parameters(recurse=False)):
                self._note(name, module, tensor)

        return hook

    def _note(self, name: str, module: nn.Module, output: Tensor) -> None:
        call = Call(name, self.seen[name] - 1, module, tuple(output.shape), rms(output))
        if output.grad_fn is not None:
            call.edge = get_gradient_edge(output)
            keep = not any(c.edge is not None for c in self.calls)
            handle = output.register_hook(_gradient_hook(call, keep))  # type: ignore[no-untyped-call]
            self._stack.callback(handle.remove)
        self.calls.append(call)

    @property
    def first(self) -> Call | None:
        """The first call whose output takes part in the graph."""
        return next((call for call in self.calls if call.edge is not None), None)


def _gradient_hook(call: Call, keep: bool) -> Any:
    def hook(gradient: Tensor) -> None:
        if call.gradient_norm is None:  # later passes over the same graph are not the gradient of the loss
            call.gradient_norm = norm(gradient)
            call.gradient = gradient.detach() if keep else None

    return hook


def _without_parametrizations(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Named modules, less those that compute weights rather than activations."""
    skipped: set[nn.Module] = set()
    for name, module in model.named_modules():
        if isinstance(module, ParametrizationList):
            skipped |= set(module.modules())
        if module not in skipped:
            yield name, module


def first_tensor(output: Any) -> Tensor | None:
    """The first floating-point tensor in a tensor, tuple, list, mapping or dataclass, in that order of fields."""
    stack = [output]
    while stack:
        value = stack.pop()
        if isinstance(value, Tensor):
            if value.is_floating_point() or value.is_complex():
                return value
        elif isinstance(value, Mapping):
            stack.extend(reversed(list(value.values())))
        elif isinstance(value, (tuple, list)):
            stack.extend(reversed(value))
        elif is_dataclass(value) and not isinstance(value, type):
            stack.extend(getattr(value, f.name) for f in reversed(fields(value)))
    return None


def layer_record(call: Call, gradients: Mapping[str, Tensor | None], names: Mapping[nn.Parameter, str]) -> Layer:
    """A call as a record. `gradients`: parameter name → gradient, None where there is none."""
    own = list(call.module.parameters(recurse=False))
    found = [g for p in own if (g := gradients.get(names[p])) is not None]
    gradient = call.gradient_norm
    return Layer(
        scope=call.scope,
        call=call.number,
        module=type(call.module).__name__,
        weighted=call.weighted,
        shape=call.shape,
        resolution=resolution(call.shape),
        log10_activation_rms=log10(call.activation_rms),
        log10_gradient_norm=None if gradient is None else log10(gradient),
        log10_gradient_rms=None if gradient is None else log10(gradient / math.sqrt(math.prod(call.shape))),
        log10_parameter_gradient_norm=log10(norm_together(found)) if found else None,
        log10_parameter_norm=log10(norm_together(own)),
    )


def resolution(shape: tuple[int, ...]) -> str:
    """The spatial part of an output's shape: N C H W → 'HxW', N L C → 'L', N C → ''."""
    if len(shape) >= 4:
        return "x".join(map(str, shape[2:]))
    return str(shape[1]) if len(shape) == 3 else ""
