"""Calls of layers, with the norms of their parameters, as records."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor, nn

from gradpath.flow._layers import Call, held_here, resolution
from gradpath.flow._norms import log10, norms
from gradpath.record import Layer, Parameter


class ParameterNorms:
    """Norms of all parameters and of their gradients, taken together."""

    def __init__(self, model: nn.Module, gradients: Mapping[str, Tensor | None]) -> None:
        found = {name: grad for name, grad in gradients.items() if grad is not None}
        self._names = dict(model.named_parameters())
        of_gradients = dict(zip(found, norms(map(held_here, found.values())), strict=True))
        held = norms(map(held_here, self._names.values()))
        self._parameters = dict(zip(self._names.values(), held, strict=True))
        self._gradients = {self._names[name]: value for name, value in of_gradients.items()}

    def of(self, parameters: list[nn.Parameter]) -> float:
        """‖·‖₂ of some parameters as one vector."""
        return math.hypot(*(self._parameters[p] for p in parameters if p in self._parameters))

    def of_gradient(self, parameters: list[nn.Parameter]) -> float | None:
        """The same for their gradients; None where there is none."""
        found = [self._gradients[p] for p in parameters if p in self._gradients]
        return math.hypot(*found) if found else None

    def records(self) -> tuple[Parameter, ...]:
        """All parameters, in the model's order."""
        return tuple(
            Parameter(
                name=name,
                shape=tuple(parameter.shape),
                log10_norm=log10(self._parameters[parameter]),
                log10_gradient_norm=log10(self._gradients[parameter]) if parameter in self._gradients else None,
            )
            for name, parameter in self._names.items()
        )


def layer_record(call: Call, parameters: ParameterNorms) -> Layer:
    """A call as a record."""
    own, gradient_rms = call.own, call.gradient_rms
    parameter_gradient = parameters.of_gradient(own)
    return Layer(
        scope=call.scope,
        call=call.number,
        module=type(call.module).__name__,
        weighted=call.weighted,
        shape=call.shape,
        resolution=resolution(call.shape),
        log10_activation_rms=log10(call.activation_rms),
        log10_gradient_norm=None if call.gradient_norm is None else log10(call.gradient_norm),
        log10_gradient_rms=None if gradient_rms is None else log10(gradient_rms),
        log10_parameter_gradient_norm=None if parameter_gradient is None else log10(parameter_gradient),
        log10_parameter_norm=log10(parameters.of(own)),
        numerics=call.numerics,
    )
