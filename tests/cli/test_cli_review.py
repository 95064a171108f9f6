"""What a first reader of the command line stumbled over: each was a defect once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from in_process import Shell

import gradpath as gp
from gradpath.report import flow_markdown

NETS = """
import sys
import torch
import torch.nn.functional as F
from torch import nn

net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def probe():
    return net, (torch.randn(4, 8), torch.randint(4, (4,))), F.cross_entropy


def deep():
    layers = [layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(8, 4)), (torch.randn(4, 8), torch.randint(4, (4,))), F.cross_entropy


def wrong_shape():
    return net, (torch.randn(4, 7), torch.randint(4, (4,))), F.cross_entropy


def ends():
    sys.exit("giving up")


def nothing():
    pass


def takes(width, depth=3, *more, **others):
    return net
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("def probe(:\n")
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nets.py:wrong_shape", "shapes cannot be multiplied (4x7 and 8x8); in 0 (Linear)"),
        ("nets.py:ends", "raised SystemExit(giving up): does it parse a command line or end the program?"),
        ("nets.py:nothing", "nets.py:nothing returned None: return a model"),
        ("nets.py:takes", "nets.py:takes takes width, but is called without arguments: give each of them a default"),
        ("nets.py:probee", "has no function 'probee'; did you mean 'probe'?"),
        ("nets.py:xyz", "has no function 'xyz'; it has: probe, deep, wrong_shape, ends, nothing, takes"),
    ],
)
def test_an_error_in_a_probe_says_what_to_do(shell, target, said):
    done = shell("trace", target, check=2)
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_syntax_error_names_its_line_once(shell):
    assert shell("trace", "broken.py", check=2).err.count("broken.py, line 1") == 1


def test_a_model_in_a_file_is_a_target(shell):
    assert "2 layers" in shell("trace", "nets.py:net", "--input", "4x8", check=0).out


def test_an_input_without_numbers_is_refused(shell):
    assert "--input '0x8' holds no number" in shell("trace", "nets.py:net", "--input", "0x8", check=2).err


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error there")
def test_a_reader_that_leaves_early_loses_neither_the_record_nor_the_check(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    command = [sys.executable, "-m", "gradpath", "trace", "nets.py:deep", "--no-cures", "--quiet"]
    for more, code in (([], 0), (["--fail-on", "vanishing"], 1)):
        read, write = os.pipe()
        os.close(read)  # nobody will read: the first write fails
        try:
            done = subprocess.run(
                [*command, "--output", "kept.json", *more],
                cwd=tmp_path,
                stdout=write,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            os.close(write)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert gp.read(tmp_path / "kept.json").findings[0].kind == "vanishing"
        (tmp_path / "kept.json").unlink()


def test_the_folder_of_a_watched_run_says_which_command_shows_it(shell):
    (shell.folder / "run").mkdir()
    (shell.folder / "run" / "watch.jsonl").write_text("")
    assert "gradpath follow run shows it" in shell("report", "run", check=2).err
    assert "holds no watched run yet" in shell("view", "run", check=2).err


def test_the_page_tells_the_finding_first_and_its_cure(shell):
    shell("trace", "nets.py:deep", "--no-cures", "--quiet", "--output", "kept", check=0)
    words = (shell.folder / "kept" / "report.html").read_text(encoding="utf-8")
    finding = gp.read(shell.folder / "kept" / "flow.json").findings[0]
    assert f"<h1>{finding.sentence}</h1>" in words
    assert f"<dd>{finding.remedy}</dd>" in words
    assert f"--try {finding.cures[0]}" in words


def test_markdown_has_the_forks_of_the_screen():
    torch.manual_seed(0)
    images = torch.randn(2, 3, 32, 32), torch.randint(10, (2,))
    flow = gp.trace(gp.build("resnet-32"), images, torch.nn.functional.cross_entropy)
    words = flow_markdown(flow)
    assert "| fork | meets in | skip share | cancellation | gradient norm |" in words
    assert "(7 more between fork 4 and the last 4)" in words


def test_paths_of_one_length_deviate_by_nothing(shell):
    printed = shell("paths", "nets.py:deep", "--unit", "layers", check=0).out
    assert "every path passes 20 layers" in printed
    assert "cancel" not in printed


def test_follow_counts_layers_as_trace_does(shell):
    torch.manual_seed(0)
    block = [torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)]
    model = torch.nn.Sequential(*block, torch.nn.Linear(4, 2))
    with gp.watch(model, folder=shell.folder / "run", every=1) as watch:
        for _ in range(3):
            loss = model(torch.randn(4, 4)).square().mean()
            loss.backward()
            watch.step(loss)
    assert "\n\nrun: Sequential, 2 layers\n" in shell("follow", "run", "--once", check=0).out
