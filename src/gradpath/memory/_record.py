"""From a study and its fastest plan to the record of it."""

from __future__ import annotations

from gradpath.memory._budget import Asked
from gradpath.memory._planning._planner import Infeasible
from gradpath.memory._predict import StepCost
from gradpath.memory._study import Study, does_not_fit
from gradpath.record import Plan, PlanSegment


def plan_of(known: Study, asked: Asked, memory_bytes: int, samples: int) -> Plan:
    """The fastest plan within `memory_bytes`, which were asked for as `asked`. Raises MemoryBudgetError."""
    try:
        segments, cost = known.fastest(memory_bytes)
    except Infeasible as error:
        raise does_not_fit(
            str(asked), memory_bytes, error.smallest_bytes, known.constant, samples, known.facts
        ) from None
    return record_of(known, segments, cost, asked, memory_bytes)


def record_of(known: Study, segments: list[PlanSegment], cost: StepCost, asked: Asked, memory_bytes: int) -> Plan:
    plain, constant, facts = known.plain, known.constant, known.facts
    around = constant.total
    return Plan(
        name=facts.name,
        batch=facts.batch,
        device=str(facts.device),
        dtype=facts.dtype,
        autocast=facts.autocast,
        optimizer=facts.optimizer,
        kernels=known.kernels,
        asked=str(asked),
        memory_bytes=memory_bytes,
        blocks=known.found.names,
        signatures=known.signatures,
        costs=tuple(one.cost for one in known.measured),
        segments=tuple(segments),
        predicted=constant.step_bytes(cost.peak_bytes, cost.kept_bytes),
        keep_all=constant.step_bytes(plain.peak_bytes, plain.kept_bytes),
        outside_seconds=known.outside.seconds,
        time_ratio=cost.seconds / plain.seconds,
        smallest_bytes=known.smallest_bytes,
        curve=known.curve(),
        live_bytes=tuple(around + live for live in cost.live_bytes),
        plan_seconds=0.0,
        left_alone=known.found.left_alone,
    )
