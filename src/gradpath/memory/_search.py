"""The largest batch, or the deepest of our nets, whose training step fits into the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gradpath.errors import MemoryBudgetError, PlanError, UserError
from gradpath.memory._blocks._chain import check_plannable
from gradpath.memory._budget import Asked, budget_bytes
from gradpath.memory._closed_loop import checked
from gradpath.memory._measuring._optimizer import optimizer_bytes
from gradpath.memory._measuring._step import Step, batch_size, device_of, resized
from gradpath.memory._planning._planner import Infeasible, Planner
from gradpath.memory._predict import Constant
from gradpath.memory._record import plan_of
from gradpath.memory._running._planned import plain_of
from gradpath.memory._study import Study, chain_of, does_not_fit, held_bytes, study, ways_of
from gradpath.nets import build, resolve
from gradpath.record import NetSpec, Plan

TRIES, RESOLUTION = 8, 32
"""Batches that are measured at most; the answer is within 1/32 of the largest."""
MEASURING = 4.0
"""Seconds, about, for which blocks are timed: at each batch, of each kind of net."""
COARSE = 32
"""Super-blocks while depths are compared; the answer is planned finely."""
STEP_SECONDS = 30.0
"""The net that was found is built and run where a step is predicted to take no longer."""


def largest_batch(
    model: nn.Module,
    batch: Any,
    memory: Asked = "auto",
    *,
    slowdown: float = 1.5,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
    blocks: Any = None,
    optimizer: str | Optimizer = "sgd-momentum",
    autocast: str | None = None,
    check: bool = True,
) -> tuple[int, Plan]:
    """(the most samples of a batch with which a step fits into `memory`, its plan).

    batch: of any size from 1 on; its samples are repeated to make larger ones. memory: bytes or 'auto'.
    slowdown: the plan may take so many times the time of keeping everything. All else as in `gp.plan`.
    Each batch that is tried is measured. The answer is within 1/32 of the largest; with `check` one real step was
    run. Raises MemoryBudgetError where not even one sample fits.
    """
    model = plain_of(model)
    check_plannable(model)
    memory_bytes = _absolute(memory, model, slowdown)

    def tried(samples: int) -> tuple[Study, Step]:
        how = Step(resized(batch, samples), criterion, step, autocast)
        chain = chain_of(model, how, blocks)
        if not chain.blocks:
            raise PlanError(f"the largest batch: {'; '.join(chain.left_alone)}")
        ((way, kind), *_) = ways_of(chain, device_of(model, batch))
        return study(model, how, way, optimizer, MEASURING, kind), how

    low, high, guess = 0, 0, batch_size(batch)
    best: tuple[Study, Step] | None = None
    for _ in range(TRIES):
        known, how = tried(guess)
        if fits(known, memory_bytes, slowdown):
            low, best = guess, (known, how)
        else:
            high = guess
        if high == 1:
            raise does_not_fit(str(memory), memory_bytes, known.smallest_bytes, known.constant, 1, known.facts)
        if high and high - low <= max(1, low // RESOLUTION):
            break
        guess = _between(low, high, _scaled(known, guess, memory_bytes, slowdown))
    while low:
        known, how = best or tried(low)
        found = _plan_within(known, memory, memory_bytes, slowdown, low)
        if found is not None and check:
            found = checked(found, known, model, how)
        if found is not None and not _is_over(found):
            return low, found
        low, best = low - max(1, low // RESOLUTION), None
    raise MemoryBudgetError(f"memory={memory}: no batch was found that fits {memory_bytes} bytes: give more memory")


def fits(known: Study, memory_bytes: int, slowdown: float) -> bool:
    """Whether a plan is within the memory and not too slow."""
    try:
        _, cost = known.fastest(memory_bytes)
    except Infeasible:
        return False
    return cost.seconds <= slowdown * known.plain.seconds


def _scaled(known: Study, samples: int, memory_bytes: int, slowdown: float) -> int:
    """So many samples would fit if all that grows grew evenly: what the next measurement is made at."""
    enough = [point.memory_bytes for point in known.curve() if point.time_ratio <= slowdown]
    fixed = known.constant.total - known.constant.batch
    needed = max(1, min(enough, default=known.keep_all_bytes) - fixed)
    return int(samples * (memory_bytes - fixed) / needed)


def _between(low: int, high: int, guess: int) -> int:
    """The guess, kept off the ends of what is still open."""
    if not high:
        return max(low + 1, min(guess, max(64, 16 * low)))
    margin = max(1, (high - low) // 8)
    return max(low + margin, min(guess, high - margin), 1)


def _absolute(memory: Asked, model: nn.Module | None, slowdown: float) -> int:
    if "%" in str(memory):
        raise UserError(f"memory={memory!r}: a search needs a number of bytes, such as 4GiB, or auto")
    if not slowdown >= 1:
        raise UserError(f"slowdown={slowdown} must be 1 (as fast as keeping everything) or more")
    parameter = None if model is None else next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    return budget_bytes(memory, 0, 0 if model is None else held_bytes(model), device)


def _plan_within(known: Study, memory: Asked, memory_bytes: int, slowdown: float, samples: int) -> Plan | None:
    try:
        found = plan_of(known, memory, memory_bytes, samples)
    except MemoryBudgetError:
        return None
    return found if found.time_ratio <= slowdown else None


def _is_over(found: Plan) -> bool:
    return bool(found.measured) and found.measured[-1].peak_bytes > found.memory_bytes


# ------------------------------------------------------------ depth


def deepest(
    net: str | NetSpec,
    samples: int,
    memory: Asked = "auto",
    *,
    slowdown: float = 1.5,
    optimizer: str = "sgd-momentum",
    autocast: str | None = None,
    device: str | torch.device = "cpu",
    channels_last: bool = True,
    check: bool = True,
) -> tuple[NetSpec, Plan]:
    """(the deepest plain or residual net of a kind whose step fits into `memory`, its plan).

    net: a name or a specification ('preresnet-1001', NetSpec); its depth is not looked at. samples: of the batch.
    slowdown: as in `largest_batch`. channels_last: the layout of images and weights.

    A small net of the kind is measured, and only the numbers of blocks are changed; parameters, gradients and the
    optimizer's state grow with the depth too. With `check` the net is built and one real step run, where that is
    predicted to take less than 30 s. Raises MemoryBudgetError where not even two blocks per stage fit.
    """
    family = _of_blocks(resolve(net) if isinstance(net, str) else net, 2)
    memory_bytes = _absolute(memory, None, slowdown)
    small, layout = build(family).to(device), torch.channels_last if channels_last else torch.contiguous_format
    small.to(memory_format=layout)  # type: ignore[call-overload]
    how = _step_of(family, samples, torch.device(device), layout, autocast)
    chain = chain_of(small, how, None)
    ruler = _Ruler(study(small, how, chain, optimizer, MEASURING), small, optimizer)
    blocks = _most(lambda n: fits(ruler.study(n, COARSE), memory_bytes, slowdown), ruler.bound(memory_bytes))
    if blocks < 2:
        known = ruler.study(2)
        raise does_not_fit(str(memory), memory_bytes, known.smallest_bytes, known.constant, samples, known.facts)
    spec = _of_blocks(family, blocks)
    known = ruler.study(blocks)
    found = plan_of(known, memory, memory_bytes, samples)
    if check and found.time_ratio * known.plain.seconds < STEP_SECONDS:
        model = build(spec).to(device)
        model.to(memory_format=layout)  # type: ignore[call-overload]
        found = checked(found, known, model, how)
    return spec, dataclasses.replace(found, name=known.facts.name.replace(str(family.depth), str(spec.depth)))


def _of_blocks(spec: NetSpec, blocks: int) -> NetSpec:
    """The net of a kind with so many blocks per stage. Raises UserError for dense nets."""
    if spec.family == "dense":
        raise UserError("the deepest net is searched among plain and residual nets: a dense net's layers all differ")
    return spec.with_blocks(blocks)


def _step_of(
    spec: NetSpec, samples: int, device: torch.device, layout: torch.memory_format, autocast: str | None
) -> Step:
    if samples < 1:
        raise UserError(f"a batch of {samples} samples: give 1 or more")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, spec.input_channels, spec.input_size, spec.input_size, generator=generator)
    y = torch.randint(spec.classes, (samples,), generator=generator)
    batch = (x.to(device, memory_format=layout), y.to(device))
    return Step(batch, torch.nn.functional.cross_entropy, None, autocast)


def _most(possible: Callable[[int], bool], bound: int) -> int:
    """The largest n in 2 … bound that is possible, to within 1/64; 0 if none is."""
    low, high = 0, bound + 1
    guess = min(32, bound)
    while high - max(low, 1) > max(1, low // (2 * RESOLUTION)) or not low:
        if guess < 2:
            return 0
        if possible(guess):
            low = guess
        else:
            high = guess
        if high <= 2:
            return 0
        guess = min(4 * low, bound) if high > bound and low * 4 < bound else max((low + high) // 2, min(2, high - 1))
        if guess in (low, high):
            break
    return low


class _Ruler:
    """A net with two blocks in each stage, from which those with any number are reckoned."""

    def __init__(self, known: Study, small: nn.Module, optimizer: str) -> None:
        self.known, stages = known, len(known.signatures) // 2
        repeated = [next(block for t, block in enumerate(small.blocks()) if t == 2 * s + 1) for s in range(stages)]  # type: ignore[operator]
        parameters = [p for block in repeated for p in block.parameters()]
        self.stages = stages
        self.more = Constant(
            parameters=sum(p.nbytes for p in parameters),
            gradients=sum(p.nbytes for p in parameters if p.requires_grad),
            optimizer=optimizer_bytes(optimizer, parameters),
            buffers=sum(b.nbytes for block in repeated for b in block.buffers()),
            batch=0,
        )

    def study(self, blocks: int, super_blocks: int | None = None) -> Study:
        """Of the net with so many blocks in each stage."""
        firsts, others = self.known.signatures[::2], self.known.signatures[1::2]
        signatures = tuple(
            place for first, other in zip(firsts, others, strict=True) for place in (first, *[other] * (blocks - 1))
        )
        grown = {
            field.name: getattr(self.known.constant, field.name) + (blocks - 2) * getattr(self.more, field.name)
            for field in dataclasses.fields(Constant)
        }
        names = tuple(f"stages.{stage}.{index}" for stage in range(self.stages) for index in range(blocks))
        made = dataclasses.replace(
            self.known,
            found=dataclasses.replace(self.known.found, names=names),
            signatures=signatures,
            constant=Constant(**grown),
        )
        if super_blocks is not None:
            made._planner = Planner(made.chain, super_blocks)
        return made

    def bound(self, memory_bytes: int) -> int:
        """No more blocks than this: their parameters alone would fill the memory."""
        left = memory_bytes - self.known.constant.total
        return 2 + max(0, left) // self.more.total
