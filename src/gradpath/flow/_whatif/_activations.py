"""`activation=…`: another activation between the layers of a copy, whether it is a module or a function call.

Modules such as nn.ReLU call functions too, so a TorchFunctionMode sees them all. A first pass looks at what each
call is for: an activation behind the last layer makes the model's output, and a sigmoid that is multiplied with data
is a gate; both stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradpath.flow._forward import Forward
from gradpath.flow._graph import Graph, Node, is_weighted, operation
from gradpath.flow._routes import PASS_THROUGH
from gradpath.flow._whatif._changes import ACTIVATIONS, Asked, Done, counted
from gradpath.flow._whatif._surgery import Question
from gradpath.record import Flow

_NEW: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": torch.clone,
}
_OLD = frozenset("relu relu6 leaky_relu elu selu celu gelu silu mish hardswish hardtanh tanh sigmoid".split())

Site = tuple[str, str, int]
"""One call of an activation: the module that made it, the function, which of its calls by that module."""


@contextmanager
def activated(model: nn.Module, asked: Asked, question: Question, before: Flow) -> Iterator[Done]:
    """Change the activations that the copy's modules call, inside the block."""
    new = asked.word_of(ACTIVATIONS)
    made: dict[Site, list[Node]] = defaultdict(list)

    def note(site: Site, run: Callable[[], Tensor], x: Tensor, in_place: bool) -> Tensor:
        out = run()
        made[site].append(out.grad_fn)
        return out

    with _watching(model, note), question.forward(model) as forward:
        chosen = {site for site in _hidden(forward, made) if site[1] != new}

    def replace(site: Site, run: Callable[[], Tensor], x: Tensor, in_place: bool) -> Tensor:
        if site not in chosen:
            return run()
        return x.copy_(_NEW[new](x.clone())) if in_place else _NEW[new](x)

    with _watching(model, replace):
        yield Done(len(chosen), (_summary(made.keys(), chosen, new),))


def _summary(seen: Any, chosen: set[Site], new: str) -> str:
    kinds = sorted({site[1] for site in chosen})
    left = len(seen) - len(chosen)
    swapped = (
        f"{counted(len(chosen), 'activation')} ({', '.join(kinds)}) → {new}"
        if chosen
        else f"no activation to change to {new}"
    )
    return swapped + (f"; {left} left: gates, behind the last layer, or {new} already" if left else "")


Handler = Callable[[Site, Callable[[], Tensor], Tensor, bool], Tensor]


class _Activations(TorchFunctionMode):
    """Hands calls of activations inside modules to a function."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.open: list[tuple[str, dict[str, int]]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        spelled = getattr(function, "__name__", "")
        name = spelled.removesuffix("_")
        x = args[0] if args else kwargs.get("input")
        if not self.open or name not in _OLD or not isinstance(x, Tensor):
            return function(*args, **kwargs)
        scope, counts = self.open[-1]
        counts[name] = counts.get(name, -1) + 1
        in_place = spelled.endswith("_") or bool(kwargs.get("inplace"))
        return self.handler((scope, name, counts[name]), partial(function, *args, **kwargs), x, in_place)

    def enter(self, name: str, *_: Any) -> None:
        self.open.append((name, {}))

    def leave(self, *_: Any) -> None:
        self.open.pop()


@contextmanager
def _watching(model: nn.Module, handler: Handler) -> Iterator[None]:
    mode = _Activations(handler)
    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_pre_hook(partial(mode.enter, name)).remove)
            stack.callback(module.register_forward_hook(mode.leave, always_call=True).remove)
        stack.enter_context(mode)
        yield


def _hidden(forward: Forward, made: dict[Site, list[Node]]) -> set[Site]:
    """The calls that have a weighted layer downstream in some pass and are a gate in none."""
    graph = forward.graph
    upstream = graph.behind(*(node for node in graph.nodes if is_weighted(node) and node in graph.parametric))
    return {
        site
        for site, nodes in made.items()
        if any(node in upstream for node in nodes) and not any(_is_gate(graph, node) for node in nodes)
    }


def _is_gate(graph: Graph, node: Node) -> bool:
    """A sigmoid σ whose σ or 1 − σ is multiplied with data."""
    if operation(node) not in ("Sigmoid", "Hardsigmoid"):
        return False
    stack, seen = [node], {node}
    while stack:
        for consumer, _ in graph.uses_of_node[stack.pop()]:
            if operation(consumer) == "Mul" and all(source is not None for source, _ in consumer.next_functions):
                return True
            if operation(consumer) in PASS_THROUGH and consumer not in seen:
                seen.add(consumer)
                stack.append(consumer)
    return False
