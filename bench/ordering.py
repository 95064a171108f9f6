"""The article's ordering on CIFAR-10: deeper plain nets are worse, skips mend it, dense links need fewer parameters.

    python bench/ordering.py DATA [--runs FOLDER] [--seeds 3] [--nets NAME …] [--finished]

DATA is a folder of CIFAR-10 images, train/CLASS/*.jpg and test/CLASS/*.jpg. Each net is trained on the first 1,500
images of every class, 8 epochs, by the recipe `default`, with nothing held out, and tested once; all seeds of one net
see the same images. Runs are kept in RUNS and exact to resume: give the command again after a kill; --finished trains
nothing and tells of those that are finished. Errors do not depend on how busy the machine is. JPEG is lossy: published
errors cannot be compared.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from _common import keep

import gradpath as gp
from gradpath.record import RunRecord
from gradpath.training._data import Images, load_images
from gradpath.training._recipes import RECIPES
from gradpath.training._resume import finished

NETS = ("plain-20", "plain-56", "resnet-56", "densenet-bc-40-12")
PER_CLASS, EPOCHS = 1500, 8


def first_of_each_class(images: Images, count: int) -> Images:
    """The training set cut to its first `count` images of every class."""
    labels = images.train_labels
    places = [torch.nonzero(labels == label).flatten()[:count] for label in range(len(images.info.classes))]
    index = torch.cat(places).sort().values
    info = replace(images.info, train_images=len(index))
    return replace(images, train_images=images.train_images[index], train_labels=labels[index], info=info)


def trained(net: str, images: Images, seed: int, runs: Path) -> RunRecord:
    recipe = replace(RECIPES["default"], epochs=EPOCHS)
    folder = runs / f"{net}-{seed}"
    record = gp.train(net, images, recipe=recipe, validation=0.0, seed=seed, output=folder, resume=True)
    print(f"{net}, seed {seed}: {record.test_accuracy:.2%}", file=sys.stderr, flush=True)
    return record


def row(net: str, runs: list[RunRecord]) -> dict[str, Any]:
    errors = [1 - run.test_accuracy for run in runs if run.test_accuracy is not None]
    spread = statistics.stdev(errors) if len(errors) > 1 else None
    return {
        "net": net,
        "parameters": runs[0].parameters,
        "macs": runs[0].macs,
        "errors": [round(error, 4) for error in errors],
        "mean_error": round(statistics.mean(errors), 4),
        "standard_deviation": None if spread is None else round(spread, 4),
    }


def verdicts(rows: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """What the article says, as the mean errors have it; only what the nets that were trained can tell."""
    error = {net: found["mean_error"] for net, found in rows.items()}
    told = {}
    if {"plain-20", "plain-56"} <= error.keys():
        told["plain-56 worse than plain-20"] = error["plain-56"] > error["plain-20"]
    if {"resnet-56", "plain-56"} <= error.keys():
        told["resnet-56 better than plain-56"] = error["resnet-56"] < error["plain-56"]
    for dense in (net for net in rows if net.startswith("densenet")):
        fewer = [net for net in rows if not net.startswith("densenet")]
        smallest = min(fewer, key=lambda net: rows[net]["parameters"])
        told[f"{dense} better than {smallest}, with fewer parameters"] = (
            error[dense] < error[smallest] and rows[dense]["parameters"] < rows[smallest]["parameters"]
        )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--runs", type=Path, default=Path("runs/ordering"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--finished", action="store_true")
    given = parser.parse_args()
    images = first_of_each_class(load_images(given.data), PER_CLASS)
    runs: dict[str, list[RunRecord]] = {net: [] for net in given.nets}
    for seed in range(given.seeds):
        for net in given.nets:
            if not given.finished or finished(given.runs / f"{net}-{seed}") is not None:
                runs[net].append(trained(net, images, seed, given.runs))
    rows = {net: row(net, found) for net, found in runs.items() if found}
    about = {"epochs": EPOCHS, "images": images.info.train_images, "test_images": images.info.test_images}
    keep("ordering", {**about, "nets": list(rows.values()), "verdicts": verdicts(rows)})


if __name__ == "__main__":
    main()
