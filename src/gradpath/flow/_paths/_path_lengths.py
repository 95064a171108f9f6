"""`paths`: the exact gradient at one tensor by the length of the paths it took."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from gradpath.errors import TraceError
from gradpath.flow._forward import Forward, Place, forward_pass
from gradpath.flow._graph import Use
from gradpath.flow._layers import Call
from gradpath.flow._names import model_name
from gradpath.flow._norms import log10, norm
from gradpath.flow._operations import Operations
from gradpath.flow._paths._marks import (
    BlockCalls,
    Reach,
    branch_entrances,
    branch_exits,
    find_branches,
    layer_marks,
    made_by,
)
from gradpath.flow._paths._mean_length import mean_lengths
from gradpath.flow._paths._memory import bytes_of, check_room, most_held_bytes
from gradpath.flow._paths._parts import Spectrum, refuse_not_finite, split
from gradpath.flow._paths._question import Question, classes, refuse_shards, unwrapped
from gradpath.flow._paths._sweeps import Sweeps
from gradpath.flow._paths._veit import SinglePaths
from gradpath.flow._routes import is_opaque
from gradpath.record import PathLengths, PathsAt, PathUnit, mean_and_deviation


def paths(
    model: nn.Module,
    batch: Any,
    criterion: Callable[..., Any] | None = None,
    *,
    step: Callable[..., Any] | None = None,
    at: Place = None,
    unit: str | None = None,
    method: str = "exact",
    tolerance: float = 1e-4,
    by_depth: bool = False,
    block: type[nn.Module] | tuple[type[nn.Module], ...] | None = None,
    samples: int = 3,
    seed: int = 0,
    operations: Operations | None = None,
) -> PathLengths:
    """The gradient at one tensor, split by the length of the paths that brought it there: g = Σₖ g⁽ᵏ⁾.

    Args:
        model, batch, criterion, step: as for `trace`. The model is left as found. DistributedDataParallel is unwrapped:
            the gradient is this process's own.
        at: where the gradient is taken: a module or its name (its output), or an input that needs a gradient. Usually
            the output of the last layer before the first residual fork.
        unit: what a length counts: 'branches' of residual forks, or weighted 'layers'. Unless given, branches, and
            layers in a plain net, where there is no branch to count.
        method: 'exact': the parts themselves, from about (branches + 1) / 2 backward passes. 'mean': their mean length
            and its deviation alone, from two extra passes. 'veit': path-norm mass by sampling, for chains of residual
            blocks; not additive, not to be compared with the others.
        tolerance: a length does not enter a branch where it carries less than an eighth of this, relative to the
            whole gradient there; the relative error of the sum then mostly stays below it. 0 leaves nothing out. Either
            way the sum is compared with autograd's own gradient, and `relative_error` tells how far it is off.
        by_depth: the same split at the output of every layer; holds one more gradient per layer.
        block: a module class, or several: count calls of these modules instead of the branches found.
        samples, seed: for 'veit': paths sampled for each length.
        operations: what operations are whose inside autograd does not show, as for `trace`.

    Users' hooks on tensors and modules run once in every pass. At most two gradients are held for each branch (or
    layer), beside the graph of the forward pass and three gradients of the size of the tensor at `at`.

    Returns: a `PathLengths` record. Definitions: docs/definitions.md.

    Raises: TraceError for what cannot be traced, for FSDP2-sharded parameters, for a model that is opaque as a whole,
        where the gradients held would not fit in memory (the largest batch that does is named), and where the parts do
        not sum to autograd's gradient within 1e-3: a non-deterministic operation, say.
    """
    asked = Question(unit, method, tolerance, by_depth, classes(block), samples, seed)
    asked.check()
    model, notes = unwrapped(model)
    refuse_shards(model)
    calls = BlockCalls(asked.block)
    with calls.hooked(model), forward_pass(model, batch, criterion, step, at, operations) as forward:
        return _Answer(forward, asked, batch, calls, notes).record()


class _Answer:
    """One question, asked of one forward pass."""

    def __init__(self, forward: Forward, asked: Question, batch: Any, calls: BlockCalls, notes: list[str]) -> None:
        self.forward, self.asked, self.batch, self.notes = forward, asked, batch, [*forward.notes, *notes]
        self.reach = Reach(forward.graph, forward.at)
        self.branches = find_branches(forward, self.reach)
        self.marks, self.unit, self.count = self._what_counts(calls)
        self._note_opaque()

    def _what_counts(self, calls: BlockCalls) -> tuple[frozenset[Use], PathUnit, int]:
        if self.asked.block:
            marks = calls.marks(self.reach)
            if not marks:
                names = ", ".join(cls.__name__ for cls in self.asked.block)
                raise TraceError(
                    f"block={names}: no gradient passes such a module on its way to {self.forward.at_name}"
                )
            return marks, "blocks", calls.count(marks)
        if (self.asked.unit or self._usual_unit()) == "layers":
            return layer_marks(self.reach), "layers", len(self.branches)
        if self.asked.by_depth:  # inside a branch only the definition itself tells the length
            return branch_exits(self.branches), "branches", len(self.branches)
        return branch_entrances(self.branches, self.reach), "branches", len(self.branches)

    def _usual_unit(self) -> PathUnit:
        return "branches" if self.forward.has_residual_forks or self.asked.method == "veit" else "layers"

    def _note_opaque(self) -> None:
        graph = self.forward.graph
        opaque = [node for node in graph.nodes if is_opaque(node, graph)]
        if opaque and not graph.parametric - set(opaque):
            raise TraceError(
                f"the model is opaque as a whole ({self.forward.name(opaque[0])}): autograd shows nothing of its "
                "inside; call it before it is compiled or fused, or with a step that runs its parts"
            )
        self.notes += [f"{told} is opaque: what it holds is not counted" for told in self.forward.opaque()]

    def record(self) -> PathLengths:
        """Ask by the method that was asked for."""
        by_method = {"exact": self._exact, "mean": self._mean, "veit": self._veit}
        return by_method[self.asked.method]()

    def _blank(self, gradient: Tensor) -> PathLengths:
        """All that does not depend on the lengths."""
        shortest, longest = self.reach.fewest_and_most(layer_marks(self.reach))
        names = ", ".join(cls.__name__ for cls in self.asked.block)
        return PathLengths(
            model=model_name(self.forward.model),
            at=self.forward.at_name,
            unit=self.unit,
            block=names or None,
            method=self.asked.method,  # type: ignore[arg-type]
            lengths=(),
            shares=None,
            log10_norms=(),
            mean_length=None,
            deviation=None,
            effective_depth=None,
            relative_error=None,
            log10_gradient_norm=log10(norm(gradient)),
            tolerance=self.asked.tolerance if self.asked.method == "exact" else 0.0,
            dropped=0,
            held_bytes=0,
            shortest_path=shortest,
            longest_path=longest,
            branches=self.count,
            notes=tuple(self.notes),
        )

    def _exact(self) -> PathLengths:
        marked = {made_by(use) for use in self.marks}
        calls = self._calls_on_the_way() if self.asked.by_depth else []
        sweeps = Sweeps(self.forward.loss, self.marks, self.forward.at, [edge for _, edge in calls])
        kept_bytes = sum(bytes_of((edge.node, edge.output_nr)) for edge in sweeps.places)
        check_room(most_held_bytes(marked) + kept_bytes, self.forward.loss.device, self.batch)
        roof = self.forward.reserve_heap(marked)
        with sweeps.listening():
            at, places, gradient, error = split(sweeps, self.asked.tolerance)
        del roof
        mean, deviation = mean_and_deviation(at.lengths, at.shares)
        return replace(
            self._blank(gradient),
            lengths=at.lengths,
            shares=at.shares,
            log10_norms=at.log10_norms,
            mean_length=mean,
            deviation=deviation,
            effective_depth=mean if self._mean_is_depth else self._depth_in_branches(),
            relative_error=error,
            dropped=sweeps.dropped,
            held_bytes=sweeps.held_bytes + kept_bytes,
            by_depth=tuple(_paths_at(call, found) for (call, _), found in zip(calls, places, strict=True)),
        )

    def _mean(self) -> PathLengths:
        exits = branch_exits(self.branches)
        ways = [exits if self.unit == "branches" else self.marks]
        if self.unit == "layers" and self.branches:
            ways.append(exits)
        roof = self.forward.reserve_heap({made_by(use) for use in self.marks})
        gradient, means, deviation = mean_lengths(self.forward.loss, self.forward.at, ways)
        del roof
        refuse_not_finite(norm(gradient))
        depth = means[0] if self._mean_is_depth else (means[1] if len(ways) > 1 else None)
        return replace(self._blank(gradient), mean_length=means[0], deviation=deviation, effective_depth=depth)

    def _veit(self) -> PathLengths:
        single = SinglePaths(self.forward.loss, self.branches, self.reach)
        with single.listening():
            gradient = single.whole()
            refuse_not_finite(norm(gradient))
            masses = single.masses(self.asked.samples, self.asked.seed)
        found = [(k, mass) for k, mass in enumerate(masses) if mass != -math.inf]
        return replace(
            self._blank(gradient),
            lengths=tuple(k for k, _ in found),
            log10_norms=tuple(mass for _, mass in found),
            samples=self.asked.samples,
            seed=self.asked.seed,
        )

    @property
    def _mean_is_depth(self) -> bool:
        """Whether the mean length is an effective depth: it counts branches, and there are some."""
        return bool(self.asked.block) or (self.unit == "branches" and self.forward.has_residual_forks)

    def _depth_in_branches(self) -> float | None:
        if not self.branches:
            return None
        _, (mean, *_), _ = mean_lengths(self.forward.loss, self.forward.at, [branch_exits(self.branches), ()])
        return mean

    def _calls_on_the_way(self) -> list[tuple[Call, GradientEdge]]:
        """Calls whose output the gradient passes on its way, that of `at` included, in the order of the forward."""
        found = [(call, call.edge) for call in self.forward.meter.calls if call.edge is not None]
        return [(call, edge) for call, edge in found if self.reach.has_place(edge)]


def _paths_at(call: Call, spectrum: Spectrum) -> PathsAt:
    return PathsAt(
        scope=call.scope,
        call=call.number,
        lengths=spectrum.lengths,
        shares=spectrum.shares,
        log10_norms=spectrum.log10_norms,
    )
