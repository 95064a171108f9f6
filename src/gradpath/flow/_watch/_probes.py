"""Hooks that write each layer's norms into buffers on the device.

Forward hooks measure the output and set a tensor hook on it, before anything can write over it. Under `torch.compile`
both are traced into the graph: they have no Python side effect, and one flag that Dynamo guards on, so that there are
two compiled variants, with and without probes, of one graph each. In eager mode the hooks of layers that were seen to
run eagerly exist only during sampled steps: a step without a sample costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from gradpath.flow._layers import Call, is_transformed, own_parameters, tensors, without_parametrizations
from gradpath.flow._watch._budget import Budget
from gradpath.flow._watch._buffer import ACTIVATION, GRADIENT, NOT_ARRIVED, Buffers, log10_norm, log10_rms
from gradpath.record import WatchLayer

Columns = tuple[tuple[float | None, ...], tuple[float | None, ...], tuple[float | None, ...]]
"""log10 of activation RMS, gradient RMS and parameter-gradient norm, along the layers."""


class Switch:
    """Whether this step is sampled. An attribute, so that Dynamo guards on it."""

    def __init__(self) -> None:
        self.on = False


class Probe:
    """One layer: its row in the buffers and what is known of it."""

    def __init__(self, row: int, scope: str, module: nn.Module) -> None:
        self.row, self.scope, self.module = row, scope, module
        self.parameters = own_parameters(module)
        self.eager = False
        """Was seen to run outside compiled code."""
        self.calls = 0
        """Eager calls in this step with gradients on."""
        self.wide = [False, False]
        """Sum squares of the activation, of the gradient, in float64: after a reading that float32 cannot hold."""
        self.hook: RemovableHandle | None = None

    def record(self) -> WatchLayer:
        call = Call(self.scope, 0, self.module, self.parameters, (), 0.0)
        return WatchLayer(scope=self.scope, module=type(self.module).__name__, weighted=call.weighted)

    def remove(self) -> None:
        if self.hook is not None:
            self.hook.remove()
            self.hook = None


class Probes:
    """All layers of a model, their hooks and their buffers."""

    def __init__(self, model: nn.Module, budget: Budget, device: torch.device) -> None:
        found = [(name, module) for name, module in without_parametrizations(model) if own_parameters(module)]
        self.layers = [Probe(row, plain_name(name), module) for row, (name, module) in enumerate(found)]
        self.parameters = list(dict.fromkeys(p for probe in self.layers for p in probe.parameters if p.requires_grad))
        self.places = {parameter: index for index, parameter in enumerate(self.parameters)}
        self.buffers = Buffers(len(self.layers), len(self.parameters), device)
        self.switch, self.budget = Switch(), budget
        self.written: list[Probe] = []
        """The layers of the last report."""
        self._on_parameters = ExitStack()

    @property
    def compiled(self) -> bool:
        """Whether a layer has written from inside compiled code."""
        return any(not probe.eager for probe in self.written)

    def arm(self) -> None:
        """The next step is sampled."""
        for probe in self.layers:
            probe.calls = 0
            if probe.hook is None:
                probe.hook = probe.module.register_forward_hook(self._forward_hook(probe))
        if self.switch.on:
            return
        self.switch.on = True
        for index, parameter in enumerate(self.parameters):
            handle = parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                self._parameter_hook(index)
            )
            self._on_parameters.callback(handle.remove)

    def disarm(self) -> None:
        """The next step is not: hooks stay only on layers that never ran eagerly, since compiled code needs them."""
        self.switch.on = False
        self._on_parameters.close()
        for probe in self.layers:
            if probe.eager:
                probe.remove()

    def close(self) -> None:
        """Take all hooks away."""
        self.disarm()
        for probe in self.layers:
            probe.remove()

    def _forward_hook(self, probe: Probe) -> Callable[..., None]:
        switch, buffers, row = self.switch, self.buffers, probe.row

        def arrived(gradient: Tensor) -> None:
            buffers.add(row, GRADIENT, gradient)

        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if not (switch.on and torch.is_grad_enabled()):
                return
            if not torch.compiler.is_compiling():
                if not is_transformed():
                    self._eager(probe, output)
                return
            found = _tensors(output)
            if found:
                buffers.add(row, ACTIVATION, found[0])
            for tensor in found:
                if tensor.requires_grad:
                    tensor.register_hook(arrived)  # type: ignore[no-untyped-call]

        return hook

    def _eager(self, probe: Probe, output: Any) -> None:
        """The same outside compiled code, timed, and told apart from the second call of a checkpointed layer."""
        recomputing = torch._C._current_graph_task_id() != -1
        if recomputing and probe.calls:  # reentrant checkpoints call first without gradients: calls is 0 there
            return
        began = self.budget.clock()
        probe.eager, probe.calls = True, probe.calls + 1
        found = _tensors(output)
        if found:
            self.buffers.add(probe.row, ACTIVATION, found[0], probe.wide[0])
        for tensor in found:
            if tensor.requires_grad:
                tensor.register_hook(self._gradient_hook(probe))  # type: ignore[no-untyped-call]
        self.budget.inside += self.budget.clock() - began

    def _gradient_hook(self, probe: Probe) -> Callable[[Tensor | None], None]:
        def hook(gradient: Tensor | None) -> None:
            if gradient is not None and self.switch.on:
                began = self.budget.clock()
                self.buffers.add(probe.row, GRADIENT, gradient, probe.wide[1])
                self.budget.inside += self.budget.clock() - began

        return hook

    def _parameter_hook(self, index: int) -> Callable[[Tensor], None]:
        """Writes after each micro-batch what has been summed so far: the last one writes the whole step's norm."""

        def hook(parameter: Tensor) -> None:
            if parameter.grad is not None:
                began = self.budget.clock()
                self.buffers.put(index, parameter.grad)
                self.budget.inside += self.budget.clock() - began

        return hook

    def read(self, numbers: list[float], scale: float) -> Columns:
        """The three columns of a report, from what `buffers` held; `scale` is what the loss had been multiplied by."""
        rows = [numbers[4 * i : 4 * i + 4] for i in range(len(self.layers))]
        norms = numbers[4 * len(self.layers) :]
        self.written = [probe for probe, row in zip(self.layers, rows, strict=True) if row[1]]
        factor = 1 / scale if scale else math.nan
        for probe, row in zip(self.layers, rows, strict=True):
            self._widen(probe, row)
        return (
            tuple(log10_rms(row[0], row[1]) for row in rows),
            tuple(log10_rms(row[2], row[3], factor) for row in rows),
            tuple(self._parameter_norm(probe, norms, factor) for probe in self.layers),
        )

    def _widen(self, probe: Probe, row: list[float]) -> None:
        """Sum in float64 from now on where float32 gave an exact zero or infinity: it may be neither."""
        if self.buffers.dtype == torch.float64:
            for i, (energy, elements) in enumerate((row[:2], row[2:])):
                probe.wide[i] |= bool(elements) and (energy == 0 or math.isinf(energy))

    def _parameter_norm(self, probe: Probe, norms: list[float], factor: float) -> float | None:
        places = [self.places[p] for p in probe.parameters if p in self.places]
        found = [norms[place] for place in places if norms[place] != NOT_ARRIVED]
        return log10_norm(math.hypot(*found), factor) if found else None


def _tensors(output: Any) -> list[Tensor]:
    """`tensors`, with a short way for the usual output, which Dynamo need not trace through a generator."""
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() or output.is_complex() else []
    return list(tensors(output))


def plain_name(name: str) -> str:
    """A module's name without what wrappers put into it."""
    parts = (part for part in name.split(".") if part not in ("_orig_mod", "_fsdp_wrapped_module"))
    return ".".join(parts)
