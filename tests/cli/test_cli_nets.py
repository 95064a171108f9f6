"""`gradpath nets`: the list, one net, several; wrong input; formats."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from in_process import Shell

from gradpath.record import NetComparison, NetList, NetTable, read


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def words(text):
    return [line.split() for line in text.splitlines()]


def test_the_list_has_a_line_for_each_net(shell):
    done = shell("nets", check=0)
    lines = words(done.out)
    assert ["resnet-110", "110", "1,727,962", "252.9", "M", "6.43", "%", "the", "paper,", "best", "of", "5"] in lines
    assert ["densenet-264", "265", "33,337,704", "5.8", "G", "22.15", "%", "the", "paper"] in lines
    assert ["plain-44", "44", "658,586", "97.2", "M"] in lines  # nothing is published
    assert "DenseNets for ImageNet (Huang et al. 2017, arXiv:1608.06993)" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_the_list_imports_no_torch():
    code = (
        "import sys; sys.argv = ['gradpath', 'nets']\nfrom gradpath.cli import main\n"
        "try: main()\nexcept SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_one_net_layer_by_layer(shell):
    done = shell("nets", "ResNet20", check=0)
    assert done.out.startswith(
        "resnet-20: residual 20, 32×32 px, 10 classes\n269,722 parameters, 40.6 M MACs, 1.45 MiB"
    )
    assert "He et al. 2015, arXiv:1512.03385; 8.75 % error (CIFAR-10, flip and crop" in done.out
    lines = words(done.out)
    assert ["stages.1.1–2", "×2", "32×16×16", "37,120", "9.4", "M", "37", "2"] in lines
    assert ["conv1", "3×3", "/2", "32×16×16", "4,608", "1.2", "M", "17", "2"] in lines
    assert ["head.linear", "linear", "10", "650", "640", "all", "all"] in lines
    assert max(map(len, done.out.splitlines())) <= 80
    full = shell("nets", "resnet-20", "--full", check=0).out
    assert ["stages.1.2.conv2", "3×3", "32×16×16", "9,216", "2.4", "M", "37", "2"] in words(full)
    assert "×2" not in full


def test_dense_layers_are_folded_with_the_width_that_leaves_them(shell):
    lines = words(shell("nets", "densenet-bc-22-12", check=0).out)
    assert ["stages.0.0–2", "×3", "60×32×32", "21,240", "21.2", "M", "9", "1"] in lines
    assert ["stages.1.0", "30×16×16", "1,920", "1.8", "M", "10", "2"] in lines
    assert ["(itself)", "mean", "2×2", "/2", "30×16×16", "10", "2"] in lines
    assert next(line for line in lines if line[:1] == ["stages.2.1–3"])[:3] == ["stages.2.1–3", "×3", "69×8×8"]


def test_fields_are_changed(shell):
    done = shell("nets", "densenet-bc-40-12", "--set", "growth_rate=24", "--classes", 7, "--input-size", 16, check=0)
    assert done.out.startswith("densenet-bc-40-12 with growth_rate=24, classes=7, input_size=16: ")
    changes = ("blocks=1,1,1,1", "depth=14", "stride-on=none", "zero_last_norm=true")
    done = shell("nets", "resnet-50", *(word for change in changes for word in ("--set", change)), "--format", "json")
    record = json.loads(done.out)
    assert record["kind"] == "net-table"
    assert record["spec"]["blocks"] == [1, 1, 1, 1]
    assert record["spec"]["zero_last_norm"] is True
    assert shell("nets", "resnet-20", "--set", "depth=56").out.startswith("resnet-56: residual 56")
    assert "zero_last_norm=True: " in shell("nets", "resnet-8", "--set", "zero_last_norm=True", check=0).out
    for wrong in ("depth=abc", "name=x", "growth_rate=3"):
        refused = shell("nets", "resnet-20", "--set", wrong, check=2).err
        assert wrong.partition("=")[0] in refused and refused.count("\n") == 1


def test_side_by_side(shell):
    done = shell("nets", "--compare", "resnet-20", "densenet-bc-22-12", check=0)
    lines = words(done.out)
    assert lines[0] == ["resnet-20", "densenet-bc-22-12"]
    assert ["parameters", "269,722", "71,686"] in lines
    assert ["growth", "rate", "-", "12"] in lines
    assert ["sees", "81", "px", "48", "px"] in lines
    assert ["resnet-20", "stages.1.2", "32", "32", "32", "18,560", "580", "580", "4.7", "M", "16", "px"] in lines
    assert sum(line[:1] == ["Inception-style"] for line in lines) == 2
    assert shell("nets", "resnet-20", "densenet-bc-22-12").out == done.out


def test_many_nets_are_set_below_each_other_where_the_terminal_is_narrow(shell):
    names = ["resnet-8", "densenet-bc-10-4", "preresnet-11", "plain-11", "resnet-11", "densenet-c-10-12"]
    done = shell("nets", *names, check=0)
    assert [line.split() for line in done.out.splitlines() if line.endswith(("resnet-11", "12"))][:2] == [
        names[:5],
        names[5:],
    ]
    assert max(map(len, done.out.splitlines())) <= 80
    assert sum(line.startswith("parameters") for line in done.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnt-20"], "there is no network 'resnt-20': did you mean resnet-20?"),
        (["--compare", "resnet-20"], "--compare takes two names or more, as in gradpath nets --compare resnet-50"),
        (["--compare"], "--compare takes two names or more"),
        (["--full"], "--full shows every layer of one net: name it"),
        (["--classes", "3"], "classes of which net? Name it"),
        (["resnet-20", "--set", "width"], "--set width: write it as FIELD=VALUE"),
        (["resnet-20", "--set", "width=wide"], "width must be a whole number, got 'wide'"),
        (["resnet-20", "--set", "wdith=3"], "a network has no field 'wdith': did you mean 'width'?"),
        (["resnet-21"], "its depth is 6n+2: 20 or 26"),
        (["resnet-8", "--output", "x.png"], "--output x.png: the ending is none of .txt, .json, .md"),
    ],
)
def test_wrong_input_is_one_line(shell, arguments, message):
    done = shell("nets", *arguments, check=2)
    assert done.err.startswith("gradpath: ")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_formats_and_files(shell):
    assert "| resnet-56 | 56 | 853,018 |" in shell("nets", "--format", "markdown").out
    table = shell("nets", "resnet-8", "--format", "markdown").out
    assert "| · conv1 | 3×3 /2 | 32×16×16 | 4,608 | 1.2 M | 9 | 2 |" in table
    assert "| parameters | 75,290 | 75,290 |" in shell("nets", "resnet-8", "plain-8", "--format", "markdown").out
    for names, kind in (((), NetList), (("resnet-8",), NetTable), (("resnet-8", "plain-8"), NetComparison)):
        done = shell("nets", *names, "--output", f"out{len(names)}", check=0)
        assert "written to" in done.err
        record = read(shell.folder / f"out{len(names)}" / "nets.json")
        assert isinstance(record, kind)
        assert shell("report", f"out{len(names)}/nets.json", check=0).out == done.out
    done = shell("nets", "resnet-8", "--full", "--output", "full.md", "--quiet", check=0)
    assert "stages.1.0.conv1" in (shell.folder / "full.md").read_text(encoding="utf-8")
    assert done.err == ""
