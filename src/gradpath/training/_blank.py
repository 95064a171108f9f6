"""The record of a run that has not begun, and what there is to say of it beforehand."""

from __future__ import annotations

from gradpath.record import DataInfo, Execution, Recipe, RunRecord
from gradpath.training._job import Ready
from gradpath.training._machine import machine
from gradpath.training._start import Beginning

_UNEVEN = 2.0  # times as many images in the largest class as in the smallest: from here on that is said


def blank_record(ready: Ready, execution: Execution) -> RunRecord:
    """The record of a run that has not begun."""
    job, begun = ready.job, ready.beginning
    spec, images = begun.spec, begun.images
    return RunRecord(
        name=job.name,
        family=None if spec is None else spec.family,
        depth=begun.depth,
        norm=None if spec is None else spec.norm,
        parameters=sum(parameter.numel() for parameter in begun.net.parameters()),
        macs=begun.macs,
        seed=ready.seed,
        spec=spec,
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
        start=begun.start,
        notes=(*begun.notes, *_recipe_notes(begun, job.recipe)),
    )


def _recipe_notes(begun: Beginning, recipe: Recipe) -> tuple[str, ...]:
    notes = uneven_note(begun.images.info, recipe.balance)
    if recipe.freeze:
        own = sum(parameter.numel() for parameter in begun.net.get_submodule(begun.head).parameters())
        total = sum(parameter.numel() for parameter in begun.net.parameters())
        notes += (f"frozen: all but {begun.head} ({own:,} of {total:,} parameters learn), its norms in eval mode",)
        if begun.start is None and begun.spec is not None:
            notes += ("what is frozen is random, as the net began: no weights were given to start from",)
    return notes


def uneven_note(info: DataInfo, balance: bool) -> tuple[str, ...]:
    """What there is to say of classes that differ in size."""
    named = sorted(zip(info.class_shares, info.classes, strict=False))
    if not named or named[-1][0] < _UNEVEN * named[0][0]:
        return ()
    (low, few), (high, many) = named[0], named[-1]
    counts = f"{few} has {round(low * info.train_images):,} training images, {many} {round(high * info.train_images):,}"
    done = "each is drawn equally often" if balance else "balance draws each equally often"
    return (f"the classes are uneven: {counts}; {done}",)


def skips_note(skipped: int, steps: int) -> tuple[str, ...]:
    """That steps changed nothing."""
    if not skipped:
        return ()
    return (f"{skipped} of {steps} steps were skipped: their gradients were not finite",)


def parts_note(recipe: Recipe, train_images: int) -> tuple[str, ...]:
    """That a batch is computed in parts, and what that changes."""
    if recipe.accumulate == 1:
        return ()
    batch = min(recipe.batch_size, train_images)
    size = -(-batch // recipe.accumulate)
    parts = f"{recipe.accumulate} parts of {size}"
    return (f"a batch of {batch} is computed in {parts} to fit the memory: BatchNorm sees a part at a time",)
