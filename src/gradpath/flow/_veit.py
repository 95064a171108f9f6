"""Path-norm mass (Veit et al. 2016, section 4.3): norms of single paths by sampling, times the number of such paths.

It is not additive: paths interfere, and norms do not. So it is kept apart from the exact parts of the gradient.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor

from gradpath.errors import TraceError
from gradpath.flow._graph import Node, Use
from gradpath.flow._marks import Branch, Reach, branch_exits
from gradpath.flow._norms import log10, norm
from gradpath.flow._sweeps import ask, nothing


class SinglePaths:
    """Backward passes over one path of a chain of residual forks: the branch at some of them, the skip at others."""

    def __init__(self, loss: Tensor, branches: list[Branch], reach: Reach) -> None:
        check_chain(branches, reach)
        self.loss, self.at = loss, reach.at
        self._branch = [branch.entrances(reach) or branch.exits for branch in branches]
        self._skip = [frozenset(branch.plan.uses) - branch.exits for branch in branches]
        self._closed: set[Use] = set()
        self._fill = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Register the hooks that close edges; remove them however the passes end."""
        slots: dict[Node, list[int]] = defaultdict(list)
        for node, slot in frozenset().union(*self._branch, *self._skip):
            slots[node].append(slot)
        with ExitStack() as stack:
            for node, found in slots.items():
                stack.callback(node.register_hook(partial(self._close, node, found)).remove)
            yield

    def _close(self, node: Node, slots: list[int], grads: Any, _: Any) -> Any:
        closed = {slot for slot in slots if (node, slot) in self._closed}
        return tuple(nothing(g, self._fill) if i in closed and g is not None else g for i, g in enumerate(grads))

    def log10_norm(self, chosen: set[int]) -> float:
        """Of the gradient over the one path that takes the branch at the chosen forks."""
        self._closed = set()
        for number, (branch, skip) in enumerate(zip(self._branch, self._skip, strict=True)):
            self._closed |= skip if number in chosen else branch
        grad = self._pass()
        return -math.inf if grad is None else log10(norm(grad))

    def whole(self) -> Tensor:
        """The gradient over all paths."""
        self._closed = set()
        grad = self._pass()
        return torch.zeros(()) if grad is None else grad

    def _pass(self) -> Tensor | None:
        return torch.autograd.grad(self.loss, [self.at], retain_graph=True, allow_unused=True)[0]

    def masses(self, samples: int, seed: int) -> list[float]:
        """log10 of C(n, k) times the mean norm of paths of k branches, for k = 0 … n."""
        return ask(lambda fill: self._masses(samples, seed, fill))

    def _masses(self, samples: int, seed: int, fill: bool) -> list[float]:
        self._fill = fill
        count, random = len(self._branch), Random(seed)
        found = []
        for k in range(count + 1):
            repeats = 1 if k in (0, count) else samples
            drawn = [self.log10_norm(set(random.sample(range(count), k))) for _ in range(repeats)]
            found.append(_log10_binomial(count, k) + _log10_mean(drawn))
        return found


def check_chain(branches: list[Branch], reach: Reach) -> None:
    """Raises TraceError unless any choice of branch or skip at each residual fork is one path."""
    made = {branch.plan.made[0] for branch in branches}
    single = len({branch.plan.made for branch in branches}) == len(branches)
    nested = any(branch.nodes & made for branch in branches)
    exits = branch_exits(branches)
    if not branches or not single or nested or reach.fewest_and_most(exits) != (0, len(branches)):
        raise TraceError(
            f"method='veit' needs a chain of residual forks with one branch each, found {len(branches)} branches "
            "that are none (side by side, nested, or no fork at all): use method='exact'"
        )


def _log10_binomial(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(10)


def _log10_mean(values: list[float]) -> float:
    """log10 of the mean of 10**value, whatever their size."""
    largest = max(values)
    if not math.isfinite(largest):
        return largest
    return largest + math.log10(math.fsum(10 ** (value - largest) for value in values) / len(values))
