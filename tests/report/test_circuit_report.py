from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from gradpath.circuits import GATES, circuit, names
from gradpath.record import CircuitRecord, Node, Step, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_marks import text_width
from gradpath.report._circuit_text import columns, wrapped
from gradpath.report.circuit import circuit_markdown, circuit_svg, circuit_text
from gradpath.units import circuit_number

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
                 │ z1        │ z2       │ z3       │
             w1 = 0.1    w2 = 0.1   w3 = 0.1   w4 = 0.1
               ∂0.01       ∂0.01      ∂0.01      ∂0.01
"""
RESIDUAL = """\
        10 ▸
      ╭─────────────────────────────────────────────────────────╮
      │                                                    ◂ ∂1 │
      │ 10 ▸         1 ▸         0.1 ▸      0.01 ▸     0.001 ▸  │ 10.001 ▸
    x •─────────── × ───────── × ──────── × ──────── × ──────── + ───────── h
        ◂ ∂0.0001  │ ◂ ∂0.001  │ ◂ ∂0.01  │ ◂ ∂0.1   │ ◂ ∂1       ◂ ∂1
        = ∂1.0001  │ z1        │ z2       │ z3       │ z4
               w1 = 0.1    w2 = 0.1   w3 = 0.1   w4 = 0.1
                 ∂0.01       ∂0.01      ∂0.01      ∂0.01
"""


def test_figure_of_the_plain_block():
    assert PLAIN in circuit_text(circuit("plain"))


def test_figure_of_the_residual_block():
    assert RESIDUAL in circuit_text(circuit("residual"))


DRAWN = [case for case in CASES if "forward" not in case[0] and case != ("dense", {"layers": 8})]


def head_of(name: str, width: int = 80, **options: object) -> str:
    """The text up to the steps: title, caption, figure."""
    return circuit_text(circuit(name, **options), width).split("\nForward")[0]


@pytest.mark.parametrize(("name", "count"), [("plain-chain", 5), ("residual-chain", 5), ("plain-chain", 8)])
def test_short_chains_are_drawn_whole(name, count):
    head = head_of(name, blocks=count)
    assert "more gates" not in head
    assert re.findall(r"F(\d) = ", head.split("\n\n", 1)[1]) == [str(i) for i in range(1, count + 1)]


@pytest.mark.parametrize(("name", "options"), DRAWN)
def test_every_gate_of_a_drawing_is_named(name, options):
    record = circuit(name, **options)
    head = head_of(name, **options)
    last_row = int(re.search(r"… (\d+) more gates", head)[1]) if "more gates" in head else 0
    named = [n.name for n in record.nodes if n.lane == 0 and re.search(rf"\b{re.escape(n.name)}\b", head)]
    assert len(named) >= sum(n.lane == 0 for n in record.nodes) - last_row


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk"])
@pytest.mark.parametrize(("name", "options"), [*DRAWN, *(("gate", {"gate": gate}) for gate in GATES)])
def test_drawing_is_as_wide_on_a_poor_console(name, options, encoding):
    """What the console's substitutes change in width lies behind the last sign that has to stand in its column."""
    from gradpath.cli import _console

    drawing = head_of(name, **options).split("\n\n", 1)[1].rsplit("\n\n", 1)[0]  # without heading and legend
    for line in (line for line in drawing.split("\n") if "more gates" not in line):
        signs = [c if _fits(c, encoding) else _console._PLAIN.get(c, "?") for c in line]
        assert "?" not in signs, line
        assert len("".join(signs)) == len(line), line


def _fits(sign: str, encoding: str) -> bool:
    try:
        return len(sign.encode(encoding)) > 0
    except UnicodeEncodeError:
        return False


def test_node_table_is_in_the_language_of_the_record():
    text = circuit_text(circuit("normalised-forward", language="zh"))
    table = text.split("\n\n")[1]
    for word in ("输入", "权重", "加权和", "归一化"):
        assert word in table
    assert not re.search("weight|input|dot|normalise", table)
    assert set(layout.GATE_WORDS) == {*GATES, *layout.LEAVES}
    shown = strings(circuit_svg(circuit("normalised-forward", language="zh")))
    assert {"输入", "权重", "加权和", "归一化", "平均"} <= set(shown)


def test_numbers_have_a_true_minus_sign():
    values = {"w1": -2, "w2": 5}
    for text in (circuit_text(circuit("residual", values=values)), circuit_svg(circuit("residual", values=values))):
        assert not re.search(r"(?<![\w-])-\d", text)
    text = circuit_text(circuit("residual", values=values))
    assert "dL/dx = 1 (h) + (−0.1) (z1) = 0.9\n" in text
    assert circuit_number(1.0001) == "1.0001"
    assert circuit_number(-math.inf) == "−inf"
    assert circuit_number(-1e-8) == "−1e-8"


def test_one_gate_left_out_is_no_plural():
    assert layout.more("en", "more_gates", 1) == "… 1 more gate …"
    assert layout.more("en", "more_gates", 2) == "… 2 more gates …"
    assert layout.more("zh", "more_columns", 1) == "… 还有 1 列"


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
    for text in ("10 ▸", "1 ▸", "0.1 ▸", "0.01 ▸", "0.001 ▸", "◂ ∂1", "◂ ∂0.1", "◂ ∂0.0001", "= ∂1.0001"):
        assert text in shown
    assert shown.count("▾ ∂0.01") == 4


@pytest.mark.parametrize("name", [name for name in names() if "forward" in name])
def test_grid_shows_every_value_and_gradient(name):
    record = circuit(name)
    shown = strings(circuit_svg(record))
    for node in record.nodes:
        assert node.name in shown
        assert layout.show(node.value) in shown
        assert f"∂{layout.show(node.gradient)}" in shown


def texts(svg: str) -> list[tuple[float, float, str]]:
    """(left, right, text) of every text in the figure, in its own coordinates, by a generous width."""
    found = []
    for group in ElementTree.fromstring(svg.encode()).iter(f"{SVG}g"):
        shift = float(re.match(r"translate\(([\d.]+)", group.attrib["transform"])[1])
        for e in group.iter(f"{SVG}text"):
            look, x = e.attrib.get("class", "").split(), float(e.attrib["x"]) + shift
            width = text_width(e.text or "", 15 if "grid" in look else 13)
            left = x - width * (1 if "end" in look else 0.5 if "middle" in look else 0)
            found.append((left, left + width, e.text or ""))
    return found


@pytest.mark.parametrize(("name", "options"), [*CASES, ("plain-chain", {"blocks": 50})])
def test_svg_texts_keep_clear_of_the_edges(name, options):
    svg = circuit_svg(circuit(name, **options))
    width = float(ElementTree.fromstring(svg.encode()).attrib["width"])
    for left, right, text in texts(svg):
        assert left >= 16, text
        assert right <= width - 16, text


def test_grid_heads_weights_as_weights_and_can_be_read():
    svg = circuit_svg(circuit("normalised-forward"))
    places = {}
    for e in ElementTree.fromstring(svg.encode()).iter(f"{SVG}text"):
        places.setdefault(e.text, []).append((float(e.attrib["x"]), float(e.attrib["y"])))
    for weight in ("w1aa", "w2aa", "w3aa"):
        (x, y), *_ = places[weight]
        above = max((head for head in places["weight"] if head[0] == x and head[1] < y), key=lambda head: head[1])
        assert not any(above[1] < other < y for at, other in places["normalise"] if at == x)
    assert "font-size:15px" in svg
    assert "sum over all wires" not in svg.replace("summed over all wires", "")


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
    assert "a •" in text
    assert text.count("◂ ∂3") == 2
    assert "= ∂6" in text
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
