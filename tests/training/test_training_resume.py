"""A run that is stopped, in whatever way, and gone on with is the run that nobody disturbed, to the bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import killed
import pytest
import torch

from gradpath.errors import DataError, SnapshotError, UserError
from gradpath.nets import read_weights
from gradpath.record import read
from gradpath.training import Progress, Said, _loop, load_images, train
from gradpath.training import _saving as saving
from gradpath.training._machine import Probe
from gradpath.training._resume import arguments_of, digest_of
from gradpath.training._saving import Saver, noted_signals
from gradpath.training._snapshots import Snapshots

pytest.importorskip("safetensors")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")


def timeless(record):
    """A record without what the clock has a say in."""
    return replace(record, epochs=tuple(replace(epoch, seconds=0.0) for epoch in record.epochs))


def assert_same_run(folder, other):
    first, second = read(folder / "run.json"), read(other / "run.json")
    assert timeless(first) == timeless(second)
    assert not first.interrupted
    weights, again = (read_weights(place / first.weights) for place in (folder, other))
    assert weights[1] == again[1]
    assert weights[0].keys() == again[0].keys()
    assert all(torch.equal(weights[0][name], again[0][name]) for name in weights[0])
    assert (folder / "split.json").read_bytes() == (other / "split.json").read_bytes()
    assert not (other / "snapshots").exists()


def stopping(step, number=signal.SIGINT):
    """A listener that sends this process a signal during a step."""

    def listen(event):
        if isinstance(event, Progress) and event.step >= step:
            os.kill(os.getpid(), number)

    return listen


@needs_fork
def test_a_run_killed_while_it_writes_goes_on_as_if_nothing_had_been(tmp_path):
    told = killed.run(tmp_path, "plain", kills=0)
    assert "kill fsync: a half written file" in told
    assert told.count("kill") == 3
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("case", ["plain", "all", "planned"])
@pytest.mark.parametrize("seed", range(3))
def test_a_run_killed_at_random_instants(case, seed, tmp_path):
    told = killed.run(tmp_path, case, kills=8, seed=seed)
    assert "kill 0" in told
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    killed.case("plain", folder, "run", snapshot_seconds=60)
    return folder / "run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_snapshot(number, whole, tmp_path, monkeypatch):
    record = killed.case("plain", tmp_path, "run", snapshot_seconds=60, listener=stopping(1, number))
    assert record.interrupted
    assert record.steps == 1
    assert read(tmp_path / "run/run.json") == record
    assert Snapshots(tmp_path / "run").newest().state["loop"]["outcome"]["steps"] == 1
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    news = []
    monkeypatch.setattr(Probe, "choose", None)  # what was chosen is not chosen again
    killed.case("plain", tmp_path, "run", execution=None, listener=news.append)
    lines = [event.line for event in news if isinstance(event, Said)]
    assert lines == [f"going on after step 1, from {tmp_path / 'run/snapshots/step-00000001.safetensors'}"]
    assert_same_run(whole, tmp_path / "run")


def test_a_second_signal_ends_it_at_once():
    with pytest.raises(KeyboardInterrupt), noted_signals() as noted:
        os.kill(os.getpid(), signal.SIGINT)
        assert noted()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_the_snapshot_before_a_broken_one_is_used(whole, tmp_path):
    killed.case("plain", tmp_path, "run", listener=stopping(5))
    newest, before = Snapshots(tmp_path / "run").files()
    newest.write_bytes(newest.read_bytes()[:-9])
    news = []
    killed.case("plain", tmp_path, "run", listener=news.append)
    lines = [event.line for event in news if isinstance(event, Said)]
    assert lines[0].startswith(f"refused: {newest}: its content is not what its digest says")
    assert lines[1] == f"going on after step 4, from {before}"
    assert_same_run(whole, tmp_path / "run")


def test_what_is_not_the_same_run_is_refused(tmp_path):
    killed.case("plain", tmp_path, "run", listener=stopping(1))
    run = tmp_path / "run"
    with pytest.raises(UserError, match="with seed 3, not 4"):
        killed.case("plain", tmp_path, "run", seed=4)
    with pytest.raises(UserError, match=r"holds a run of with_dropout.* not residual 8"):
        killed.case("all", tmp_path, "run")
    with pytest.raises(UserError, match="holds a run that was stopped"):
        killed.case("plain", tmp_path, "run", resume=False)
    (tmp_path / "images.npz").unlink()
    killed.images(tmp_path, brightness=90)
    with pytest.raises(UserError, match="images were others"):
        killed.case("plain", tmp_path, "run")
    assert len(Snapshots(run).files()) == 2
    for file in Snapshots(run).files():
        file.write_bytes(b"")
    with pytest.raises(SnapshotError, match="there is no other to go on from"):
        killed.case("plain", tmp_path, "run")


def test_a_finished_run_is_returned_and_can_be_made_anew(whole, monkeypatch):
    news = []
    before = (whole / "run.json").read_bytes()
    record = killed.case("plain", whole.parent, "run", listener=news.append)
    assert record == read(whole / "run.json")
    assert [event.line for event in news] == [f"{whole}: this run was finished before; nothing is left to do"]
    assert (whole / "run.json").read_bytes() == before
    assert arguments_of(whole) == ("with_dropout",)


def content(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_that_is_there_is_not_overwritten_unless_asked_for(whole, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    (run / "model-card.md").write_text("of the run before")
    before = content(run)
    how = {"resume": False, "snapshot_seconds": 60}
    with pytest.raises(UserError, match=r"run: holds a finished run of with_dropout.*--overwrite, overwrite=True"):
        killed.case("plain", tmp_path, "run", **how)
    with pytest.raises(UserError, match=r"^seed must be"):
        killed.case("plain", tmp_path, "run", overwrite=True, seed=-1, **how)
    with pytest.raises(DataError):
        train("resnet-8", tmp_path / "nothing.npz", output=run, overwrite=True)
    assert content(run) == before
    killed.case("planned", tmp_path, "run", overwrite=True, listener=stopping(1), **how)
    assert {"split.json", "run.json"} < {file.name for file in run.iterdir()}
    assert not (run / before_weights(before)).exists()
    assert not (run / "model-card.md").exists()
    with pytest.raises(UserError, match=r"holds a run that was stopped.*--overwrite"):
        killed.case("plain", tmp_path, "run", **how)
    killed.case("plain", tmp_path, "run", overwrite=True, **how)
    assert_same_run(whole, run)
    (run / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"holds a run.json that cannot be read"):
        killed.case("plain", tmp_path, "run", **how)
    with pytest.raises(UserError, match="give one of them"):
        killed.case("plain", tmp_path, "run", overwrite=True)
    with pytest.raises(UserError, match="overwrite needs the folder"):
        train("resnet-8", overwrite=True)


def before_weights(files):
    return next(file for file in files if file.suffix == ".safetensors")


def test_a_full_disk_stops_nothing(whole, tmp_path, monkeypatch):
    calls, original = count(), Snapshots.write

    def full(self, state, step):
        if next(calls) == 2:
            raise UserError("f: cannot be written (No space left on device): make room")
        return original(self, state, step)

    monkeypatch.setattr(Snapshots, "write", full)
    with pytest.warns(RuntimeWarning, match=r"no snapshot after step 2: f: .*No space left.*training goes on"):
        killed.case("plain", tmp_path, "run")
    assert_same_run(whole, tmp_path / "run")


def test_the_command_line_that_began_a_run_is_kept(tmp_path):
    killed.case("plain", tmp_path, "run", listener=stopping(1), arguments=("net", "--seed", "3"))
    assert arguments_of(tmp_path / "run") == ("net", "--seed", "3")
    killed.case("plain", tmp_path, "run", listener=stopping(2))
    assert arguments_of(tmp_path / "run") == ("net", "--seed", "3")
    assert arguments_of(tmp_path) == ("net", "--seed", "3") if (tmp_path / "run").rename(tmp_path / "seed-0") else None
    with pytest.raises(SnapshotError, match="no such folder"):
        arguments_of(tmp_path / "elsewhere")
    with pytest.raises(SnapshotError, match="no snapshot"):
        arguments_of(tmp_path / "seed-0/snapshots")


def test_the_digest_sees_every_image_and_label(tmp_path):
    images = load_images(killed.images(tmp_path))
    digests = {digest_of(images)}
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        changed = getattr(images, part).clone()
        changed.view(-1)[-1] += 1
        digests.add(digest_of(replace(images, **{part: changed})))
    digests.add(digest_of(replace(images, info=replace(images.info, mean=(0.5,)))))
    assert len(digests) == 6
    assert digest_of(images) == digest_of(load_images(killed.images(tmp_path)))


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("every", "epoch", "times"), [(60, 10_000, [60, 262, 464, 666, 868]), (10_000, 90, [90, 360, 630, 900])]
)
def test_snapshots_are_written_in_time_and_take_a_hundredth_of_it(every, epoch, times, tmp_path, monkeypatch):
    clock, written = Clock(), []
    monkeypatch.setattr(saving.time, "perf_counter", clock)
    loop = SimpleNamespace(epoch=1, outcome=SimpleNamespace(steps=0))
    saver = Saver(loop, None, "", Snapshots(tmp_path), every, killed.ALONE, lambda: False)

    def write(closed):
        written.append(clock.now)
        clock.now += 2.0  # that long it takes
        saver._took, saver._ended = 2.0, clock.now

    monkeypatch.setattr(saver, "write", write)
    for second in range(1000):
        clock.now = max(clock.now, float(second))
        loop.epoch = 1 + second // epoch
        saver(loop)
    assert written == times


def test_the_content_of_a_snapshot_is_json_and_tensors(tmp_path):
    killed.case("plain", tmp_path, "run", listener=stopping(1))
    state = Snapshots(tmp_path / "run").newest().state
    about = json.loads(state["about"])
    assert about["record"]["seed"] == 3
    assert about["record"]["execution"]["precision"] == "float32"
    assert {"model", "optimiser", "outcome", "epoch", "seen", "best"} <= state["loop"].keys()


def test_the_best_weights_so_far_are_kept(tmp_path, monkeypatch):
    scores = iter([0.9, 0.5, 0.9, 0.5])
    monkeypatch.setattr(_loop, "validation_accuracy", lambda *_: next(scores))
    assert killed.case("plain", tmp_path, "whole").best_epoch == 1
    assert killed.case("plain", tmp_path, "run", listener=stopping(5)).best_epoch == 1
    killed.case("plain", tmp_path, "run")
    assert_same_run(tmp_path / "whole", tmp_path / "run")
