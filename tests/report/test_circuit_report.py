from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from gradpath.circuits import circuit, names
from gradpath.record import CircuitRecord, Node, Step, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_text import columns, wrapped
from gradpath.report.circuit import circuit_markdown, circuit_svg, circuit_text

CASES = [
    *((name, {}) for name in names()),
    ("gate", {"gate": "normalise"}),
    ("gate", {"gate": "dot"}),
    ("gate", {"gate": "relu"}),
    ("dense", {"layers": 1}),
    ("dense", {"layers": 8}),
    ("plain-chain", {"blocks": 1}),
    ("plain-chain", {"blocks": 300}),
    ("residual-chain", {"blocks": 40}),
    ("truck", {"lane": "none"}),
]
EVIL = '</text><script>alert("1")</script>&\x1b[31m\x00\u202e'
SVG = "{http://www.w3.org/2000/svg}"


def strings(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg.encode()).iter(f"{SVG}text")]


def invented(name: str = "a", label: str = "") -> CircuitRecord:
    """x → a → x*x, with names from outside."""
    return CircuitRecord(
        name="invented",
        title=name,
        caption=f"caption {name}",
        language="en",
        output="b",
        nodes=(
            Node(name=name, gate="input", value=3.0, gradient=6.0, label=label),
            Node(name="b", gate="multiply", value=9.0, gradient=1.0, label="×", column=1),
        ),
        wires=tuple(Wire(source=name, target="b", slot=slot, gradient=3.0, local=3.0) for slot in (0, 1)),
        steps=(
            Step(direction="forward", node="b", value=9.0, sent=(3.0, 3.0), sentence=f"b = {name} × {name}"),
            Step(direction="backward", node="b", value=1.0, sent=(3.0, 3.0), sentence="1 arrives at b."),
        ),
        findings=(f"seen: {name}",),
    )


PLAIN = """\
      10 ▸         1 ▸         0.1 ▸      0.01 ▸     0.001 ▸
    x ────────── × ───────── × ──────── × ──────── × ──────── z4
      ◂ ∂0.0001  │ ◂ ∂0.001  │ ◂ ∂0.01  │ ◂ ∂0.1   │ ◂ ∂1
                 │           │          │          │
             w1 = 0.1    w2 = 0.1   w3 = 0.1   w4 = 0.1
               ∂0.01       ∂0.01      ∂0.01      ∂0.01
"""
RESIDUAL = """\
        10 ▸
      ╭─────────────────────────────────────────────────────────╮
      │                                                    ◂ ∂1 │
      │ 10 ▸         1 ▸         0.1 ▸      0.01 ▸     0.001 ▸  │ 10.001 ▸
    x ●─────────── × ───────── × ──────── × ──────── × ──────── + ───────── h
        ◂ ∂0.0001  │ ◂ ∂0.001  │ ◂ ∂0.01  │ ◂ ∂0.1   │ ◂ ∂1       ◂ ∂1
        Σ ∂1.0001  │           │          │          │
               w1 = 0.1    w2 = 0.1   w3 = 0.1   w4 = 0.1
                 ∂0.01       ∂0.01      ∂0.01      ∂0.01
"""


def test_figure_of_the_plain_block():
    assert PLAIN in circuit_text(circuit("plain"))


def test_figure_of_the_residual_block():
    assert RESIDUAL in circuit_text(circuit("residual"))


def test_arithmetic_of_the_residual_block():
    text = circuit_text(circuit("residual"))
    assert "dL/dw1 = upstream × local = 0.001 × 10 = 0.01\n" in text
    assert "dL/dx, part from h = upstream × local = 1 × 1 = 1\n" in text
    assert "dL/dx = 1 (h) + 0.0001 (z1) = 1.0001\n" in text
    chinese = circuit_text(circuit("residual", language="zh"))
    assert "dL/dw1 = 上游梯度 × 局部导数 = 0.001 × 10 = 0.01\n" in chinese


@pytest.mark.parametrize("width", [50, 80, 120])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_no_line_is_too_wide_and_none_has_trailing_space(name, options, language, width):
    for line in circuit_text(circuit(name, language=language, **options), width).split("\n"):
        assert columns(line) <= width, line
        assert line == line.rstrip()


def test_nothing_is_lost_by_wrapping():
    for language in ("en", "zh"):
        for text in circuit("truck", language=language).findings:
            for width in (12, 40, 80):
                lines = wrapped(text, width)
                assert "".join("".join(lines).split()) == "".join(text.split())
                assert not any(line.startswith(tuple("，。：；）")) for line in lines)
    assert wrapped("x" * 50, 20) == ["x" * 10] * 5 or max(map(len, wrapped("x" * 50, 20))) <= 20


def test_long_chains_are_folded_and_say_by_how_much():
    text = circuit_text(circuit("plain-chain", blocks=300))
    assert text.count("… 290 more steps") == 2
    assert "more gates …" in text
    assert len(text.split("\n")) < 120
    assert "300  p300 = p299" in text
    assert "more steps" not in circuit_text(circuit("residual-chain", blocks=10))


def test_folded_figure_counts_the_gates_it_leaves_out():
    text = circuit_text(circuit("plain-chain", blocks=300))
    left_out = int(re.search(r"… (\d+) more gates", text)[1])
    head = text.split("\nForward")[0]
    shown = {int(number) for number in re.findall(r"F(\d+) = ", head)}
    repeated = 1  # the gate that begins the last row is drawn without its weight
    assert left_out + len(shown) + repeated == 300


def test_words_are_complete_in_both_languages():
    assert layout.WORDS["en"].keys() == layout.WORDS["zh"].keys()
    for key, english in layout.WORDS["en"].items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", layout.WORDS["zh"][key]))


def test_sums_of_many_parts_are_shortened():
    record = circuit("dense", layers=8)
    assert "dL/dx = 0.1 (s8) + 0.01 (s7)" in circuit_text(record)
    nodes = tuple(Node(name=f"g{i}", gate="copy", value=1.0, gradient=1.0, column=i + 1) for i in range(12))
    many = CircuitRecord(
        name="many",
        title="t",
        caption="c",
        language="en",
        output="none",
        nodes=(Node(name="x", gate="input", value=1.0, gradient=12.0), *nodes),
        wires=tuple(Wire(source="x", target=n.name, slot=0, gradient=1.0, local=1.0) for n in nodes),
        steps=tuple(Step(direction="backward", node=n.name, value=1.0, sent=(1.0,), sentence="s") for n in nodes),
        findings=(),
    )
    assert "… 4 more = 12" in circuit_text(many)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_svg_is_well_formed_and_says_what_it_is(name, options, language):
    record = circuit(name, language=language, **options)
    root = ElementTree.fromstring(circuit_svg(record).encode())
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert root.find(f"{SVG}title").text == record.title
    assert record.findings[0] in root.find(f"{SVG}desc").text
    assert "prefers-color-scheme:dark" in root.find(f"{SVG}style").text


def test_svg_shows_the_articles_numbers():
    shown = strings(circuit_svg(circuit("residual")))
    for text in ("10 ▸", "1 ▸", "0.1 ▸", "0.01 ▸", "0.001 ▸", "◂ ∂1", "◂ ∂0.1", "◂ ∂0.0001", "Σ ∂1.0001"):
        assert text in shown
    assert shown.count("▾ ∂0.01") == 4


@pytest.mark.parametrize("name", [name for name in names() if "forward" in name])
def test_grid_shows_every_value_and_gradient(name):
    record = circuit(name)
    shown = strings(circuit_svg(record))
    for node in record.nodes:
        assert node.name in shown
        assert layout.value_label(node.value) in shown
        assert layout.gradient_label(node.gradient) in shown


def rectangles(svg: str) -> list[tuple[float, float, float, float]]:
    found = [e for e in ElementTree.fromstring(svg.encode()).iter(f"{SVG}rect") if e.attrib["class"] == "box"]
    return [tuple(float(e.attrib[key]) for key in ("x", "y", "width", "height")) for e in found]


@pytest.mark.parametrize(("name", "options"), CASES)
def test_svg_boxes_do_not_overlap_and_lie_inside(name, options):
    svg = circuit_svg(circuit(name, **options))
    boxes = rectangles(svg)
    size = ElementTree.fromstring(svg.encode()).attrib
    assert boxes
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert x + w <= float(size["width"])
        assert y + h <= float(size["height"])
        for x2, y2, w2, h2 in boxes[i + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if "forward" not in case[0]])
def test_svg_wires_do_not_cross_boxes(name, options):
    svg = circuit_svg(circuit(name, **options))
    boxes = rectangles(svg)
    for wire in ElementTree.fromstring(svg.encode()).iter(f"{SVG}path"):
        numbers = [float(text) for text in re.findall(r"-?[\d.]+", wire.attrib["d"])]
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        for (x1, y1), (x2, y2) in pairwise(points):
            for x, y, w, h in boxes:
                outside = max(x1, x2) <= x or min(x1, x2) >= x + w or max(y1, y2) <= y or min(y1, y2) >= y + h
                assert outside, (points, (x, y, w, h))


def test_malicious_names_stay_text():
    svg = circuit_svg(invented(EVIL, EVIL))
    root = ElementTree.fromstring(svg.encode())
    assert not list(root.iter(f"{SVG}script"))
    assert "<script" not in svg
    assert any("</text><script>" in text for text in strings(svg))
    for text in (circuit_text(invented(EVIL, EVIL)), circuit_markdown(invented(EVIL, EVIL)), svg):
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)


def test_square_of_a_node_is_drawn_with_two_wires():
    text = circuit_text(invented())
    assert "a ●" in text
    assert text.count("◂ ∂3") == 2
    assert "Σ ∂6" in text
    assert "dL/da = 3 (b) + 3 (b) = 6" in text
    assert strings(circuit_svg(invented())).count("◂ ∂3") == 2


def test_what_is_not_finite_is_shown():
    nodes = (Node(name="x", gate="input", value=math.nan, gradient=math.inf),)
    record = CircuitRecord(
        name="n", title="t", caption="c", language="en", output="x", nodes=nodes, wires=(), steps=(), findings=()
    )
    assert "NaN ▸" in circuit_text(record)
    assert "◂ ∂inf" in strings(circuit_svg(record))


@pytest.mark.parametrize("name", names())
def test_markdown_holds_figure_steps_and_findings(name):
    record = circuit(name)
    text = circuit_markdown(record)
    assert text.startswith(f"# {record.title}\n")
    assert text.count("```") == 6
    assert "## What to see\n" in text
    assert text.count("\n- ") == len(record.findings)


def test_markdown_fence_outgrows_backticks():
    text = circuit_markdown(invented("`" * 5))
    assert "\n" + "`" * 6 + "text\n" in text
