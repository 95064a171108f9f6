"""The examples run: each probe traces, each training loop watches. Frameworks that are not installed are skipped."""

from __future__ import annotations

import importlib
import json
import math
import sys

import pytest

import gradpath as gp
from documents import ROOT

PROBES = [
    ("plain_loop", "probe", {"vanishing"}, 0),
    ("rnn", "probe", {"vanishing"}, 0),
    ("transformer", "probe", set(), 12),
    ("unet", "probe", set(), 2),
    ("elan", "probe", set(), 8),
    ("skips", "right", set(), 16),
    ("skips", "wrong", {"silent skip"}, 16),
    ("skips", "none", set(), 0),
    ("lightning_module", "probe", {"vanishing"}, 0),
    ("hf_trainer", "probe", set(), 8),
]
FRAMEWORKS = {"lightning_module": "lightning", "hf_trainer": "transformers"}


@pytest.fixture
def example(monkeypatch):
    """A function that imports an example by its name."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def load(name):
        if name in FRAMEWORKS:
            pytest.importorskip(FRAMEWORKS[name])
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


def samples(folder):
    """The watch's header and reports, from its file."""
    lines = [json.loads(line) for line in (folder / "watch.jsonl").read_text(encoding="utf-8").splitlines()]
    return lines[0], lines[1:]


def test_every_example_is_tried():
    tried = {name for name, *_ in PROBES}
    assert tried == {path.stem for path in (ROOT / "examples").glob("*.py")}


@pytest.mark.filterwarnings("ignore")  # of the frameworks, on import
@pytest.mark.parametrize(("name", "function", "kinds", "forks"), PROBES)
def test_a_probe_traces(example, name, function, kinds, forks):
    flow = gp.trace(*getattr(example(name), function)())
    assert {finding.kind for finding in flow.findings} == kinds
    assert len(flow.residual_forks) == forks
    assert math.isfinite(flow.stem_over_head)


def test_the_plain_loop_trains_under_a_watch(example, tmp_path):
    losses = example("plain_loop").train(steps=6, folder=str(tmp_path))
    header, reports = samples(tmp_path)
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert len(header["layers"]) == 20 and reports


def test_the_rnns_gradient_dies_on_its_way_to_the_first_step(example):
    flow = gp.trace(*example("rnn").probe())
    calls = [layer for layer in flow.layers if layer.scope == "cell"]
    assert [layer.call for layer in calls] == list(range(60))
    assert calls[0].gradient_rms < 1e-10 * calls[-1].gradient_rms


@pytest.mark.filterwarnings("ignore")
def test_lightning_is_traced_and_watched(example, tmp_path):
    module = example("lightning_module")
    assert module.trace_one_step().loss == pytest.approx(module.trace_while_fitting().loss, abs=0.5)
    module.watch_while_fitting(str(tmp_path), steps=6)
    header, reports = samples(tmp_path)
    assert len(header["layers"]) == 10 and reports


@pytest.mark.filterwarnings("ignore")
def test_the_hugging_face_trainer_is_traced_and_watched(example, tmp_path):
    module = example("hf_trainer")
    assert module.trace_while_training().loss == pytest.approx(math.log(128), abs=0.3)
    module.watch_while_training(str(tmp_path), steps=6)
    header, reports = samples(tmp_path)
    assert header["layers"] and reports
