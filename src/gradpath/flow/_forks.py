"""Forks of one graph: found before the backward pass, measured during it by hooks on their consumers.

`Node.register_hook` hands out the gradient of every edge before the engine adds them up, on an unmodified model,
in-place operations included. Edges are kept until all of a fork's have arrived, then reduced to numbers.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor

from gradpath.flow._graph import Graph, Made, Node, Use, operation, part_of, shape_of
from gradpath.flow._lines import line_of
from gradpath.flow._merges import between, first_meeting
from gradpath.flow._norms import dense, log10, norm, share, sum_and_shares
from gradpath.flow._routes import adds_features, classify_routes, fork_kind, holds_parameter, merge_kind
from gradpath.flow._rows import Rows
from gradpath.record import Edge, EdgeKind, Fork, ForkKind, Merge


@dataclass
class ForkPlan:
    """A fork as the graph shows it, before any gradient is known."""

    made: Made
    kind: ForkKind
    merge: Merge
    uses: list[Use]
    kinds: list[EdgeKind]
    meeting: Node
    """Where all its routes meet again; where some leave for good, the add in which its skip meets its branch."""
    parts: tuple[int, ...] = ()
    """Where one operation splits the tensor into disjoint parts: the part that each use takes."""


def plan_forks(graph: Graph) -> list[ForkPlan]:
    """Every fork of the graph with the kinds of its edges, in the order of the forward pass."""
    plans = [_plan(graph, made) for made in graph.forks()]
    residual = {plan.made for plan in plans if plan.kind == "residual"}
    splits = [plan for node in graph.splits() if (plan := _plan_split(graph, node, residual)) is not None]
    if not splits:
        return plans
    return sorted([*plans, *splits], key=lambda plan: (-graph.position[plan.made[0]], plan.made[1]))


def _plan_split(graph: Graph, node: Node, residual: set[Made]) -> ForkPlan | None:
    """The fork of a tensor that one operation splits (`chunk`), where some parts skip what others pass: slices of it
    would make one. None where it is no residual fork, or where a part is one: what counts is told there."""
    uses = graph.uses_of_node[node]
    parts, meeting = tuple(map(part_of, uses)), graph.meeting_of(uses)
    told = node not in graph.activations or any((node, part) in residual for part in parts)
    if told or not adds_features(graph, meeting):
        return None
    merge = merge_kind(graph, meeting)
    kinds = classify_routes(graph, [graph.route([consumer], meeting) for consumer, _ in uses], merge)
    parametric = holds_parameter(graph, graph.route([consumer for consumer, _ in uses], meeting))
    if fork_kind(graph, meeting, kinds, parametric) != "residual":
        return None
    return ForkPlan(node.next_functions[0], "residual", merge, uses, kinds, meeting, parts)


def _plan(graph: Graph, made: Made) -> ForkPlan:
    uses, meeting = graph.uses[made], graph.meeting(made)
    merge = merge_kind(graph, meeting)
    if made[0] not in graph.activations:  # a parameter, or something computed from parameters alone
        return ForkPlan(made, "shared", merge, uses, ["branch"] * len(uses), meeting)
    kinds = classify_routes(graph, [graph.route([consumer], meeting) for consumer, _ in uses], merge)
    parametric = holds_parameter(graph, graph.route([consumer for consumer, _ in uses], meeting))
    plan = ForkPlan(made, fork_kind(graph, meeting, kinds, parametric), merge, uses, kinds, meeting)
    return (_plan_before(graph, plan) or plan) if plan.kind == "other" else plan


def _plan_before(graph: Graph, plan: ForkPlan) -> ForkPlan | None:
    """The same fork with the add in which its skip meets its branch before all routes meet; None where there is
    none. A route that does not lead there is an exit."""
    meeting = first_meeting(graph, plan.made)
    if meeting is None or meeting is plan.meeting:
        return None
    inside = between(graph, plan.made, meeting)
    routes = [list(graph.route([consumer], meeting, inside)) for consumer, _ in plan.uses]
    leads = [consumer in inside for consumer, _ in plan.uses]
    found = iter(classify_routes(graph, [route for route, led in zip(routes, leads, strict=True) if led], "add"))
    kinds: list[EdgeKind] = [next(found) if led else "exit" for led in leads]
    kind = fork_kind(graph, meeting, kinds, any(holds_parameter(graph, route) for route in routes))
    meets = kind == "residual" or "gated" in kinds
    return ForkPlan(plan.made, kind, "add", plan.uses, kinds, meeting) if meets else None


def branch_uses(forks: list[ForkPlan]) -> list[Use]:
    """The edges over which a gradient leaves a branch of a residual fork: each counts one in the path length."""
    return [
        use
        for fork in forks
        if fork.kind == "residual"
        for use, kind in zip(fork.uses, fork.kinds, strict=True)
        if kind == "branch"
    ]


_SAFE_SUM = 0.01  # of (‖a‖ + ‖b‖)²: above it, rounding costs ‖g‖² at most two of its digits


@dataclass
class Measured:
    """The gradients of one fork's edges, then their numbers."""

    uses: int
    arrived: dict[int, Tensor] = field(default_factory=dict)
    norms: dict[int, float] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    whole: float | None = None
    shape: tuple[int, ...] = ()
    rows: Rows | None = None
    """Copies of three edges and more (a feature list has dozens)."""

    def take(self, edge: int, grad: Tensor) -> None:
        """One edge's gradient; with the last one they become numbers."""
        if self.uses > 2 and not grad.is_sparse:
            self.rows = self.rows or Rows(self.uses, grad)
            self.arrived[edge] = self.rows.copy(edge, grad.detach())
        else:
            self.arrived[edge] = dense(grad)
        if len(self.arrived) == self.uses:
            self.reduce()

    def reduce(self) -> None:
        """Turn the gradients into numbers and let them go."""
        self.shape = tuple(next(iter(self.arrived.values())).shape)
        if not self._reduce_many():
            self.norms = {i: norm(grad) for i, grad in self.arrived.items()}
            if not self._reduce_pair():
                self._reduce_sum()
        self.arrived.clear()
        self.rows = None

    def _reduce_many(self) -> bool:
        """All rows at once. False where the edges must be taken singly."""
        edges = sorted(self.arrived)
        found = None if self.rows is None else sum_and_shares(self.rows.matrix(edges))
        if found is None:
            return False
        norms, self.whole, shares = found
        self.norms = dict(zip(edges, norms, strict=True))
        self.shares = dict(zip(edges, shares, strict=True))
        return True

    def _reduce_pair(self) -> bool:
        """Two edges, the usual case: ‖g‖² = ‖a‖² + ‖b‖² + 2⟨a, b⟩, without forming the sum. Returns False where this
        does not hold to enough digits: the edges nearly cancel, or one is zero or not finite."""
        if len(self.arrived) != 2:
            return False
        (i, a), (j, b) = self.arrived.items()
        ratio = self.norms[i] / self.norms[j] if self.norms[j] else 0.0
        if not 1e-6 < ratio < 1e6:
            return False
        overlap = share(a, b, self.norms[j])  # in units of ‖b‖²
        square = ratio * ratio + 1 + 2 * overlap
        if square < _SAFE_SUM * (ratio + 1) ** 2:
            return False
        self.whole = math.sqrt(square) * self.norms[j]
        self.shares = {i: (ratio * ratio + overlap) / square, j: (1 + overlap) / square}
        return True

    def _reduce_sum(self) -> None:
        whole = reduce(torch.add, self.arrived.values())
        self.whole = norm(whole)
        if 0 < self.whole < math.inf:
            self.shares = {i: share(grad, whole, self.whole) for i, grad in self.arrived.items()}


class MeasuredParts:
    """The gradients of the uses of a split: those of one part add up, those of different parts are orthogonal."""

    def __init__(self, fork: ForkPlan) -> None:
        counts = Counter(fork.parts)
        self.measured = {part: Measured(count) for part, count in counts.items()}
        self.places = [(part, fork.parts[:i].count(part)) for i, part in enumerate(fork.parts)]
        self.arrived, self.shape = True, shape_of(*fork.made) or ()
        self.norms: dict[int, float] = {}
        self.shares: dict[int, float] = {}
        self.whole: float | None = None

    def take(self, edge: int, grad: Tensor) -> None:
        """One edge's gradient, of the shape of its part."""
        part, place = self.places[edge]
        self.measured[part].take(place, grad)

    def reduce(self) -> None:
        """Turn what the parts brought into numbers of the whole tensor."""
        for measured in self.measured.values():
            if measured.arrived:
                measured.reduce()
        wholes = {part: found.whole for part, found in self.measured.items() if found.whole is not None}
        self.whole = math.hypot(*wholes.values()) if wholes else None
        for edge, (part, place) in enumerate(self.places):
            found = self.measured[part]
            if place in found.norms:
                self.norms[edge] = found.norms[place]
            if self.whole and math.isfinite(self.whole) and part in wholes:
                self.shares[edge] = found.shares.get(place, 0.0) * (wholes[part] / self.whole) ** 2


class Taps:
    """Hooks on the consumers of some tensors: `on_edge(key, gradient)` is called for each edge that a pass reaches."""

    def __init__(self) -> None:
        self._taps: dict[Node, list[tuple[int, Callable[[Tensor], Tensor | None]]]] = defaultdict(list)

    def add(self, use: Use, tap: Callable[[Tensor], Tensor | None]) -> None:
        """Call `tap` with the edge's gradient; a tensor that it returns takes the gradient's place."""
        self._taps[use[0]].append((use[1], tap))

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Register the hooks; remove them however the pass ends."""
        with ExitStack() as stack:
            for node, taps in self._taps.items():
                stack.callback(node.register_hook(partial(_run_taps, taps)).remove)
            yield


def _run_taps(taps: list[tuple[int, Callable[[Tensor], Tensor | None]]], grads: Any, _: Any) -> Any:
    changed = None
    for slot, tap in taps:
        grad = grads[slot] if changed is None else changed[slot]
        result = None if grad is None else tap(grad)
        if result is not None:
            changed = list(grads) if changed is None else changed
            changed[slot] = result
    return None if changed is None else tuple(changed)


class ForkMeter:
    """Measures planned forks during one backward pass."""

    def __init__(self, forks: list[ForkPlan]) -> None:
        self.forks = forks
        self.measured = [MeasuredParts(fork) if fork.parts else Measured(len(fork.uses)) for fork in forks]

    def attach(self, taps: Taps) -> None:
        for number, fork in enumerate(self.forks):
            for i, use in enumerate(fork.uses):
                taps.add(use, partial(self._arrive, number, i))

    def _arrive(self, number: int, edge: int, grad: Tensor) -> None:
        self.measured[number].take(edge, grad)

    def finish(self, name: Callable[[Node], str]) -> tuple[Fork, ...]:
        """The forks as records. `name` tells a node's scope and operation."""
        for measured in self.measured:
            if measured.arrived:  # some consumers were never reached: their edges stay None
                measured.reduce()
        return tuple(
            _fork_record(fork, measured, name) for fork, measured in zip(self.forks, self.measured, strict=True)
        )


def _fork_record(fork: ForkPlan, measured: Measured | MeasuredParts, name: Callable[[Node], str]) -> Fork:
    total, whole = sum(measured.norms.values()), measured.whole
    comparable = 0 < total < math.inf
    return Fork(
        name=name(fork.made[0]),
        kind=fork.kind,
        merge=fork.merge,
        shape=measured.shape,
        cancellation=1 - whole / total if whole is not None and comparable else None,
        log10_norm=None if whole is None else log10(whole),
        line=line_of(fork.meeting),
        edges=tuple(
            Edge(
                consumer=name(consumer),
                kind=kind,
                share=measured.shares.get(i),
                norm_mass=measured.norms[i] / total if comparable and i in measured.norms else None,
                log10_norm=log10(measured.norms[i]) if i in measured.norms else None,
                line=line_of(consumer),
            )
            for i, ((consumer, _), kind) in enumerate(zip(fork.uses, fork.kinds, strict=True))
        ),
    )


def describe(node: Node, scope: str) -> str:
    """'stages.0.0.conv1: Convolution'."""
    return f"{scope}: {operation(node)}" if scope else operation(node)
