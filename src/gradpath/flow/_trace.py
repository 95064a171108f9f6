"""`trace`: one forward and backward pass of any model, seen from the inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList

from gradpath.errors import TraceError
from gradpath.flow._asfound import as_found, plain_view
from gradpath.flow._forks import ForkMeter, Taps, branch_uses, describe, opaque_nodes, plan_forks
from gradpath.flow._gain import fit_gains
from gradpath.flow._graph import ACCUMULATE, Graph, Node, elements, operation
from gradpath.flow._heap import reserve
from gradpath.flow._layers import Call, LayerMeter, ParameterNorms, layer_record, own_parameters
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
        step: step(model, batch) → scalar loss, for anything else. It must not call `backward()` itself.

    Returns: a `Flow` record. Definitions of its quantities: docs/definitions.md.

    Raises: TraceError when there is no scalar loss, or no gradient can be taken through the model.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"trace needs a torch.nn.Module, got a {type(model).__name__}")
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise TraceError("the model has lazy parameters without a shape yet: run one batch through it before tracing")
    meter = LayerMeter(model)
    with torch.enable_grad(), as_found(model), plain_view(model) as notes, meter.hooked():
        with meter.forward():
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
        self.at, self.at_name = self._place()
        _refuse_reentrant(self.graph)

    def flow(self) -> Flow:
        forks, lengths, taps = ForkMeter(self.plans), MeanLength(branch_uses(self.plans)), Taps()
        forks.attach(taps)
        lengths.attach(taps)
        roof = self._reserve_heap()
        gradients, gradient_at = self._backward(taps)
        self.meter.release()
        depth = None
        if gradient_at is not None and any(plan.kind == "residual" for plan in self.plans):
            depth = lengths.value(self.loss, self.at, gradient_at)
        del roof
        norms = ParameterNorms(self.model, gradients)
        layers = tuple(layer_record(call, norms) for call in self.meter.calls)
        return self._record(layers, forks.finish(self._name), depth, self._unseen(gradients))

    def _reserve_heap(self) -> Tensor | None:
        """Room for what the passes hold: the gradient of each branch, and a few temporaries of the largest size."""
        if self.loss.device.type != "cpu":
            return None
        held = sum(elements(*node.next_functions[slot]) for node, slot in branch_uses(self.plans))
        largest = max((math.prod(call.shape) for call in self.meter.calls), default=0)
        return reserve(2 * self.loss.element_size() * (held + 8 * largest))

    def _place(self) -> tuple[GradientEdge, str]:
        """Where paths are taken: the output of the first layer that all residual forks lie downstream of, else the
        first residual fork itself; with its name. Without residual forks, the first layer; without layers, the loss."""
        known = set(self.graph.nodes)
        calls = [c for c in self.meter.calls if c.edge is not None and c.edge.node in known]
        first = next((plan for plan in self.plans if plan.kind == "residual"), None)
        if first is not None:
            upstream = self.graph.behind(first.made[0])
            calls = [c for c in calls if c.edge is not None and c.edge.node in upstream]
            if not calls:
                name = self._name(first.made[0])
                self.notes.append(f"no layer was called before the first residual fork: paths are taken at {name}")
                return GradientEdge(*first.made), name
        if calls and calls[0].edge is not None:
            return calls[0].edge, calls[0].scope
        return get_gradient_edge(self.loss), "the loss"

    def _backward(self, taps: Taps) -> tuple[dict[str, Tensor | None], Tensor | None]:
        """Run the pass: the parameters' gradients by name, and that at `at`. Nothing is written to `.grad`."""
        inputs: list[Any] = [*self.parameters.values(), self.at]
        with taps.listening(), self.meter.backward():
            try:
                found = torch.autograd.grad(self.loss, inputs, retain_graph=True, allow_unused=True)
            except RuntimeError as error:
                raise TraceError(f"the backward pass failed: {_first_line(error)}") from error
        return dict(zip(self.parameters, found[:-1], strict=True)), found[-1]

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
            at=self.at_name,
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
        return Unseen(
            modules_not_called=tuple(self._not_called(gradients)),
            layers_without_gradient=tuple(c.scope for c in self.meter.calls if c.gradient_norm is None),
            parameters_without_gradient=tuple(name for name, grad in gradients.items() if grad is None),
            opaque=tuple(self._name(node) for node in opaque_nodes(self.graph, is_opaque)),
            notes=tuple(self.notes),
        )

    def _not_called(self, gradients: dict[str, Tensor | None]) -> Iterable[str]:
        """Modules with parameters that were neither called nor read by another module (as attention reads its own)."""
        for name, module in self.model.named_modules():
            if not name or isinstance(module, ParametrizationList) or self.meter.seen[name]:
                continue
            own = own_parameters(module)
            if (
                own
                and ".parametrizations." not in f".{name}"
                and all(gradients.get(self.names[p]) is None for p in own)
            ):
                yield name

    def _name(self, node: Node) -> str:
        if str(node.name()) == ACCUMULATE:
            return self.names.get(node.variable, "an input")
        return describe(node, self.meter.scopes.of(node))


def _refuse_reentrant(graph: Graph) -> None:
    if any(operation(node).startswith("CheckpointFunction") for node in graph.nodes):
        raise TraceError(
            "the model uses reentrant checkpointing, whose inside no graph shows: "
            "call torch.utils.checkpoint.checkpoint with use_reentrant=False to trace it"
        )


def _ratio(weighted: list[Call]) -> float | None:
    if not weighted or not weighted[-1].gradient_norm:
        return None
    ratio = (weighted[0].gradient_norm or 0.0) / weighted[-1].gradient_norm
    return ratio if math.isfinite(ratio) else math.nan


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
