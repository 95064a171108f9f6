"""Training one net, from its specification to its record and its weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from gradpath.errors import MissingExtraError, UserError
from gradpath.nets import NetSpec, data_of
from gradpath.record import Evaluation, Execution, Recipe, RunRecord
from gradpath.training._backend import fuse_as, of_plan, with_fused_blocks
from gradpath.training._batches import as_seen, prepared
from gradpath.training._blank import blank_record, parts_note
from gradpath.training._classify import counted, predictions
from gradpath.training._data import VALIDATION, Images, hold_out, load_images
from gradpath.training._distributed import Team, team_of
from gradpath.training._events import Listener, NetDone, NetPlanned, NetStarted, ignore
from gradpath.training._fitting import fitting as fitting
from gradpath.training._folder import SPLIT_FILE as SPLIT_FILE
from gradpath.training._folder import can_keep_weights as can_keep_weights
from gradpath.training._folder import claim as claim
from gradpath.training._folder import claimed, save, save_split
from gradpath.training._frozen import freeze
from gradpath.training._job import Job as Job
from gradpath.training._job import Ready
from gradpath.training._logs import watched
from gradpath.training._looks import Looks
from gradpath.training._loop import Loop
from gradpath.training._machine import Probe, has_bf16, pick_device
from gradpath.training._planning import Budget, by_plan, planned
from gradpath.training._recipes import DEFAULT, RECIPES
from gradpath.training._recipes import recipe as recipe_named
from gradpath.training._resume import EVERY_SECONDS, Keeper
from gradpath.training._saving import RUN_FILE as RUN_FILE
from gradpath.training._start import Model, Weights, begin
from gradpath.training._sync_norm import synchronise_norms
from gradpath.training._trials import best_rate as best_rate
from gradpath.training._trials import try_rates

PathLike = str | os.PathLike[str]
TRAIN_RECIPE = DEFAULT


def train(
    net: Model,
    data: PathLike | Images | None = None,
    *,
    recipe: Recipe | str | None = None,
    weights: PathLike | Weights | None = None,
    validation: float = VALIDATION,
    seed: int = 0,
    device: str | None = None,
    execution: Execution | None = None,
    backend: str = "auto",
    memory: str | int | None = None,
    largest_batch: bool = False,
    output: PathLike | None = None,
    name: str | None = None,
    resume: bool = False,
    snapshot_seconds: float = EVERY_SECONDS,
    sync_norm: bool = False,
    watch: bool = False,
    arguments: Sequence[str] = (),
    listener: Listener = ignore,
) -> RunRecord:
    """Train one net and return its record.

    A fraction of each class's training images is held out to validate on; the weights of the epoch that is best on
    them are kept, and the test images are read once, by these.

    Args:
        net: a specification or a name such as 'resnet-20' (a name takes classes, size and channels from the data), or
            any module that turns images N C H W into N classes: a copy of it is trained, its classifier replaced where
            it is for another number of classes. Or a function that makes one.
        data: what `load_images` takes: 'fashion-mini' (shipped), an .npz file, a folder of photos; or images.
        recipe: or its name, such as 'he2015'. None: 'default', with weights to start from 'finetune'.
        weights: a file to start from (ours, torchvision's, timm's …), the classifier left out where its classes are
            others; `Weights` also says how its images were normalised.
        validation: the fraction held out; 0 holds none out, and keeps the weights of the last epoch.
        output: a folder for run.json, split.json (which images were held out) and the weights; None writes nothing.
        execution: precision and memory layout; None measures which is fastest.
        backend: of the blocks, as for `gp.fuse`: 'auto', the fastest that this machine has, 'compiled' or 'reference'.
        memory: what a step and the images may take on the device, as for `gp.plan` (bytes, '4GiB', '80%', 'auto'): the
            net is trained by the fastest plan that fits, which the record keeps; None trains without one.
        largest_batch: compute the recipe's batch in as few parts as fit the memory ('auto' where none is given).
        name: what the record calls the net; None: as it is called.
        resume: go on where a run into `output` was stopped, as if it had not been: all else must be as it was then,
            but execution and plan are the run's. A run that is not there begins, one that is finished is returned.
        snapshot_seconds: how often the state is written to OUTPUT/snapshots, besides at the end of each epoch; less
            often where that would take more than 1 % of the time. 0: after every step, whatever it takes.
        sync_norm: under torchrun, let BatchNorm see the images of all processes.
        watch: have `gp.watch` look at the net; its reports go to OUTPUT/watch.
        arguments: of the command line, kept for `gradpath train --resume`.
        listener: called with news (the events of `gradpath.training`).

    Under torchrun each process takes its part of every batch, the first one writes and speaks, and all return its
    record. Raises DataError, SpecError, WeightsError, SnapshotError, UserError, MemoryBudgetError. Ctrl-C ends the
    training after the step that is under way: the record says `interrupted`.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise UserError(f"seed must be a whole number from 0 on and below 2⁶³, got {seed!r}")
    if resume and output is None:
        raise UserError("resume needs the folder of the run to go on with: give output")
    if output is not None and not can_keep_weights():
        raise MissingExtraError("safetensors", "build", "keeping the weights")
    given = Weights(weights) if isinstance(weights, str | os.PathLike) else weights
    budget = Budget(memory or "auto", largest_batch) if memory is not None or largest_batch else None
    with team_of(device) as (team, own):
        keeper = Keeper(None if output is None else Path(output), team, snapshot_seconds, arguments, listener)
        if (done := keeper.open(resume)) is not None:
            return done
        images = images_for(data, given).to(pick_device(own))
        recipe = recipe_for(recipe, given)
        job = Job(
            name or name_of(net, images),
            net,
            recipe,
            budget=budget,
            weights=given,
            validation=validation,
            backend=backend,
            watch=watch,
        )
        ready = get_ready(job, images, seed)
        ready = share_out(ready, team, sync_norm)
        with claimed(keeper.run) as folder:
            record = run_ready(ready, execution, keeper.listener, folder, keeper)
            if folder is not None:
                record.save(folder / RUN_FILE)
                keeper.close(record)
        return team.first(lambda: record)


def share_out(ready: Ready, team: Team, sync_norm: bool) -> Ready:
    """Make the net fit for several processes. Raises UserError for what they cannot share."""
    if team.size == 1:
        return _noted(ready, "sync_norm changes nothing in one process: it is for torchrun") if sync_norm else ready
    recipe, images = ready.job.recipe, ready.images.info.train_images
    if ready.job.budget is not None:
        raise UserError("--memory and --batch-size auto are for one process: leave them out under torchrun")
    if min(recipe.batch_size, images) < team.size * recipe.accumulate:
        whole = f"{min(recipe.batch_size, images)} images"
        raise UserError(f"a batch of {whole} cannot be shared by {team.size} processes: give a larger --batch-size")
    norms = synchronise_norms(ready.beginning.net) if sync_norm else 0
    note = f"trained by {team.size} processes" + (", BatchNorm over the images of all" if norms else "")
    return _noted(ready, note)


def _noted(ready: Ready, note: str) -> Ready:
    return replace(ready, beginning=replace(ready.beginning, notes=(*ready.beginning.notes, note)))


def recipe_for(asked: Recipe | str | None, weights: Weights | None) -> Recipe:
    """The recipe asked for; where none was, the default one. Raises UserError for an unknown name."""
    if asked is None:
        return TRAIN_RECIPE if weights is None else RECIPES["finetune"]
    return recipe_named(asked) if isinstance(asked, str) else asked


def images_for(data: PathLike | Images | None, weights: Weights | None) -> Images:
    """The data set; photos in the size that the weights were trained on, where these say it."""
    stored = None if weights is None else data_of(weights.file)
    return load_images(data, photo_size=None if stored is None else stored.image_size)


def name_of(net: Model, images: Images) -> str:
    if isinstance(net, NetSpec | str):
        return fitting(net, images).label
    return type(net).__name__ if isinstance(net, nn.Module) else getattr(net, "__name__", "model")


def get_ready(job: Job, images: Images, seed: int) -> Ready:
    """Split the images and make the net. Raises what is wrong with either, before anything is written."""
    held, split = hold_out(images, job.validation or 0.0, seed)
    beginning = begin(job.model, as_seen(held, job.recipe), seed, job.weights)
    beginning = replace(beginning, images=prepared(beginning.images, job.recipe))
    return Ready(job, beginning, split, seed)


def choose_execution(ready: Ready) -> Execution:
    """The fastest way on this machine, measured for nets of ours."""
    device, spec = ready.images.train_images.device, ready.beginning.spec
    if spec is not None:
        return Probe(device, ready.job.recipe.batch_size).choose(spec)
    precision = "bfloat16" if device.type == "cuda" and has_bf16(device) else "float32"
    reason = "not measured: the model is not one of gradpath's own"
    return Execution(precision=precision, layout="channels_last", reason=reason)  # type: ignore[arg-type]


def run_job(
    job: Job, images: Images, execution: Execution, seed: int, listener: Listener, folder: Path | None
) -> RunRecord:
    """Train a net of a comparison."""
    return run_ready(get_ready(job, images, seed), execution, listener, folder)


def run_ready(
    ready: Ready, execution: Execution | None, listener: Listener, folder: Path | None, keeper: Keeper | None = None
) -> RunRecord:
    """Choose how to compute, a learning rate and a plan if asked to; trace, train, trace again, save the weights."""
    keeper = keeper or Keeper(None)
    if keeper.resumed is not None:
        record, trained = _taken_up(ready, keeper)
    else:
        chosen = keeper.team.first(lambda: execution or choose_execution(ready))
        record, trained = _prepared(ready, blank_record(ready, chosen), listener, keeper.team)
    if folder is not None:
        save_split(ready.split, folder)
    if not record.interrupted:
        listener(NetStarted(record, "training"))
        record = _train_and_trace(record, ready, trained, listener, folder, keeper)
    listener(NetDone(record))
    return record


def _prepared(ready: Ready, record: RunRecord, listener: Listener, team: Team) -> tuple[RunRecord, nn.Module]:
    """The record with all that is chosen before the first step, and the module that trains."""
    job, trained = ready.job, ready.beginning.net
    if job.learning_rates:
        listener(NetStarted(record, "finding lr"))
        trials, interrupted = try_rates(ready, record.execution)
        record = replace(record, trials=trials, interrupted=interrupted)
        record = replace(record, recipe=replace(job.recipe, learning_rate=best_rate(trials, job.recipe.learning_rate)))
    if not record.interrupted:
        _freeze(ready, record)
        if job.budget is not None:
            listener(NetStarted(record, "planning"))
            plan, recipe, trained = planned(
                trained, ready.images, record.recipe, record.execution, job.budget, job.backend
            )
            notes = (*record.notes, *parts_note(recipe, ready.images.info.train_images))
            execution = of_plan(plan, record.execution)
            record = replace(record, recipe=recipe, execution=execution, plan=replace(plan, layers=()), notes=notes)
            listener(NetPlanned(record))
        else:
            device = ready.images.train_images.device
            record = replace(record, execution=with_fused_blocks(trained, record.execution, job.backend, device, team))
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
        freeze(ready.beginning.net, ready.beginning.net.get_submodule(ready.beginning.head))


def make_loop(record: RunRecord, ready: Ready, trained: nn.Module, listener: Listener) -> Loop:
    """The loop of a run. `trained` is the net itself, or what trains it by a plan."""
    head = ready.beginning.net.get_submodule(ready.beginning.head)
    loop = Loop(trained, ready.images, record.recipe, record.execution, record.seed, listener, record.name, head)
    loop.tests_each_epoch = ready.job.validation is None
    return loop


def _train_and_trace(
    record: RunRecord, ready: Ready, trained: nn.Module, listener: Listener, folder: Path | None, keeper: Keeper
) -> RunRecord:
    net, images = ready.beginning.net, ready.images
    loop = make_loop(record, ready, trained, listener)
    looks = Looks(net, images, loop, record, reads_test=loop.tests_each_epoch, looks=keeper.team.leads)
    watching = watched(loop, folder, ready.job.watch)
    with keeper.keeping(loop, record, images, ready.job.recipe, looks.initial), watching:
        outcome = loop.run()
    loop.adopt()
    rescued = loop.best.rescued() if outcome.diverged_at_step is not None else ()
    gradient = looks.history()
    sound = outcome.steps > 0 and outcome.diverged_at_step is None
    finished = sound and not outcome.interrupted
    record = replace(
        record,
        epochs=tuple(outcome.epochs),
        steps=outcome.steps,
        diverged_at_step=outcome.diverged_at_step,
        diverged_in=outcome.diverged_in,
        interrupted=outcome.interrupted,
        gradient=gradient,
        notes=(*record.notes, *looks.notes, *rescued),
        best_epoch=loop.best.epoch,
        test=_tested(trained, images, loop, record.name) if finished and keeper.team.leads else None,
    )
    return replace(record, weights=save(net, folder, record) if folder is not None and (sound or rescued) else None)


def _tested(net: nn.Module, images: Images, loop: Loop, name: str) -> Evaluation:
    """The test images, classified by the weights that were kept."""
    return counted(predictions(net, images.test_images, loop.batches), images.test_labels, images.info, name=name)
