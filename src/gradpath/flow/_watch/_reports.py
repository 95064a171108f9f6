"""From what the probes wrote to a report: one copy to the host, then a record."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradpath.flow._watch._budget import Budget
from gradpath.flow._watch._buffer import HostCopy
from gradpath.flow._watch._probes import Probes
from gradpath.flow._watch._series import Series, current_scale, fill
from gradpath.record import WatchReport


@dataclass
class Pending:
    """A report on its way to the host."""

    copy: HostCopy
    step: int
    seconds: float
    losses: list[float | None]
    scales: list[float | None]
    period: int


class Reporter:
    """Keeps losses and scales between samples, and makes the reports."""

    def __init__(self, probes: Probes, budget: Budget, optimizer: torch.optim.Optimizer | None, scaler: Any) -> None:
        self.probes, self.budget, self.optimizer, self.scaler = probes, budget, optimizer, scaler
        self._losses, self._scales = Series(), Series()
        scale = current_scale(scaler)
        self._scale_before = None if scale is None else float(scale)
        self._pending: Pending | None = None

    def note(self, loss: float | Tensor | None) -> float | None:
        """Keep a step's loss and scale; returns the loss where the host knows it already."""
        scale = current_scale(self.scaler)
        if scale is not None:
            self._scales.add(scale)
        return None if loss is None else self._losses.add(loss)

    def send(self, step: int, seconds: float, period: int) -> None:
        """Send what the probes wrote, and the losses since the last report, to the host."""
        buffers = self.probes.buffers
        losses, waiting_losses = self._losses.take(buffers.device, buffers.dtype)
        scales, waiting_scales = self._scales.take(buffers.device, buffers.dtype)
        numbers = torch.cat([buffers.layers.flatten(), buffers.parameters, waiting_losses, waiting_scales])
        self._pending = Pending(HostCopy(numbers), step, seconds, losses, scales, period)
        buffers.clear()

    def arrived(self, wait: bool = False) -> WatchReport | None:
        """The report that was sent, once it is here; `wait` for it."""
        pending = self._pending
        if pending is None or not (wait or pending.copy.ready):
            return None
        self._pending = None
        numbers = pending.copy.numbers()
        measured = 4 * len(self.probes.layers) + len(self.probes.parameters)
        waiting = measured + sum(value is None for value in pending.losses)
        losses = fill(pending.losses, numbers[measured:waiting])
        scales = self._scales_of(pending, numbers[waiting:])
        return self._record(pending, numbers[:measured], losses, scales)

    def _scales_of(self, pending: Pending, arrived: list[float]) -> list[float]:
        """The scale before the first step since the last report, then after each; empty without a scaler."""
        if not pending.scales or self._scale_before is None:
            return []
        scales = [self._scale_before, *fill(pending.scales, arrived)]
        self._scale_before = scales[-1]
        return scales

    def _record(self, pending: Pending, numbers: list[float], losses: list[float], scales: list[float]) -> WatchReport:
        in_step = scales[-2] if scales else None  # what the sampled step's backward pass was multiplied by
        activations, gradients, parameters = self.probes.read(numbers, 1.0 if in_step is None else in_step)
        return WatchReport(
            step=pending.step,
            seconds=round(pending.seconds, 3),
            losses=tuple(losses),
            log10_activation_rms=activations,
            log10_gradient_rms=gradients,
            log10_parameter_gradient_norm=parameters,
            learning_rate=None if self.optimizer is None else float(self.optimizer.param_groups[0]["lr"]),
            loss_scale=in_step,
            skipped_steps=_lowered(scales, pending.step),
            period=pending.period,
            overhead=_rounded(self.budget.overhead),
            sample_seconds=_rounded(self.budget.sample_seconds),
            compiled=self.probes.compiled,
        )


def _lowered(scales: list[float], last: int) -> tuple[int, ...]:
    """Steps after which the scale was lower than before: their gradients were not finite, and they were skipped."""
    pairs = itertools.pairwise(scales)
    return tuple(step for step, (a, b) in enumerate(pairs, last - len(scales) + 2) if b < a)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
