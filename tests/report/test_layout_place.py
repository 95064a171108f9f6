"""A layout in pixels: boxes do not overlap, wires begin and end at their boxes and cross none."""

from __future__ import annotations

import json
import os
import random
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from graphs import anything, dense, graph, residual, with_graph

from gradpath.report._layout import layout, place
from gradpath.report._layout._terms import Box, Layout, Placed

GOLDEN = Path(__file__).parent / "golden" / "layout"
KNOWN = {
    "residual": residual(4),
    "dense": dense(2, 5),
    "lstm": graph(
        ["Addmm", "Addmm", "Add", "Split", "Sigmoid", "Sigmoid", "Tanh", "Sigmoid", "Mul", "Mul", "Add", "Tanh", "Mul"],
        [(0, 2), (1, 2), (2, 3), (3, 4), (3, 5), (3, 6), (3, 7), (4, 8), (5, 9), (6, 9), (8, 10), (9, 10), (10, 11),
         (11, 12), (7, 12)],
    ),
}  # fmt: skip
CASES = [*KNOWN, *range(60)]
OPENED = ["first", "all", "some"]


@cache
def laid_out(case: str | int) -> Layout:
    found = layout(with_graph(KNOWN[case] if isinstance(case, str) else anything(case)))
    assert found is not None
    return found


def opened(laid: Layout, which: str) -> list[int]:
    groups = range(len(laid["groups"]))
    if which == "some":
        rng = random.Random(len(groups))
        return [group for group in groups if rng.random() < 0.6]
    return list(groups) if which == "all" else laid["open"]


def placed(case: str | int, which: str) -> Placed:
    laid = laid_out(case)
    return place(laid, opened(laid, which))


def apart(a: Box, b: Box) -> bool:
    return (
        a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"] or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    )


def inside(a: Box, b: Box) -> bool:
    return (
        b["x"] <= a["x"]
        and a["x"] + a["w"] <= b["x"] + b["w"]
        and b["y"] <= a["y"]
        and a["y"] + a["h"] <= b["y"] + b["h"]
    )


@pytest.mark.parametrize("which", OPENED)
@pytest.mark.parametrize("case", CASES)
def test_boxes_lie_apart_or_inside_frames(case, which):
    found = placed(case, which)
    boxes = found["boxes"]
    for i, box in enumerate(boxes):
        assert box["x"] >= 0 and box["y"] >= 0
        assert box["x"] + box["w"] <= found["width"] and box["y"] + box["h"] <= found["height"]
        for frame in boxes[:i]:
            is_frame = frame["kind"] in ("open", "prototype")
            assert apart(box, frame) or (is_frame and inside(box, frame))


def crosses(points: list[float], box: Box) -> bool:
    """Whether a way of straight lines, each upright or level, enters the inside of a box."""
    corners = list(zip(points[::2], points[1::2], strict=True))
    for (ax, ay), (bx, by) in pairwise(corners):
        left, right, top, bottom = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
        if (
            right > box["x"] + 0.01
            and left < box["x"] + box["w"] - 0.01
            and bottom > box["y"] + 0.01
            and top < box["y"] + box["h"] - 0.01
        ):
            return True
    return False


@pytest.mark.parametrize("which", OPENED)
@pytest.mark.parametrize("case", CASES)
def test_wires_cross_no_closed_box_and_go_upright_or_level(case, which):
    found = placed(case, which)
    closed = [box for box in found["boxes"] if box["kind"] in ("node", "closed")]
    for line in found["lines"]:
        points = line["points"]
        for i in range(0, len(points) - 2, 2):
            assert abs(points[i] - points[i + 2]) < 0.5 or points[i + 1] == points[i + 3]
        assert not [box for box in closed if crosses(points, box)]


@pytest.mark.parametrize("which", OPENED)
@pytest.mark.parametrize("case", CASES)
def test_wires_begin_and_end_where_their_boxes_are(case, which):
    laid, found = laid_out(case), placed(case, which)
    shown = {(box["kind"] == "node", box["id"]): box for box in found["boxes"]}
    wide_open = set(opened(laid, which)) | {0}
    for line in found["lines"]:
        group = laid["groups"][line["group"]]
        if group["id"] not in wide_open:
            group = laid["groups"][group["prototype"]]
        wire = group["wires"][line["wire"]]
        ends = (wire["item"], line["points"][:2]), (wire["targets"][line["target"]]["item"], line["points"][-2:])
        for item, (x, y) in ends:
            if item >= 0:
                box = shown[group["items"][item]["kind"] == "node", group["items"][item]["id"]]
                across, down = (x - box["x"]) / box["w"], (y - box["y"]) / box["h"]
                assert 0 <= across <= 1 and 0 <= down <= 1
                if box["kind"] in ("node", "closed"):  # else it ends at a dot inside the frame
                    assert {across, down} & {0.0, 1.0} or min(abs(across - 1), abs(down - 1)) < 1e-9


def ends_of(laid: Layout, found: Placed, group: int, outs: bool) -> dict[int, tuple[float, ...]]:
    """Node → where its wires inside a group reach that group's outs, or leave its ports."""
    ends = {}
    for line in found["lines"]:
        wire = laid["groups"][group]["wires"][line["wire"]] if line["group"] == group else None
        if wire and outs and wire["targets"][line["target"]]["item"] < 0:
            ends[wire["node"]] = tuple(line["points"][-2:])
        if wire and not outs and wire["item"] < 0:
            ends[wire["node"]] = tuple(line["points"][:2])
    return ends


@pytest.mark.parametrize("case", CASES)
def test_wires_go_on_behind_a_border_from_the_point_where_they_came_to_it(case):
    laid, found = laid_out(case), placed(case, "all")
    for line in found["lines"]:
        group = laid["groups"][line["group"]]
        wire = group["wires"][line["wire"]]
        begin, end = wire["item"], wire["targets"][line["target"]]["item"]
        if begin >= 0 and group["items"][begin]["kind"] == "group":
            inner = ends_of(laid, found, group["items"][begin]["id"], outs=True)
            assert inner[wire["node"]] == tuple(line["points"][:2])
        if end >= 0 and group["items"][end]["kind"] == "group":
            inner = ends_of(laid, found, group["items"][end]["id"], outs=False)
            assert inner[wire["node"]] == tuple(line["points"][-2:])


def test_a_prototype_has_the_dots_of_its_repeat():
    # five cells, each fed by the two states of the one before; a stem makes the first two, a head takes the last two
    operations, edges, scopes = ["Relu", "Tanh"], [], [0, 0]
    calls = [("", -1), *((f"cell{i}", 0) for i in range(5))]
    for cell in range(5):
        first = len(operations)
        operations += ["Mm", "Add", "Mul"]
        edges += [(first - 2, first), (first - 1, first + 1), (first, first + 1), (first + 1, first + 2)]
        edges += [(first - 1, first + 2)]
        scopes += [cell + 1] * 3
    edges += [(15, 17), (16, 17)]
    laid = layout(with_graph(graph([*operations, "Cat"], edges, calls, [*scopes, 0])))
    repeat = next(group for group in laid["groups"] if group["kind"] == "repeat")
    assert (len(repeat["ports"]), repeat["prototype_ports"], repeat["prototype_outs"]) == (2, [0, 1], [0, 1])
    found = place(laid, [0, repeat["prototype"]])
    outer = [line for line in found["lines"] if line["group"] == 0]
    wires = laid["groups"][0]["wires"]
    item = next(
        i for i, one in enumerate(laid["groups"][0]["items"]) if one["id"] == repeat["id"] and one["kind"] == "group"
    )
    begins = {tuple(line["points"][:2]) for line in outer if wires[line["wire"]]["item"] == item}
    ends = {
        tuple(line["points"][-2:]) for line in outer if wires[line["wire"]]["targets"][line["target"]]["item"] == item
    }
    assert len(begins) == len(ends) == 2
    prototype = laid["groups"][repeat["prototype"]]["wires"]
    inner = [line for line in found["lines"] if line["group"] == repeat["id"]]
    assert begins == {
        tuple(n["points"][-2:]) for n in inner if prototype[n["wire"]]["targets"][n["target"]]["item"] < 0
    }
    assert ends == {tuple(n["points"][:2]) for n in inner if prototype[n["wire"]]["item"] < 0}


def test_what_is_above_an_opening_group_stays_where_it_is():
    laid = laid_out("residual")
    closed, open_ = place(laid, [0]), place(laid, range(len(laid["groups"])))
    assert closed["boxes"][0]["y"] == open_["boxes"][0]["y"]  # to the right it moves, to stay above the trunk
    assert open_["height"] > 3 * closed["height"]


def test_a_repeat_is_closed_or_a_prototype_or_all_its_members():
    laid = laid_out("residual")
    repeat = next(group for group in laid["groups"] if group["kind"] == "repeat")
    looks = [place(laid, chosen)["boxes"] for chosen in ([0], [0, repeat["prototype"]], [0, repeat["id"]])]
    assert [next(b["kind"] for b in boxes if b["id"] == repeat["id"] and b["kind"] != "node") for boxes in looks] == [
        "closed", "prototype", "open",
    ]  # fmt: skip
    assert [len(boxes) for boxes in looks] == [3, 3 + 7, 3 + 4]


def test_many_lanes_move_closer():
    wide = {layers: place(layout(with_graph(dense(1, layers))), [0, 1])["width"] for layers in (10, 30, 100)}
    assert wide[10] + 20 * 9 == wide[30]
    assert wide[100] <= wide[30] + 100


GOLDENS = [("lstm", "first"), ("dense", "first"), ("dense", "all"), ("residual", "first"), ("residual", "all")]
GOLDENS += [("residual", "members")]


def golden(case: str, which: str) -> dict[str, object]:
    laid = laid_out(case)
    chosen = opened(laid, which) if which != "members" else [0, 2]
    found = place(laid, chosen)
    rounded = [line | {"points": [round(point, 3) for point in line["points"]]} for line in found["lines"]]
    return {"layout": laid, "open": chosen, "placed": found | {"lines": rounded}}


@pytest.mark.parametrize(("case", "which"), GOLDENS)
def test_golden_cases_that_the_page_agrees_on(case, which, request):
    """`GRADPATH_WRITE=1 pytest` writes them anew; the page's tests read the same files."""
    file = GOLDEN / f"{case}-{which}.json"
    found = golden(case, which)
    if os.environ.get("GRADPATH_WRITE"):
        file.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    assert json.loads(file.read_text()) == json.loads(json.dumps(found))
