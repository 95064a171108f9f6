from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import re

import pytest
from circuit_oracle import TORCH_GATES, assert_agrees, random_leaves

import gradpath.circuits
from gradpath.circuits import circuit
from gradpath.circuits._engine import Circuit, Part, Walk
from gradpath.circuits._gates import GATES
from gradpath.circuits._words import LANGUAGES, Text, slots
from gradpath.errors import CircuitError


def one_gate(kind: str, count: int, index: int = 0, upstream: float = 1.0) -> Circuit:
    names = tuple(f"x{i}" for i in range(count))
    leaves = tuple(Part(name, "input", value=1.0) for name in names)
    return Circuit(kind, (*leaves, Part("z", kind, names, index=index)), "z", upstream)


def counts(kind: str) -> tuple[int, ...]:
    fixed = GATES[kind].inputs
    return (fixed,) if fixed else {"dot": (2, 6), "normalise": (2, 5)}.get(kind, (1, 2, 5))


def test_oracle_knows_every_gate():
    assert TORCH_GATES.keys() == GATES.keys()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", GATES)
def test_gate_agrees_with_autograd(kind, seed):
    for count in counts(kind):
        one = one_gate(kind, count, index=seed % count if GATES[kind].inputs is None else 0, upstream=0.7 - seed)
        assert_agrees(one, random_leaves(one, seed))


@pytest.mark.parametrize("kind", GATES)
def test_slope_agrees_with_nudging(kind):
    count = counts(kind)[-1]
    x = tuple(0.4 + 0.3 * i for i in range(count))
    gate, h = GATES[kind], 1e-6
    for j, slope in enumerate(gate.local(x, gate.forward(x, 0), 0)):
        up, down = (tuple(v + sign * h * (k == j) for k, v in enumerate(x)) for sign in (1, -1))
        assert (gate.forward(up, 0) - gate.forward(down, 0)) / (2 * h) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize(
    ("kind", "values", "expected", "words"),
    [
        ("max", (2.0, 2.0), (0.5, 0.5), "half"),
        ("max", (2.0, 3.0), (0.0, 1.0), "larger"),
        ("relu", (0.0,), (0.0,), "corner"),
        ("relu", (1e-300,), (1.0,), "positive"),
    ],
)
def test_ties(kind, values, expected, words):
    one = one_gate(kind, len(values))
    leaves = {f"x{i}": value for i, value in enumerate(values)}
    walk = Walk(one, leaves)
    *_, last = walk.steps()
    assert walk.locals["z"] == expected
    assert words in last.sentence
    assert_agrees(one, leaves)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("divide", (1.0, 0.0)),
        ("log", (0.0,)),
        ("log", (-1.0,)),
        ("sqrt", (-1.0,)),
        ("sqrt", (0.0,)),
        ("exp", (1000.0,)),
        ("square", (1e200,)),
        ("multiply", (1e200, 1e200)),
        ("add", (1.5e308, 1.5e308)),
        ("variance", (1e200, -1e200)),
        ("divide", (1.0, 1e-320)),
    ],
)
def test_domain_errors_name_gate_and_inputs(kind, values):
    walk = Walk(one_gate(kind, len(values)), {f"x{i}": value for i, value in enumerate(values)})
    with pytest.raises(CircuitError) as caught:
        list(walk.steps())
    message = str(caught.value)
    assert kind in message
    assert "'z'" in message
    assert "x0 = " in message
    assert "\n" not in message


def test_sigmoid_of_large_numbers():
    assert GATES["sigmoid"].forward((-1000.0,), 0) == 0.0
    assert GATES["sigmoid"].forward((1000.0,), 0) == 1.0


def test_normalise_leaves_no_gradient_for_shift():
    x = (0.3, -1.0, 2.0, 0.5)
    gate = GATES["normalise"]
    assert math.fsum(gate.local(x, gate.forward(x, 2), 2)) == pytest.approx(0, abs=1e-12)


def test_text_refuses_a_missing_slot_and_a_missing_language():
    with pytest.raises(ValueError, match="same slots"):
        Text("{a} and {b}", "{a}")
    with pytest.raises(ValueError, match="same slots"):
        Text("something", "")


def all_texts() -> list[Text]:
    """Every Text that a module, an entry of the gallery or a gate holds."""
    found: dict[int, Text] = {}
    seen: set[int] = set()
    todo: list[object] = []
    for module in pkgutil.iter_modules(gradpath.circuits.__path__):
        todo += vars(importlib.import_module(f"gradpath.circuits.{module.name}")).values()
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Text):
            found[id(thing)] = thing
        elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            todo += [getattr(thing, field.name) for field in dataclasses.fields(thing)]
        elif isinstance(thing, (tuple, list)):
            todo += thing
        elif isinstance(thing, dict) and len(thing) < 100:
            todo += thing.values()
    return list(found.values())


def test_every_text_is_complete_in_both_languages():
    texts = all_texts()
    assert len(texts) > 2 * len(GATES) + 20
    for text in texts:
        assert slots(text.en) == slots(text.zh)
        assert any("\u4e00" <= c <= "\u9fff" for c in text.zh), text.zh
        assert not any("\u4e00" <= c <= "\u9fff" for c in text.en), text.en


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_of_every_gate(kind, language):
    record = circuit("gate", gate=kind, language=language)
    forward, backward = record.steps
    assert forward.sentence.startswith("z = ")
    assert "0.5" in backward.sentence
    assert "{" not in forward.sentence + backward.sentence


def test_formulas_bracket_what_is_negative():
    assert circuit("gate", values={"y": -2}).steps[0].sentence.startswith("z = x × y = 3 × (−2) = −6.")
    assert circuit("gate", gate="copy").steps[0].sentence.startswith("z = x = 3. ")


def test_formulas_name_in_chinese_what_has_no_sign_of_its_own():
    record = circuit("gate", gate="normalise", language="zh")
    assert record.steps[0].sentence.startswith("z = 归一化(x, y, u)[1] = 归一化(3, 2, 7)[1] = ")
    assert "mean" not in circuit("gate", gate="mean", language="zh").steps[0].sentence
    assert circuit("gate", gate="max", language="zh").steps[0].sentence.startswith("z = max(x, y) = max(3, 2) = 3。")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", GATES)
def test_no_hyphen_stands_for_a_minus(kind, language):
    record = circuit("gate", gate=kind, language=language, values={"x": 0.5}, upstream=-2)
    for text in (*record.findings, *(step.sentence for step in record.steps)):
        assert not re.search(r"(?<![A-Za-z0-9])-|- ", text), text
