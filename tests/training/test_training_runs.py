"""Training runs on images so small that each takes a second: they learn, diverge, are interrupted, and say so."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import gradpath as gp
from gradpath.errors import DataError, MissingExtraError, UserError, WeightsError
from gradpath.nets import macs
from gradpath.record import Execution, NetSpec, Recipe
from gradpath.training import (
    EpochDone,
    NetDone,
    NetStarted,
    Planned,
    Progress,
    _machine,
    compare,
    evaluate,
    load_images,
)
from gradpath.training._compare import Cost, default_jobs, dense_twin, fit_epochs
from gradpath.training._job import Job
from gradpath.training._machine import Probe, cpu_features, has_bf16
from gradpath.training._run import run_job
from gradpath.training._trials import best_rate

EXECUTION = Execution(precision="float32", layout="channels_last", reason="a test")


@pytest.fixture
def small(tmp_path):
    """Four classes, told apart by which quarter of an 8×8 image is bright."""
    rng = np.random.default_rng(0)

    def part(count):
        labels = np.arange(count) % 4
        images = rng.integers(0, 60, (count, 1, 8, 8), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[0, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
        return images, labels

    train_images, train_labels = part(128)
    test_images, test_labels = part(40)
    file = tmp_path / "small.npz"
    np.savez(
        file, train_images=train_images, train_labels=train_labels, test_images=test_images, test_labels=test_labels
    )
    return file


def test_a_net_learns_and_everything_is_written(small, tmp_path):
    news = []
    record = gp.train(
        "resnet-8",
        small,
        recipe=Recipe(epochs=3, batch_size=16, learning_rate=0.05),
        output=tmp_path / "run",
        execution=EXECUTION,
        listener=news.append,
    )
    assert record.epochs[-1].train_loss < 0.7 * record.epochs[0].train_loss
    assert record.test_accuracy > 0.9
    assert record.steps == 21  # 12 of the 128 images are held out
    assert record.diverged_at_step is None
    assert record.gradient.initial.layers[0].scope.startswith("stem")
    assert record.gradient.final.loss < record.gradient.initial.loss
    assert len(record.gradient.initial.residual_forks) == 3
    assert gp.read(tmp_path / "run") == record
    assert {type(event) for event in news} == {NetStarted, Progress, EpochDone, NetDone}
    assert all(e.stem_over_head > 0 for e in news if isinstance(e, Progress))
    evaluation = evaluate(tmp_path / "run" / record.weights, small)
    assert (evaluation.right, evaluation.confusion) == (record.test.right, record.test.confusion)


def test_the_same_seed_gives_the_same_run(small):
    recipe = Recipe(epochs=1, batch_size=32, augment="crop-flip")
    spec = NetSpec(family="plain", depth=8, classes=4, input_size=8, input_channels=1)
    torch.manual_seed(5)
    first = gp.train(spec, small, recipe=recipe, execution=EXECUTION)
    torch.manual_seed(6)
    second = gp.train(spec, small, recipe=recipe, execution=EXECUTION)
    other = gp.train(spec, small, recipe=recipe, execution=EXECUTION, seed=1)
    losses = [[epoch.train_loss for epoch in record.epochs] for record in (first, second, other)]
    assert losses[0] == losses[1] != losses[2]


def test_a_diverged_net_says_at_which_step(small, tmp_path):
    spec = NetSpec(family="plain", depth=8, norm="none", classes=4, input_size=8, input_channels=1)
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=1e6)
    record = gp.train(spec, small, recipe=recipe, execution=EXECUTION, output=tmp_path / "run")
    assert 1 < record.diverged_at_step <= record.steps
    assert record.gradient.final is None
    assert record.weights is None
    assert all(math.isfinite(epoch.train_loss) for epoch in record.epochs)
    assert gp.read(tmp_path / "run" / "run.json") == record


def test_learning_rates_are_tried_and_the_best_one_is_taken(small):
    images = load_images(small)
    spec = NetSpec(family="plain", depth=8, classes=4, input_size=8, input_channels=1)
    job = Job("x", spec, Recipe(epochs=1, batch_size=16), learning_rates=(1e-6, 0.05, 1e6), trial_steps=8)
    record = run_job(job, images, EXECUTION, 0, lambda event: None, None)
    assert [trial.learning_rate for trial in record.trials] == [1e-6, 0.05, 1e6]
    assert [trial.steps for trial in record.trials] == [8, 8, 8]
    assert record.recipe.learning_rate == 0.05
    assert record.trials[1].loss < record.trials[0].loss
    diverged = [replace(trial, loss=math.inf) for trial in record.trials]
    assert best_rate(diverged, 0.1) == 1e-6
    assert best_rate([], 0.1) == 0.1


def test_compare_writes_the_record_and_the_weights(small, tmp_path):
    news = []
    comparison = compare(small, depth=8, epochs=1, output=tmp_path / "run", listener=news.append)
    assert isinstance(news[0], Planned)
    assert news[0].epochs == 1
    assert news[0].comparison.estimated_seconds > 0
    assert sum(news[0].seconds) == pytest.approx(comparison.estimated_seconds)
    assert [net.family for net in comparison.nets] == ["plain", "plain", "plain", "residual", "dense"]
    assert [net.norm for net in comparison.nets] == ["none", "none", "batch", "batch", "batch"]
    assert [net.spec.init for net in comparison.nets][:2] == ["default", "he"]
    assert all(len(net.trials) == 3 for net in comparison.nets[:2])
    assert gp.read(tmp_path / "run") == comparison
    assert comparison.execution.backend == ", ".join(dict.fromkeys(net.execution.backend for net in comparison.nets))
    for net in comparison.nets:
        assert (tmp_path / "run" / net.weights).is_file()
    assert not comparison.interrupted


def test_an_interruption_keeps_what_is_done(small, tmp_path):
    seen = []

    def interrupt(event):
        seen.append(event)
        if isinstance(event, Progress) and sum(isinstance(e, NetDone) for e in seen) == 1:
            raise KeyboardInterrupt

    comparison = compare(small, depth=8, epochs=2, output=tmp_path / "run", listener=interrupt)
    assert comparison.interrupted
    assert [net.interrupted for net in comparison.nets] == [False, True]
    assert len(comparison.nets[0].epochs) == 2
    assert gp.read(tmp_path / "run") == comparison


def test_the_default_nets_are_those_of_the_question():
    jobs = default_jobs(load_images(), 56, quick=False)
    assert [(job.spec.family, job.spec.depth, job.spec.norm, job.spec.init) for job in jobs] == [
        ("plain", 56, "none", "default"),
        ("plain", 56, "none", "he"),
        ("plain", 20, "batch", "he"),
        ("plain", 56, "batch", "he"),
        ("residual", 56, "batch", "he"),
        ("dense", 58, "batch", "he"),
    ]
    assert len({job.name for job in jobs}) == 6
    assert [len(job.learning_rates) for job in jobs] == [3, 3, 0, 0, 0, 0]
    quick = default_jobs(load_images(), 32, quick=True)
    assert [(job.spec.family, job.spec.norm) for job in quick] == [
        ("plain", "none"),
        ("plain", "batch"),
        ("residual", "batch"),
    ]
    assert {job.spec.depth for job in quick} == {32}


def test_ctrl_c_in_the_middle_keeps_the_weights_reached(small, tmp_path):
    def interrupt(event):
        if isinstance(event, EpochDone):
            raise KeyboardInterrupt

    recipe = Recipe(epochs=5, batch_size=16)
    record = gp.train("plain-8", small, recipe=recipe, execution=EXECUTION, output=tmp_path / "run", listener=interrupt)
    assert record.interrupted
    assert len(record.epochs) == 1
    assert record.gradient.final is None
    assert evaluate(tmp_path / "run" / record.weights, small).images == 40
    assert gp.read(tmp_path / "run") == record


def test_ctrl_c_in_the_last_trace_keeps_the_training(small, tmp_path, monkeypatch):
    from gradpath.training import _looks

    calls = []

    def trace(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return gp.trace(*arguments)

    monkeypatch.setattr(_looks, "trace", trace)
    recipe = Recipe(epochs=1, batch_size=16)
    record = gp.train("plain-8", small, recipe=recipe, execution=EXECUTION, output=tmp_path / "run")
    assert (record.interrupted, len(record.epochs), record.weights) == (True, 1, "plain-8.safetensors")


def test_weights_that_the_last_step_broke_are_not_kept(small, tmp_path):
    spec = NetSpec(family="plain", depth=8, norm="none", classes=4, input_size=8, input_channels=1)
    recipe = Recipe(epochs=1, batch_size=128, learning_rate=1e38)
    record = gp.train(spec, small, recipe=recipe, execution=EXECUTION, output=tmp_path / "run")
    assert (record.steps, record.diverged_at_step, record.weights) == (1, 2, None)


def test_a_spec_that_does_not_fit_the_images_is_refused(small):
    for fields in ({"classes": 2, "input_channels": 1}, {"classes": 4, "input_channels": 3}):
        with pytest.raises(UserError, match="4 and 1"):
            gp.train(NetSpec(family="plain", depth=8, input_size=8, **fields), small, execution=EXECUTION)


def test_trials_longer_than_an_epoch_keep_all_their_losses(small):
    images = load_images(small)
    spec = NetSpec(family="plain", depth=8, classes=4, input_size=8, input_channels=1)
    job = Job("x", spec, Recipe(epochs=1, batch_size=64), learning_rates=(0.05,), trial_steps=7)
    assert run_job(job, images, EXECUTION, 0, lambda event: None, None).trials[0].steps == 7


def test_a_folder_that_cannot_be_written_is_named_before_training(small, tmp_path):
    (tmp_path / "file").write_text("mine")
    for run in (
        lambda out: compare(small, depth=8, epochs=1, output=out),
        lambda out: gp.train("plain-8", small, output=out),
    ):
        with pytest.raises(UserError, match=r"file.*cannot be written"):
            run(tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_comparison_is_lost_only_where_that_is_asked_for(small, tmp_path):
    place = tmp_path / "run"
    first = compare(small, depth=8, epochs=1, quick=True, output=place)
    held = (place / "compare.json").read_bytes()
    with pytest.raises(UserError, match=r"run: holds a comparison.*--overwrite, overwrite=True"):
        compare(small, depth=8, epochs=1, quick=True, output=place)
    with pytest.raises(DataError):
        compare(tmp_path / "nothing.npz", output=place, overwrite=True)
    assert (place / "compare.json").read_bytes() == held

    def stop(event):
        if isinstance(event, NetStarted):
            raise KeyboardInterrupt

    again = compare(small, depth=8, epochs=1, quick=True, output=place, overwrite=True, listener=stop)
    assert again.interrupted and all(net.weights for net in first.nets)
    assert [file.name for file in place.iterdir()] == ["compare.json"]
    with pytest.raises(UserError, match="overwrite needs the folder"):
        compare(small, overwrite=True)


def test_without_safetensors_compare_leaves_weights_out_and_train_says_so_at_once(small, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: None)
    comparison = compare(small, depth=8, epochs=1, quick=True, output=tmp_path / "run")
    assert [net.weights for net in comparison.nets] == [None] * 3
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["compare.json"]
    with pytest.raises(MissingExtraError, match="safetensors"):
        gp.train("plain-8", small, output=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "fields",
    [{"epochs": 0}, {"epochs": 2.5}, {"batch_size": 0}, {"learning_rate": math.nan}, {"learning_rate": math.inf},
     {"momentum": 0.0}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"schedule": "linear"}, {"augment": "mixup"}],
)  # fmt: skip
def test_recipes_that_cannot_train_are_refused(fields):
    with pytest.raises(UserError, match=next(iter(fields))):
        Recipe(**({"epochs": 1} | fields))


@pytest.mark.parametrize("depth", [8, 32, 56, 110])
def test_the_dense_net_costs_about_as_much_as_the_residual_one(depth):
    residual = NetSpec(family="residual", depth=depth, input_size=28, input_channels=1)
    dense = dense_twin(residual)
    assert abs(dense.depth - depth) <= 2
    assert macs(dense) == pytest.approx(macs(residual), rel=0.15)


def test_epochs_fit_the_time():
    costs = [Cost(once=10, epoch=20), Cost(once=0, epoch=30)]
    assert fit_epochs(costs, 100) == 2  # 10 + 2 · 50 = 110: within a tenth of what was asked
    assert fit_epochs(costs, 99) == 1
    assert fit_epochs(costs, 5) == 1
    assert fit_epochs(costs, 1010) == 22


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"minutes": 0}, "positive"),
        ({"minutes": math.nan}, "positive"),
        ({"epochs": 1, "minutes": 2}, "give one"),
        ({"depth": 57}, "56 or 62"),
        ({"depth": 0}, "depth 0"),
        ({"device": "tpu-9"}, "tpu-9"),
    ],
)
def test_what_cannot_be_compared_is_refused(small, options, message):
    with pytest.raises(UserError, match=message):
        compare(small, **options)


def test_the_probe_keeps_to_its_time_and_says_why():
    import time

    begin = time.perf_counter()
    probe = Probe(torch.device("cpu"), 32, limit_seconds=0.0)
    spec = NetSpec(family="residual", depth=56)
    assert probe.choose(spec).reason.startswith("not measured")
    assert probe.step_seconds(spec, "float32", "channels_last") is None
    assert time.perf_counter() - begin < 60
    chosen = Probe(torch.device("cpu"), 4).choose(NetSpec(family="residual", depth=8, input_size=8))
    assert "ms" in chosen.reason
    if not has_bf16(torch.device("cpu")):
        assert chosen.precision == "float32"
        assert "bfloat16 was not tried" in chosen.reason
    assert cpu_features() <= {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"}


@pytest.mark.parametrize(("seconds", "layout"), [(0.85, "channels_last"), (0.7, "contiguous")])
def test_another_way_must_be_clearly_faster(monkeypatch, seconds, layout):
    """Else a run with the same seed would be another run where another process disturbs the trial."""
    took = {"channels_last": iter([0.1, 1.0, 5.0, 1.0]), "contiguous": iter([0.2, 3.0, seconds, 2.0])}
    monkeypatch.setattr(_machine, "_training_step", lambda spec, device, size, precision, layout: layout)
    monkeypatch.setattr(_machine, "_timed", lambda layout, *_: next(took[layout]))
    monkeypatch.setattr(_machine, "has_bf16", lambda device: False)
    chosen = Probe(torch.device("cpu"), 4, limit_seconds=1e6).choose(NetSpec(family="residual", depth=8))
    assert chosen.layout == layout
    assert f"(float32 channels_last 1000 ms, float32 contiguous {1000 * seconds:.0f} ms)" in chosen.reason


def test_foreign_weights_ask_for_what_their_keys_do_not_tell(small, tmp_path):
    net = gp.build("resnet-8", classes=4, input_size=8, input_channels=1)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="which network"):
        evaluate(tmp_path / "net.pth", small)
    with pytest.raises(WeightsError, match="padding 'both' or 'end'"):
        evaluate(tmp_path / "net.pth", small, net="resnet-8")
    with pytest.raises(WeightsError, match="normalise"):
        evaluate(tmp_path / "net.pth", small, net="resnet-8", padding="end")
    result = evaluate(tmp_path / "net.pth", small, net="resnet-8", padding="end", normalise="data")
    assert result.images == 40
