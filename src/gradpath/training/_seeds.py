"""The same training from several seeds: what of a result is chance."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gradpath.errors import UserError
from gradpath.record import DataInfo, DataSplit, Recipe, RunRecord, SeedRun, Seeds, read
from gradpath.training._data import VALIDATION, Images
from gradpath.training._distributed import team_of
from gradpath.training._events import Listener, SeedStarted, ignore
from gradpath.training._folder import RUN_FILE, SEEDS_FILE, SPLIT_FILE, claim
from gradpath.training._start import Model, Weights
from gradpath.training._train import images_for, name_of, recipe_for, train


def train_seeds(
    net: Model,
    data: str | os.PathLike[str] | Images | None = None,
    *,
    seeds: int = 5,
    seed: int = 0,
    output: str | os.PathLike[str],
    recipe: Recipe | str | None = None,
    weights: str | os.PathLike[str] | Weights | None = None,
    name: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    listener: Listener = ignore,
    **how: Any,
) -> Seeds:
    """Train a net from `seeds` seeds, the first of them `seed`, and return their results side by side.

    Each run goes to its own folder, OUTPUT/seed-N; OUTPUT/seeds.json is written anew after each. A run that is there
    already and was finished is not made again, so that what was interrupted goes on, but with `overwrite`. The seed
    chooses the initial weights, the order of the images and those held out to validate; the test images are always the
    same.

    `how`: all else as in `train`. Raises as `train`, and UserError where OUTPUT holds other runs.
    """
    if seeds < 1:
        raise UserError(f"the number of seeds must be at least 1, got {seeds}")
    given = Weights(weights) if isinstance(weights, str | os.PathLike) else weights
    folder = Path(output)
    if (folder / RUN_FILE).exists():
        raise UserError(f"{folder}: holds a single run, which seeds would lie beside: name another folder")
    images = images_for(data, given)
    recipe = recipe_for(recipe, given)
    called = name or name_of(net, images)
    asked = _Asked(called, recipe, images.info, given, how.get("validation", VALIDATION))
    runs: list[RunRecord] = []
    how |= {"recipe": recipe, "weights": given, "name": called, "resume": not overwrite, "overwrite": overwrite}
    with team_of(device) as (team, own):
        if overwrite and team.leads:  # its runs go one by one
            (folder / SEEDS_FILE).unlink(missing_ok=True)
        for number in range(seeds):
            place = folder / f"seed-{seed + number}"
            record = None if overwrite else team.first(partial(_finished, place, asked, seed + number))
            if team.leads:
                listener(SeedStarted(seed + number, number + 1, seeds, there=record is not None))
            if record is None:
                more = _same_execution(how, runs)
                record = train(net, images, seed=seed + number, output=place, device=own, listener=listener, **more)
            runs.append(record)
            together = _together(called, seeds, runs, how.get("arguments", ()))
            if team.leads:
                together.save(claim(folder) / SEEDS_FILE)
            if record.interrupted:
                break
    return together


def _together(name: str, asked: int, runs: list[RunRecord], arguments: Sequence[str]) -> Seeds:
    """The runs so far, side by side."""
    return Seeds(
        name=name,
        asked=asked,
        recipe=runs[0].recipe,
        data=runs[0].data,
        runs=tuple(SeedRun.of(run, f"seed-{run.seed}") for run in runs),
        interrupted=runs[-1].interrupted,
        arguments=tuple(arguments),
    )


def _same_execution(how: dict[str, Any], runs: list[RunRecord]) -> dict[str, Any]:
    """What the first run's probe chose is used by all."""
    if how.get("execution") is not None or not runs:
        return how
    return how | {"execution": runs[0].execution, "backend": runs[0].execution.backend}


@dataclass(frozen=True)
class _Asked:
    """What the runs of all seeds have in common."""

    name: str
    recipe: Recipe
    data: DataInfo
    """Before images are held out."""
    weights: Weights | None
    validation: float

    def differs(self, run: RunRecord, split: DataSplit | None) -> str | None:
        """What of a finished run is not as asked, in a word; None: nothing."""
        start = None if self.weights is None else Path(self.weights.file).name
        same = {
            "name": run.name == self.name,
            "recipe": replace(run.recipe, accumulate=self.recipe.accumulate) == self.recipe,
            "data": _images_of(run.data, self.recipe) == _images_of(self.data, self.recipe),
            "file of weights": (None if run.start is None else run.start.weights) == start,
            "validation": (0 if split is None else split.fraction) == self.validation,
        }
        return next((what for what, holds in same.items() if not holds), None)


def _images_of(info: DataInfo, recipe: Recipe) -> tuple[object, ...]:
    """What tells one set of images from another, whichever of them are held out."""
    size = info.image_size if recipe.crop_size is None else None  # else a run's is that of the crops
    return info.name, info.classes, info.train_images + info.validation_images, info.test_images, size


def _finished(folder: Path, asked: _Asked, seed: int) -> RunRecord | None:
    """The run that is in the folder; None where there is none, or one that was interrupted."""
    file = folder / RUN_FILE
    if not file.is_file():
        return None
    found = read(file)
    if not isinstance(found, RunRecord):
        raise UserError(f"{file}: is no training run: name another output")
    split = read(folder / SPLIT_FILE) if (folder / SPLIT_FILE).is_file() else None
    differs = asked.differs(found, split if isinstance(split, DataSplit) else None)
    differs = "seed" if differs is None and found.seed != seed else differs
    if differs is not None:
        raise UserError(
            f"{file}: is a run of {found.name}, seed {found.seed}, with another {differs}: name another output"
        )
    return None if found.interrupted else found
