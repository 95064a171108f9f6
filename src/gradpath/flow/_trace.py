"""`trace`: one forward and backward pass of any model, seen from the inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.errors import TraceError
from gradpath.flow._asfound import as_found, plain_view
from gradpath.flow._forks import ForkMeter, Taps, branch_ends, describe, opaque_nodes, plan_forks
from gradpath.flow._gain import fit_gains
from gradpath.flow._graph import ACCUMULATE, Graph, Made, Node
from gradpath.flow._layers import Call, LayerMeter, layer_record
from gradpath.flow._loss import compute_loss
from gradpath.flow._paths import MeanLength
from gradpath.flow._routes import is_opaque
from gradpath.record import Flow, Fork, Layer, Unseen


def trace(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
) -> Flow:
    """Where the gradient of one batch went in a model: layers, forks with their edges, gains, effective depth.

    Args:
        model: any module, in the mode it is in. Its parameters, gradients, buffers, hooks and the random state are
            left as found.
        batch: with a criterion, a pair (input, target); else the input: a tensor, a tuple of positional arguments or
            a mapping of keyword arguments.
        criterion: criterion(output, target) → scalar loss. Without it the output is a scalar, has `.loss` or a key
            "loss".
        step: step(model, batch) → scalar loss, for anything else.

    Returns: a `Flow` record. Definitions of its quantities: docs/definitions.md.

    Raises: TraceError when there is no scalar loss, or no gradient can be taken through the model.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"trace needs a torch.nn.Module, got a {type(model).__name__}")
    meter = LayerMeter(model)
    with torch.enable_grad(), as_found(model), plain_view(model) as notes, meter.listening():
        loss = compute_loss(model, batch, criterion, step)
        return _Pass(model, meter, loss, notes).flow()


class _Pass:
    """One loss and the graph behind it, from planning to the record."""

    def __init__(self, model: nn.Module, meter: LayerMeter, loss: Tensor, notes: list[str]) -> None:
        self.model, self.meter, self.loss, self.notes = model, meter, loss, notes
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.names = {p: name for name, p in model.named_parameters()}
        self.graph = Graph(loss.grad_fn, frozenset(meter.anchors))
        self.plans = plan_forks(self.graph)

    def flow(self) -> Flow:
        forks = ForkMeter(self.plans)
        lengths = MeanLength(self.graph, branch_ends(self.graph, self.plans))
        taps = Taps()
        forks.attach(taps)
        lengths.attach(taps)
        gradients = self._backward(taps)
        first = self.meter.first
        depth = None
        if lengths.entered and first is not None and first.gradient is not None:
            depth = lengths.value(self.loss, first.edge, first.gradient)
        layers = tuple(layer_record(call, gradients, self.names) for call in self.meter.calls)
        return self._record(layers, forks.finish(self._name, _shape), depth, self._unseen(gradients))

    def _backward(self, taps: Taps) -> dict[str, Tensor | None]:
        """Run the pass. Returns the parameters' gradients by name; nothing is written to `.grad`."""
        inputs: list[Any] = list(self.parameters.values())
        if not inputs and self.meter.first is not None:
            inputs = [self.meter.first.edge]
        if not inputs:
            raise TraceError(
                "no parameter requires a gradient and no module with parameters was called: nothing to trace"
            )
        with taps.listening():
            try:
                found = torch.autograd.grad(self.loss, inputs, retain_graph=True, allow_unused=True)
            except RuntimeError as error:
                raise TraceError(f"the backward pass failed: {_first_line(error)}") from error
        return dict(zip(self.parameters, found, strict=False))

    def _record(self, layers: tuple[Layer, ...], forks: tuple[Fork, ...], depth: float | None, unseen: Unseen) -> Flow:
        weighted = [c for c in self.meter.calls if c.weighted and c.gradient_norm is not None]
        stem = next((layer for layer in layers if layer.weighted and layer.log10_gradient_norm is not None), None)
        shares = [f.skip_share for f in forks if f.kind == "residual" and f.skip_share is not None]
        return Flow(
            model=type(self.model).__name__,
            mode=_mode(self.model),
            dtype=_one({str(p.dtype).removeprefix("torch.") for p in self.model.parameters()}),
            autocast=_autocast(self.loss.device.type),
            device=self.loss.device.type,
            loss=float(self.loss.detach()),
            at=None if self.meter.first is None else self.meter.first.scope,
            stem_over_head=_ratio(weighted),
            log10_stem_gradient_norm=None if stem is None else stem.log10_gradient_norm,
            gain_per_layer=fit_gains(layers),
            skip_share=sum(shares) / len(shares) if shares else None,
            effective_depth=depth,
            forks=forks,
            layers=layers,
            unseen=unseen,
        )

    def _unseen(self, gradients: dict[str, Tensor | None]) -> Unseen:
        owners = [n for n, m in self.model.named_modules() if any(True for _ in m.parameters(recurse=False))]
        return Unseen(
            modules_not_called=tuple(name for name in owners if name and not self.meter.seen[name]),
            layers_without_gradient=tuple(c.scope for c in self.meter.calls if c.gradient_norm is None),
            parameters_without_gradient=tuple(name for name, grad in gradients.items() if grad is None),
            opaque=tuple(self._name(node) for node in opaque_nodes(self.graph, is_opaque)),
            notes=tuple(self.notes),
        )

    def _name(self, node: Node) -> str:
        if str(node.name()) == ACCUMULATE:
            return self.names.get(node.variable, "an input")
        return describe(node, self.meter.scopes.of(node))


def _shape(made: Made) -> tuple[int, ...]:
    node, output = made
    if str(node.name()) == ACCUMULATE:
        return tuple(node.variable.shape)
    return tuple(node._input_metadata[output].shape)


def _ratio(weighted: list[Call]) -> float | None:
    if not weighted or not weighted[-1].gradient_norm:
        return None
    return (weighted[0].gradient_norm or 0.0) / weighted[-1].gradient_norm


def _mode(model: nn.Module) -> Any:
    modes = {module.training for module in model.modules()}
    return "mixed" if len(modes) > 1 else ("train" if modes.pop() else "eval")


def _one(names: Iterable[str]) -> str:
    return "+".join(sorted(names)) or "none"


def _autocast(device: str) -> str | None:
    if not torch.is_autocast_enabled(device):
        return None
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
