"""Training one net, from its specification to its record and its weights."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from gradpath.errors import MissingExtraError, SpecError, UserError
from gradpath.flow import trace
from gradpath.nets import NetSpec, Network, build, macs, parameters, resolve, save_weights
from gradpath.record import Execution, Flow, GradientHistory, Recipe, RunRecord, Trial
from gradpath.training._data import Images, load_images
from gradpath.training._events import Listener, NetDone, NetPlanned, NetStarted, ignore
from gradpath.training._loop import Loop, Outcome
from gradpath.training._machine import Probe, machine, pick_device
from gradpath.training._planning import Budget, planned, probe_images

_PROBE_IMAGES = 32  # traced before and after training (fewer where the memory is small): the first test images
TRAIN_RECIPE = Recipe(epochs=10, batch_size=128, learning_rate=0.1, augment="crop-flip")


@dataclass(frozen=True)
class Job:
    """One net to train, and how."""

    name: str
    spec: NetSpec
    recipe: Recipe
    learning_rates: Sequence[float] = ()
    """Rates to try before training, for `trial_steps` steps each; empty: the recipe's is used."""
    trial_steps: int = 0
    budget: Budget | None = None
    """The memory that training may take; None: as much as it needs."""


def train(
    net: NetSpec | str,
    data: str | os.PathLike[str] | Images | None = None,
    *,
    recipe: Recipe = TRAIN_RECIPE,
    seed: int = 0,
    device: str | None = None,
    execution: Execution | None = None,
    memory: str | int | None = None,
    largest_batch: bool = False,
    output: str | os.PathLike[str] | None = None,
    listener: Listener = ignore,
) -> RunRecord:
    """Train one net and return its record.

    Args:
        net: a specification or a name such as 'resnet-20'; a name takes classes, size and channels from the data.
        data: what `load_images` takes: 'fashion-mini' (shipped), an .npz file, a folder of photos; or images.
        output: a folder for run.json and weights.safetensors; None writes nothing.
        execution: precision and memory layout; None measures which is fastest.
        memory: what a step may take on the device, as for `gp.plan` (bytes, '4GiB', '80%', 'auto'): the net is trained
            by the fastest plan that fits, which the record keeps; None trains without one.
        largest_batch: the largest batch that fits the memory ('auto' where none is given), not the recipe's. The
            learning rate stays the recipe's.
        listener: called with news (the events of `gradpath.training`).

    Raises DataError, SpecError, UserError, MemoryBudgetError. Ctrl-C ends the training: the record says `interrupted`.
    """
    images = load_images(data)
    spec = fitting(net, images)
    where = pick_device(device)
    if output is not None and not can_keep_weights():
        raise MissingExtraError("safetensors", "build", "keeping the weights")
    folder = None if output is None else claim(Path(output))
    if execution is None:
        execution = Probe(where, recipe.batch_size).choose(spec)
    budget = Budget(memory or "auto", largest_batch) if memory is not None or largest_batch else None
    job = Job(spec.label, spec, recipe, budget=budget)
    record = run_job(job, images.to(where), execution, seed, listener, folder)
    if folder is not None:
        record.save(folder / "run.json")
    return record


def fitting(net: NetSpec | str, images: Images) -> NetSpec:
    """The specification for the images: of a name, with their classes, channels and size. Raises SpecError where a
    specification does not fit them."""
    info = images.info
    if isinstance(net, NetSpec):
        if net.classes < len(info.classes) or net.input_channels != info.channels:
            raise SpecError(
                f"{net.label} is for {net.classes} classes and {net.input_channels} channels, "
                f"{info.name} has {len(info.classes)} and {info.channels}"
            )
        return net
    return resolve(net, classes=len(info.classes), input_size=info.image_size, input_channels=info.channels)


def run_job(
    job: Job, images: Images, execution: Execution, seed: int, listener: Listener, folder: Path | None
) -> RunRecord:
    """Choose a learning rate and plan if asked to, trace, train, trace again, save the weights."""
    record = _blank_record(job, images, execution, seed)
    if job.learning_rates:
        listener(NetStarted(record, "finding lr"))
        trials, interrupted = _try_rates(job, images, execution, seed)
        record = replace(record, trials=trials, interrupted=interrupted)
        record = replace(record, recipe=replace(job.recipe, learning_rate=best_rate(trials, job.recipe.learning_rate)))
    if not record.interrupted:
        net = _fresh(record.spec, record.seed)
        trained: nn.Module = net
        if job.budget is not None:
            listener(NetStarted(record, "planning"))
            plan, recipe, trained = planned(net, images, record.recipe, execution, job.budget)
            record = replace(record, recipe=recipe, plan=replace(plan, layers=()))
            listener(NetPlanned(record))
        listener(NetStarted(record, "training"))
        record = _train_and_trace(record, net, trained, images, listener, folder)
    listener(NetDone(record))
    return record


def _train_and_trace(
    record: RunRecord, net: Network, trained: nn.Module, images: Images, listener: Listener, folder: Path | None
) -> RunRecord:
    """`trained` is the net itself, or what trains it by a plan."""
    loop = Loop(trained, images, record.recipe, record.execution, record.seed, listener, record.name)
    count = probe_images(record.plan, record.recipe, _PROBE_IMAGES)
    before = _look(net, images, loop, count)
    weighted = [layer.scope for layer in before.layers if layer.weighted]
    loop.watch(net.get_submodule(weighted[0]), net.get_submodule(weighted[-1]))
    outcome = loop.run()
    after = _look_at_the_end(net, images, loop, count)
    sound = outcome.steps > 0 and outcome.diverged_at_step is None
    return replace(
        record,
        epochs=tuple(outcome.epochs),
        steps=outcome.steps,
        diverged_at_step=outcome.diverged_at_step,
        interrupted=outcome.interrupted,
        gradient=GradientHistory(initial=before, final=after),
        weights=_save(net, folder, record, images) if folder is not None and sound else None,
    )


def _look_at_the_end(net: Network, images: Images, loop: Loop, count: int) -> Flow | None:
    """The trace after training; None where the run was cut short. Notes weights whose loss is not finite."""
    outcome = loop.outcome
    if outcome.diverged_at_step is not None or outcome.interrupted:
        return None
    try:
        after = _look(net, images, loop, count)
    except KeyboardInterrupt:  # the training itself is done, and kept
        outcome.interrupted = True
        return None
    if math.isfinite(after.loss):
        return after
    outcome.diverged_at_step = outcome.steps + 1
    return None


def _look(net: Network, images: Images, loop: Loop, count: int) -> Flow:
    """Trace the first test images in float32 and train mode: what the next training step would see."""
    inputs = loop.batches.normalise(images.test_images[:count])
    net.train()
    return trace(net, (inputs, images.test_labels[:count]), F.cross_entropy)


def can_keep_weights() -> bool:
    """Whether the optional package that writes them is installed."""
    return importlib.util.find_spec("safetensors") is not None


def claim(folder: Path) -> Path:
    """Make sure that results can be written to a folder, before there are any. Raises UserError naming it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: cannot be written ({reason}): name a folder you may write to") from error


def _save(net: Network, folder: Path, record: RunRecord, images: Images) -> str:
    name = re.sub(r"[^a-z0-9.]+", "-", record.name.lower()).strip("-")
    return save_weights(net, folder / f"{name}.safetensors", images.info).name


def _blank_record(job: Job, images: Images, execution: Execution, seed: int) -> RunRecord:
    return RunRecord(
        name=job.name,
        family=job.spec.family,
        depth=job.spec.depth,
        norm=job.spec.norm,
        parameters=parameters(job.spec),
        macs=macs(job.spec),
        seed=seed,
        spec=job.spec,
        recipe=job.recipe,
        execution=execution,
        data=images.info,
        machine=machine(images.train_images.device),
        epochs=(),
        steps=0,
        diverged_at_step=None,
        interrupted=False,
        trials=(),
        gradient=None,
        weights=None,
    )


def _fresh(spec: NetSpec, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(spec)


def _try_rates(job: Job, images: Images, execution: Execution, seed: int) -> tuple[tuple[Trial, ...], bool]:
    """A short run at each learning rate; stops at Ctrl-C."""
    trials: list[Trial] = []
    for rate in job.learning_rates:
        epochs = -(-job.trial_steps // max(images.info.train_images // job.recipe.batch_size, 1))
        recipe = replace(job.recipe, learning_rate=rate, epochs=epochs)
        loop = Loop(_fresh(job.spec, seed), images, recipe, execution, seed, ignore, job.name)
        loop.steps = job.trial_steps  # the whole schedule within the trial
        outcome = loop.run(job.trial_steps)
        if outcome.interrupted:
            return tuple(trials), True
        trials.append(Trial(learning_rate=rate, steps=outcome.steps, loss=_late_loss(outcome)))
    return tuple(trials), False


def _late_loss(outcome: Outcome) -> float:
    if outcome.diverged_at_step is not None:
        return float("inf")
    late = outcome.losses[-max(len(outcome.losses) // 4, 1) :]
    return sum(late) / len(late)


def best_rate(trials: Sequence[Trial], otherwise: float) -> float:
    """The rate of the lowest loss; the smallest rate where all diverged."""
    if not trials:
        return otherwise
    return min(trials, key=lambda trial: (trial.loss, trial.learning_rate)).learning_rate
