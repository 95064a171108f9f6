"""`gp.plan`: a model, a batch and a number of bytes → the fastest exact training step that fits."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gradpath.memory._blocks._chain import Chain, check_plannable
from gradpath.memory._budget import Asked, budget_bytes
from gradpath.memory._closed_loop import checked, measured_step
from gradpath.memory._measuring._layers import layers_of_chain, layers_of_model
from gradpath.memory._measuring._optimizer import optimizer_update
from gradpath.memory._measuring._step import Step, batch_size
from gradpath.memory._predict import constant_of
from gradpath.memory._record import plan_of
from gradpath.memory._running._planned import plain_of
from gradpath.memory._study import (
    Facts,
    best_for,
    chain_of,
    does_not_fit,
    facts_of,
    held_bytes,
    named_modules,
    study,
    ways_of,
)
from gradpath.record import CurvePoint, LayerBytes, Plan


def plan(
    model: nn.Module,
    batch: Any,
    memory: Asked = "80%",
    *,
    criterion: Callable[..., Any] | None = None,
    step: Callable[..., Any] | None = None,
    blocks: Any = None,
    optimizer: str | Optimizer = "sgd-momentum",
    autocast: str | None = None,
    check: bool = True,
    layers: bool = True,
    within_seconds: float = 10.0,
    backend: str = "auto",
) -> Plan:
    """The fastest exact training step of `model` on `batch` whose tensors fit into `memory`. Run by `gp.apply_plan`.

    batch, criterion, step: as in `gp.trace`: a pair (input, target) with a criterion(output, target); or a
        step(model, batch) that returns the loss; with neither, the batch is the model's input (a tuple positional, a
        mapping keyword arguments) and any loss stands in, since memory does not depend on it.
    memory: bytes (4_000_000_000, '4GiB', '2.5GB'); '80%' of what keeping everything takes; or 'auto', the device's
        free memory less a reserve. It counts tensors: parameters, gradients, the optimizer's state, buffers, what is
        kept for the backward and what operations need while they run, those of the optimizer's step too, where it is
        the peak. Resident memory of a process is more.
    blocks: an nn.Sequential, nn.ModuleList or a list of modules (or their names) that run one after the other; by
        default they are found.
    optimizer: 'sgd', 'sgd-momentum', 'adam', 'adamw', … or an instance, whose state and step are counted.
    autocast: 'bfloat16' or 'float16': the step runs under torch.autocast of its device.
    check: run one real step under the plan, compare its peak with the prediction, and plan again where it is over
        `memory`, three times at most (`Plan.measured`).
    layers: fill in `Plan.layers`, memory per layer under plain autograd.
    within_seconds: about how long blocks are timed.
    backend: the norm passes of proved blocks: 'auto', fused ones for channels-last batches on a CPU with a compiler;
        'compiled', those or KernelError; or 'reference', torch's own, whose results are plain autograd's bit for bit.

    Blocks are measured one of each kind (types, settings, shapes), on a random input. The model, its gradients,
    buffers and flags and all random generators are left as found. Devices: CPU and CUDA.
    A model without a chain of blocks gets a plan without segments: `left_alone` says why, and keeping everything is
    measured. Raises MemoryBudgetError where no step fits, with the least memory that is enough; PlanError for models,
    batches and blocks that cannot be planned.
    """
    started = time.perf_counter()
    model, how = plain_of(model), Step(batch, criterion, step, autocast)
    check_plannable(model)
    samples = batch_size(batch)
    facts = facts_of(model, how, optimizer)
    chain = chain_of(model, how, blocks)
    if not chain.blocks:
        return _unplanned(model, how, chain, facts, optimizer, memory, layers, started)
    ways = ways_of(chain, facts.device, backend)
    studies = [study(model, how, way, optimizer, within_seconds / len(ways), kind) for way, kind in ways]
    asked = budget_bytes(memory, studies[0].keep_all_bytes, held_bytes(model), facts.device)
    known = best_for(asked, studies)
    made = plan_of(known, memory, asked, samples)
    if check:
        made = checked(made, known, model, how)
    table: tuple[LayerBytes, ...] = ()
    if layers:
        named = named_modules(known.found)
        table = layers_of_chain(model, how, known.found, named, known.signatures, known.outside.autocast.again)
    return dataclasses.replace(made, layers=table, plan_seconds=time.perf_counter() - started)


def _unplanned(
    model: nn.Module,
    step: Step,
    chain: Chain,
    facts: Facts,
    optimizer: str | Optimizer,
    memory: Asked,
    layers: bool,
    started: float,
) -> Plan:
    """Nothing to plan: one plain step is measured."""
    constant = constant_of(model, optimizer, step.batch)
    seen = measured_step(model, model, step, facts.device, constant.total, 0)
    update = optimizer_update(optimizer, model.parameters(), facts.device).bytes_of(constant.gradients)
    peak = max(seen.peak_bytes, constant.total + update)
    asked = budget_bytes(memory, peak, held_bytes(model), facts.device)
    if asked < peak:
        error = does_not_fit(str(memory), asked, peak, constant, batch_size(step.batch), facts)
        error.args = (f"{error.args[0]}. It cannot be planned: {'; '.join(chain.left_alone)}",)
        raise error
    table = layers_of_model(model, step) if layers else ()
    kept = sum(layer.kept_bytes for layer in table)
    everything = constant.step_bytes(peak - constant.total, kept)
    return Plan(
        name=facts.name,
        batch=facts.batch,
        device=str(facts.device),
        dtype=facts.dtype,
        autocast=facts.autocast,
        optimizer=facts.optimizer,
        kernels="torch",
        asked=str(memory),
        memory_bytes=asked,
        blocks=(),
        signatures=(),
        costs=(),
        segments=(),
        predicted=everything,
        keep_all=everything,
        outside_seconds=seen.seconds,
        time_ratio=1.0,
        smallest_bytes=peak,
        curve=(CurvePoint(memory_bytes=peak, time_ratio=1.0),),
        live_bytes=(),
        plan_seconds=time.perf_counter() - started,
        layers=table,
        measured=(dataclasses.replace(seen, predicted_bytes=peak),),
        left_alone=chain.left_alone,
    )
