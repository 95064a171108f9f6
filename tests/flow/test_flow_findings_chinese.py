"""What is found in real models is said in Chinese from its facts, with the numbers of the English."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from patients import SICK as PATIENTS
from torch import nn

import gradpath as gp
from gradpath.record import Finding, Flow
from gradpath.report._findings_words import change_told
from gradpath.report._findings_zh import in_chinese
from gradpath.report._say import speaking

NUMBER = re.compile(r"(?<![A-Za-z_\d.])\d+(?:[.,]\d+)*(?:e-?\d+)?")
ENGLISH = re.compile(r"\b(?:the|of|is|are|to|it|that|layers|gradient)\b")


def numbers(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


def check(finding: Finding) -> None:
    chinese = in_chinese(finding)
    assert chinese is not None, finding
    for english, text in zip((finding.sentence, finding.evidence, finding.remedy), chinese, strict=True):
        assert numbers(english) == numbers(text), (english, text)
        assert not ENGLISH.search(re.sub(r"（[^）]*equation[^）]*）|\([^)]*\)", "", text)), text


@pytest.mark.slow
@pytest.mark.parametrize("name", PATIENTS)
def test_findings_of_patients_say_the_same_in_chinese(name: str) -> None:
    flow = PATIENTS[name].flow()
    assert flow.findings
    for finding in flow.findings:
        check(finding)


def plain(depth: int = 12) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[part for _ in range(depth) for part in (nn.Linear(16, 16), nn.ReLU())], nn.Linear(16, 4))


BATCH = torch.arange(128.0).view(8, 16).sin(), torch.arange(8) % 4


def traced(model: nn.Module) -> Flow:
    flow = gp.trace(model, BATCH, F.cross_entropy)
    assert isinstance(flow, Flow)
    return flow


def test_a_plain_net_and_a_broken_one_say_the_same_in_chinese() -> None:
    broken, log = plain(4), nn.Sequential(nn.Linear(16, 16), Log(), nn.Linear(16, 4))
    with torch.no_grad():
        broken[0].weight.fill_(float("nan"))
    found = [finding for model in (plain(), broken, log) for finding in traced(model).findings]
    assert {finding.kind for finding in found} >= {"vanishing", "not finite"}
    for finding in found:
        check(finding)


class Log(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.log()


@pytest.mark.parametrize("change", ["init=he", "skip=every:2", "scale=skips:0.5", "train=2:0.1", "activation=gelu"])
def test_a_simulated_change_says_the_same_in_chinese(change: str) -> None:
    done = gp.whatif(plain(), BATCH, F.cross_entropy, change)
    with speaking("zh"):
        chinese = change_told(done)
    assert chinese != done.sentence
    assert numbers(done.sentence) == numbers(chinese), (done.sentence, chinese)
    assert done.in_short.facts == done.facts
