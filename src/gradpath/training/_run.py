"""One net, from what is asked of it to its record: made ready, prepared, trained, looked at, tested, saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from gradpath.record import Evaluation, Execution, RunRecord
from gradpath.training._backend import fuse_as, of_plan, with_fused_blocks
from gradpath.training._batches import as_seen, prepared
from gradpath.training._blank import blank_record, parts_note, skips_note
from gradpath.training._classify import counted, predictions
from gradpath.training._data import Images, hold_out
from gradpath.training._events import Listener, NetDone, NetPlanned, NetStarted
from gradpath.training._folder import save, save_split
from gradpath.training._frozen import freeze
from gradpath.training._job import Job, Ready
from gradpath.training._logs import watched
from gradpath.training._looks import Looks
from gradpath.training._loop import Loop
from gradpath.training._machine import Probe, has_bf16, own_threads
from gradpath.training._planning import by_plan, planned
from gradpath.training._resume import Keeper
from gradpath.training._start import begin
from gradpath.training._trials import best_rate, try_rates


def get_ready(job: Job, images: Images, seed: int) -> Ready:
    """Split the images and make the net. Raises what is wrong with either, before anything is written."""
    held, split = hold_out(images, job.validation or 0.0, seed)
    beginning = begin(job.model, as_seen(held, job.recipe), seed, job.weights)
    beginning = replace(beginning, images=prepared(beginning.images, job.recipe))
    return Ready(job, beginning, split, seed)


def run_job(
    job: Job, images: Images, execution: Execution, seed: int, listener: Listener, folder: Path | None
) -> RunRecord:
    """Train a net of a comparison."""
    return run_ready(get_ready(job, images, seed), execution, folder, Keeper(None, listener=listener))


def run_ready(ready: Ready, execution: Execution | None, folder: Path | None, keeper: Keeper) -> RunRecord:
    """Choose how to compute, a learning rate and a plan if asked to; trace, train, trace again, save the weights."""
    with own_threads(keeper.threads or (None if execution is None else execution.threads)):
        if keeper.resumed is not None:
            record, trained = _taken_up(ready, keeper)
        else:
            record, trained = _prepared(ready, execution, keeper)
        if folder is not None:
            save_split(ready.split, folder)
        if not record.interrupted:
            keeper.listener(NetStarted(record, "training"))
            record = _train_and_trace(record, ready, trained, folder, keeper)
        keeper.listener(NetDone(record))
    return record


# ------------------------------------------------------------ before the first step


def choose_execution(ready: Ready) -> Execution:
    """The fastest way on this machine, measured for nets of ours."""
    device, spec = ready.images.train_images.device, ready.beginning.spec
    if spec is not None:
        return Probe(device, ready.job.recipe.batch_size).choose(spec)
    precision = "bfloat16" if device.type == "cuda" and has_bf16(device) else "float32"
    reason = "not measured: the model is not one of gradpath's own"
    return Execution(precision=precision, layout="channels_last", reason=reason)  # type: ignore[arg-type]


def _prepared(ready: Ready, asked: Execution | None, keeper: Keeper) -> tuple[RunRecord, nn.Module]:
    """The record with all that is chosen before the first step, and the module that trains."""
    job, net = ready.job, ready.beginning.net
    record = blank_record(ready, keeper.team.first(lambda: asked or choose_execution(ready)))
    if job.learning_rates:
        keeper.listener(NetStarted(record, "finding lr"))
        trials, interrupted = try_rates(ready, record.execution)
        record = replace(record, trials=trials, interrupted=interrupted)
        record = replace(record, recipe=replace(job.recipe, learning_rate=best_rate(trials, job.recipe.learning_rate)))
        if interrupted:
            return record, net
    _freeze(ready, record)
    backend = job.backend or ("auto" if asked is None else asked.backend)
    if job.budget is not None:
        return _planned(record, ready, backend, keeper)
    device = ready.images.train_images.device
    return replace(record, execution=with_fused_blocks(net, record.execution, backend, device, keeper.team)), net


def _planned(record: RunRecord, ready: Ready, backend: str, keeper: Keeper) -> tuple[RunRecord, nn.Module]:
    """The same inside a memory."""
    job, images = ready.job, ready.images
    assert job.budget is not None
    keeper.listener(NetStarted(record, "planning"))
    plan, recipe, trained = planned(ready.beginning.net, images, record.recipe, record.execution, job.budget, backend)
    notes = (*record.notes, *parts_note(recipe, images.info.train_images))
    execution = of_plan(plan, record.execution)
    record = replace(record, recipe=recipe, execution=execution, plan=replace(plan, layers=()), notes=notes)
    keeper.listener(NetPlanned(record))
    return record, trained


def _taken_up(ready: Ready, keeper: Keeper) -> tuple[RunRecord, nn.Module]:
    """The same of a run that goes on: nothing is chosen anew."""
    assert keeper.resumed is not None
    record = keeper.resumed.record
    keeper.check(blank_record(ready, record.execution), ready.images)
    _freeze(ready, record)
    if record.plan is None:
        fuse_as(ready.beginning.net, record.execution)
    return record, by_plan(ready.beginning.net, ready.images, record)


def _freeze(ready: Ready, record: RunRecord) -> None:
    if record.recipe.freeze:
        freeze(ready.beginning.net, ready.head)


# ------------------------------------------------------------ the training itself


def make_loop(record: RunRecord, ready: Ready, trained: nn.Module, listener: Listener) -> Loop:
    """The loop of a run. `trained` is the net itself, or what trains it by a plan."""
    recipe, execution, seed = record.recipe, record.execution, record.seed
    loop = Loop(trained, ready.images, recipe, execution, seed, listener, record.name, ready.head)
    loop.tests_each_epoch = ready.job.validation is None
    return loop


def _train_and_trace(
    record: RunRecord, ready: Ready, trained: nn.Module, folder: Path | None, keeper: Keeper
) -> RunRecord:
    net, images = ready.beginning.net, ready.images
    loop = make_loop(record, ready, trained, keeper.listener)
    looks = Looks(net, images, loop, record, reads_test=loop.tests_each_epoch, looks=keeper.team.leads)
    watching = watched(loop, folder, ready.job.watch)
    with keeper.keeping(loop, record, images, ready.job.recipe, looks.initial), watching:
        outcome = loop.run()
    loop.adopt()
    rescued = loop.best.rescued() if outcome.diverged_at_step is not None else ()
    gradient = looks.history()  # which may find that the weights are not sound
    sound = outcome.steps > 0 and outcome.diverged_at_step is None
    tested = sound and not outcome.interrupted and keeper.team.leads
    record = replace(
        record,
        epochs=tuple(outcome.epochs),
        steps=outcome.steps,
        skipped_steps=outcome.skipped,
        diverged_at_step=outcome.diverged_at_step,
        diverged_in=outcome.diverged_in,
        interrupted=outcome.interrupted,
        gradient=gradient,
        notes=(*record.notes, *looks.notes, *skips_note(outcome.skipped, outcome.steps), *rescued),
        best_epoch=loop.best.epoch,
        test=_tested(trained, images, loop, record.name) if tested else None,
    )
    return replace(record, weights=save(net, folder, record) if folder is not None and (sound or rescued) else None)


def _tested(net: nn.Module, images: Images, loop: Loop, name: str) -> Evaluation:
    """The test images, classified by the weights that were kept."""
    return counted(predictions(net, images.test_images, loop.batches), images.test_labels, images.info, name=name)
