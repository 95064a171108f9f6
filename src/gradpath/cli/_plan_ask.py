"""`gradpath plan`: the questions to gradpath.memory, for what a TARGET gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gradpath import units
from gradpath.cli._ask import models_code
from gradpath.cli._asked import Asked
from gradpath.cli._inputs import Subject, parse_inputs, subject_of
from gradpath.cli._target import BATCH
from gradpath.errors import UserError
from gradpath.record import Plan
from gradpath.report._say import say


@dataclass(frozen=True)
class Wanted:
    """What the options say, as `gp.plan` takes it."""

    memory: str | None
    """None: 80 % of keeping everything, of a search all that is free."""
    optimizer: str
    autocast: str | None
    blocks: tuple[str, ...]
    """Names of modules; empty: found."""
    slowdown: float
    """Of a search: the most that its plan may cost in time."""
    check: bool

    @property
    def common(self) -> dict[str, Any]:
        """What all three questions take."""
        return {"optimizer": self.optimizer, "autocast": self.autocast, "check": self.check}

    def of(self, subject: Subject) -> dict[str, Any]:
        """The same for a model with its loss."""
        blocks = self.blocks[0] if len(self.blocks) == 1 else list(self.blocks) or None
        return {"criterion": subject.criterion, "step": subject.step, "blocks": blocks, **self.common}


def planned(asked: Asked, wanted: Wanted) -> Plan:
    """`gp.plan` of the target."""
    from gradpath.memory import plan

    subject = subject_of(asked)
    with models_code(subject.model):
        found = plan(subject.model, subject.batch, wanted.memory or "80%", **wanted.of(subject))
    return _named(found, subject)


def largest(asked: Asked, wanted: Wanted) -> tuple[Plan, str]:
    """The plan of the largest batch, and its size as a sentence."""
    from gradpath.memory import largest_batch

    subject = subject_of(asked)
    with models_code(subject.model):
        size, found = largest_batch(
            subject.model, subject.batch, wanted.memory or "auto", slowdown=wanted.slowdown, **wanted.of(subject)
        )
    return _named(found, subject), _largest_told(_memory(found), f"{wanted.slowdown:g}", f"{size:,}")


def deepest_net(asked: Asked, wanted: Wanted) -> tuple[Plan, str]:
    """The plan of the deepest net of the target's family, and its depth as a sentence. Raises UserError for targets
    whose depth is not ours to choose."""
    from gradpath.memory import deepest
    from gradpath.nets import resolve
    from gradpath.training._machine import pick_device

    if ":" in asked.target or asked.target.endswith(".py"):
        raise UserError(f"--deepest changes the depth of a net of ours, such as resnet-110: not that of {asked.target}")
    if asked.checkpoint is not None or wanted.blocks:
        raise UserError("--deepest builds the net itself: leave out --checkpoint and --blocks")
    with models_code():
        spec, found = deepest(
            resolve(asked.target),
            _batch_size(asked),
            wanted.memory or "auto",
            slowdown=wanted.slowdown,
            device=pick_device(asked.device),
            **wanted.common,
        )
    memory, times, depth = _memory(found), f"{wanted.slowdown:g}", f"{spec.depth:,}"
    return found, say(
        f"Deepest {spec.family} net within {memory} and {times} × the time: {depth} layers",
        f"在 {memory} 和 {times} 倍时间以内，最深的 {spec.family} 网络：{depth} 层",
    )


def _largest_told(memory: str, times: str, size: str) -> str:
    return say(
        f"Largest batch within {memory} and {times} × the time: {size}",
        f"在 {memory} 和 {times} 倍时间以内，最大的批次：{size}",
    )


def _batch_size(asked: Asked) -> int:
    inputs = parse_inputs(asked.inputs)
    return asked.batch_size or (inputs[0].shape[0] if inputs else BATCH)


def _memory(plan: Plan) -> str:
    return units.memory(plan.memory_bytes)


def _named(plan: Plan, subject: Subject) -> Plan:
    """With the target's name."""
    return replace(plan, name=subject.name or plan.name)
