"""Record the runs that the explainer's last part shows, and thin the gallery for it.

    python scripts/record_explainer.py runs      # trains six nets for three epochs, about half an hour on one core
    python scripts/record_explainer.py widths    # depth against width at equal cost: 18 short trainings
    python scripts/record_explainer.py gallery   # from bench/results/gallery.json

Each writes a file under src/gradpath/report/assets/explain, again after every net, with machine, versions, seeds, date.
Numbers keep four digits.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

import gradpath as gp
from gradpath.nets import NetSpec, build, macs, parameters
from gradpath.record import Execution, Flow, PathLengths, Recipe
from gradpath.training._compare import default_jobs
from gradpath.training._data import Images, load_images
from gradpath.training._events import EpochDone, Event, Progress, ignore
from gradpath.training._job import Job
from gradpath.training._loop import Loop
from gradpath.training._machine import machine

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "src/gradpath/report/assets/explain"
EPOCHS, SEED, PROBE_IMAGES, DIGITS = 3, 0, 32, 4
EARLY_STEPS = (11, 51)
"""Looked at besides the start and the end of each epoch; the loop reports after steps 1, 11, 21 …"""
DEPTH = 56
FAMILIES = ("residual", "plain", "dense")
"""In this order, nets without norm last: what is cut short has the pair that matters."""
WIDTH_DEPTHS, WIDTH_SEEDS, WIDTH_EPOCHS = (8, 20, 56), 3, 1
EXECUTION = Execution(precision="float32", layout="contiguous", reason="fixed")


def rounded(value: float | None) -> float | None:
    """With four digits; None where there is none or it is not finite."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


class Looker:
    """Listens to the loop of one net and looks at its gradient when it is time."""

    def __init__(self, net: torch.nn.Module, images: Images, loop_of: Callable[[], Loop]) -> None:
        self.net, self.images, self._loop_of = net, images, loop_of
        self.looks: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.step in EARLY_STEPS:
            self.look(event.step, event.train_loss, None)
        if isinstance(event, EpochDone):
            epoch = event.epoch
            self.look(self._loop_of().outcome.steps, epoch.train_loss, epoch.test_accuracy)

    def probe(self) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = self._loop_of().batches.normalise(self.images.test_images[:PROBE_IMAGES])
        return inputs, self.images.test_labels[:PROBE_IMAGES]

    def look(self, step: int, train_loss: float | None, accuracy: float | None) -> None:
        """One trace of the probe images, as `gradpath compare` takes it before and after."""
        flow: Flow = gp.trace(self.net.train(), self.probe(), F.cross_entropy)
        weighted = [layer for layer in flow.layers if layer.weighted]
        self.looks.append(
            {
                "step": step,
                "train_loss": rounded(train_loss),
                "test_accuracy": rounded(accuracy),
                "stem_over_head": rounded(flow.stem_over_head),
                "effective_depth": rounded(flow.effective_depth),
                "skip_share": rounded(flow.skip_share),
                "log10_gradient_norm": [rounded(layer.log10_gradient_norm) for layer in weighted],
                "log10_activation_rms": [rounded(layer.log10_activation_rms) for layer in weighted],
            }
        )

    def paths(self, step: int) -> dict[str, Any]:
        """The gradient at the stem by path length."""
        found: PathLengths = gp.paths(self.net.train(), self.probe(), F.cross_entropy)
        return {
            "step": step,
            "branches": found.branches,
            "effective_depth": rounded(found.effective_depth),
            "lengths": list(found.lengths),
            "shares": [rounded(share) for share in found.shares or ()],
            "norm_mass": [rounded(mass) for mass in found.norm_masses],
            "relative_error": rounded(found.relative_error),
        }


def recorded(job: Job, images: Images) -> dict[str, Any]:
    """Train one net of the comparison and look at it on the way."""
    recipe = replace(job.recipe, epochs=EPOCHS)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        net = build(job.spec)
    looker = Looker(net, images, lambda: loop)
    loop = Loop(net, images, recipe, EXECUTION, SEED, looker, job.name)
    looker.look(0, None, None)
    paths = [looker.paths(0)] if job.spec.family != "plain" else []
    outcome = loop.run()
    if paths:
        paths.append(looker.paths(outcome.steps))
    return {
        "name": job.name,
        **shape(job.spec),
        "steps_per_epoch": loop.steps_per_epoch,
        "diverged_at_step": outcome.diverged_at_step,
        "looks": looker.looks,
        "paths": paths,
    }


def shape(spec: NetSpec) -> dict[str, Any]:
    fields = ("family", "depth", "width", "norm", "init")
    return {name: getattr(spec, name) for name in fields} | {"parameters": parameters(spec), "macs": macs(spec)}


def about(recipe: Recipe, images: Images, **more: Any) -> dict[str, Any]:
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine(torch.device("cpu")).to_dict(),
        "gradpath": gp.__version__,
        "data": images.info.name,
        "train_images": images.info.train_images,
        "test_images": images.info.test_images,
        "recipe": recipe.to_dict(),
        **more,
    }


def runs() -> None:
    """The nets of `gradpath compare`, all at one learning rate. Goes on where a recording was interrupted."""
    images = load_images("fashion-mini")
    jobs = default_jobs(images, DEPTH, quick=False)
    head = about(replace(jobs[0].recipe, epochs=EPOCHS), images, seed=SEED, probe_images=PROBE_IMAGES)
    nets = {net["name"]: net for net in kept("runs", head)}
    for job in sorted(jobs, key=lambda job: (job.spec.norm == "none", FAMILIES.index(job.spec.family), job.spec.depth)):
        if job.name in nets:
            continue
        began = time.perf_counter()
        nets[job.name] = recorded(job, images)
        keep("runs", {**head, "nets": [nets[job.name] for job in jobs if job.name in nets]})
        last = nets[job.name]["looks"][-1]
        print(job.name, last["train_loss"], last["test_accuracy"], f"{time.perf_counter() - began:.0f} s", flush=True)


def kept(name: str, head: dict[str, Any]) -> list[dict[str, Any]]:
    """The nets that an interrupted recording of the same things left."""
    file = ASSETS / f"{name}.json"
    found = (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None) or {}
    same = all(found.get(key) == value for key, value in head.items() if key != "date")
    return list(found["nets"]) if same else []


def widths() -> None:
    """Plain and residual nets of several depths, each as wide as the cost of a residual-20 of width 16 allows."""
    images = load_images("fashion-mini")
    base = NetSpec(
        family="residual", depth=20, padding="end", classes=10, input_size=28, input_channels=1
    )  # odd widths are padded at one end
    recipe = Recipe(epochs=WIDTH_EPOCHS, augment="flip")
    specs = [of_cost(replace(base, family=family, depth=depth), macs(base))
             for depth in WIDTH_DEPTHS for family in ("plain", "residual")]  # fmt: skip
    head = about(recipe, images, cost=macs(base))
    cells = kept("widths", head) or [{**shape(spec), "train_loss": [], "test_accuracy": []} for spec in specs]
    for seed in range(WIDTH_SEEDS):
        for spec, cell in zip(specs, cells, strict=True):
            if len(cell["test_accuracy"]) > seed:
                continue
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                net = build(spec)
            outcome = Loop(net, images, recipe, EXECUTION, seed, ignore, spec.label).run()
            last = outcome.epochs[-1] if outcome.epochs else None
            cell["train_loss"].append(rounded(last.train_loss if last else None))
            cell["test_accuracy"].append(rounded(last.test_accuracy if last else None))
            keep("widths", {**head, "seeds": seed + 1, "nets": cells})
            print(spec.label, spec.width, seed, last and (last.train_loss, last.test_accuracy), flush=True)


def of_cost(spec: NetSpec, goal: int) -> NetSpec:
    """The specification with the width whose multiply-adds are nearest to the goal."""
    return min((replace(spec, width=width) for width in range(4, 65)), key=lambda one: abs(macs(one) - goal))


def gallery() -> None:
    """The results of bench/gallery.py, without what a dot plot does not show."""
    found = json.loads((ROOT / "bench/results/gallery.json").read_text(encoding="utf-8"))
    fields = ("net", "library", "weighted_layers", "residual_forks")
    nets = [
        {name: net[name] for name in fields} | {name: spread(net[name]) for name in ("effective_depth", "skip_share")}
        for net in found["nets"]
    ]
    kept = {name: found[name] for name in ("seed", "batches", "versions", "missing")}
    keep("gallery", {**kept, "nets": nets})


def spread(value: dict[str, float] | None) -> list[float | None] | None:
    """Mean and standard error."""
    return None if value is None else [rounded(value["mean"]), rounded(value["standard_error"])]


def keep(name: str, result: dict[str, Any]) -> None:
    ASSETS.mkdir(exist_ok=True)
    text = json.dumps(result, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    (ASSETS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for part in sys.argv[1:]:
        {"runs": runs, "widths": widths, "gallery": gallery}[part]()
