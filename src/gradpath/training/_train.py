"""`train`: what is asked for, checked and looked up; `_run` does it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from gradpath.errors import MissingExtraError, UserError
from gradpath.nets import NetSpec, data_of
from gradpath.record import Execution, Recipe, RunRecord
from gradpath.training._data import VALIDATION, Images, load_images
from gradpath.training._distributed import Team, team_of
from gradpath.training._events import Listener, ignore
from gradpath.training._fitting import fitting
from gradpath.training._folder import RUN_FILE, can_keep_weights, claimed
from gradpath.training._job import Job, Ready
from gradpath.training._machine import pick_device
from gradpath.training._planning import Budget
from gradpath.training._recipes import DEFAULT, RECIPES
from gradpath.training._recipes import recipe as recipe_named
from gradpath.training._resume import EVERY_SECONDS, Keeper
from gradpath.training._run import get_ready, run_ready
from gradpath.training._start import Model, Weights
from gradpath.training._sync_norm import synchronise_norms

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
    backend: str | None = None,
    memory: str | int | None = None,
    largest_batch: bool = False,
    output: PathLike | None = None,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
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
        output: a folder for run.json, split.json (which images were held out) and the weights; None writes nothing. One
            that holds a run already is refused.
        execution: precision, memory layout, blocks and threads; None measures which precision and layout are fastest.
        backend: of the blocks, as for `gp.fuse`: 'auto', the fastest that this machine has, 'compiled' or 'reference';
            None: the execution's where one is given, else 'auto'.
        memory: what a step and the images may take on the device, as for `gp.plan` (bytes, '4GiB', '80%', 'auto'): the
            net is trained by the fastest plan that fits, which the record keeps; None trains without one.
        largest_batch: compute the recipe's batch in as few parts as fit the memory ('auto' where none is given).
        name: what the record calls the net; None: as it is called.
        resume: go on where a run into `output` was stopped, as if it had not been: all else must be as it was then,
            but execution and plan are the run's. A run that is not there begins, one that is finished is returned.
        overwrite: begin anew in an `output` that holds a run: what is there goes before the first step.
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
    if (resume or overwrite) and output is None:
        raise UserError(
            f"{'resume' if resume else 'overwrite'} needs the folder of the run that it is about: give output"
        )
    if resume and overwrite:
        raise UserError("resume goes on with a run, overwrite begins anew: give one of them")
    if output is not None and not can_keep_weights():
        raise MissingExtraError("safetensors", "build", "keeping the weights")
    given = Weights(weights) if isinstance(weights, str | os.PathLike) else weights
    budget = Budget(memory or "auto", largest_batch) if memory is not None or largest_batch else None
    with team_of(device) as (team, own):
        keeper = Keeper(None if output is None else Path(output), team, snapshot_seconds, arguments, listener)
        if (done := keeper.open(resume, overwrite)) is not None:
            return done
        images = images_for(data, given).to(pick_device(own))
        job = Job(
            name or name_of(net, images),
            net,
            recipe_for(recipe, given),
            budget=budget,
            weights=given,
            validation=validation,
            backend=backend,
            watch=watch,
        )
        ready = share_out(get_ready(job, images, seed), team, sync_norm)
        with claimed(keeper.run) as folder:
            record = run_ready(ready, execution, folder, keeper)
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
        raise UserError(
            "a plan is for one process: under torchrun leave out memory and --batch-size auto (largest_batch=True)"
        )
    if min(recipe.batch_size, images) < team.size * recipe.accumulate:
        whole = f"{min(recipe.batch_size, images)} images"
        raise UserError(f"a batch of {whole} cannot be shared by {team.size} processes: give a larger batch_size")
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
    """What a record calls a net: by the name that it was asked for, if it was by one."""
    if isinstance(net, NetSpec | str):
        label = fitting(net, images).label  # raises for a name that there is not
        return net if isinstance(net, str) else label
    return type(net).__name__ if isinstance(net, nn.Module) else getattr(net, "__name__", "model")
