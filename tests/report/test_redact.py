"""What `--redact` takes out, nothing of it stays anywhere in the page; what it leaves is still a record."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import random
import re
import string

import pytest
import torch
from handmade_plans import PLANNED
from invented import residual
from torch import nn
from torch.nn.functional import cross_entropy

import gradpath as gp
from gradpath.record import (
    Finding,
    Flow,
    Record,
    TriedChange,
    Unseen,
    WatchEvent,
    WatchHeader,
    WatchLayer,
    WatchLog,
    WatchReport,
)
from gradpath.report._redact import Redaction
from gradpath.report._report_page import report_page
from gradpath.report._torch_names import MODULES, OPERATIONS


def everything(page: str) -> str:
    """A page with its packed data unpacked."""
    packed = re.findall(r'data-packed="gzip">([^<]*)<', page)
    return page + "".join(gzip.decompress(base64.b64decode(text)).decode() for text in packed)


def secret(rng: random.Random) -> str:
    return rng.choice("xqzjk") + "".join(rng.choices(string.ascii_lowercase, k=5)) + rng.choice(["", "_x7", "Qz"])


def secret_flow(rng: random.Random) -> tuple[Flow, set[str]]:
    """A traced net all of whose names are secrets, and every sentence quotes some."""
    torch.manual_seed(0)
    names = {secret(rng) for _ in range(6)}
    first, second, third, inner, block, net = sorted(names, key=lambda name: rng.random())

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module(inner, nn.Linear(4, 4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.relu(getattr(self, inner)(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module(first, nn.Linear(4, 4))
            self.add_module(second, nn.Sequential(Block(), Block()))
            self.add_module(third, nn.Linear(4, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return getattr(self, third)(getattr(self, second)(getattr(self, first)(x)))

    Block.__name__ = Block.__qualname__ = block
    Net.__name__ = Net.__qualname__ = net
    flow = gp.trace(Net(), (torch.randn(5, 4), torch.arange(5) % 3), cross_entropy)
    where = f"{second}.0.{inner}"
    said = f"At {where} ({block} in /home/{net}/{third}.py:12) the gradient of {first} vanishes."
    finding = Finding(kind="vanishing", where=where, sentence=said, evidence=said, remedy=said, severity=1.0)
    tried = TriedChange(change=f"cut={where}", sentence=said, notes=(said,))
    unseen = Unseen(modules_not_called=(where,), parameters_without_gradient=(f"{where}.weight",), notes=(said,))
    forks = tuple(dataclasses.replace(fork, line=f"/home/{net}/x.py:3") for fork in flow.forks)
    return dataclasses.replace(flow, findings=(finding,), tried=(tried,), unseen=unseen, forks=forks), names


@pytest.mark.parametrize("seed", range(12))
def test_no_original_identifier_is_anywhere(seed: int) -> None:
    flow, names = secret_flow(random.Random(seed))
    assert all(name in everything(report_page([flow])) for name in names), "the test must be able to fail"
    other, more = secret_flow(random.Random(100 + seed))
    page = everything(report_page([flow, other], [f"{name}.json" for name in sorted(names)[:2]], redact=True))
    assert [name for name in names | more if name in page] == []
    assert "/home" not in page and ".py" not in page


def test_structure_and_numbers_stay() -> None:
    flow, _ = secret_flow(random.Random(1))
    redaction = Redaction([flow])
    clean = redaction.of(flow)
    assert isinstance(clean, Flow)
    assert [layer.scope for layer in clean.layers] == ["a", "b.0.c", "b.1.c", "d"]
    assert [layer.log10_gradient_rms for layer in clean.layers] == [layer.log10_gradient_rms for layer in flow.layers]
    assert [layer.module for layer in clean.layers] == ["Linear"] * 4, "torch's own names stay"
    assert clean.graph is not None and flow.graph is not None
    assert clean.graph.operations == flow.graph.operations
    assert clean.findings[0].where == "b.0.c"
    assert clean.findings[0].sentence.startswith("At b.0.c (") and clean.findings[0].sentence.endswith("of a vanishes.")
    assert all(fork.line is None for fork in clean.forks)
    assert redaction.of(flow) == clean, "the same names, the same letters"


def test_paths_whatif_and_runs_too(tmp_path) -> None:
    from invented import comparison

    torch.manual_seed(0)
    net = nn.Sequential()
    for name in ("zxyone", "zxytwo", "zxyend"):
        net.add_module(name, nn.Linear(4, 4))
    batch = (torch.randn(5, 4), torch.arange(5) % 4)
    records: list[Record] = [
        gp.paths(net, batch, cross_entropy, by_depth=True),
        gp.whatif(net, batch, cross_entropy, change="init=he"),
        gp.record.diff(*[gp.trace(net, batch, cross_entropy)] * 2, name_a="zxyA.json", name_b="zxyB.json"),
    ]
    for record in records:
        assert "zxy" in everything(report_page([record]))
    assert "zxy" not in everything(report_page(records, redact=True))
    compared = comparison()
    page = everything(
        report_page([dataclasses.replace(compared, data=dataclasses.replace(compared.data, name="zxy"))], redact=True)
    )
    assert "zxy" not in page


def test_a_plan_too() -> None:
    """Names of modules, alone and joined, their classes, the model's name, and why something was left alone."""
    costs = tuple(dataclasses.replace(one, label="ZxyBlock+ZxyPool 4×8 → 4×8") for one in PLANNED.costs)
    layers = tuple(dataclasses.replace(one, name=f"zxybody.{one.name}", kind="ZxyConv") for one in PLANNED.layers)
    blocks = ("zxybody.stages.0.0+zxytail", *(f"zxybody.{name}" for name in PLANNED.blocks[1:]))
    plan = dataclasses.replace(
        PLANNED, name="ZxyNet", blocks=blocks, costs=costs, layers=layers, left_alone=("zxyhead reads two",)
    )
    run = dataclasses.replace(residual(), plan=plan)
    assert "zxy" in everything(report_page([plan])).lower()
    assert "zxy" not in everything(report_page([plan, run], redact=True)).lower()
    clean = Redaction([plan]).of(plan)
    assert clean.segments == plan.segments and clean.live_bytes == plan.live_bytes
    assert [name.count("+") for name in clean.blocks] == [name.count("+") for name in blocks]
    assert len(set(clean.blocks)) == len(blocks) and clean.costs[0].label == "ModuleA+ModuleB 4×8 → 4×8"


def test_a_watched_run_loses_its_names_and_its_events_their_text(tmp_path) -> None:
    log = WatchLog(tmp_path / "zxyrun" / "watch.jsonl")
    log.header = WatchHeader(
        model="ZxyNet",
        layers=(WatchLayer(scope="zxybody.0", module="ZxyConv", weighted=True),),
        system="Linux",
        device="cpu",
        threads=1,
        python="3",
        torch="2",
        rank=0,
        world_size=1,
        max_overhead=0.01,
        every=None,
        notes=("zxy",),
    )
    values: tuple[float | None, ...] = (-1.0,)
    log.reports = [
        WatchReport(
            step=i,
            seconds=1.0,
            losses=(1.0,),
            log10_activation_rms=values,
            log10_gradient_rms=values,
            log10_parameter_gradient_norm=values,
        )
        for i in range(1, 8)
    ]
    log.events = [WatchEvent(step=3, what="spike", text="zxybody.0 moved", file="zxy.json")]
    assert "zxy" in everything(report_page([log])).lower()
    assert "zxy" not in everything(report_page([log], redact=True)).lower()


def test_words_of_the_page_are_kept_in_sentences() -> None:
    """A module called 'head' gives nothing away."""
    flow, _ = secret_flow(random.Random(2))
    layers = tuple(dataclasses.replace(layer, scope="head") for layer in flow.layers)
    finding = dataclasses.replace(flow.findings[0], where="head", sentence="From the head back the gradient shrinks.")
    flow = dataclasses.replace(flow, layers=layers, findings=(finding,))
    assert Redaction([flow]).of(flow).findings[0].sentence == finding.sentence
    named = dataclasses.replace(flow.layers[0], scope="head.linear")
    said = dataclasses.replace(finding, sentence="From head.linear back the gradient shrinks.")
    flow = dataclasses.replace(flow, layers=(named, *flow.layers[1:]), findings=(said,))
    assert "head" not in Redaction([flow]).of(flow).findings[0].sentence, "a dotted name is one, whatever its words"


def test_torchs_names_are_torchs() -> None:
    ours = {name for name in MODULES if not hasattr(nn, name)}
    assert len(ours) <= 5, f"this version of torch lacks {ours}"
    nodes = {re.sub(r"Backward\d*$", "", name) for name in dir(torch._C._functions)}
    assert len(OPERATIONS - nodes) < 0.25 * len(OPERATIONS), sorted(OPERATIONS - nodes)
