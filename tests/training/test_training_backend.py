"""--backend: which blocks a run computes with, in its record, on the command line, and when it goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import gradpath as gp
from gradpath.cli import cli
from gradpath.errors import KernelError
from gradpath.kernels import _choose, norm_passes
from gradpath.nets import build
from gradpath.record import Execution, Recipe
from gradpath.training._backend import with_fused_blocks
from gradpath.training._distributed import Team

EXECUTION = Execution(precision="float32", layout="channels_last", reason="a test")
RECIPE = Recipe(epochs=1, batch_size=16)


@pytest.fixture
def small(tmp_path):
    rng = np.random.default_rng(0)
    file = tmp_path / "small.npz"
    arrays = {}
    for part, count in (("train", 48), ("test", 8)):
        arrays[f"{part}_images"] = rng.integers(0, 99, (count, 1, 8, 8), np.uint8)
        arrays[f"{part}_labels"] = rng.integers(0, 4, count)
    np.savez(file, **arrays)
    return file


def compiler() -> None:
    if norm_passes().why:
        pytest.skip(norm_passes().why)


def trained(file, backend: str, **options: object):
    return gp.train("resnet-8", file, recipe=RECIPE, execution=EXECUTION, backend=backend, **options)


def test_the_record_says_what_blocks_ran_on_and_the_loss_is_the_same(small):
    compiler()
    plain, fused = (trained(small, backend) for backend in ("reference", "compiled"))
    assert (plain.execution.backend, fused.execution.backend) == ("reference", "compiled")
    assert plain.execution.reason == "a test"
    assert fused.execution.reason == "a test; 3 residual blocks on C++ passes"
    assert fused.epochs[0].train_loss == pytest.approx(plain.epochs[0].train_loss, rel=1e-3)
    assert fused.gradient.initial.loss == pytest.approx(plain.gradient.initial.loss, rel=1e-5)
    assert "stages.0.0 and 2 more: seen through their plain_view()" in str(fused.gradient.initial.unseen)


def test_the_backend_of_an_execution_is_taken_unless_another_is_asked_for(small):
    compiler()
    fused = replace(EXECUTION, backend="compiled")
    for execution, backend, used in (
        (fused, None, "compiled"),
        (EXECUTION, None, "reference"),
        (fused, "reference", "reference"),
    ):
        record = gp.train("resnet-8", small, recipe=RECIPE, execution=execution, backend=backend)
        assert record.execution.backend == used
    with pytest.raises(KernelError, match="'quick' is unknown"):
        gp.train("resnet-8", small, recipe=RECIPE, execution=replace(EXECUTION, backend="quick"))


def test_the_threads_of_an_execution_are_used_and_given_back(small):
    found = torch.get_num_threads()
    seen = []
    how = {"execution": replace(EXECUTION, threads=found + 1), "backend": "reference"}
    record = gp.train("resnet-8", small, recipe=RECIPE, listener=lambda _: seen.append(torch.get_num_threads()), **how)
    assert record.machine.threads == found + 1
    assert set(seen) == {found + 1}
    assert torch.get_num_threads() == found


def test_without_a_compiler_auto_trains_plainly_and_says_why(monkeypatch):
    monkeypatch.setattr(_choose, "_fused", lambda: (None, "compiled kernels: no C++ compiler found: install g++"))
    net = build("resnet-8", width=4)
    found = with_fused_blocks(net, EXECUTION, "auto", "cpu", Team())
    assert found.backend == "reference" and found.reason.endswith("no C++ compiler found: install g++)")
    with pytest.raises(KernelError, match="no C\\+\\+ compiler"):
        with_fused_blocks(net, EXECUTION, "compiled", "cpu", Team())


def test_what_is_chosen_again_is_not_said_twice():
    net = build("resnet-8", width=4)
    once = with_fused_blocks(net, EXECUTION, "torch", "cpu", Team())
    assert with_fused_blocks(net, once, "torch", "cpu", Team()) == once == replace(once, backend="torch")


def test_the_command_line_takes_a_backend(small, tmp_path):
    done = CliRunner().invoke(cli, ["train", "resnet-8", "--data", str(small), "--backend", "fast"])
    assert done.exit_code == 2
    assert "'fast' is not one of 'auto', 'reference', 'compiled'" in done.stderr
    arguments = ["train", "resnet-8", "--data", str(small), "--epochs", "1", "--batch-size", "16", "--quiet"]
    arguments += ["--backend", "reference", "--format", "json", "--output", str(tmp_path / "run")]
    done = CliRunner().invoke(cli, arguments)
    assert json.loads(done.stdout)["execution"]["backend"] == "reference", done.stderr
