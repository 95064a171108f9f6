"""Chinese and English say the same: every sentence has both, with the same numbers, and no English is left over."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from handmade_plans import PLANS
from invented import comparison, dense, flow, fork, layer, norm_free, plain, residual, typical
from rich.cells import cell_len

import gradpath
from gradpath.record import (
    FINDING_KINDS,
    Expectation,
    Finding,
    Record,
    Statistic,
    TriedChange,
    Unseen,
    WhatIf,
    diff,
)
from gradpath.report import as_text, speaking
from gradpath.report._findings_words import KINDS_ZH, change_told, told
from gradpath.report._findings_zh import in_chinese
from gradpath.report._report_page import report_page
from gradpath.report._say import in_both, language, say
from gradpath.report._spoken import spoken

SOURCES = Path(gradpath.__file__).parent
NUMBER = re.compile(r"(?<![A-Za-z_\d.])\d+(?:[.,]\d+)*(?:e-?\d+)?")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
GRAMMAR = {"verb", "be", "get", "whom", "words", "zh", "than", "which", "link", "linked"}
"""Slots that hold words of one language: 'is' and 'are', 'as well as' and 与."""


def numbers(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


# ------------------------------------------------------------ every call of say


def calls() -> Iterator[tuple[str, ast.expr, ast.expr]]:
    """(place, English, Chinese) of each call that is given both as they are."""
    for file in sorted([*(SOURCES / "report").rglob("*.py"), *(SOURCES / "cli").rglob("*.py")]):
        source = file.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if " say(" in source else ():
            is_say = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"
            if (
                is_say
                and len(node.args) == 2
                and all(isinstance(arg, ast.JoinedStr | ast.Constant) for arg in node.args)
            ):
                yield f"{file.name}:{node.lineno}", *node.args


def words_of(template: ast.expr) -> str:
    parts = template.values if isinstance(template, ast.JoinedStr) else [template]
    return "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))


def slots_of(template: ast.expr) -> set[str]:
    """What is filled in, without what only chooses a word, a comma or an ending."""
    values = [part.value for part in ast.walk(template) if isinstance(part, ast.FormattedValue)]
    texts = {re.sub(r"'[^']*'", "''", ast.unparse(value)) for value in values if not isinstance(value, ast.IfExp)}
    texts = {re.sub(r"quantity_zh\((\w+)\)|_FORKS\[(\w+)\]", r"\1\2", text) for text in texts}
    return {re.sub(r"_(unit|measure)\(record\)", "record.unit", text) for text in texts} - GRAMMAR


def test_every_pair_of_sentences_has_the_same_slots_and_numbers() -> None:
    found = list(calls())
    assert len(found) > 250
    for place, english, chinese in found:
        assert not CHINESE.search(words_of(english)), place
        assert slots_of(english) == slots_of(chinese), place
        assert numbers(words_of(english)) == numbers(words_of(chinese)), place


# ------------------------------------------------------------ what is said of records

FACTS = {
    "cause": "ReLU small", "from": "layer 36 (Linear)", "to": "stem.conv", "layers": "25", "factor": "6.4e-11",
    "energy": "0.141", "rms": "0.376", "half-length": "0.7", "float16": "18", "float32": "106", "breaks": "blocks.3",
    "expected": "0.163", "measured": "0.142", "unit": "layer", "rule": "ReLU σ²/2", "source": "He et al. 2015",
}  # fmt: skip
SICK = Finding(
    kind="vanishing",
    where="stem.conv",
    sentence="The gradient vanishes: from layer 36 (Linear) back to stem.conv, over 25 layers, it shrinks to 6.4e-11 "
    "of itself; the weights are too small for ReLU, which halves the energy at every layer.",
    evidence="gradient energy × 0.141 per layer (RMS × 0.376); half-length 0.7 layers; a gradient of 1 underflows "
    "float16 after 18, float32 after 106 layers; the slope breaks at blocks.3; theory expects × 0.163 per layer where "
    "× 0.142 was measured (ReLU σ²/2; He et al. 2015)",
    remedy="Initialise with weight variance 2/n (He), or add skip connections.",
    severity=4.0,
    cures=("init=he",),
    facts=FACTS,
)
TRIED = TriedChange(
    change="init=he",
    sentence="with He initialisation the gradient at conv1 rises by 4.1 decades (1.9e-11 → 0.0719); effective depth "
    "0.37, where there was no residual fork",
    findings=("exploding",),
    facts={"place": "conv1", "before": "1.9e-11", "after": "0.0719", "moved": "rises by 4.1 decades",
           "smallest": "5", "depth_after": "0.37"},
)  # fmt: skip
FORKED = flow(4.2, forks=27, effective_depth=5.31, model="mine")
PLAIN = dataclasses.replace(flow(0.001), findings=(SICK, dataclasses.replace(SICK, where="")), tried=(TRIED,))
STRANGE = dataclasses.replace(
    flow(0.0, depth=6),
    layers=(layer("dead", -300.0), layer("broken", float("nan")), layer("unreached", None)),
    forks=(fork(0, None, cancellation=None), fork(1, 9.0, cancellation=0.999), fork(2, kind="inner")),
    unseen=Unseen(modules_not_called=("aux",), opaque=("checkpoint",)),
    effective_depth=99.0,
    statistics=(Statistic(name="stem_over_head", mean=4.2, standard_error=0.1, n=3),),
    expected=(
        Expectation(resolution="7x7", rule="x", energy_gain=1.2, tolerance=0.1, measured=1.3, source="y", unit="block"),
    ),
)
NETS = [
    comparison(),
    comparison(plain(20), plain(56, 0.3), residual(), dense()),
    comparison(norm_free(diverged=12), plain(losses=()), residual(losses=(0.9,), interrupted=True), interrupted=True),
    comparison(norm_free("he", float("nan"))),
    comparison(plain(diverged=3), residual(diverged=4), dense(diverged=5)),
    comparison(plain(), residual(loss=2.2)),
    comparison(plain(20, 0.5), dense(0.4)),
]
RECORDS: list[Record] = [
    FORKED, PLAIN, STRANGE, *NETS, *typical(), *PLANS.values(), diff(FORKED, PLAIN, name_a="a", name_b="b"),
    WhatIf(change="init=he", sentence=TRIED.sentence, before=PLAIN, after=FORKED, facts=TRIED.facts),
]  # fmt: skip


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, item in value.items() if key != "name" for text in strings(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in strings(item))


LEFT_IN_ENGLISH = re.compile(r"^--try |^\d{4}-\d\d-\d\d|^stem\.conv$|^(plain|residual|dense) \d+|no bfloat16 units$")


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_the_page_has_each_sentence_in_both_languages(record: Record) -> None:
    english, chinese = in_both(lambda: spoken(record, "x"))
    for text in strings(english):
        if not text or LEFT_IN_ENGLISH.search(text):
            continue
        assert text in chinese, text
        if "  # " not in text and "left alone" not in text:
            assert numbers(text) == numbers(chinese[text]), (text, chinese[text])
        assert CHINESE.search(chinese[text]), text


ENGLISH_WORD = re.compile(r"\b(the|of|and|with|is|are|layers?|gradient|after|in|at|by|to|not|no|than)\b")


@pytest.mark.parametrize("width", [50, 80])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_no_english_is_left_on_the_screen(record: Record, width: int) -> None:
    with speaking("zh"):
        text = as_text(record, width)
    text = re.sub(r"no norm|no bfloat16 units|and others|left alone.*|未做规划.*|layer\d*", "", text)
    found = [line for line in text.splitlines() if ENGLISH_WORD.search(line) and not line.lstrip().startswith("#")]
    assert not found
    assert max(map(cell_len, text.splitlines())) <= width


def test_parts_of_a_screen_stand_apart_in_both_languages() -> None:
    noted = dataclasses.replace(FORKED, unseen=Unseen(notes=("a note",)))
    with speaking("en"):
        english = as_text(noted, 80).splitlines()
    with speaking("zh"):
        chinese = as_text(noted, 80).splitlines()
    assert english[english.index("Notes") - 1] == "" == chinese[chinese.index("备注") - 1]


def test_the_language_ends_with_its_block() -> None:
    with pytest.raises(ZeroDivisionError), speaking("zh"):
        assert say("a", "b") == "b"
        raise ZeroDivisionError
    assert language() == "en" and say("a", "b") == "a"


# ------------------------------------------------------------ findings


def test_every_kind_of_finding_has_a_name_and_a_sentence() -> None:
    assert set(KINDS_ZH) == set(FINDING_KINDS)
    from gradpath.report import _findings_zh

    assert set(_findings_zh._KINDS) == set(FINDING_KINDS)


def test_a_finding_says_the_same_numbers() -> None:
    chinese = in_chinese(SICK)
    assert chinese is not None
    for english, text in zip((SICK.sentence, SICK.evidence, SICK.remedy), chinese, strict=True):
        assert numbers(english) == numbers(text)
    with speaking("zh"):
        assert told(SICK) == chinese and numbers(change_told(TRIED)) == numbers(TRIED.sentence)


def test_an_old_record_stays_in_english() -> None:
    old = dataclasses.replace(SICK, facts={})
    odd = dataclasses.replace(SICK, facts={"cause": "of a later version"})
    with speaking("zh"):
        assert told(old).sentence == told(odd).sentence == SICK.sentence
        assert change_told(dataclasses.replace(TRIED, facts={})) == TRIED.sentence


def test_the_page_without_script_is_in_the_language_asked_for() -> None:
    page = report_page([PLAIN], language="zh")
    static = page[page.index('<div id="app">') : page.index("<script")]
    assert "梯度消失：从 层 36 (Linear) 往回到 stem.conv" in static and "The gradient" not in static
    assert '"chinese":{' in page and 'lang="zh"' in page
    assert "The gradient vanishes" in report_page([PLAIN])


def test_a_redacted_page_names_nothing_in_chinese_either() -> None:
    named = dataclasses.replace(
        PLAIN,
        layers=(layer("zxyfront.zxyconv", -1.0), layer("zxyhead", -2.0)),
        findings=(dataclasses.replace(SICK, where="zxyfront.zxyconv", facts=FACTS | {"to": "zxyfront.zxyconv"}),),
    )
    page = report_page([named], redact=True)
    assert "zxy" not in page and "zxy" in report_page([named])
    assert "梯度消失：从 层 36 (Linear) 往回到 c.d，" in page
