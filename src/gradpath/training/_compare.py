"""`compare`: networks side by side on the same images, in the time there is."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import torch

from gradpath.errors import UserError
from gradpath.kernels import fuse
from gradpath.nets import NetSpec, macs
from gradpath.record import Comparison, Execution, Recipe, RunRecord
from gradpath.training._backend import KEEP
from gradpath.training._data import Images, load_images
from gradpath.training._events import Listener, Planned, ignore
from gradpath.training._folder import COMPARE_FILE, can_keep_weights, claim, compare_anew
from gradpath.training._job import Job
from gradpath.training._machine import Probe, machine, pick_device
from gradpath.training._run import run_job

DEFAULT_DEPTH, QUICK_DEPTH = 56, 32
DEFAULT_MINUTES, QUICK_MINUTES = 5.0, 1.0
_SHALLOW_DEPTH = 20
_GROWTH_RATE = 12
_LEARNING_RATES = (0.1, 0.01, 0.001)  # tried by nets without norm; nets with BatchNorm train well at the recipe's
_TRIAL_STEPS, _QUICK_TRIAL_STEPS = 20, 10
_SLACK = 1.1  # "about" five minutes: one epoch more is taken when it ends within 10 % of the time asked for
_SECONDS_PER_MAC = 1e-8  # of a training step on 32 images, where nothing could be measured
_EVALUATION = 1 / 3  # cost of a forward pass, in training steps
_TRACE = 3.0  # cost of a trace, which is of plain blocks, in training steps of the same batch


def compare(
    data: str | os.PathLike[str] | Images | None = None,
    *,
    depth: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    quick: bool = False,
    seed: int = 0,
    device: str | None = None,
    backend: str = "auto",
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    listener: Listener = ignore,
) -> Comparison:
    """Train plain, residual and dense nets side by side and return what was seen.

    Args:
        data: what `load_images` takes: 'fashion-mini' (shipped), an .npz file, a folder of photos; or images.
        depth: of the deep nets, 6n+2. Default 56, with `quick` 32.
        epochs: default: as many as fit into `minutes` on this machine, measured first.
        minutes: default 5, with `quick` 1.
        quick: fewer nets: plain without norm, plain with BatchNorm, residual.
        backend: of the nets' blocks, as for `gp.fuse`; each net's record says what it was.
        output: a folder for compare.json, written anew after each net, and the weights; as `gp.compare` also for
            report.html and report.png. What an optional package is missing for is left out. None writes nothing. One
            that holds a comparison already is refused.
        overwrite: begin anew in an `output` that holds a comparison: what is there goes before the first net begins.
        listener: called with news (`gradpath.training` events), the first of them `Planned`.

    Raises DataError, SpecError, UserError. Ctrl-C ends it: the record holds what was done and says `interrupted`.
    """
    began, started = time.perf_counter(), datetime.now(timezone.utc)
    folder = None if output is None else Path(output)
    _check(epochs, minutes)
    _refuse_held(folder, overwrite)
    if depth is None:
        depth = QUICK_DEPTH if quick else DEFAULT_DEPTH
    images = load_images(data)
    where = pick_device(device)
    jobs = [replace(job, backend=backend) for job in default_jobs(images, depth, quick)]
    if folder is not None:
        claim(folder)
    execution, costs = _measured(jobs, images, where)
    asked = None if epochs is not None else minutes or (QUICK_MINUTES if quick else DEFAULT_MINUTES)
    count = epochs if epochs is not None else fit_epochs(costs, 60 * (asked or 0) - (time.perf_counter() - began))
    comparison = Comparison(
        started=started.isoformat(timespec="seconds"),
        minutes=asked,
        estimated_seconds=sum(cost.total(count) for cost in costs),
        seconds=0.0,
        interrupted=False,
        seed=seed,
        data=images.info,
        machine=machine(where),
        execution=execution,
        nets=(),
    )
    listener(Planned(comparison, tuple(j.name for j in jobs), tuple(c.total(count) for c in costs), count))
    jobs = [replace(job, recipe=replace(job.recipe, epochs=count)) for job in jobs]
    if folder is not None and overwrite:
        compare_anew(folder)
    return _run_all(jobs, comparison, images.to(where), listener, folder, lambda: time.perf_counter() - began)


def _check(epochs: int | None, minutes: float | None) -> None:
    if epochs is not None and minutes is not None:
        raise UserError(
            "both epochs and minutes were given: epochs fix the length, minutes let it be measured; give one"
        )
    if epochs is not None and epochs < 1:
        raise UserError(f"epochs must be at least 1, got {epochs}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise UserError(f"minutes must be a positive number, got {minutes}")


def _refuse_held(folder: Path | None, overwrite: bool) -> None:
    """Raise UserError where a comparison would be lost that was not said to be."""
    if folder is None and overwrite:
        raise UserError("overwrite needs the folder of the comparison that it is about: give output")
    if folder is not None and not overwrite and (folder / COMPARE_FILE).exists():
        raise UserError(
            f"{folder}: holds a comparison: see it (gradpath report {folder}), begin anew (--overwrite, "
            "overwrite=True), or name another folder"
        )


def default_jobs(images: Images, depth: int, quick: bool) -> list[Job]:
    """The nets of the comparison, quickest answers first."""
    info = images.info
    recipe = Recipe(epochs=1, augment="flip")

    def spec(**fields: object) -> NetSpec:
        shape = {"classes": len(info.classes), "input_size": info.image_size, "input_channels": info.channels}
        return NetSpec(**{"depth": depth, **shape, **fields})  # type: ignore[arg-type]

    def without_norm(name: str, init: str) -> Job:
        steps = _QUICK_TRIAL_STEPS if quick else _TRIAL_STEPS
        return Job(name, spec(family="plain", norm="none", init=init), recipe, _LEARNING_RATES, steps)

    bare = without_norm(f"plain {depth}, no norm", "default")
    plain = Job(f"plain {depth}, BatchNorm", spec(family="plain"), recipe)
    residual = Job(f"residual {depth}", spec(family="residual"), recipe)
    if quick:
        return [bare, plain, residual]
    he = without_norm(f"plain {depth}, He", "he")
    shallow = [Job(f"plain {_SHALLOW_DEPTH}, BatchNorm", spec(family="plain", depth=_SHALLOW_DEPTH), recipe)]
    dense = dense_twin(residual.spec)
    return [
        bare,
        he,
        *(shallow if depth > _SHALLOW_DEPTH else []),
        plain,
        residual,
        Job(f"dense {dense.depth}", dense, recipe),
    ]


def dense_twin(residual: NetSpec) -> NetSpec:
    """The DenseNet-BC of the nearest legal depth (6n+4) and the growth rate with the nearest cost in MACs."""
    depth = max(10, residual.depth + 2)  # 6n+2 → 6n+4
    goal = macs(residual)

    def of(rate: int) -> NetSpec:
        return replace(
            residual, family="dense", depth=depth, bottleneck=True, compression=0.5, growth_rate=rate, width=2 * rate
        )

    return min((of(rate) for rate in range(4, 2 * _GROWTH_RATE + 1)), key=lambda spec: abs(macs(spec) - goal))


@dataclass(frozen=True)
class Cost:
    """Seconds that one net takes: `once`, and for each epoch."""

    once: float
    epoch: float

    def total(self, epochs: int) -> float:
        return self.once + epochs * self.epoch

    @classmethod
    def of(cls, job: Job, images: Images, step_seconds: float) -> Cost:
        info, batch = images.info, job.recipe.batch_size
        tests = _EVALUATION * info.test_images / batch
        return cls(
            once=step_seconds * (len(job.learning_rates) * job.trial_steps + 2 * _TRACE),
            epoch=step_seconds * (info.train_images // batch + tests),
        )


def _measured(jobs: list[Job], images: Images, where: torch.device) -> tuple[Execution, list[Cost]]:
    """How a step is computed on this machine, and what each net takes there."""
    probe = Probe(where, jobs[0].recipe.batch_size)
    execution = probe.choose(next(job.spec for job in jobs if job.spec.family == "residual"))
    seconds = _step_seconds(jobs, probe, execution)
    return execution, [Cost.of(job, images, each) for job, each in zip(jobs, seconds, strict=True)]


def _step_seconds(jobs: list[Job], probe: Probe, execution: Execution) -> list[float]:
    """Seconds of one training step of each net: measured while the probe has time, else from MACs."""
    measured: dict[NetSpec, float] = {}
    kinds = [replace(job.spec, init="he") for job in jobs]  # how a net is initialised does not change its cost
    blocks = partial(fuse, backend=jobs[0].backend or "reference", keep=KEEP, say=lambda line: None)
    for spec in dict.fromkeys(reversed(kinds)):  # dense nets first: MACs tell least about them
        seconds = probe.step_seconds(spec, execution.precision, execution.layout, blocks)
        if seconds is not None:
            measured[spec] = seconds
    rates = [seconds / macs(spec) for spec, seconds in measured.items()] or [_SECONDS_PER_MAC]
    typical = sum(rates) / len(rates)
    return [measured.get(spec, macs(spec) * typical) for spec in kinds]


def fit_epochs(costs: list[Cost], seconds: float) -> int:
    """The most epochs that end within about `seconds`; at least one."""
    left = _SLACK * seconds - sum(cost.once for cost in costs)
    return max(1, int(left / sum(cost.epoch for cost in costs)))


def _run_all(
    jobs: list[Job],
    comparison: Comparison,
    images: Images,
    listener: Listener,
    folder: Path | None,
    elapsed: Callable[[], float],
) -> Comparison:
    nets: list[RunRecord] = []
    weights = folder if can_keep_weights() else None
    execution = comparison.execution
    for job in jobs:
        try:
            nets.append(run_job(job, images, execution, comparison.seed, listener, weights))
            interrupted = nets[-1].interrupted
        except KeyboardInterrupt:  # before its first step: this net has nothing to keep
            interrupted = True
        used = ", ".join(dict.fromkeys(net.execution.backend for net in nets)) or execution.backend
        ran = replace(execution, backend=used)
        comparison = replace(comparison, nets=tuple(nets), execution=ran, seconds=elapsed(), interrupted=interrupted)
        if folder is not None:
            comparison.save(folder / COMPARE_FILE)
        if interrupted:
            break
    return comparison
