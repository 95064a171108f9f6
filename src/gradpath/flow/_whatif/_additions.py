"""`skip=…` and `insert=…`: identity skips and norms added to a copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from gradpath.flow._forward import Forward
from gradpath.flow._graph import Made, Node
from gradpath.flow._layers import NORMS, Call
from gradpath.flow._whatif._changes import INSERTS, Asked, Done, counted
from gradpath.flow._whatif._surgery import Question, Seen, surveyed, wrap
from gradpath.record import Flow

_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


@contextmanager
def skipped(model: nn.Module, asked: Asked, question: Question, before: Flow) -> Iterator[Done]:
    """Add identity skips."""
    modules = dict(model.named_modules())
    if asked.words[0] == "every" and len(asked.words) == 2:
        every = asked.count(asked.words[1], "the number of layers")
        with surveyed(model, question) as (forward, seen):
            runs = list(Runs(forward, seen).found(every))
        notes = [f"{counted(len(runs), 'skip')} added"] if runs else [f"no run of {counted(every, 'layer')} fits", _WHY]
    else:
        name = asked.module(":".join(asked.words), modules)
        with surveyed(model, question) as (_, seen):
            _check_shapes(asked, name, seen.get(name, []))
        runs, notes = [(name, name)], []
    for start, end in runs:
        _add_skip(modules[start], modules[end])
    yield Done(len(runs), tuple(notes))


_WHY = (
    "a run fits where its input and output have one shape, one layer leads to the next, nothing else reads the input, "
    "and it lies in no branch of a residual fork; the head is no part of a run"
)


def _check_shapes(asked: Asked, name: str, calls: list[Seen]) -> None:
    if not calls:
        raise asked.error(f"{name} was not called in this pass")
    for call in calls:
        if not call.shape or call.shape != call.out_shape:
            shapes = ["×".join(map(str, shape)) if shape else "no tensor" for shape in (call.shape, call.out_shape)]
            raise asked.error(f"a skip needs one shape at both ends, and {name} makes {shapes[1]} of {shapes[0]}")


def _add_skip(start: nn.Module, end: nn.Module) -> None:
    """Keep what `start` gets, and add it to what `end` gives. A copy is kept: modules may write over their input."""
    kept: list[Tensor] = []

    def keep(call: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> Any:
        kept[:] = [x.clone()]
        return call(x, *args, **kwargs)

    def add(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        out = call(*args, **kwargs)
        return out + kept.pop()

    wrap(end, add)
    wrap(start, keep)  # outside of `add` where both are one module


@dataclass
class Runs:
    """Runs of weighted layers that an identity skip fits around."""

    forward: Forward
    seen: dict[str, list[Seen]]

    def __post_init__(self) -> None:
        meter, graph = self.forward.meter, self.forward.graph
        self.calls = [call for call in meter.calls if call.weighted]
        norms = [
            c for c in meter.calls if isinstance(c.module, NORMS) and c.edge is not None and meter.seen[c.scope] == 1
        ]
        self.norms: dict[Node, Call] = {call.edge.node: call for call in norms if call.edge is not None}
        self.inside: set[Node] = set()
        for plan in self.forward.plans:
            if plan.kind == "residual":
                starts = [use[0] for use, kind in zip(plan.uses, plan.kinds, strict=True) if kind == "branch"]
                self.inside.update(graph.route(starts, plan.meeting))

    def found(self, every: int) -> Iterator[tuple[str, str]]:
        """(the module whose input, the module whose output) of each skip; runs do not overlap."""
        first = 0
        while first + every < len(self.calls):  # the last call is the head
            run = self.calls[first : first + every]
            end = self._end(run)
            if end is not None:
                yield run[0].scope, end
            first += every if end is not None else 1

    def _end(self, run: list[Call]) -> str | None:
        """The module at whose output the skip comes back, a norm behind the last layer included; None: no skip."""
        if any(self.forward.meter.seen[call.scope] != 1 or call.edge is None for call in run):
            return None
        source = self.seen[run[0].scope][0].edge
        if source is None or any(call.edge.node in self.inside for call in run if call.edge is not None):
            return None
        made: Made = (source.node, source.output_nr)
        last = self.with_norm(run[-1])
        nodes = {call.edge.node for call in (*run, last) if call.edge is not None}
        same = self.seen[run[0].scope][0].shape == last.shape
        if not same or made not in self.forward.graph.uses or last.edge is None:
            return None
        return last.scope if nodes <= self.forward.graph.common_to_routes(made, last.edge.node) else None

    def with_norm(self, call: Call) -> Call:
        """The norm that alone reads the layer's output, else the layer itself."""
        if call.edge is None:
            return call
        uses = self.forward.graph.uses.get((call.edge.node, call.edge.output_nr), [])
        norm = self.norms.get(uses[0][0]) if len(uses) == 1 else None
        return norm if norm is not None and norm.shape == call.shape else call


@contextmanager
def inserted(model: nn.Module, asked: Asked, question: Question, before: Flow) -> Iterator[Done]:
    """Add a norm behind each convolution and linear layer that has none, the head left out."""
    kind = asked.word_of(INSERTS)
    with surveyed(model, question) as (forward, seen):
        runs = Runs(forward, seen)
        bare = [call for call in runs.calls[:-1] if isinstance(call.module, _WEIGHTED) and runs.with_norm(call) is call]
        places = {call.module: len(call.shape) for call in bare if _fits(call)}
    for module, dims in places.items():
        norm = _make_norm(kind, module, dims)
        module.add_module("inserted_norm", norm)
        wrap(module, partial(_norm_after, norm, isinstance(module, nn.Linear)))
    left = (
        f"{counted(len(runs.calls) - len(places), 'layer')} left: the head, those with a norm, no convolution or linear"
    )
    found = counted(len(places), "norm") + " inserted" if places else "no layer to put a norm behind"
    yield Done(len(places), (f"{found}; {left}",))


def _fits(call: Call) -> bool:
    """Whether the output has a batch: N C … for convolutions, N … C for linear layers."""
    kernel = getattr(call.module, "kernel_size", ())
    return len(call.shape) == len(kernel) + 2 if kernel else len(call.shape) > 1


def _make_norm(kind: str, module: nn.Module, dims: int) -> nn.Module:
    """A fresh norm in train mode, over the channels that the layer puts out."""
    like: dict[str, Any] = {"device": module.weight.device, "dtype": module.weight.dtype}
    if isinstance(module, nn.Linear):
        features = module.out_features
        return nn.BatchNorm1d(features, **like) if kind == "batchnorm" else nn.LayerNorm(features, **like)
    channels: Any = module.out_channels
    if kind == "layernorm":
        return nn.GroupNorm(1, channels, **like)  # over channels and space, one weight for each channel
    return {3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[dims](channels, **like)


def _norm_after(norm: nn.Module, linear: bool, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    out: Tensor = call(*args, **kwargs)
    if linear and out.dim() > 2:
        return norm(out.flatten(0, -2)).view_as(out)  # N T F: a BatchNorm over features
    return norm(out)
