"""The command line as a user meets it: a process, its output, its exit code, what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import gradpath as gp
from cli.in_process import Shell

CODES = "cp1252", "ascii", "utf-8"


def run(*arguments, cwd, encoding="utf-8", check=None, environment=None):
    variables = {**os.environ, "PYTHONIOENCODING": "", "OMP_NUM_THREADS": "1", "COLUMNS": "80", **(environment or {})}
    variables["PYTHONIOENCODING"] = encoding
    done = subprocess.run(
        [sys.executable, "-m", "gradpath", *arguments], cwd=cwd, env=variables, capture_output=True, timeout=300
    )
    if check is not None:
        assert done.returncode == check, done.stderr.decode(encoding, "replace")
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """64 images of 8×8 in two classes: bright and dark."""
    rng = np.random.default_rng(0)
    labels = np.arange(96) % 2
    images = (rng.integers(0, 100, (96, 1, 8, 8)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    file = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(file, train_images=images[:64], train_labels=labels[:64], test_images=images[64:], test_labels=labels[64:])
    return file


@pytest.fixture(scope="module")
def compared(tiny, tmp_path_factory):
    """One quick comparison for all who look at its results."""
    folder = tmp_path_factory.mktemp("compared")
    done = run(
        "compare", "--quick", "--depth", "8", "--epochs", "2", "--data", tiny, "--output", "run", cwd=folder, check=0
    )
    return folder / "run", done


def test_help_names_every_command_and_version_is_that_of_the_package(tmp_path):
    text = run("--help", cwd=tmp_path, check=0).stdout.decode()
    for word in ("explain", "compare", "train", "eval", "Learn:", "Build:", "Look:"):
        assert word in text
    assert gp.__version__ in run("--version", cwd=tmp_path, check=0).stdout.decode()


@pytest.mark.parametrize("command", ["explain", "compare", "train", "eval"])
def test_every_command_has_help(tmp_path, command):
    assert b"--help" in run(command, "--help", cwd=tmp_path, check=0).stdout


def test_compare_writes_its_run_folder(compared):
    folder, done = compared
    assert sorted(p.name for p in folder.iterdir()) == [
        "compare.json",
        "plain-8-batchnorm.safetensors",
        "plain-8-no-norm.safetensors",
        "report.html",
        "report.png",
        "residual-8.safetensors",
    ]
    text, news = done.stdout.decode(), done.stderr.decode()
    assert "What to try next" in text
    assert "on this machine" in news
    assert "\x1b" not in text + news
    assert all(len(line) <= 80 for line in text.splitlines())
    assert (folder / "report.png").read_bytes()[:4] == b"\x89PNG"


def test_compare_json_holds_what_is_promised(compared):
    folder, _ = compared
    data = json.loads((folder / "compare.json").read_text())
    for net in data["nets"]:
        promised = "name family depth norm parameters macs seed epochs diverged_at_step gradient".split()
        assert set(promised) <= set(net)
        for epoch in net["epochs"]:
            assert {"train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "seconds"} == set(epoch)
            assert epoch["validation_accuracy"] is None and 0 <= epoch["test_accuracy"] <= 1
        for when in ("initial", "final"):
            promised = "stem_over_head gain_per_layer skip_share effective_depth forks layers".split()
            assert set(promised) <= set(net["gradient"][when])
        assert (net["gradient"]["initial"]["effective_depth"] is None) == (net["family"] == "plain")
    assert [net["family"] for net in data["nets"]] == ["plain", "plain", "residual"]


@pytest.mark.parametrize("encoding", ["gbk", *(pytest.param(e, marks=pytest.mark.slow) for e in CODES)])
def test_compare_is_safe_on_any_console(tiny, tmp_path, encoding):
    arguments = ("compare", "--quick", "--depth", "8", "--epochs", "1", "--data", tiny, "--output", "run")
    done = run(*arguments, cwd=tmp_path, encoding=encoding, check=0)
    assert "What to try next" in done.stdout.decode(encoding)
    done.stderr.decode(encoding)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii", "utf-8"])
def test_explain_is_safe_on_any_console(tmp_path, encoding, language):
    for name in ("plain", "residual", "dense", "truck"):
        done = run("explain", name, "--lang", language, cwd=tmp_path, encoding=encoding, check=0)
        assert done.stdout.decode(encoding)


def test_the_article_s_block_to_the_digit(tmp_path):
    text = run("explain", "plain", cwd=tmp_path, check=0).stdout.decode()
    for number in ("10", "1", "0.1", "0.01", "0.001", "∂0.0001"):
        assert number in text.split() or f"{number} ▸" in text


def test_train_then_eval(tiny, tmp_path):
    done = run(
        "train", "resnet-8", "--data", tiny, "--epochs", "2", "--batch-size", "16", "--output", "run",
        "--format", "json",
        cwd=tmp_path, check=0,
    )  # fmt: skip
    record = json.loads(done.stdout)
    assert record["kind"] == "run"
    right = run("eval", f"run/{record['weights']}", "--data", tiny, "--format", "json", cwd=tmp_path, check=0)
    assert json.loads(right.stdout)["accuracy"] == record["test"]["right"] / record["test"]["images"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "--data", "absent"), "absent: no such file"),
        (("compare", "--depth", "57"), "56 or 62"),
        (("compare", "--epochs", "1", "--minutes", "1"), "give one"),
        (("compare", "--output", "file.txt"), "file"),
        (("train", "resnet-21"), "20 or 26"),
        (("train", "resmet-20"), "resnet"),
        (("eval", "absent.safetensors"), "absent.safetensors"),
        (("explain", "residul"), "residual"),
        (("explain", "plain", "--set", "w9=1"), "w9"),
        (("explain", "plain", "--output", "x.bmp"), "x.bmp"),
        (("nonsense",), "there are: trace, paths"),
        (("expain",), "did you mean 'explain'?"),
        (("compare", "--epochs", "x"), "gradpath compare --help"),
        (("compare", "--seed", "99999999999999999999999"), "--seed"),
        (("train", "resnet-8", "--learning-rate", "nan", "--output", "run"), "--learning-rate must lie"),
        (("compare", "--quick", "--output", "file.txt/run"), "file.txt/run"),
        (("explain", "plain", "--output", "file.txt/x.svg"), "file.txt/x.svg"),
        (("compare", "--device", "tpu"), "tpu"),
    ],
)
def test_a_users_mistake_is_one_line_exit_code_2_and_nothing_left(shell, tmp_path, arguments, message):
    (tmp_path / "file.txt").write_text("mine")
    error = shell(*arguments, check=2).err
    assert message in error
    assert len([line for line in error.splitlines() if line]) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "mine"


def test_ctrl_c_keeps_what_is_done_and_exits_with_3(tmp_path):
    """On the shipped images, so that there is time to interrupt."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gradpath", "compare", "--quick", "--depth", "8", "--epochs", "50", "--output", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        seen = ""
        while "epoch 1" not in seen:
            line = process.stderr.readline().decode()
            assert line, seen
            seen += line
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 3, error
    assert b"Traceback" not in error
    comparison = gp.read(tmp_path / "run")
    assert comparison.interrupted
    assert len(comparison.nets[-1].epochs) >= 1
    assert "interrupted" in out.decode().lower()


def test_a_closed_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m gradpath explain residual | head -1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


def test_what_needs_optional_packages_is_left_out_and_said(tiny, tmp_path):
    """Looking and learning need torch, numpy, rich and click alone."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('matplotlib', 'safetensors', 'PIL'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'safetensors' else found(name, *rest)\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    arguments = ("compare", "--quick", "--depth", "8", "--epochs", "1", "--data", tiny, "--output", "run", "--quiet")
    done = run(*arguments, cwd=tmp_path, environment=environment, check=0)
    lines = done.stderr.decode().splitlines()
    assert [line.split(" left out")[0] for line in lines if "left out" in line] == [
        "gradpath: the weights",
        "gradpath: report.png",
    ]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["compare.json", "report.html"]
    refused = run(
        "train", "resnet-8", "--data", tiny, "--output", "other", cwd=tmp_path, environment=environment, check=2
    )
    assert "gradpath[build]" in refused.stderr.decode()
    assert not (tmp_path / "other").exists()
