"""What the circuits say of themselves is true at any value, in both languages."""

from __future__ import annotations

import math
import re

import pytest

from gradpath.circuits import circuit
from gradpath.circuits._words import LANGUAGES, show
from gradpath.record import CircuitRecord


def gradients(record: CircuitRecord) -> dict[str, str]:
    return {node.name: show(node.gradient) for node in record.nodes}


def test_product_too_small_for_a_float_says_so():
    for name in ("plain-chain", "residual-chain"):
        assert any("about 10^−400," in finding for finding in circuit(name, blocks=100).findings)
        assert any("约为 10^−4000，" in finding for finding in circuit(name, blocks=1000, language="zh").findings)
        assert not any("about 10^" in finding for finding in circuit(name, blocks=5).findings)
    tiny = circuit("plain", values=dict.fromkeys(("w1", "w2", "w3", "w4"), 1e-100)).findings
    assert any("about 10^−400," in finding for finding in tiny)


def test_product_too_large_for_a_float_is_a_power_of_ten():
    findings = circuit("plain-chain", blocks=5000, w=1).findings
    assert f"would leave 10^{show(5000 * math.log10(2))} instead of 1" in findings[-1]
    assert not any("inf" in finding for finding in findings)


@pytest.mark.parametrize(
    ("weight", "english", "chinese"),
    [
        (0.1, "by 0.0001; the next block in front does so again. That is how gradients vanish.", "梯度消失"),
        (1, "by 1: its size passes unchanged", "梯度的大小都不变"),
        (2, "by 16; the next block in front does so again. That is how gradients explode.", "梯度爆炸"),
        (0, "by 0: nothing in front of it learns at all.", "完全学不到东西"),
    ],
)
def test_plain_block_says_what_its_factor_does(weight, english, chinese):
    values = dict.fromkeys(("w1", "w2", "w3", "w4"), weight)
    told = circuit("plain", values=values).findings
    assert english in told[-1]
    assert chinese in circuit("plain", values=values, language="zh").findings[-1]
    turned = circuit("plain", values=values | {"w2": -weight}).findings
    assert weight == 0 or "minus sign turns the gradient round" in turned[-1]
    assert not any("minus sign" in finding for finding in told)


@pytest.mark.parametrize("language", LANGUAGES)
def test_captions_claim_nothing_of_values_that_can_be_set(language):
    caption = circuit("plain", values={"w1": 2}, language=language).caption
    assert ("in the article x is 10" if language == "en" else "文章中 x 是 10") in caption
    caption = circuit("vanishing-forward", values={"w1aa": 20}, language=language).caption
    assert ("With small weights" if language == "en" else "权重很小时") in caption
    caption = circuit("truck", values={"c1": 2}, language=language).caption
    assert ("With weights below 1" if language == "en" else "权重小于 1 时") in caption


def test_article_is_quoted_at_its_own_values_alone():
    changed = {"w1": -2, "w2": 5}
    assert "The article's list would read here [1, −0.1, 0.5]" in circuit("residual", values=changed).findings[-1]
    assert "在这里应为 [1, −0.1, 0.5]" in circuit("residual", values=changed, language="zh").findings[-1]
    assert circuit("residual", values={"x": 10}).findings == circuit("residual").findings
    assert "1 over the skip + (−0.1) through the block" in circuit("residual", values=changed).findings[0]


def test_signal_is_called_gone_where_it_is():
    gone = circuit("vanishing-forward").findings[-1]
    assert "from 1.2748 to 0.014333" in gone
    assert "The later weights have small inputs." in gone
    assert "inputs of full size, but little arrives there: L multiplies the two outputs" in gone
    assert "L 把两个输出相乘" in circuit("vanishing-forward", language="zh").findings[-1]
    kept = circuit("vanishing-forward", values={"w1aa": 20, "w2bb": 30})
    assert "begins at 1.2748; after 3 steps it is 1.385." in kept.findings[-1]
    assert not any("down" in finding for finding in kept.findings)
    chinese = circuit("vanishing-forward", values={"w1aa": 20, "w2bb": 30}, language="zh")
    assert "信号开始时是 1.2748，3 步之后是 1.385。" in chinese.findings[-1]


def test_size_of_what_arrives_is_measured():
    record = circuit("vanishing-forward")
    arrives = [n.gradient for n in record.nodes if n.name.startswith(("za1.", "zb1."))]
    size = math.sqrt(math.fsum(g * g for g in arrives) / len(arrives))
    assert f"Size of what arrives: {show(size)}, " in record.findings[2]


@pytest.mark.parametrize("name", ["plain-chain", "residual-chain", "dense", "vanishing-forward", "truck"])
def test_one_of_something_is_no_plural(name):
    option = {"dense": "layers", "vanishing-forward": "steps", "truck": "customers"}.get(name, "blocks")
    findings = circuit(name, **{option: 1}).findings
    assert not re.search(r"(?<![\d.^])1 (blocks|paths|layers|connections|steps|times)", " ".join(findings))


@pytest.mark.parametrize("kind", ["add", "copy", "multiply"])
def test_gate_says_no_1_times(kind):
    assert not any("1 times" in finding for finding in circuit("gate", gate=kind, upstream=1).findings)


def test_chinese_lists_use_their_own_comma():
    each = circuit("plain", values={"w1": 2}, language="zh").findings[2]
    assert "w1：0.01、w2：0.2、" in each
    assert ", " not in circuit("vanishing-forward", language="zh").findings[1]


def test_truck_tells_what_each_customer_is_brought():
    express, none = circuit("truck"), circuit("truck", lane="none")
    assert express.findings == none.findings
    for record, word in ((express, "with it"), (none, "without")):
        arrives = {step.node: show(step.value) for step in record.steps if step.direction == "backward"}
        for i in (1, 2, 3, 4):
            told = next(finding for finding in record.findings if f"at the gate of c{i}: " in finding)
            assert f"{arrives[f'p{i}']} {word}" in told
        end = gradients(record)["x"]
        assert f"{end} " in record.findings[4]
    assert gradients(express)["x"] == "1.4641"
    assert "4.641" in express.findings[6]


@pytest.mark.parametrize("language", LANGUAGES)
def test_truck_agrees_with_its_figure_about_the_weights(language):
    """What falls off is what arrives at the gates; dL/dc, in the figure below each weight, is the same for all."""
    for lane, slot in (("none", 0), ("express", 1)):
        record = circuit("truck", lane=lane, language=language)
        own = {show(node.gradient) for node in record.nodes if node.gate == "weight"}
        assert len(own) == 1
        told = re.findall(r"\d\.\d+", record.findings[5])
        assert told[slot] == own.pop()
    record = circuit("truck", values={"c2": 2}, language=language)
    for node in record.nodes:
        if node.gate == "weight":
            assert re.search(f"{node.name}(: |：){re.escape(show(node.gradient))}", record.findings[5])
    assert "dL/dc" not in " ".join(circuit("truck", customers=1, language=language).findings)
