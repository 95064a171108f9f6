"""Honest numbers: what is held out, which epoch is kept, the test images read once, class by class."""

from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest
import torch

import gradpath as gp
from gradpath.errors import DataError, UserError, WeightsError
from gradpath.nets import load_weights
from gradpath.record import Evaluation, Execution, Recipe, RunRecord, SeedRun, Seeds, mean_and_std
from gradpath.report import as_text
from gradpath.training import EpochDone, SeedStarted, evaluate, train_seeds
from gradpath.training._classify import counted
from gradpath.training._data import hold_out
from gradpath.training._loop import Loop
from tiny_training import tiny_images, tiny_net

PLAIN = Execution(precision="float32", layout="contiguous", reason="a test")
RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=0.02)


def trained(images, **how):
    return gp.train(tiny_net(), images, **({"recipe": RECIPE, "execution": PLAIN, "validation": 0.25} | how))


def test_held_out_images_are_of_every_class_and_never_trained_on():
    images = dataclasses.replace(tiny_images(), train_names=tuple(f"{i}.png" for i in range(40)))
    inside, split = hold_out(images, 0.25, seed=3)
    assert torch.bincount(inside.train_labels).tolist() == [8, 8, 8, 8]  # of ten, 2.5 is 2 to even
    assert torch.bincount(inside.validation_labels).tolist() == [2, 2, 2, 2]
    assert sorted(inside.train_names + inside.validation_names) == sorted(images.train_names)
    assert inside.validation_names == split.held_out and split.seed == 3
    place = images.train_names.index(split.held_out[0])
    assert torch.equal(inside.validation_images[0], images.train_images[place])
    assert (inside.info.train_images, inside.info.validation_images, inside.bytes) == (32, 8, images.bytes)
    assert hold_out(images, 0.25, seed=4)[1].held_out != split.held_out
    assert hold_out(images, 0.0) == (images, None)


def test_a_class_of_one_image_cannot_be_held_out_and_the_way_out_is_said():
    images = tiny_images()
    labels = images.train_labels.clone()
    labels[labels == 3] = 2
    labels[0] = 3
    with pytest.raises(DataError, match=r"tiny: class 3 has 1 image.*validation 0"):
        hold_out(dataclasses.replace(images, train_labels=labels))
    with pytest.raises(UserError, match=r"between 0 and 1, got 1\.5"):
        hold_out(images, 1.5)


def test_the_test_images_change_nothing_but_the_test(tmp_path):
    images = tiny_images()
    other = dataclasses.replace(images, test_images=255 - images.test_images, test_labels=images.test_labels.flip(0))
    runs = [trained(data, output=tmp_path / str(i)) for i, data in enumerate((images, other))]
    a, b = (load_weights(tiny_net(), tmp_path / str(i) / run.weights).state_dict() for i, run in enumerate(runs))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert [e.validation_accuracy for e in runs[0].epochs] == [e.validation_accuracy for e in runs[1].epochs]
    assert {e.test_accuracy for run in runs for e in run.epochs} == {None}
    assert runs[0].best_epoch == runs[1].best_epoch and runs[0].test != runs[1].test


def test_the_weights_kept_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    accuracies, weights = iter([0.2, 0.6, 0.6, 0.4]), []

    def pretended(net, *rest):
        weights.append({key: tensor.clone() for key, tensor in net.state_dict().items()})
        return next(accuracies)

    monkeypatch.setattr("gradpath.training._loop.validation_accuracy", pretended)
    record = trained(tiny_images(), output=tmp_path)
    assert (record.best_epoch, record.kept_epoch) == (3, record.epochs[2])  # the later of equals
    kept = load_weights(tiny_net(), tmp_path / record.weights).state_dict()
    assert all(torch.equal(kept[key], weights[2][key]) for key in kept)
    assert not all(torch.equal(kept[key], weights[3][key]) for key in kept)
    again = evaluate(tmp_path / record.weights, tiny_images(), net=tiny_net())
    assert (again.right, again.confusion) == (record.test.right, record.test.confusion)


def test_without_validation_the_last_weights_are_kept_and_nothing_is_read_on_the_way(tmp_path):
    record = trained(tiny_images(), validation=0, output=tmp_path)
    assert (record.best_epoch, record.data.validation_images) == (None, 0) and record.test is not None
    assert {(e.test_accuracy, e.validation_accuracy) for e in record.epochs} == {(None, None)}
    assert not (tmp_path / "split.json").exists()


def test_the_best_weights_are_part_of_a_loops_state():
    images, _ = hold_out(tiny_images(), 0.25)
    loops = [Loop(tiny_net(), images, RECIPE, PLAIN, 0, lambda event: None, "x") for _ in range(2)]
    loops[0].run(limit_steps=6)
    loops[0].best.look(loops[0].net, 1, 0.9)
    loops[1].restore(loops[0].state())
    for loop in loops:
        loop.run()
        loop.adopt()
    assert loops[0].best.epoch == loops[1].best.epoch
    a, b = (loop.net.state_dict() for loop in loops)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_an_interrupted_run_is_not_tested(tmp_path):
    def stop(event):
        if isinstance(event, EpochDone) and event.number == 2:
            raise KeyboardInterrupt

    record = trained(tiny_images(), listener=stop, output=tmp_path)
    assert record.interrupted and record.test is None and record.weights is not None
    assert "of the images held out right after 2 epochs, interrupted" in as_text(record)
    assert "not tested" in " ".join(as_text(record).split())


def test_uneven_classes_are_said_and_balanced_where_asked_for():
    images = tiny_images()
    keep = torch.cat([torch.arange(40)[images.train_labels != 1], torch.tensor([1, 5])])
    few = dataclasses.replace(images, train_images=images.train_images[keep], train_labels=images.train_labels[keep])
    few = dataclasses.replace(few, info=dataclasses.replace(few.info, train_images=32))
    notes = [trained(few, recipe=dataclasses.replace(RECIPE, epochs=1, balance=balance)).notes for balance in (0, 1)]
    assert notes[0] == ("the classes are uneven: 1 has 1 training images, 3 8; balance draws each equally often",)
    assert notes[1][0].endswith("each is drawn equally often")


# ------------------------------------------------------------ class by class


def test_the_confusion_matrix_is_what_counting_gives():
    random = np.random.default_rng(0)
    called, labels = random.integers(0, 5, 300), random.integers(0, 4, 300)  # the net has a class more
    found = counted(torch.from_numpy(called), torch.from_numpy(labels), tiny_images().info, name="x")
    expected = [[int(((labels == i) & (called == j)).sum()) for j in range(5)] for i in range(4)]
    assert [list(row) for row in found.confusion] == expected
    assert found.right == int((called == labels).sum()) and found.accuracy == found.right / 300
    assert found.class_images == tuple(map(sum, expected))
    each = [expected[i][i] / sum(expected[i]) for i in range(4)]
    assert found.class_accuracies == pytest.approx(each)
    assert found.balanced_accuracy == pytest.approx(statistics.mean(each))
    most = max((expected[i][j], i, j) for i in range(4) for j in range(5) if i != j)
    assert found.mistakes()[0][2] == most[0]
    assert sum(count for *_, count in found.mistakes()) == 300 - found.right


def evaluation(classes, **more):
    rows = tuple(tuple(8 if i == j else int(j == (i + 1) % classes) for j in range(classes)) for i in range(classes))
    names = tuple(f"class {i}" for i in range(classes))
    return Evaluation(name="net", data="photos", right=8 * classes, images=9 * classes, classes=names, confusion=rows,
                      class_images=(9,) * classes, class_right=(8,) * classes, **more)  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120])
def test_an_evaluation_fits_the_terminal_and_says_all_that_fits(tmp_path, width):
    for classes in (2, 10, 30):
        text = as_text(evaluation(classes), width)
        assert max(map(len, text.splitlines())) <= width
        assert f"88.9 % of {9 * classes} test images right" in " ".join(text.split())
        whole = "true class by row" in text
        assert whole == (classes == 2 or (classes == 10 and width >= 80))
        assert whole or "most often confused" in text
    gp.render(evaluation(3), tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0] == "class,images,right,accuracy,called class 0,called class 1,called class 2"
    assert lines[3].startswith("class 2,9,8,0.8888") and lines[3].endswith(",1,0,8")
    assert gp.read(evaluation(3).save(tmp_path / "x.json")) == evaluation(3)


# ------------------------------------------------------------ seeds


def seeds_of(images, folder, **how):
    given = {"recipe": dataclasses.replace(RECIPE, epochs=1), "execution": PLAIN, "output": folder, "seeds": 2} | how
    return train_seeds(tiny_net(), images, **given)


def test_seeds_begun_anew_leave_no_table_of_the_old_ones(tmp_path):
    def killed_at(event):
        if isinstance(event, EpochDone):
            raise RuntimeError("out of the blue")

    seeds_of(tiny_images(), tmp_path)
    with pytest.raises(RuntimeError, match="blue"):
        seeds_of(tiny_images(), tmp_path, overwrite=True, listener=killed_at)
    assert not (tmp_path / "seeds.json").exists()
    assert seeds_of(tiny_images(), tmp_path) == gp.read(tmp_path / "seeds.json")


def test_seeds_are_trained_once_each_and_tabulated(tmp_path):
    images, news = tiny_images(), []
    seeds = seeds_of(images, tmp_path)
    runs = [gp.read(tmp_path / f"seed-{i}" / "run.json") for i in range(2)]
    assert [run.seed for run in runs] == [0, 1] and gp.read(tmp_path / "seeds.json") == seeds
    assert [run.test_accuracy for run in seeds.runs] == [run.test.accuracy for run in runs]
    assert runs[0].epochs != runs[1].epochs
    stamps = [(tmp_path / f"seed-{i}" / "run.json").stat().st_mtime_ns for i in range(2)]
    more = seeds_of(images, tmp_path, seeds=3, listener=news.append)
    assert [(tmp_path / f"seed-{i}" / "run.json").stat().st_mtime_ns for i in range(2)] == stamps
    assert [event.there for event in news if isinstance(event, SeedStarted)] == [True, True, False]
    assert more.runs[:2] == seeds.runs and len(more.runs) == 3
    with pytest.raises(UserError, match=r"seed-0/run\.json: is a run of Sequential, seed 0, with another recipe"):
        seeds_of(images, tmp_path, recipe=RECIPE)
    for other, how, word in (
        (tiny_images(train=44), {}, "data"),
        (dataclasses.replace(images, info=dataclasses.replace(images.info, name="others")), {}, "data"),
        (images, {"validation": 0.3}, "validation"),
        (images, {"weights": tmp_path / "seed-0" / "sequential.safetensors"}, "file of weights"),
    ):
        with pytest.raises(UserError, match=f"seed 0, with another {word}: name another output"):
            seeds_of(other, tmp_path, **how)


def test_a_folder_is_left_as_it_was_found_by_a_mistake(tmp_path):
    with pytest.raises(UserError, match="no amount of memory"):
        trained(tiny_images(), output=tmp_path / "new" / "run", memory="3foo")
    assert not (tmp_path / "new").exists()
    trained(tiny_images(), output=tmp_path / "run")
    assert (tmp_path / "run" / "split.json").is_file()
    trained(tiny_images(), output=tmp_path / "run", validation=0, overwrite=True)
    assert not (tmp_path / "run" / "split.json").exists()
    with pytest.raises(WeightsError, match=r"run: is a folder: name .*run.sequential\.safetensors"):
        evaluate(tmp_path / "run", tiny_images(), net=tiny_net())


def test_seeds_that_were_interrupted_go_on(tmp_path):
    def stop(event):
        if isinstance(event, SeedStarted) and event.number == 2:
            stops.append(event)
        if isinstance(event, EpochDone) and stops:
            raise KeyboardInterrupt

    stops: list[SeedStarted] = []
    recipe = dataclasses.replace(RECIPE, epochs=2)
    first = seeds_of(tiny_images(), tmp_path, listener=stop, recipe=recipe)
    assert first.interrupted and len(first.runs) == 2 and first.runs[1].test_accuracy is None
    assert "1 of 2 done, interrupted" in as_text(first)
    rest = seeds_of(tiny_images(), tmp_path, recipe=recipe)
    whole = seeds_of(tiny_images(), tmp_path / "whole", recipe=recipe)
    told = [[(run.seed, run.train_loss, run.test_accuracy) for run in seeds.runs] for seeds in (rest, whole)]
    assert told[0] == told[1] and not rest.interrupted


def test_mean_and_standard_deviation():
    values = [0.9, 0.8, None, 0.85]
    mean, deviation = mean_and_std(values)
    assert mean == pytest.approx(0.85) and deviation == pytest.approx(statistics.stdev([0.9, 0.8, 0.85]))
    assert mean_and_std([0.5]) == (0.5, None) and mean_and_std([None]) == (None, None)


def test_seeds_as_text_fit_the_terminal(tmp_path):
    def run(seed, test):
        return SeedRun(seed=seed, folder=f"seed-{seed}", train_loss=0.1, validation_accuracy=0.9, test_accuracy=test,
                       best_epoch=3, epochs=4, diverged_at_step=None if test else 7, seconds=61.0)  # fmt: skip

    runs = (run(0, 0.8), run(1, 0.9), run(2, None))
    seeds = Seeds(name="resnet 20", asked=3, recipe=RECIPE, data=tiny_images().info, runs=runs)
    text = as_text(seeds, 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "resnet 20: test accuracy 85.0 % ± 7.1 % over 2 seeds; 2 of 3 done" in " ".join(text.split())
    assert "diverged at step 7" in as_text(seeds, 100)
    gp.render(seeds, tmp_path / "x.csv")
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 4


def test_a_run_as_text_names_what_was_kept_and_what_is_confused(tmp_path):
    record = trained(tiny_images(test=40), output=tmp_path)
    told = " ".join(as_text(record).split())
    assert "of 40 test images right (standard error" in told
    assert f"by the weights of epoch {record.best_epoch} of 4, the best on 8 images held out of training" in told
    perfect = Evaluation(
        name="net", data="few", right=18, images=18, classes=("a",), class_images=(18,), class_right=(18,)
    )
    assert "100.0 % of 18 test images right (standard error 5.1 %)" in as_text(perfect)  # not 0: √(0.95 · 0.05 / 18)
    assert "hardest classes:" in told and isinstance(gp.read(tmp_path), RunRecord)
