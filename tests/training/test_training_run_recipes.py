"""Whole runs by recipe: what ran is in the record, crops and mean images reach evaluation, the news reaches others."""

from __future__ import annotations

import math
import sys
import types
from dataclasses import replace
from typing import Any

import pytest
import torch

import gradpath as gp
from gradpath import training
from gradpath.errors import MissingExtraError, UserError
from gradpath.nets import read_weights
from gradpath.record import Epoch, Execution, Recipe, read, read_watch
from gradpath.training import EpochDone, Progress
from gradpath.training._best import Best
from tiny_training import PLAIN, tiny_images, tiny_loop, tiny_net


def photos(side: int = 12) -> training.Images:
    """The tiny images, kept larger than a net of 8 px sees them."""
    images = tiny_images()
    larger = {
        part: torch.nn.functional.interpolate(getattr(images, part).float(), side).to(torch.uint8)
        for part in ("train_images", "test_images")
    }
    return replace(images, **larger, info=replace(images.info, image_size=side))


def run(recipe: Recipe, images: training.Images, **how: Any) -> Any:
    return gp.train(how.pop("net", tiny_net()), images, recipe=recipe, execution=PLAIN, **how)


def test_crops_are_what_the_net_is_built_for_and_evaluation_takes_the_middle(tmp_path):
    short = training.recipe("imagenet-90", epochs=1, batch_size=8, crop_size=8)
    images = photos()
    grey = replace(images, info=replace(images.info, channels=1, mean=(0.4,), std=(0.25,)))
    grey = replace(grey, train_images=images.train_images[:, :1], test_images=images.test_images[:, :1])
    record = run(short, grey, net="resnet-8", validation=0.2, output=tmp_path)
    assert record.spec.input_size == record.data.image_size == 8
    assert read(tmp_path / "run.json").recipe == short
    with pytest.raises(UserError, match=r"crop_size 224 is larger .*\(12 px\)"):
        run(training.recipe("imagenet-90", epochs=1), grey, net="resnet-8")


def test_the_mean_image_is_kept_with_the_run(tmp_path):
    short = training.recipe("he2015", epochs=1, batch_size=8)
    record = run(short, tiny_images(), validation=0)
    assert record.data.pixel_mean and (record.recipe.name, record.recipe.milestones) == ("he2015", (0.5, 0.75))


def test_float16_is_for_cuda():
    half = Execution(precision="float16", layout="contiguous", reason="a test")
    with pytest.raises(UserError, match="float16 is for CUDA, the device is cpu"):
        tiny_loop(tiny_net(), Recipe(epochs=1), half)


def test_watch_is_built_in(tmp_path):
    record = run(Recipe(epochs=1, batch_size=8), tiny_images(), watch=True, output=tmp_path, validation=0)
    assert (tmp_path / "watch" / "watch.jsonl").is_file() and record.steps == 5


def test_a_watch_counts_on_where_a_run_was_stopped(tmp_path):
    def stop(event: object) -> None:
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    two = Recipe(epochs=2, batch_size=8)
    how: dict[str, Any] = {"watch": True, "output": tmp_path, "validation": 0, "resume": True}
    how["snapshot_seconds"] = 0
    assert run(two, tiny_images(), listener=stop, **how).steps == 5
    assert run(two, tiny_images(), **how).steps == 10
    steps = [report.step for report in read_watch(tmp_path / "watch").reports]
    assert steps == sorted(set(steps)) and steps[0] <= 5 < steps[-1] <= 10


def test_a_run_that_diverges_keeps_the_best_epoch_before(tmp_path):
    """The best on the images held out, where some are; without them nothing says which epoch was sound."""

    def breaks(event: object) -> None:
        if isinstance(event, EpochDone) and event.number == 2:
            started[-1].w = math.nan

    class Scaled(torch.nn.Flatten):
        w = 1.0

        def __deepcopy__(self, memo: object) -> Scaled:
            started.append(Scaled())
            return started[-1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * self.w

    started: list[Scaled] = []
    for validation in (0.2, 0):
        net = tiny_net()
        net[6] = Scaled()
        place = tmp_path / str(validation)
        three = Recipe(epochs=3, batch_size=8)
        record = run(three, tiny_images(), net=net, output=place, validation=validation, listener=breaks)
        assert record.diverged_at_step == (9 if validation else 11) and record.test is None
        assert (record.best_epoch in (1, 2)) == (record.weights is not None) == bool(validation)
    record = read(tmp_path / "0.2" / "run.json")
    assert f"those of epoch {record.best_epoch}, from before it diverged" in record.notes[-1]
    assert all(tensor.isfinite().all() for tensor in read_weights(tmp_path / "0.2" / record.weights)[0].values())


def test_weights_that_are_not_finite_are_never_the_best():
    net, best = tiny_net(), Best()
    best.look(net, 1, 0.25)
    with torch.no_grad():
        net[4].weight[0, 0, 0, 0] = math.nan  # type: ignore[index, union-attr]
    best.look(net, 2, 0.5)
    assert (best.epoch, best.accuracy) == (1, 0.25)


def test_what_train_is_asked_for_is_checked_first(tmp_path):
    short = Recipe(epochs=1, batch_size=20)
    for seed in (1.5, -1, 2**70):
        with pytest.raises(UserError, match="seed must be a whole number"):
            run(short, tiny_images(), seed=seed)
    with pytest.raises(UserError, match="resume needs the folder"):
        run(short, tiny_images(), resume=True)
    with pytest.raises(UserError, match="did you mean 'he2015'"):
        run("he2105", tiny_images())  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"crop_padding 8 reflects more than images of 8 px .*at most 7"):
        run(replace(short, augment="crop-flip", crop_fill="reflect", crop_padding=8), tiny_images())
    alone = run(short, tiny_images(), sync_norm=True)
    assert alone.notes[-1] == "sync_norm changes nothing in one process: it is for torchrun"


def test_a_run_that_diverges_says_where():
    class Breaks(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float("inf")

    net = tiny_net()
    net[5] = Breaks()
    images = tiny_images()
    loop = tiny_loop(net, Recipe(epochs=1, batch_size=8), images=images)
    loop.run()
    assert loop.outcome.diverged_in == "5 (output not finite)"


EPOCH = Epoch(train_loss=1.0, train_accuracy=0.5, test_accuracy=None, validation_accuracy=0.5, seconds=1)
NEWS = (
    Progress("net", 10, 20, 1, 1.5, 0.25, None),
    EpochDone(
        "net", 1, Epoch(train_loss=1.0, train_accuracy=0.5, test_accuracy=None, validation_accuracy=0.5, seconds=1)
    ),
)
LOGGED = [
    ("net/train_loss", 1.5, 10), ("net/train_accuracy", 0.25, 10), ("net/epoch_train_loss", 1.0, 10),
    ("net/epoch_train_accuracy", 0.5, 10), ("net/validation_accuracy", 0.5, 10),
]  # fmt: skip


def test_the_news_goes_to_tensorboard(monkeypatch, tmp_path):
    written: list[Any] = []

    class SummaryWriter:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path)

        def add_scalar(self, *scalar: Any) -> None:
            written.append(scalar)

        def flush(self) -> None:
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    shown: list[Any] = []
    listener = training.together(shown.append, training.tensorboard(tmp_path))
    for event in NEWS:
        listener(event)
    assert written == LOGGED and tuple(shown) == NEWS


def test_the_news_goes_to_weights_and_biases(monkeypatch):
    written: list[Any] = []
    log = types.SimpleNamespace(log=lambda values, step: written.extend((k, v, step) for k, v in values.items()))
    module = types.ModuleType("wandb")
    module.init = lambda project, **options: log if (project, options) == ("mine", {"name": "a"}) else None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    listener = training.wandb("mine", name="a")
    for event in NEWS:
        listener(event)
    assert written == LOGGED


@pytest.mark.parametrize(("name", "make"), [("tensorboard", training.tensorboard), ("wandb", training.wandb)])
def test_what_is_not_installed_is_named(monkeypatch, name, make):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=rf"needs {name}.*gradpath\[logs\]"):
        make("somewhere")
