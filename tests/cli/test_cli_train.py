"""`gradpath train` and `gradpath eval` as typed: a model of one's own, seeds, wrong input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from in_process import Shell

import gradpath as gp
from gradpath.cli._spoken import in_flags
from gradpath.cli.train import command as train
from gradpath.errors import UserError
from gradpath.nets import build
from gradpath.record import Evaluation
from tiny_training import tiny_images

MODEL = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 9))

def fixed():
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
"""
SHORT = ("--epochs", 1, "--batch-size", 8, "--precision", "float32")


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """A folder with 40 images of four classes, and a model."""
    images = tiny_images(channels=3)
    parts = {name: getattr(images, name).numpy() for name in ("train_images", "train_labels", "test_images")}
    np.savez(tmp_path / "tiny.npz", test_labels=images.test_labels.numpy(), **parts)
    made = Shell(tmp_path, monkeypatch, capsys)
    made.write("net.py", MODEL)
    return made


def test_a_model_of_ones_own_is_trained_tested_and_evaluated(shell):
    done = shell("train", "net.py:small", "--data", "tiny.npz", *SHORT, "--balance", "--output", "run", check=0)
    assert "net.py:small:" in done.out and "of 8 test images right" in done.out
    assert "tiny: 36 training images, 4 to validate, 8 to test, 8 px, 4 classes" in done.err
    assert "the classifier 4 was replaced: 9 classes before, 4 now" in done.err
    assert "net.py:small: epoch 1: loss" in done.err and "validation" in done.err and "written to run" in done.err
    assert max(map(len, done.out.splitlines())) <= 80
    record = gp.read(shell.folder / "run")
    assert record.recipe.balance and record.execution.reason == "asked for"
    assert len(gp.read(shell.folder / "run/split.json").held_out) == 4
    weights = f"run/{record.weights}"
    asked = ("eval", weights, "--data", "tiny.npz")
    assert "give --net, such as resnet-20" in shell(*asked, check=2).err
    plain = shell(*asked, "--net", "net.py:small", check=0).out
    assert plain.startswith(f"{record.test.right} of 8 right")
    whole = shell(*asked, "--net", "net.py:small", "--confusion", "--output", "x.csv", check=0)
    assert "true class by row" in whole.out and "written to x.csv" in whole.err
    rows = list(csv.reader((shell.folder / "x.csv").read_text().splitlines()))
    assert [list(map(int, row[4:])) for row in rows[1:]] == [list(row) for row in record.test.confusion]
    found = json.loads(shell(*asked, "--net", "net.py:small", "--confusion", "--format", "json", check=0).out)
    assert (found["kind"], found["confusion"]) == ("evaluation", [list(row) for row in record.test.confusion])
    assert isinstance(gp.read(shell.folder / "run").test, Evaluation)


def test_seeds_are_tabulated_and_not_trained_twice(shell):
    asked = ("train", "net.py:small", "--data", "tiny.npz", *SHORT, "--seeds", 2, "--output", "runs")
    done = shell(*asked, check=0)
    assert "over 2 seeds" in done.out and "seed 1 (2 of 2)" in done.err
    resumed = shell("train", "--resume", "runs", check=0)
    assert resumed.err.count("its run is there already") == 2 and resumed.out == done.out
    again = shell(*asked, "--format", "json", check=0)
    assert again.err.count("its run is there already") == 2
    assert [run["seed"] for run in json.loads(again.out)["runs"]] == [0, 1]
    (shell.folder / "runs/seed-1/run.json").unlink()  # as if it had been killed between the two
    assert shell("train", "--resume", "runs", check=0).err.count("its run is there already") == 1
    assert "runs: holds runs from several seeds" in shell(*asked[:-4], "--output", "runs", check=2).err
    assert "runs/seed-0: holds a finished run" in shell(*asked[:-4], "--output", "runs/seed-0", check=2).err
    single = shell(*asked[:-1], "runs/seed-0", check=2)
    assert "runs/seed-0: holds a single run" in single.err
    assert shell(*asked, "--quiet", check=0).err == ""
    anew = shell(*asked, "--overwrite", check=0)
    assert "already" not in anew.err and anew.out.splitlines()[0] == done.out.splitlines()[0]
    assert shell("train", "--resume", "runs", check=0).err.count("its run is there already") == 2


def test_weights_choose_the_recipe(shell):
    shell("train", "net.py:small", "--data", "tiny.npz", *SHORT, "--quiet", "--output", "a", check=0)
    weights = next((shell.folder / "a").glob("*.safetensors"))
    tuned = ("train", "net.py:small", "--data", "tiny.npz", *SHORT, "--quiet", "--weights", weights, "--output")
    shell(*tuned, "b", check=0)
    shell(*tuned, "c", "--recipe", "default", check=0)
    assert [gp.read(shell.folder / name).recipe.name for name in "abc"] == ["default", "finetune", "default"]
    assert gp.read(shell.folder / "b").start.weights == weights.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.py:fixed",), "the model cannot take images of 8 px and 3 channels"),
        (("net.py:nothing",), "net.py has no function 'nothing'"),
        (("resnet-8", "--weights", "none.safetensors"), "none.safetensors: there is no such file"),
        (("resnet-8", "--weights", "bad.pth"), "bad.pth: cannot be read as weights"),
        (("resnet-8", "--data", "nowhere"), "nowhere: no such file or folder"),
        (("resnet-8", "--padding", "both"), "--weights FILE"),
        (("resnet-8", "--validation", "1.5"), "--validation"),
        (("resnet-8", "--batch-size", "many"), "many"),
        (("resnet-9",), "its depth is 6n+2: 8 or 14"),
        (("resnet-8", "--image-size", "16"), "px; --image-size is for folders of photos"),
        (("resnet-8", "--device", "foo"), "device foo: this machine has none; it has cpu"),
        (("resnet-8", "--device", "meta"), "device meta: this machine has none"),
        (("resnet-8", "--mixup", "-1"), "gradpath: --mixup must be a finite number"),
        (("resnet-8", "--crop-size", "64"), "gradpath: --crop-size belongs to augment"),
        (("resnet-8", "--quiet", "--memory", "1KiB"), "gradpath: --memory 1KiB: the 36 training images"),
        (("resnet-8", "--weights", "foreign.pth"), "shortcuts pad: give --padding both or end"),
        (
            ("resnet-8", "--weights", "foreign.pth", "--padding", "end", "--normalise", "weights"),
            "give --normalise data",
        ),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(shell, arguments, message):
    (shell.folder / "bad.pth").write_bytes(b"PK\x03\x04 cut short")
    torch.save(build("resnet-8").state_dict(), shell.folder / "foreign.pth")
    data = () if "--data" in arguments else ("--data", "tiny.npz")
    done = shell("train", *arguments, *data, *SHORT[:2], "--output", "run", check=2)
    assert message in done.err and done.err.count("\n") == 1 and done.out == ""
    assert not (shell.folder / "run").exists()


def test_python_speaks_of_its_arguments(tmp_path):
    torch.save(build("resnet-8").state_dict(), tmp_path / "foreign.pth")
    with pytest.raises(UserError, match="give padding 'both' or 'end'"):
        gp.train("resnet-8", tiny_images(channels=3), weights=tmp_path / "foreign.pth")
    for text in ("image_size.npz: no such file", "in a/learning_rate and net=5.png", "the data is small"):
        assert in_flags(text, train).replace("--net 5", "net=5") == text


def test_a_net_is_called_as_it_was_asked_for(shell):
    done = shell("train", "ResNet8", "--data", "tiny.npz", *SHORT, "--quiet", "--output", "run", check=0)
    assert done.out.startswith("ResNet8: ") and (shell.folder / "run/resnet8.safetensors").is_file()


def test_a_file_for_an_evaluation_says_its_kind(shell):
    assert ".json, .csv" in shell("eval", "x.safetensors", "--output", "x", check=2).err
    assert "ending is none of" in shell("eval", "x.safetensors", "--output", "x.html", check=2).err
