"""Train, be killed at random instants and go on until the end: in children forked from one fresh interpreter.

    python killed.py FOLDER CASE KILLS SEED

writes FOLDER/whole, a run that nobody disturbs, and FOLDER/killed; prints what each kill hit, a line each.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gradpath.record import Execution, NetSpec, Recipe
from gradpath.training import train
from gradpath.training._distributed import ALONE as ALONE

EXECUTION = Execution(precision="float32", layout="channels_last", reason="a test")


def images(folder: Path, brightness: int = 100) -> Path:
    """A file of 8×8 images of four classes, told apart by which quarter is bright."""
    rng = np.random.default_rng(0)

    def part(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 4
        pixels = rng.integers(0, 120, (count, 1, 8, 8), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            image[0, 4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += brightness
        return pixels, labels

    file = folder / "images.npz"
    if not file.exists():
        parts = dict(
            zip(("train_images", "train_labels", "test_images", "test_labels"), part(96) + part(40), strict=True)
        )
        np.savez(file, **parts)
    return file


def with_dropout() -> nn.Module:
    """A net that draws random numbers of its own."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(256, 4)
    )


def case(name: str, folder: Path, output: str, **how: object) -> object:
    """One run of a case; `train`'s record."""
    recipe = {
        "plain": Recipe(epochs=2, batch_size=16, ema=0.9, lookahead=3),
        "all": Recipe(
            epochs=3, batch_size=16, accumulate=2, schedule="cosine", warmup=1, clip_norm=1.0, augment="crop-flip",
            flip="alternating", label_smoothing=0.1, mixup=0.3, ema=0.9, lookahead=4, weight_decay_on="weights",
        ),
        "planned": Recipe(epochs=2, batch_size=16, augment="crop-flip"),
    }[name]  # fmt: skip
    net = (
        with_dropout
        if name == "plain"
        else NetSpec(family="residual", depth=8, width=4, classes=4, input_size=8, input_channels=1)
    )
    if name == "planned":
        how["memory"] = "80%"
    defaults = {
        "execution": EXECUTION,
        "backend": "reference",
        "resume": True,
        "snapshot_seconds": 0.0,
        "output": folder / output,
        "seed": 3,
    }
    return train(net, images(folder), recipe=recipe, **(defaults | how))  # type: ignore[arg-type]


def forked(call: Callable[[], object]) -> int:
    """Start a child that makes a call."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        try:
            call()
        except BaseException as error:
            print(f"failed: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dies_in(name: str, count: int) -> Callable[..., object]:
    """A function of `os` that kills its process at its call number `count`, instead of returning."""
    original, calls = getattr(os, name), iter(range(1, count + 1))

    def deadly(*arguments: object) -> object:
        result = original(*arguments)
        if next(calls, count) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, name, deadly)
    return deadly


def until_the_end(run: Callable[[], object], kills: int, seconds: float, rng: random.Random, folder: Path) -> None:
    """Start `run` again and again, killed within `seconds` after its first step or before, and at last let it end."""
    for number in range(kills):
        before = newest(folder)
        child = forked(run)
        await_snapshot(folder, before, child)
        time.sleep(rng.uniform(0, 0.5) * seconds)
        os.kill(child, signal.SIGKILL)
        if ended(child) == 0:
            print("nothing: it was at its end", flush=True)
            return
        print(hit(folder, number), flush=True)
    assert ended(forked(run)) == 0


def await_snapshot(folder: Path, before: str, child: int) -> None:
    """Wait until there is a snapshot newer than `before`, or the child has ended."""
    while newest(folder) == before and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.002)


def newest(folder: Path) -> str:
    """Name of the newest snapshot; empty where there is none."""
    return max((file.name for file in (folder / "snapshots").glob("step-*")), default="")


def killed_while_writing(run: Callable[[], object], folder: Path) -> None:
    """Kill at what the writing of a snapshot does: its content is written, it is renamed, an older one is removed."""
    for name, count in (("fsync", 5), ("replace", 3), ("unlink", 3)):

        def dying(name: str = name, count: int = count) -> None:
            dies_in(name, count)
            run()

        child = forked(dying)
        assert ended(child) == -signal.SIGKILL, name
        print(hit(folder, name), flush=True)


def hit(folder: Path, what: object) -> str:
    """What a kill left behind."""
    names = sorted(file.name for file in (folder / "snapshots").glob("*") if file.is_file())
    half = any(file.name.startswith(".") for file in (folder / "snapshots").glob(".*"))
    return f"kill {what}: {'a half written file, ' if half else ''}{' '.join(n for n in names if n[0] != '.')}"


def run(folder: Path, name: str, kills: int, seed: int = 0) -> str:
    """Do all this in an interpreter of its own. Returns what it printed."""
    command = [sys.executable, __file__, str(folder), name, str(kills), str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


if __name__ == "__main__":
    folder, name, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    images(folder)
    child = forked(lambda: case(name, folder, "whole"))
    await_snapshot(folder / "whole", "", child)
    begun = time.perf_counter()
    assert ended(child) == 0
    seconds = time.perf_counter() - begun  # of the steps, with the snapshots between them

    def again() -> object:
        return case(name, folder, "killed")

    if kills == 0:
        killed_while_writing(again, folder / "killed")
        assert ended(forked(again)) == 0
    else:
        until_the_end(again, kills, seconds, random.Random(seed), folder / "killed")
