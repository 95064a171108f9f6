"""Real steps under a plan, measured: what the prediction is held against, and what makes a plan smaller."""

from __future__ import annotations

import dataclasses
import time

import torch
from torch import nn

from gradpath.memory._as_found import gradients_allocated, left_as_found
from gradpath.memory._measuring._peak import metered
from gradpath.memory._measuring._step import Step
from gradpath.memory._planning._planner import Infeasible
from gradpath.memory._record import record_of
from gradpath.memory._running._planned import apply_plan
from gradpath.memory._study import Study
from gradpath.record import MeasuredStep, Plan

TRIES = 3
"""Real steps at most, each under a smaller plan than the one before."""
QUICK = 3.0
"""Seconds: a step that took less is run again without the meter, which takes time itself."""


def measured_step(
    model: nn.Module, running: nn.Module, step: Step, device: torch.device, constant_bytes: int, predicted_bytes: int
) -> MeasuredStep:
    """Runs `running` (the model, or the planned module made of it), metered; the model is left as found.

    Gradients exist before the step, as from the second step on. The peak is what grows in the step, beside the bytes
    that are there all along (`constant_bytes`).
    """
    with left_as_found([model], device), gradients_allocated(list(model.parameters())):
        start = time.perf_counter()
        with metered(device) as meter:
            step.run(running)
        seconds = time.perf_counter() - start
        if seconds < QUICK:
            seconds = min(seconds, _seconds(running, step, device))
    peak = max(span.peak_bytes for span in meter.spans)
    return MeasuredStep(predicted_bytes=predicted_bytes, peak_bytes=constant_bytes + peak, seconds=seconds)


def _seconds(running: nn.Module, step: Step, device: torch.device) -> float:
    start = time.perf_counter()
    step.run(running)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def checked(made: Plan, known: Study, model: nn.Module, step: Step) -> Plan:
    """The plan, or a smaller one, with the real steps that were run. The last one may still be over."""
    steps: list[MeasuredStep] = []
    within = made.memory_bytes
    for _ in range(TRIES):
        running = apply_plan(model, made)
        steps.append(
            measured_step(model, running, step, known.facts.device, known.constant.total, made.predicted.total)
        )
        over = steps[-1].peak_bytes - made.memory_bytes
        if over <= 0 or len(steps) == TRIES:
            break
        within = min(within, made.predicted.total) - over  # predicted so much less than this one, that is over
        try:
            segments, cost = known.fastest(within)
        except Infeasible:
            break
        made = record_of(known, segments, cost, made.asked, made.memory_bytes)
    return dataclasses.replace(made, measured=tuple(steps))
