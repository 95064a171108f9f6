"""Training inside a memory: the same training, the plan in the record, the largest batch that fits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import gradpath as gp
from gradpath.errors import MemoryBudgetError
from gradpath.memory._running._planned import PlannedModel
from gradpath.nets import Network
from gradpath.record import Execution, Recipe
from gradpath.training import NetPlanned, _run, load_images
from gradpath.training._blank import parts_note
from gradpath.training._loop import Loop
from gradpath.training._planning import for_the_step, probe_images

EXECUTION = Execution(precision="float32", layout="contiguous", reason="test")
RECIPE = Recipe(epochs=1, batch_size=32, learning_rate=0.05)


@pytest.fixture
def small(tmp_path):
    """160 images of 8 × 8 in two classes that differ in brightness."""
    random = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = (random.integers(0, 100, (160, 8, 8)) + 120 * labels[:, None, None]).astype(np.uint8)
    file = tmp_path / "small.npz"
    np.savez(
        file, train_images=images[:128], train_labels=labels[:128], test_images=images[128:], test_labels=labels[128:]
    )
    return file


def test_training_by_a_plan_is_the_same_training(small, tmp_path, monkeypatch):
    news, loops = [], []
    monkeypatch.setattr(_run, "Loop", lambda net, *more: loops.append(type(net)) or Loop(net, *more))
    plain = gp.train("resnet-20", small, recipe=RECIPE, execution=EXECUTION)
    planned = gp.train(
        "resnet-20", small, recipe=RECIPE, execution=EXECUTION, memory="70%", output=tmp_path / "run",
        listener=news.append,
    )  # fmt: skip
    plan = planned.plan
    assert plan is not None and plain.plan is None and plan.segments and plan.layers == ()
    assert plan.measured[-1].peak_bytes <= plan.memory_bytes < plan.keep_all.total
    assert plan.batch.startswith("32×1×8×8")
    assert planned.epochs[0].train_loss == pytest.approx(plain.epochs[0].train_loss, rel=1e-4)
    assert planned.test_accuracy == pytest.approx(plain.test_accuracy, abs=0.05)
    assert gp.read(tmp_path / "run" / "run.json") == planned
    assert gp.load_weights(gp.build(planned.spec), tmp_path / "run" / planned.weights) is not None
    assert [event.run.plan for event in news if isinstance(event, NetPlanned)] == [plan]
    assert planned.gradient.final is not None
    assert loops == [Network, PlannedModel]


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_computed_in_parts(small):
    record = gp.train("resnet-8", small, recipe=RECIPE, execution=EXECUTION, memory="1.7MiB", largest_batch=True)
    assert record.plan is not None and record.recipe.accumulate > 1
    assert record.plan.batch.startswith(f"{-(-32 // record.recipe.accumulate)}×1×8×8")
    assert record.plan.measured[-1].peak_bytes + load_images(small).bytes <= 1.7 * 2**20
    assert (record.recipe.batch_size, record.steps) == (32, 116 // 32)
    assert any("BatchNorm sees a part at a time" in note for note in record.notes)


def test_a_batch_that_fits_is_left_whole(small):
    record = gp.train("resnet-8", small, recipe=RECIPE, execution=EXECUTION, memory="30MiB", largest_batch=True)
    assert (record.recipe.batch_size, record.recipe.accumulate) == (32, 1)


def test_the_images_on_the_device_count(small):
    images = load_images(small)
    assert images.bytes == 160 * (64 + 8)
    assert for_the_step("1MiB", images) == 2**20 - images.bytes
    assert (for_the_step("80%", images), for_the_step("auto", images)) == ("80%", "auto")
    with pytest.raises(MemoryBudgetError, match=r"11\.2 KiB on the device"):
        for_the_step("10KiB", images)


def test_a_memory_that_is_too_small_is_said_before_training(small):
    with pytest.raises(MemoryBudgetError, match=r"does not fit 52\.8 KiB.*the images take 11\.2 KiB of the 64KiB"):
        gp.train("resnet-8", small, recipe=RECIPE, execution=EXECUTION, memory="64KiB")


def test_a_trace_uses_as_many_images_as_the_memory_allows(small):
    record = gp.train("resnet-8", small, recipe=RECIPE, execution=EXECUTION, memory="1GiB")
    plan = record.plan
    assert plan is not None and probe_images(plan, RECIPE, 32) == 32 and probe_images(None, RECIPE, 32) == 32
    half = dataclasses.replace(plan, memory_bytes=plan.keep_all.total // 2)
    assert probe_images(half, RECIPE, 32) == 8  # a quarter of a batch of 32
    tight = dataclasses.replace(plan, memory_bytes=plan.keep_all.total // 100)
    assert probe_images(tight, RECIPE, 32) == 2
    assert load_images(small).info.train_images == 128 and torch.is_grad_enabled()


def test_parts_are_told_of_the_images_there_are():
    (told,) = parts_note(Recipe(epochs=1, batch_size=128, accumulate=2), 72)
    assert told.startswith("a batch of 72 is computed in 2 parts of 36")
