"""What is known of a model's step before it is planned: its chain, what its blocks cost, and all that lies outside."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gradpath.errors import MemoryBudgetError
from gradpath.kernels import norm_passes
from gradpath.memory._blocks._chain import Chain, find_chain
from gradpath.memory._blocks._dense import with_dense_stages
from gradpath.memory._blocks._signature import Layout
from gradpath.memory._measuring._measure import Measured, measure_chain
from gradpath.memory._measuring._optimizer import Update, optimizer_name, optimizer_update
from gradpath.memory._measuring._outside import Outside, input_needs_gradient, measure_outside
from gradpath.memory._measuring._step import Step, autocast_name, batch_text, device_of
from gradpath.memory._planning._planner import Infeasible, Planner, front
from gradpath.memory._planning._simulate import Simulated, simulate
from gradpath.memory._predict import Constant, StepCost, constant_of, plain_step, planned_step
from gradpath.memory._running._planned import moves_of
from gradpath.nets import Network, NormPasses, TorchPasses
from gradpath.record import BlockCost, CurvePoint, PlanSegment
from gradpath.units import memory as text_of

CORRECTIONS = 8
"""How often a plan is asked for again because the head, not a block, is over the budget."""


@dataclass(frozen=True)
class Facts:
    """How a plan names what it is for."""

    name: str
    batch: str
    device: torch.device
    dtype: str
    autocast: str | None
    optimizer: str


Found = tuple[list[PlanSegment], StepCost]


@dataclass
class Study:
    """A chain between a stem and a head, measured."""

    facts: Facts
    found: Chain
    signatures: tuple[int, ...]
    measured: tuple[Measured, ...]
    outside: Outside
    constant: Constant
    update: Update
    kernels: str
    _planner: Planner | None = field(default=None, init=False, repr=False)
    _found_least: Found | None = field(default=None, init=False, repr=False)
    _found_fastest: dict[int, Found] = field(default_factory=dict, init=False, repr=False)
    """By the memory that was asked for: plans are compared by it, then recorded."""

    @property
    def chain(self) -> list[BlockCost]:
        """The cost of each block."""
        return [block.cost for block in self.blocks]

    @property
    def blocks(self) -> list[Measured]:
        """What was measured for each block."""
        return [self.measured[place] for place in self.signatures]

    @property
    def planner(self) -> Planner:
        """Made at first use: it remembers the smallest plan."""
        if self._planner is None:
            self._planner = Planner(self.chain)
        return self._planner

    @property
    def plain(self) -> StepCost:
        """Keeping everything, by plain autograd."""
        return self._with_update(plain_step(self.blocks, self.outside))

    @property
    def keep_all_bytes(self) -> int:
        return self.constant.total + self.plain.peak_bytes

    @property
    def smallest_bytes(self) -> int:
        """The least memory for which there is a plan."""
        return self.constant.total + self._least[1].peak_bytes

    @property
    def _least(self) -> Found:
        """The plan of least memory, and what its step costs."""
        if self._found_least is None:
            segments = self.planner.smallest[1]
            self._found_least = segments, self.cost_of(segments)
        return self._found_least

    def cost_of(self, segments: Sequence[PlanSegment]) -> StepCost:
        """Of a whole step by these segments, beyond the constant bytes."""
        return self._step_cost(simulate(self.chain, segments), segments)

    def _step_cost(self, simulated: Simulated, segments: Sequence[PlanSegment]) -> StepCost:
        return self._with_update(planned_step(self.blocks, segments, simulated, self.outside))

    def _with_update(self, cost: StepCost) -> StepCost:
        """The optimizer's step may need more than forward and backward, when nothing is kept any longer."""
        update = self.update.bytes_of(self.constant.gradients)
        return cost if cost.peak_bytes >= update else replace(cost, peak_bytes=update, kept_bytes=0)

    def fastest(self, memory_bytes: int) -> Found:
        """The fastest plan whose whole step fits; raises Infeasible, with the smallest step in bytes."""
        if memory_bytes not in self._found_fastest:
            self._found_fastest[memory_bytes] = self._search(memory_bytes)
        return self._found_fastest[memory_bytes]

    def _search(self, memory_bytes: int) -> Found:
        if self.update.bytes_of(self.constant.gradients) > memory_bytes - self.constant.total:
            return self._smallest(memory_bytes)
        around = max(self.outside.forward_bytes, self.outside.backward_bytes)
        left = memory_bytes - self.constant.total - around
        for _ in range(CORRECTIONS):
            try:
                segments = self.planner.fastest(left)
            except Infeasible:  # what lies around the chain was taken at its largest, which may not be while it peaks
                return self._smallest(memory_bytes)
            cost = self.cost_of(segments)
            over = self.constant.total + cost.peak_bytes - memory_bytes
            if over <= 0:
                return segments, cost
            left -= max(over, left // 20)  # the head, not a block, is at the peak
        return self._smallest(memory_bytes)

    def _smallest(self, memory_bytes: int) -> Found:
        if self.smallest_bytes > memory_bytes:
            raise Infeasible(memory_bytes, self.smallest_bytes)
        return self._least

    def standing(self, memory_bytes: int) -> tuple[bool, float]:
        """Orders studies of one model: (whether nothing fits, time ratio of the fastest plan or else least bytes)."""
        try:
            return False, self.fastest(memory_bytes)[1].seconds / self.plain.seconds
        except Infeasible:
            return True, self.smallest_bytes

    def curve(self) -> tuple[CurvePoint, ...]:
        """Peaks and times of whole steps, from the smallest plan to keeping all, each faster than all smaller."""
        least, plain = self.smallest_bytes - self.constant.total, self.plain
        costs = [self._step_cost(*found) for found in self.planner.samples()]
        points = front((cost.peak_bytes, cost.seconds) for cost in costs if cost.peak_bytes >= least)
        return tuple(
            CurvePoint(memory_bytes=self.constant.total + peak, time_ratio=seconds / plain.seconds)
            for peak, seconds in points
        )


def facts_of(model: nn.Module, step: Step, optimizer: str | Optimizer) -> Facts:
    """Raises UserError for a device or an optimizer that cannot be."""
    floating = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return Facts(
        name=_name(model),
        batch=batch_text(step.inputs),
        device=device_of(model, step.batch),
        dtype=_dtype_name(floating[0] if floating else torch.get_default_dtype()),
        autocast=None if step.autocast is None else autocast_name(step.autocast),
        optimizer=optimizer_name(optimizer),
    )


def _name(model: nn.Module) -> str:
    if isinstance(model, Network):
        return model.model_name
    return type(model).__name__


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def chain_of(model: nn.Module, step: Step, blocks: Any) -> Chain:
    """The chain to plan; empty where there is none. Frozen blocks at its beginning keep nothing: they are left out."""
    chain = find_chain(model, step.forward, blocks)
    frozen = sum(1 for _ in itertools.takewhile(_is_frozen, chain.blocks))
    if not frozen or input_needs_gradient(model, step, named_modules(chain), chain.layouts[-1]):
        return chain
    until = chain.names[frozen - 1]
    reason = (
        f"{chain.names[0]} to {until}: {frozen} blocks, frozen, with nothing trained before them: they keep nothing"
    )
    return Chain(chain.blocks[frozen:], chain.names[frozen:], chain.layouts[frozen:], (reason, *chain.left_alone))


def _is_frozen(block: Sequence[nn.Module]) -> bool:
    return not any(parameter.requires_grad for module in block for parameter in module.parameters())


def ways_of(chain: Chain, device: torch.device, backend: str = "auto") -> list[tuple[Chain, str]]:
    """How a chain can be run, each with its backend: with each dense block as one, where the backend has moves of its
    own for it; and as it is. The first takes the least memory; on small images the second may be faster."""
    if passes_for(chain, device, backend).name == TorchPasses.name:
        return [(chain, backend)]
    joined = with_dense_stages(chain)
    return [(joined, backend)] if len(joined.blocks) == len(chain.blocks) else [(joined, backend), (chain, "torch")]


def best_for(memory_bytes: int, studies: Sequence[Study]) -> Study:
    """The study whose fastest plan is the fastest, else, where nothing fits, the one of least memory."""
    return min(studies, key=lambda known: known.standing(memory_bytes))


def study(
    model: nn.Module,
    step: Step,
    chain: Chain,
    optimizer: str | Optimizer,
    within_seconds: float = 10.0,
    backend: str = "auto",
) -> Study:
    """Measure a chain and what is around it. The model is left as found."""
    facts = facts_of(model, step, optimizer)
    passes = passes_for(chain, facts.device, backend)
    outside = measure_outside(model, step, named_modules(chain), chain.layouts[-1], facts.device)
    signatures, measured = measure_chain(
        chain.blocks,
        lambda group: moves_of(tuple(group), passes),
        chain.layouts,
        facts.device,
        outside.autocast.again,
        within_seconds,
        outside.input_needs_gradient,
    )
    if outside.autocast.enabled and facts.autocast is None and outside.autocast.dtype is not None:
        facts = Facts(**{**vars(facts), "autocast": _dtype_name(outside.autocast.dtype)})
    constant = constant_of(model, optimizer, step.batch)
    update = optimizer_update(optimizer, model.parameters(), facts.device)
    return Study(facts, chain, signatures, measured, outside, constant, update, passes.name)


def named_modules(chain: Chain) -> list[tuple[str, nn.Module]]:
    """Every module of a chain with its name, in order."""
    return [
        pair
        for names, modules in zip(chain.names, chain.blocks, strict=True)
        for pair in zip(names.split("+"), modules, strict=True)
    ]


def does_not_fit(
    asked: str, memory_bytes: int, smallest_bytes: int, constant: Constant, samples: int, facts: Facts
) -> MemoryBudgetError:
    """One line: what was asked, what is needed, what would make it fit."""
    hints = [f"give it {text_of(smallest_bytes * 1.03)}"]
    growing = smallest_bytes - constant.total + constant.batch
    fixed = constant.total - constant.batch
    fitting = int(samples * (memory_bytes - fixed) / max(1, growing)) if memory_bytes > fixed else 0
    if 0 < fitting < samples:
        hints.append(f"a batch of about {fitting}, not {samples}")
    if facts.autocast is None and facts.dtype == "float32":
        hints.append("autocast to bfloat16, about half of the activations")
    if constant.optimizer and facts.optimizer != "sgd":
        hints.append(f"SGD without momentum, {text_of(constant.optimizer)} less")
    error = MemoryBudgetError(
        f"memory={asked}: {facts.name} at {facts.batch} does not fit {text_of(memory_bytes)}: the smallest step "
        f"takes {text_of(smallest_bytes)} ({text_of(fixed)} of it parameters, gradients, optimizer and buffers): "
        + ", or ".join(hints)
    )
    error.smallest_bytes = smallest_bytes
    return error


def held_bytes(model: nn.Module) -> int:
    """What of the step is there already and so not free."""
    tensors = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters() if p.grad is not None)]
    return sum(tensor.nbytes for tensor in tensors)


def passes_for(chain: Chain, device: torch.device, backend: str = "auto") -> NormPasses:
    """The norm passes that a plan is made for: compiled ones where they serve the chain's layout, channels last on the
    CPU, and can be had. Raises KernelError for an unknown backend, and for 'compiled' where it is not to be had."""
    if backend != "auto":
        return norm_passes(backend).passes
    if device.type == "cpu" and any(_is_channels_last(layout) for layout in chain.layouts):
        return norm_passes().passes
    return TorchPasses()


def _is_channels_last(layout: Layout) -> bool:
    return len(layout.shape) == 4 and layout.strides[1] == 1 and layout.shape[1] > 1
