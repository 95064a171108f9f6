"""`gradpath plan`: the same targets as trace, what is printed and written, one line for what cannot be."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from in_process import Shell

import gradpath as gp
import gradpath.memory
from gradpath.errors import UserError
from gradpath.record import Plan
from gradpath.units import memory

NET = """
import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x):
        return x + self.b(torch.tanh(self.a(x)))


def probe():
    return nn.Sequential(nn.Linear(32, 32), nn.Sequential(*(Block() for _ in range(12))), nn.Linear(32, 4))


def with_loss():
    return probe(), (torch.randn(256, 32), torch.randint(4, (256,))), F.cross_entropy


def single():
    return nn.Linear(32, 4)


def broken():
    class Broken(nn.Linear):
        def forward(self, x):
            raise ValueError("no such thing")

    return Broken(32, 4)
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return Shell(tmp_path, monkeypatch, capsys)


def planned(shell, *arguments) -> Plan:
    done = shell("plan", *arguments, "--format", "json", "--output", "plan.json", check=0)
    assert json.loads(done.out) == json.loads((shell.folder / "plan.json").read_text(encoding="utf-8"))
    plan = gp.read(shell.folder / "plan.json")
    assert isinstance(plan, Plan)
    return plan


def test_a_plan_is_printed_and_fits(shell):
    plan = planned(shell, "net.py", "--input", "256x32", "--memory", "60%")
    assert plan.name == "Sequential" and plan.batch == "256×32" and plan.asked == "60%"
    assert plan.memory_bytes == pytest.approx(0.6 * plan.keep_all.total, rel=0.01)
    assert len(plan.blocks) >= 12 and plan.segments
    assert plan.measured[-1].peak_bytes <= plan.memory_bytes < plan.keep_all.total
    assert [layer.kind for layer in plan.layers].count("Linear") == 26


def test_the_screen_and_the_pages(shell):
    done = shell("plan", "net.py:with_loss", "--memory", "60%", "--output", "run", check=0)
    assert re.match(r"Sequential at batch 256×32\S*(, 256)? fits 60% \(\S+ [KM]iB\): ", done.out)
    for said in ("one real step: ", "← this plan", "kept for backward", "|backward"):
        assert said in " ".join(done.out.split())
    assert "written to run: plan.json, report.html" in done.err
    again = shell("report", "run", check=0)
    assert again.out == done.out
    markdown = shell("report", "run", "--format", "markdown", check=0).out
    assert markdown.startswith("### Sequential at batch") and "| parameters |" in markdown
    page = (shell.folder / "run" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "256×32" in page
    shell("report", "run", "--output", "again.html", check=0)
    assert (shell.folder / "again.html").read_text(encoding="utf-8") == page


def test_a_plan_is_sent_around_without_names(shell):
    renamed = NET.replace("Block", "ZxyBlock").replace("self.a", "self.zxya").replace("self.b", "self.zxyb")
    (shell.folder / "zxynet.py").write_text(renamed, encoding="utf-8")
    shell("plan", "zxynet.py:with_loss", "--memory", "60%", "--no-check", "--output", "zxyrun", check=0)
    assert "zxy" in (shell.folder / "zxyrun" / "plan.json").read_text(encoding="utf-8").lower()
    shell("report", "zxyrun", "--output", "sent.html", "--redact", check=0)
    page = (shell.folder / "sent.html").read_text(encoding="utf-8")
    assert "zxy" not in page.lower() and "256×32" in page
    assert "need a page" in shell("report", "zxyrun", "--redact", check=2).err


def test_options_reach_the_plan(shell):
    plan = planned(
        shell, "net.py", "--input", "256x32", "--batch-size", "128", "--memory", "1GiB", "--optimizer", "adam",
        "--autocast", "bfloat16", "--blocks", "1", "--no-check",
    )  # fmt: skip
    assert plan.batch == "128×32" and plan.autocast == "bfloat16" and plan.optimizer == "adam"
    assert plan.memory_bytes == 2**30 and plan.measured == ()
    assert plan.predicted.optimizer == pytest.approx(2 * plan.predicted.parameters, rel=0.01)
    assert plan.blocks == tuple(f"1.{i}" for i in range(12))


def test_layers_are_all_shown_when_asked_for(shell):
    few = shell("plan", "net.py", "--input", "64x32", "--no-check", "--quiet", check=0)
    every = shell("plan", "net.py", "--input", "64x32", "--no-check", "--layers", check=0)
    assert "1.11.b" in every.out and "1.11.b" not in few.out and few.err == ""
    assert "--output FOLDER keeps the plan" in every.err


def test_a_model_without_a_chain_gets_its_layers(shell):
    done = shell("plan", "net.py:single", "--input", "64x32", "--memory", "1GiB", check=0)
    assert "of 1 GiB: no block of it is planned, so everything is kept" in " ".join(done.out.split())
    assert "left alone: " in done.out and "(model)" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["net.py", "--input", "64x32", "--memory", "9KiB"], "does not fit 9 KiB: the smallest step takes"),
        (["net.py:single", "--input", "64x32", "--memory", "2KiB"], "cannot be planned"),
        (["net.py", "--input", "64x32", "--memory", "4 parsecs"], "4 parsecs"),
        (["net.py", "--input", "64x32", "--memory", "120%"], "120%"),
        (["net.py", "--input", "64x32", "--optimizer", "sgdd"], "sgdd"),
        (["net.py", "--input", "64x32", "--blocks", "1.nothing"], "1.nothing"),
        (["net.py:with_loss", "--batch-size", "4"], "returns a batch of its own: leave out --batch-size"),
        (["net.py:broken", "--input", "64x32"], "no such thing"),
        (["net.py", "--input", "64x32", "--largest-batch", "--deepest"], "give one of the two"),
        (["net.py", "--deepest"], "changes the depth of a net of ours"),
        (["resnet-20", "--deepest", "--blocks", "stages"], "leave out --checkpoint and --blocks"),
        (["densenet-40-12", "--deepest", "--memory", "1GiB"], "dense"),
        (["net.py", "--input", "64x32", "--largest-batch", "--memory", "50%"], "50%"),
        (["net.py", "--calculate", "9", "--format", "json"], "--calculate is printed as text alone"),
        (["net.py:single", "--input", "64x32", "--memory", "1GiB", "--calculate", "10"], "none of Linear is planned"),
        (["net.py", "--output", "plan.gif"], "the ending is none of .html"),
        ([], "TARGET is missing: gradpath plan"),
    ],
)
def test_what_cannot_be_is_one_line(shell, arguments, said):
    done = shell("plan", *arguments, check=2)
    assert done.out == "" and said in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err


def test_the_largest_batch_fits_and_is_said(shell):
    done = shell(
        "plan", "net.py", "--input", "4x32", "--largest-batch", "--memory", "1MiB", "--slowdown", "3",
        "--output", "plan.json", "--format", "markdown", check=0,
    )  # fmt: skip
    plan = gp.read(shell.folder / "plan.json")
    match = re.match(r"\*\*Largest batch within 1 MiB and 3 × the time: ([\d,]+)\*\*\n\n### ", done.out)
    assert match is not None
    size = int(match[1].replace(",", ""))
    assert plan.batch == f"{size}×32" and size > 4
    assert plan.measured[-1].peak_bytes <= 2**20


@pytest.mark.parametrize(("flag", "asked"), [("largest_batch", "net.py"), ("deepest", "preresnet-20")])
def test_a_search_is_asked_as_the_options_say(shell, monkeypatch, flag, asked):
    seen = {}

    def search(what, batch, memory, **options):
        seen.update(options, what=what, batch=batch, memory=memory)
        raise UserError("enough seen")

    monkeypatch.setattr(gradpath.memory, flag, search)
    option = f"--{flag.replace('_', '-')}"
    shell("plan", asked, "--input", "6x32", option, "--slowdown", "2.5", "--optimizer", "adam", "--no-check", check=2)
    assert (seen["memory"], seen["slowdown"], seen["optimizer"], seen["check"]) == ("auto", 2.5, "adam", False)
    if flag == "deepest":
        assert seen["batch"] == 6 and seen["what"].activation == "pre"
    else:
        assert seen["batch"].shape == (6, 32) and seen["step"] is not None


def test_the_rule_of_thumb_is_that_of_its_formula(shell):
    done = shell(
        "plan", "net.py", "--input", "256x32", "--blocks", "1", "--no-check", "--calculate", "5000",
        "--output", "plan.json", check=0,
    )  # fmt: skip
    plan = gp.read(shell.folder / "plan.json")
    cost = plan.costs[0]
    assert len(plan.costs) == 1 and "Rule of thumb for 5,000 such blocks" in done.out
    full = cost.of("full")
    a = 1 + full.kept_bytes / cost.input_bytes
    share = cost.redo_seconds / (cost.redo_seconds + full.backward_seconds)
    units = [a * 5000, *((math.factorial(t + 1) * a * 5000) ** (1 / (t + 1)) for t in (1, 2, 3))]
    rows = [line for line in done.out.splitlines() if re.fullmatch(r" +[0-3] +.* × [\d.]+", line)]
    for t, (row, kept) in enumerate(zip(rows, units, strict=True)):
        assert row.split()[0] == str(t)
        assert " ".join(row.split()).startswith(f"{t} {memory(kept * cost.input_bytes)} ")
        assert row.endswith(f"× {1 + t * share:.2f}")
    assert re.search(
        r"Against the plan above, × [\d.]+ in \S+ \SiB: the rule (says|asks for)", " ".join(done.out.split())
    )


def test_training_within_a_memory_says_its_plan(shell):
    labels = np.arange(128) % 2
    images = (np.random.default_rng(0).integers(0, 100, (128, 8, 8)) + 120 * labels[:, None, None]).astype(np.uint8)
    parts = {"train_images": images, "train_labels": labels, "test_images": images[:32], "test_labels": labels[:32]}
    np.savez(shell.folder / "small.npz", **parts)
    done = shell(
        "train", "resnet-8", "--data", "small.npz", "--epochs", "1", "--batch-size", "auto", "--memory", "3MiB",
        "--precision", "float32", "--output", "run", check=0,
    )  # fmt: skip
    record = gp.read(shell.folder / "run" / "run.json")
    said = f"{record.name} at batch {record.plan.batch} fits 2.99 MiB"  # the images take the rest
    trained_on = record.data.train_images  # less than the recipe's batch: all of them, in parts that fit
    assert record.recipe.accumulate > 1 and record.plan.batch.startswith(f"{trained_on // record.recipe.accumulate}×")
    assert said in done.err and f"trained by a plan: {said}" in " ".join(done.out.split())
    refused = shell("train", "resnet-8", "--data", "small.npz", "--memory", "64KiB", check=2).err
    assert "does not fit" in refused and "the images take 11.2 KiB of the 64KiB" in refused


@pytest.mark.slow
def test_the_deepest_net_fits_and_is_said(shell):
    done = shell(
        "plan", "resnet-20", "--batch-size", "2", "--deepest", "--memory", "12MiB", "--slowdown", "9",
        "--output", "plan.json", check=0,
    )  # fmt: skip
    plan = gp.read(shell.folder / "plan.json")
    match = re.match(r"Deepest residual net within 12 MiB and 9 × the time: (\d+) layers", " ".join(done.out.split()))
    assert match is not None and (int(match[1]) - 2) % 6 == 0
    assert len(plan.blocks) == (int(match[1]) - 2) // 2 and plan.name == f"resnet-{match[1]}"
    assert plan.batch.startswith("2×3×32×32") and words_fit(plan)


def words_fit(plan: Plan) -> bool:
    peak = plan.measured[-1].peak_bytes if plan.measured else plan.predicted.total
    return peak <= plan.memory_bytes
