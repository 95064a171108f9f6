"""`gradpath train --resume`: what is printed, what is refused, and that it is the same run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from in_process import Shell

from gradpath.record import read
from gradpath.training import _saving as saving

pytest.importorskip("safetensors")
BEGIN = """train resnet-8 --data noise.npz --epochs 2 --batch-size 16 --precision float32 --backend reference
    --validation 0 --quiet""".split()


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 255, (48, 1, 8, 8), dtype=np.uint8), np.arange(48) % 4
    parts = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:8], "test_labels": labels[:8]}
    np.savez(tmp_path / "noise.npz", **parts)
    return Shell(tmp_path, monkeypatch, capsys)


def stopped(shell, folder, step=2):
    """A run that was told to stop during a step."""
    with shell.monkeypatch.context() as patch:
        patch.setattr(saving.Saver, "_stops", lambda self, loop, closed: loop.outcome.steps == step)
        return shell(*BEGIN, "--output", folder, check=3)


def test_a_run_goes_on_from_its_folder_alone(shell):
    assert "stopped; to go on: gradpath train --resume run" in stopped(shell, "run").err
    done = shell("train", "--resume", "run", "--format", "json", check=0)
    assert json.loads(done.out)["steps"] == 6
    assert done.err == ""  # as it was begun: --quiet
    shell(*BEGIN, "--output", "whole", check=0)
    first, second = (read(shell.folder / name / "run.json") for name in ("run", "whole"))
    assert [epoch.train_loss for epoch in first.epochs] == [epoch.train_loss for epoch in second.epochs]
    assert first.gradient == second.gradient
    again = shell("train", "--resume=run", check=0)
    assert "this run was finished before; nothing is left to do" in again.err
    assert again.out == shell("report", "run").out


def test_what_is_given_beside_it(shell):
    stopped(shell, "run")
    refused = shell("train", "--resume", "run", "--epochs", "3", check=2)
    assert "--resume takes all but --data, --device, --format, --snapshot-every, --quiet" in refused.err
    assert "leave out --epochs" in refused.err
    assert "leave out resnet-8" in shell("train", "resnet-8", "--resume", "run", check=2).err
    (shell.folder / "noise.npz").rename(shell.folder / "moved.npz")
    assert "noise.npz" in shell("train", "--resume", "run", check=2).err
    shell("train", "--resume", "run", "--data", "moved.npz", "--snapshot-every", "0", check=0)


def test_what_cannot_go_on(shell):
    assert "there is no such folder" in shell("train", "--resume", "nowhere", check=2).err
    (shell.folder / "empty").mkdir()
    assert "has no snapshot" in shell("train", "--resume", "empty", check=2).err
    stopped(shell, "run")
    before = sorted((shell.folder / "run").rglob("*"))
    assert "holds a run that was stopped" in shell(*BEGIN, "--output", "run", check=2).err
    for file in (shell.folder / "run/snapshots").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    told = shell("train", "--resume", "run", check=2).err
    assert told.count("\n") == 1
    assert "there is no other to go on from" in told
    assert sorted((shell.folder / "run").rglob("*")) == before
