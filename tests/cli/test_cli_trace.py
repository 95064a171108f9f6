"""`gradpath trace`: targets, inputs, checks, what it prints and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types

import pytest
import torch
from in_process import Shell
from torch import nn

import gradpath as gp
from gradpath.errors import TraceError
from gradpath.record import Finding, Flow

CODES = "cp1252", "ascii", "utf-8"
NETS = """
import torch
import torch.nn.functional as F
from torch import nn

import helper


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)

    def forward(self, x):
        print("the model says something")
        return torch.relu(self.a(x)) + x



def net():
    return nn.Sequential(nn.Linear(6, 6), Block(), Block(), nn.Linear(6, helper.CLASSES))


def pair():
    return net(), (torch.randn(5, 6), torch.arange(5) % 3)


def triple():
    return (*pair(), F.cross_entropy)


def loader():
    return net(), [(torch.randn(5, 6), torch.arange(5) % 3) for _ in range(4)], nn.CrossEntropyLoss()


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(11, 4), nn.Linear(4, 4)

    def forward(self, ids, mask=None):
        x = self.out(self.table(ids))
        return {"x": x if mask is None else x * mask.unsqueeze(-1)}


def raises():
    raise ValueError("no such data\\nsecond line")


def fails():
    return nn.Linear(3, 4), torch.randn(8, 5)


def nothing():
    return 3


constant = 3
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    (tmp_path / "helper.py").write_text("CLASSES = 3\n")
    (tmp_path / "nets.py").write_text(NETS)
    yield Shell(tmp_path, monkeypatch, capsys)
    for name in ("nets", "helper", "gradpath_target_nets", "probe"):
        sys.modules.pop(name, None)


def flow_of(done) -> Flow:
    data = json.loads(done.out)
    assert data["kind"] == "flow"
    return data


def test_init_writes_a_probe_that_traces_and_never_overwrites(shell):
    done = shell("trace", "--init", check=0)
    assert "probe.py" in done.err
    text = (shell.folder / "probe.py").read_text()
    assert len([line for line in text.splitlines() if line]) <= 10
    assert "gradient" in shell("trace", "probe.py", check=0).out
    again = shell("trace", "--init", check=2)
    assert "probe.py exists already" in again.err
    assert (shell.folder / "probe.py").read_text() == text
    shell("trace", "--init", "other.py", check=0)
    assert (shell.folder / "other.py").is_file()


@pytest.mark.parametrize("target", ["nets.py:triple", "nets:triple", "./nets.py:triple"])
def test_a_function_of_a_file_or_a_module_of_the_current_folder(shell, target):
    path, arguments = list(sys.path), list(sys.argv)
    data = flow_of(shell("trace", target, "--format", "json", "--quiet", check=0))
    assert data["model"] == "Sequential" and len(data["layers"]) == 4
    assert data["unseen"]["notes"] == []
    assert (sys.path, sys.argv) == (path, arguments)


def test_the_trace_is_that_of_python(shell):
    """The same seed, the same model, the same batch: the command line adds nothing of its own."""
    data = flow_of(shell("trace", "nets.py:triple", "--format", "json", "--seed", "7", check=0))
    namespace: dict = {}
    sys.path.insert(0, str(shell.folder))
    try:
        exec(compile(NETS, "nets.py", "exec"), namespace)
    finally:
        sys.path.pop(0)
    torch.manual_seed(7)
    expected = gp.trace(*namespace["triple"]())
    assert data["loss"] == expected.loss
    assert data["effective_depth"] == expected.effective_depth
    assert [layer["log10_gradient_rms"] for layer in data["layers"]] == [x.log10_gradient_rms for x in expected.layers]


def test_what_the_users_code_prints_does_not_spoil_the_result(shell):
    done = shell("trace", "nets.py:triple", "--format", "json", check=0)
    flow_of(done)
    assert "the model says something" in done.err


@pytest.mark.parametrize(
    ("arguments", "note"),
    [
        (("nets.py:pair",), "cross-entropy with the batch's targets"),
        (("nets.py:net", "--input", "5x6"), "cross-entropy with random labels in 3 classes"),
        (("nets.py:net", "--input", "2x5x6"), "mean square of the output, of shape (2, 5, 3)"),
        (("nets.py:Words", "--input", "4x7:int<11"), "mean square of the output, of shape (4, 7, 4)"),
        (("nets.py:Words", "--input", "4x7:int<11", "--input", "4x7"), "mean square"),
        (("nets.py:Words", "--input", "mask=4x7:bool", "--input", "ids=4x7:int<11"), "mean square"),
    ],
)
def test_a_missing_loss_is_stood_in_for_and_said(shell, arguments, note):
    data = flow_of(shell("trace", *arguments, "--format", "json", check=0))
    assert len(data["unseen"]["notes"]) == 1 and note in data["unseen"]["notes"][0]
    assert note in " ".join(shell("trace", *arguments, check=0).out.split()).replace("( ", "(")


class Own(nn.Module):
    """Gives its own loss where it gets labels, in the way of transformers."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x, labels=None):
        logits = self.out(x)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return types.SimpleNamespace(loss=loss, logits=logits)


def test_the_models_own_loss_comes_first():
    from gradpath.cli._inputs import StandInLoss

    model, x, labels = Own(), torch.randn(5, 4), torch.arange(5) % 3
    step = StandInLoss(0)
    expected = nn.functional.cross_entropy(model.out(x), labels)
    assert torch.equal(step(model, {"x": x, "labels": labels}), expected) and step.said is None
    pair = StandInLoss(0)
    assert torch.equal(pair(model.out, (x, labels)), expected) and "batch's targets" in pair.said
    squared = StandInLoss(0)
    target = torch.randn(5, 3)
    assert torch.equal(squared(model.out, [x, target]), (model.out(x) - target).square().mean())
    with pytest.raises(TraceError, match="none fits an output of shape"):
        StandInLoss(0)(model.out, (x, torch.randn(5)))
    drawn = [float(StandInLoss(seed)(model.out, x).detach()) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2], "random labels are those of the seed"
    with pytest.raises(TraceError, match="without a tensor or a loss"):
        StandInLoss(0)(model, x)


def test_random_labels_are_those_of_the_seed(shell):
    def loss(seed):
        return flow_of(shell("trace", "nets.py:net", "--input", "5x6", "--seed", seed, "--format", "json"))["loss"]

    assert loss(1) == loss(1) != loss(2)


def test_several_batches_have_a_standard_error(shell):
    data = flow_of(shell("trace", "nets.py:loader", "--batches", "3", "--format", "json", check=0))
    assert {s["n"] for s in data["statistics"]} == {3}
    assert "± " in shell("trace", "nets.py:net", "--input", "5x6", "--batches", "3", check=0).out
    assert "has 4" in shell("trace", "nets.py:loader", "--batches", "5", check=2).err
    assert "one batch" in shell("trace", "nets.py:pair", "--batches", "2", check=2).err


def test_a_name_of_ours_has_an_input_of_its_own(shell):
    data = flow_of(shell("trace", "resnet-8", "--device", "cpu", "--format", "json", check=0))
    assert data["model"] == "resnet-8" and data["layers"][0]["shape"] == [8, 16, 32, 32]
    assert len([fork for fork in data["forks"] if fork["kind"] == "residual"]) == 3


def test_timm_and_torchvision_by_name(shell, monkeypatch):
    def create_model(name, pretrained):
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        assert pretrained is False
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 5))
        model.pretrained_cfg = {"input_size": (3, 4, 4)}
        return model

    def get_model(name, weights):
        assert weights is None
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 5))

    timm, vision = types.ModuleType("timm"), types.ModuleType("torchvision")
    models = types.ModuleType("torchvision.models")
    timm.create_model, models.get_model, vision.models = create_model, get_model, models
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "torchvision", vision)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    assert flow_of(shell("trace", "timm:tiny", "--format", "json", "--device", "cpu", check=0))["model"] == "tiny"
    assert "Unknown model (large)" in shell("trace", "timm:large", check=2).err
    timm.list_models = lambda: ["resnet18", "larger"]
    assert ": did you mean 'larger'?" in shell("trace", "timm:large", check=2).err
    seen = flow_of(shell("trace", "torchvision:any", "--format", "json", "--device", "cpu", check=0))
    assert seen["layers"][0]["shape"] == [8, 5]
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install timm" in shell("trace", "timm:tiny", check=2).err


def test_a_checkpoint_is_loaded_strictly(shell):
    shell.write("one.py", "from torch import nn\ndef probe():\n    return nn.Linear(6, 6)\n")
    loaded = nn.Linear(6, 6)
    torch.save(loaded.state_dict(), shell.folder / "w.pt")
    arguments = ("trace", "one.py", "--input", "4x6", "--format", "json", "--checkpoint")
    data = flow_of(shell(*arguments, "w.pt", check=0))
    norms = {p["name"]: p["log10_norm"] for p in data["parameters"]}
    assert norms["weight"] == pytest.approx(float(loaded.weight.detach().norm().log10()), rel=1e-5)
    misfit = shell("trace", "nets.py:triple", "--checkpoint", "w.pt", check=2)
    assert "does not fit" in misfit.err and len(misfit.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "TARGET is missing"),
        (("absent.py:probe",), "absent.py: there is no such file; gradpath trace --init"),
        (("absent.module:probe",), "no module 'absent.module'"),
        (("nets.py:nix",), "no function 'nix'; it has: Block, net, pair, triple"),
        (("nets.py:constant",), "no function 'constant'"),
        (("nets.py:",), "names no function"),
        (("nets.py:raises",), "raised ValueError: no such data (nets.py, line"),
        (("nets.py:fails",), "the model raised RuntimeError: mat1 and mat2"),
        (("nets.py:nothing",), "returned int: return a model"),
        (("nets.py:net",), "give --input"),
        (("nets.py:pair", "--input", "5x6"), "returns a batch of its own"),
        (("nets.py:net", "--input", "5xx6"), "'5xx6' is no shape"),
        (("nets.py:net", "--input", "5x6:int<0"), "no integer from 0 on below 0"),
        (("nets.py:net", "--input", "a=5x6", "--input", "5x6"), "a name to all inputs"),
        (("nets.py:net", "--input", "5x7"), "the model raised RuntimeError"),
        (("resmet-20",), "did you mean resnet-20"),
        (("nets.py:triple", "--at", "nix"), "at='nix' is no module"),
        (("nets.py:triple", "--baseline", "torn.json"), "was cut short, edited or written by another version; make it"),
        (("nets.py:triple", "--try", "inti=he"), "init"),
        (("nets.py:triple", "--checkpoint", "absent.pt"), "absent.pt: there is no such file"),
        (("nets.py:triple", "--device", "tpu"), "device tpu: this machine has none; it has cpu"),
        (("nets.py:triple", "--output", "x.gif"), "the ending is none of .html"),
        (("nets.py:triple", "--output", "helper"), "is a file, not a folder"),
        (("nets.py:triple", "--fail-on", "vanishin"), "kinds are any, not finite"),
        (("nets.py:triple", "--tolerance", "1"), "give --baseline"),
        (("nets.py:triple", "--baseline", "absent"), "absent"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(shell, arguments, message):
    shell.write("helper", "a file")
    shell.write("torn.json", '{"schema": 1, "kind": "fl')
    before = sorted(path.name for path in shell.folder.iterdir())
    done = shell("trace", *arguments, check=2)
    lines = [line for line in done.err.splitlines() if line.startswith("gradpath: ")]
    assert len(lines) == 1 and message in lines[0]
    assert not done.out
    assert sorted(path.name for path in shell.folder.iterdir() if path.name != "__pycache__") == before


def test_a_bug_of_ours_is_not_blamed_on_the_model(monkeypatch):
    """Only what is raised while a module is called is the model's."""
    from gradpath.cli._ask import models_code
    from gradpath.errors import TraceError

    with pytest.raises(ZeroDivisionError), models_code():
        _ = 1 / 0
    with pytest.raises(TraceError, match="the model raised RuntimeError"), models_code():
        nn.Linear(2, 3)(torch.randn(1, 5))


def test_output_is_a_folder_or_a_file_whose_ending_decides(shell):
    done = shell("trace", "nets.py:triple", "--output", "run", "--try", "cut=skips", check=0)
    assert sorted(p.name for p in (shell.folder / "run").iterdir()) == [
        "flow.json", "report.html", "whatif-cut-skips.json",
    ]  # fmt: skip
    assert (
        "written to run: flow.json" in done.err and "gradpath view run/report.html" in done.err and "scp " in done.err
    )
    flow = gp.read(shell.folder / "run")
    assert isinstance(flow, Flow) and flow.model == "Sequential"
    for name, start in (("x.csv", "layer,call,"), ("x.md", "### "), ("x.txt", "No finding."), ("x.html", "<!doctype")):
        quiet = shell("trace", "nets.py:triple", "--output", name, "--quiet", check=0)
        assert (shell.folder / name).read_text(encoding="utf-8").startswith(start)
        assert "written" not in quiet.err


def test_what_was_tried_stands_on_the_screen(shell):
    done = shell("trace", "nets.py:triple", "--try", "cut=skips", "--try", "init=he", check=0)
    assert done.out.index("tried  cut=skips: ") < done.out.index("tried  init=he: ")
    assert "simulating cut=skips" in done.err
    markdown = shell("trace", "nets.py:triple", "--try", "cut=skips", "--format", "markdown", "--quiet", check=0)
    assert "- **tried** cut=skips" in markdown.out and "simulating" not in markdown.err


def finding(kind="vanishing", where="0", cures=()):
    return Finding(kind=kind, where=where, sentence="It fades.", evidence="e", remedy="r", severity=2.0, cures=cures)


@pytest.fixture
def with_findings(monkeypatch):
    """Let the next traces have these findings."""
    import dataclasses

    from gradpath.cli import _ask

    trace = _ask.trace

    def give(*found):
        monkeypatch.setattr(_ask, "trace", lambda *a, **k: dataclasses.replace(trace(*a, **k), findings=found))

    return give


def test_fail_on_counts_what_the_baseline_does_not_have(shell, with_findings):
    with_findings()
    shell("trace", "nets.py:triple", "--output", "good", "--fail-on", "any", check=0)
    with_findings(finding(), finding("dead units", "1"))
    shell("trace", "nets.py:triple", check=0)
    done = shell("trace", "nets.py:triple", "--fail-on", "vanishing", check=1)
    assert "check failed: a finding: vanishing at 0" in done.err and "dead units at" not in done.err
    assert "It fades." in done.out
    shell("trace", "nets.py:triple", "--fail-on", "exploding,silent-skip", check=0)
    both = shell("trace", "nets.py:triple", "--baseline", "good", "--output", "sick", check=1)
    assert "vanishing at 0" in both.err and "dead units at 1" in both.err
    shell("trace", "nets.py:triple", "--baseline", "sick", check=0)
    with_findings(finding(), finding("dead units", "2"))
    assert "dead units at 2" in shell("trace", "nets.py:triple", "--baseline", "sick/flow.json", check=1).err


def test_tolerance_compares_the_numbers_with_the_baseline(shell, with_findings):
    with_findings()
    shell("trace", "nets.py:triple", "--output", "good", check=0)
    shell("trace", "nets.py:triple", "--baseline", "good", "--tolerance", "0.001", check=0)
    done = shell("trace", "nets.py:triple", "--baseline", "good", "--tolerance", "0.001", "--seed", "5", check=1)
    assert "check failed: the baseline differs" in done.err


def test_cures_of_the_worst_finding_are_simulated(shell, with_findings):
    with_findings(finding(cures=("init=he", "skip=every:99", "train=1")), finding(cures=("init=orthogonal",)))
    done = shell("trace", "nets.py:triple", check=0)
    assert "tried  init=he: " in done.out and "orthogonal" not in done.err
    assert "--try train=1" in done.out, "what was not simulated is proposed"
    none = shell("trace", "nets.py:triple", "--no-cures", check=0)
    assert "simulating" not in none.err and "--try init=he" in none.out


@pytest.mark.parametrize("encoding", ["gbk", *(pytest.param(e, marks=pytest.mark.slow) for e in CODES)])
def test_the_screen_is_safe_on_any_console(tmp_path, encoding):
    """No traceback, no '?' in place of a sign, and nothing wider than the console."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "gradpath", "trace", "resnet-8", "--input", "4x3x16x16", "--output", "run"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    text = done.stdout.decode(encoding)
    assert "?" not in text and "Gradient RMS, stem to head" in text
    assert all(len(line) <= 80 for line in text.splitlines())
