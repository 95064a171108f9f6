"""One forward pass and the graph behind its loss: what every question (trace, paths, whatif) starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn.parameter import is_lazy

from gradpath.errors import TraceError
from gradpath.flow._asfound import as_found, plain_view
from gradpath.flow._forks import ForkPlan, describe, plan_forks
from gradpath.flow._graph import ACCUMULATE, Graph, Made, Node, elements, is_weighted, operation
from gradpath.flow._heap import collector_paused, reserve
from gradpath.flow._hidden import hides, watched
from gradpath.flow._layers import LayerMeter, tensors
from gradpath.flow._lines import lines_kept
from gradpath.flow._loss import compute_losses
from gradpath.flow._operations import Operation, Operations, checked
from gradpath.flow._routes import is_opaque

Place = str | nn.Module | Tensor | None
"""Where paths are taken: a module or its name (its output), an input that needs a gradient, or None for the usual."""


class Forward:
    """A loss, autograd's graph behind it, its forks, and names for what they hold. The graph is not yet used up."""

    def __init__(
        self,
        model: nn.Module,
        meter: LayerMeter,
        loss: Tensor,
        notes: list[str],
        at: Place = None,
        operations: Mapping[str, Operation] | None = None,
        hidden: Mapping[int, int] | None = None,
    ) -> None:
        self.model, self.meter, self.loss, self.notes = model, meter, loss, notes
        self.hidden = hidden or {}
        self.names = {p: name for name, p in model.named_parameters()}
        self.parameters = {name: p for p, name in self.names.items() if p.requires_grad}
        self.graph = Graph(loss.grad_fn, frozenset(meter.anchors), operations=operations or {})
        self._note_not_met()
        self._note_transformed()
        self._outside = self._layers_outside()
        self.plans: list[ForkPlan] = plan_forks(self.graph)
        self.at, self.at_name = self._usual_place() if at is None else self._asked_place(at)

    @property
    def has_residual_forks(self) -> bool:
        return any(plan.kind == "residual" for plan in self.plans)

    def name(self, node: Node) -> str:
        """'stages.0.0.conv1: Convolution', or a parameter's name."""
        if str(node.name()) == ACCUMULATE:
            return self.names.get(node.variable, "an input")
        return describe(node, self.meter.scopes.of(node))

    def opaque(self) -> Iterator[str]:
        """What autograd does not show the inside of, with what that hides where it is known."""
        for node in self.graph.nodes:
            if is_opaque(node, self.graph):
                yield self.name(node) + hides(node, self.hidden)

    def _note_not_met(self) -> None:
        met = {operation(node) for node in self.graph.nodes} if self.graph.operations else set()
        missing = [name for name in self.graph.operations if name not in met]
        if missing:
            self.notes.append(f"operations: this pass has none that is called {', '.join(missing)}")

    def _note_transformed(self) -> None:
        names = list(self.meter.transformed)
        if names and not self.meter.calls:
            raise TraceError(
                "the model runs inside a transform of torch.func (vmap, grad), where nothing can be measured: call it "
                "on the whole batch, and take gradients in it by torch.autograd.grad(…, create_graph=True), to trace it"
            )
        if names:
            self.notes.append(
                f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} ran inside a transform of torch.func "
                "(vmap, grad), where nothing can be measured"
            )

    def _layers_outside(self) -> list[Node]:
        """Layers of weights that no module's call stands for: a model that multiplies by its own parameters."""
        seen = {call.scope for call in self.meter.calls if call.weighted}
        scope = self.meter.scopes.of
        found = [n for n in self.graph.nodes if is_weighted(n) and self.graph.is_layer(n) and scope(n) not in seen]
        if found:
            count = "1 layer of weights is" if len(found) == 1 else f"{len(found)} layers of weights are"
            self.notes.append(
                f"{count} applied in a larger module's own code (the first: {self.name(found[-1])}): depth counts "
                "calls of modules and is without them"
            )
        return found

    def reserve_heap(self, held: Iterable[Made]) -> Tensor | None:
        """Room for backward passes that hold up to two gradients of each of these tensors, beside temporaries of the
        largest size; hold what is returned for as long as they run."""
        if self.loss.device.type != "cpu":
            return None
        kept = sum(elements(*made) for made in held)
        largest = max((math.prod(call.shape) for call in self.meter.calls), default=0)
        return reserve(2 * self.loss.element_size() * (kept + 8 * largest))

    def _usual_place(self) -> tuple[GradientEdge, str]:
        """The output of the first layer that all residual forks lie downstream of, else the first residual fork
        itself; with its name. Without residual forks, the first layer; without layers, the loss."""
        calls = [c for c in self.meter.calls if c.edge is not None and c.edge.node in self.graph.position]
        first = next((plan for plan in self.plans if plan.kind == "residual"), None)
        if first is not None:
            upstream = self.graph.behind(first.made[0])
            calls = [c for c in calls if c.edge is not None and c.edge.node in upstream]
            if not calls:
                name = self.name(first.made[0])
                self.notes.append(f"no layer was called before the first residual fork: paths are taken at {name}")
                return GradientEdge(*first.made), name
        if calls and calls[0].edge is not None:
            upstream = self.graph.behind(calls[0].edge.node) if self._outside else set()
            if first is None and self._outside and self._outside[-1] in upstream:
                return GradientEdge(self._outside[-1], 0), self.name(self._outside[-1])
            return calls[0].edge, calls[0].scope or "the output"
        return get_gradient_edge(self.loss), "the loss"

    def _asked_place(self, at: Place) -> tuple[GradientEdge, str]:
        if isinstance(at, Tensor):
            edge = get_gradient_edge(at) if at.requires_grad else None
            name, why = "the given tensor", "does not need a gradient: call requires_grad_() on it before"
        else:
            name = at if isinstance(at, str) else self._name_of(at)
            edge, why = self.meter.edges.get(name), "gave no output with a gradient in this pass"
            if name not in dict(self.model.named_modules()):
                raise TraceError(f"at={name!r} is no module of the model{_nearest(name, self.model)}")
        if edge is None:
            raise TraceError(f"at: {name} {why}")
        if edge.node not in self.graph.position:
            raise TraceError(f"at: the loss does not depend on {name}")
        return edge, name

    def _name_of(self, module: Any) -> str:
        for name, known in self.model.named_modules():
            if known is module:
                return str(name)
        raise TraceError(
            f"at: the given {type(module).__name__} is neither a module of the model, its name nor a tensor"
        )


@contextmanager
def forward_passes(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
    at: Place = None,
    source_lines: bool = False,
    numerics: bool = False,
    operations: Operations | None = None,
) -> Iterator[dict[str, Forward]]:
    """Run the model on the batch; yield, for each loss by its name ('' where there is one), its graph.

    Inside the block the model's buffers, hooks and random state may be used up; they are put back at its end.
    Raises TraceError when there is no scalar loss, or no gradient can be taken through the model.
    """
    check_model(model)
    told = checked(operations)
    meter = LayerMeter(model, numerics)
    with ExitStack() as stack:
        stack.enter_context(torch.enable_grad())
        stack.enter_context(as_found(model))
        notes = stack.enter_context(plain_view(model)) + _sharded(model)
        stack.enter_context(meter.hooked())
        with meter.forward(), lines_kept(source_lines), watched(source_lines) as hidden:
            losses = compute_losses(model, batch, criterion, step)
        stack.enter_context(collector_paused())
        meter.anchors |= {get_gradient_edge(tensor).node for tensor in tensors(batch) if tensor.requires_grad}
        passes = {name: Forward(model, meter, loss, list(notes), at, told, hidden) for name, loss in losses.items()}
        for one in passes.values():
            _refuse_reentrant(one.graph)
        yield passes


@contextmanager
def forward_pass(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
    at: Place = None,
    operations: Operations | None = None,
) -> Iterator[Forward]:
    """`forward_passes` for questions that are asked of one loss."""
    with forward_passes(model, batch, criterion, step, at, operations=operations) as passes:
        if len(passes) != 1:
            raise TraceError(f"step returned {len(passes)} losses ({', '.join(passes)}): return one of them")
        yield next(iter(passes.values()))


def check_model(model: Any) -> None:
    """Raises TraceError for what no gradient can be taken through."""
    if not isinstance(model, nn.Module):
        raise TraceError(f"the model must be a torch.nn.Module, got a {type(model).__name__}")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TraceError("the model holds TorchScript modules, which take no hooks: give the module they were made of")
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise TraceError("the model has lazy parameters without a shape yet: run one batch through it before")


def _sharded(model: nn.Module) -> list[str]:
    found = [name for name, parameter in model.named_parameters() if hasattr(parameter, "to_local")]
    if not found:
        return []
    return [
        f"{len(found)} parameters are sharded ({found[0]} …): their norms are of this process's part, and autograd "
        "shows no gradient of those that are gathered for the pass"
    ]


def _refuse_reentrant(graph: Graph) -> None:
    if any(operation(node).startswith("CheckpointFunction") for node in graph.nodes):
        raise TraceError(
            "the model uses reentrant checkpointing, whose inside no graph shows: "
            "call torch.utils.checkpoint.checkpoint with use_reentrant=False to trace it"
        )


def _nearest(name: str, model: nn.Module) -> str:
    """': did you mean 'layer1.0'?', or some of the names that there are."""
    near = get_close_matches(name, [known for known, _ in model.named_modules()], 1)
    return f": did you mean {near[0]!r}?" if near else f"; it has: {_some(model)}"


def _some(model: nn.Module, count: int = 8) -> str:
    names = [name for name, _ in model.named_modules() if name]
    return ", ".join(names[:count]) + (f" … ({len(names)} in all)" if len(names) > count else "")
