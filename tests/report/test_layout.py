"""The layout of graphs, by its laws: on chains, dense blocks and a hundred random graphs with random module calls."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import invented
import pytest
from graphs import anything, dense, graph, residual, with_graph

from gradpath.record import Graph
from gradpath.report._layout import layout
from gradpath.report._layout._first_paint import MOST_BOXES
from gradpath.report._layout._lanes import colour
from gradpath.report._layout._sums import Summing
from gradpath.report._layout._terms import Group, Layout

KNOWN = {
    "residual": residual(6),
    "dense": dense(2, 5),
    "dense flat": dense(2, 5, flat=True),
    "one": graph(["Relu"], []),
}
SEEDS = range(100)
CASES = [*KNOWN, *SEEDS]


@cache
def made(case: str | int) -> tuple[Graph, Layout]:
    found = KNOWN[case] if isinstance(case, str) else anything(case)
    laid = layout(with_graph(found))
    assert laid is not None
    return found, laid


def chains(laid: Layout) -> dict[int, list[tuple[int, int]]]:
    """Node → the (group, item) that it lies in, from the root down."""
    found: dict[int, list[tuple[int, int]]] = {}
    stack: list[tuple[int, list[tuple[int, int]]]] = [(0, [])]
    while stack:
        number, above = stack.pop()
        for i, item in enumerate(laid["groups"][number]["items"]):
            here = [*above, (number, i)]
            if item["kind"] == "node":
                assert item["id"] not in found, "a node stands in two places"
                found[item["id"]] = here
            else:
                stack.append((item["id"], here))
    return found


@pytest.mark.parametrize("case", CASES)
def test_expanding_everything_gives_every_node_once(case):
    found, laid = made(case)
    assert sorted(chains(laid)) == list(range(len(found)))
    inside = [item["id"] for group in laid["groups"] for item in group["items"] if item["kind"] == "group"]
    assert sorted(inside) == list(range(1, len(laid["groups"])))
    assert all(len(group["items"]) > 1 for group in laid["groups"][1:]), "a group of one item says nothing"


@pytest.mark.parametrize("case", CASES)
def test_every_edge_joins_two_items_once_in_the_deepest_group_that_holds_both_ends(case):
    found, laid = made(case)
    where = chains(laid)
    seen = {}
    for group in laid["groups"]:
        for wire in group["wires"]:
            for target in wire["targets"]:
                if wire["item"] >= 0 and target["item"] >= 0:
                    for edge in target["edges"]:
                        assert edge not in seen
                        seen[edge] = (group["id"], wire["item"], target["item"])
    for edge, (source, end) in enumerate(zip(found.edges.source, found.edges.target, strict=True)):
        meeting = next((a, b) for a, b in zip(where[source], where[end], strict=False) if a != b)
        assert meeting[0][0] == meeting[1][0]
        assert seen.pop(edge) == (meeting[0][0], meeting[0][1], meeting[1][1])
    assert not seen


@pytest.mark.parametrize("case", CASES)
def test_what_crosses_a_border_goes_on_behind_it(case):
    _, laid = made(case)
    for group in laid["groups"]:
        for i, item in enumerate(group["items"]):
            if item["kind"] == "group":
                inner = laid["groups"][item["id"]]
                ends = {w["node"]: t["port"] for w in group["wires"] for t in w["targets"] if t["item"] == i}
                begins = {w["node"]: w["port"] for w in group["wires"] if w["item"] == i}
                assert {node: port for port, node in enumerate(inner["ports"])} == ends
                assert {node: out for out, node in enumerate(inner["outs"])} == begins
                assert {w["node"] for w in inner["wires"] if w["item"] < 0} == set(inner["ports"])
                left = {w["node"] for w in inner["wires"] if any(t["item"] < 0 for t in w["targets"])}
                assert left == set(inner["outs"])


@pytest.mark.parametrize("case", CASES)
def test_no_two_items_share_a_place(case):
    for group in made(case)[1]["groups"]:
        places = Counter((item["row"], item["column"]) for item in group["items"])
        assert max(places.values(), default=1) == 1
        assert {row for row, _ in places} == set(range(group["rows"]))
        assert len(group["tracks"]) == group["rows"] + 1


def row(group: Group, item: int, outside: int) -> int:
    return outside if item < 0 else group["items"][item]["row"]


@pytest.mark.parametrize("case", CASES)
def test_lanes_do_not_overlap(case):
    for group in made(case)[1]["groups"]:
        taken: dict[int, list[tuple[int, int]]] = {}
        for wire in group["wires"]:
            begin = row(group, wire["item"], -1)
            ends = [row(group, t["item"], group["rows"]) for t in wire["targets"] if t["lane"]]
            assert all(t["lane"] or row(group, t["item"], group["rows"]) == begin + 1 for t in wire["targets"])
            assert (wire["lane"] >= 0) == bool(ends)
            if ends:
                assert wire["lane"] < group["lanes"]
                taken.setdefault(wire["lane"], []).append((min(begin, *ends), max(begin, *ends)))
        for intervals in taken.values():
            assert all(one[1] <= other[0] for one, other in pairwise(sorted(intervals)))


@pytest.mark.parametrize("case", CASES)
def test_every_end_of_a_wire_has_a_place_of_its_own(case):
    for group in made(case)[1]["groups"]:
        ends = [("bottom", w["item"], w["slot"]) for w in group["wires"] if w["item"] >= 0 and w["slot"] >= 0]
        ends += [("exits", w["item"], w["exit"]) for w in group["wires"] if w["exit"] >= 0]
        ends += [(t["at"], t["item"], t["slot"]) for w in group["wires"] for t in w["targets"] if t["item"] >= 0]
        assert max(Counter(ends).values(), default=1) == 1
        for i, item in enumerate(group["items"]):
            for side in ("top", "side", "bottom", "exits"):
                assert sum(end[:2] == (side, i) for end in ends) == item[side]  # type: ignore[literal-required]


@pytest.mark.parametrize("case", [*KNOWN, 1, 2, 3])
def test_it_is_the_same_twice_and_plain_json(case):
    found, laid = made(case)
    again = json.dumps(layout(with_graph(replace(found))))
    assert again == json.dumps(laid)
    assert json.loads(again) == laid


def test_blocks_of_a_stage_are_one_repeat():
    laid = made("residual")[1]
    (repeat,) = (group for group in laid["groups"] if group["kind"] == "repeat")
    assert (repeat["name"], repeat["module"], repeat["count"]) == ("stages", "Class1", 6)
    prototype = laid["groups"][repeat["prototype"]]
    assert (prototype["name"], prototype["label"]) == ("stages.0", "0")
    assert [item["row"] for item in prototype["items"]] == [0, 1, 2, 3, 4, 5, 6]
    skip = next(wire for wire in prototype["wires"] if wire["item"] < 0)
    assert [(t["item"], t["lane"], t["at"]) for t in skip["targets"]] == [(0, False, "top"), (5, True, "side")]
    assert repeat["prototype_ports"] == repeat["prototype_outs"] == [0]


def test_a_block_with_another_operation_is_no_member():
    plain = residual(6)
    operations = [*plain.operations, "Tanh"]
    third = list(plain.nodes.operation)
    third[1 + 7 * 2 + 2] = len(operations) - 1  # the first ReLU of block 2
    nodes = replace(plain.nodes, operation=tuple(third))
    laid = layout(with_graph(replace(plain, operations=tuple(operations), nodes=nodes)))
    assert [(g["label"], g["count"]) for g in laid["groups"] if g["kind"] == "repeat"] == [("3 … 5", 3)]


def test_blocks_of_another_resolution_are_no_members():
    plain = residual(6)
    large, small = (2, 8, 32, 32), (2, 16, 16, 16)
    shape = tuple(int(node > 7 * 3) for node in range(len(plain)))
    found = replace(plain, shapes=(large, small), nodes=replace(plain.nodes, shape=shape))
    laid = layout(with_graph(found))
    assert [(g["label"], g["count"]) for g in laid["groups"] if g["kind"] == "repeat"] == [("0 … 2", 3), ("3 … 5", 3)]


def test_layers_of_a_dense_block_stay_apart_and_have_a_lane_each():
    laid = made("dense")[1]
    assert not [group for group in laid["groups"] if group["kind"] == "repeat"]
    block = next(group for group in laid["groups"] if group["name"] == "block0")
    assert (block["columns"], block["rows"], block["lanes"]) == (1, 6, 5)
    lanes = [wire["lane"] for wire in block["wires"] if wire["lane"] >= 0]
    assert lanes == [4, 3, 2, 1, 0]  # the longest is outermost


def test_a_period_of_operations_is_a_repeat_of_parts():
    chain = graph(["Convolution", "Relu"] * 5, [(i, i + 1) for i in range(9)], layers=[0, -1] * 5)
    laid = layout(with_graph(chain))
    repeat = laid["groups"][1]
    assert (repeat["kind"], repeat["count"], len(repeat["items"])) == ("repeat", 5, 5)
    assert [item["id"] for item in laid["groups"][repeat["prototype"]]["items"]] == [0, 1]
    assert [g["kind"] for g in layout(with_graph(graph(["Convolution", "Relu"] * 5, [])))["groups"]] == ["root"]


def test_a_row_of_hundreds_of_operations_is_cut_into_parts():
    laid = layout(with_graph(graph(["Relu"] * 3000, [(i, i + 1) for i in range(2999)])))
    assert len(laid["groups"][0]["items"]) <= 120
    assert {group["kind"] for group in laid["groups"][1:]} == {"part"}


def test_names_that_begin_alike_are_one_group():
    names = ["stem", "body.0.a", "body.0.b", "body.1.a", "body.1.b", "tail"]
    calls = [("", -1), *((name, 0) for name in names)]
    scopes = [1 + i // 2 for i in range(2 * len(names))]
    kinds = ["Relu", "Tanh", "Gelu", "Silu", "Elu", "Selu"]
    laid = layout(with_graph(graph([kinds[i // 2] for i in range(12)], [(i, i + 1) for i in range(11)], calls, scopes)))
    tree = [(group["kind"], group["name"], group["label"], group["parent"]) for group in laid["groups"]]
    assert tree == [
        ("root", "", "", -1),
        ("module", "stem", "stem", 0),
        ("path", "body", "body", 0),
        ("path", "body.0", "0", 2),
        ("module", "body.0.a", "a", 3),
        ("module", "body.0.b", "b", 3),
        ("path", "body.1", "1", 2),
        ("module", "body.1.a", "a", 6),
        ("module", "body.1.b", "b", 6),
        ("module", "tail", "tail", 0),
    ]


def test_a_projection_stands_beside_the_branch():
    #  in → conv → relu → conv → add, in → projection → add
    laid = layout(with_graph(graph(["Relu", "Convolution", "Relu", "Convolution", "Mm", "Add"],
                                   [(0, 1), (1, 2), (2, 3), (0, 4), (3, 5), (4, 5)])))  # fmt: skip
    assert [(item["row"], item["column"]) for item in laid["groups"][0]["items"]] == [
        (0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (4, 0),
    ]  # fmt: skip


def test_sums_are_of_what_is_inside():
    plain = residual(6)
    flow = with_graph(replace(plain, nodes=replace(plain.nodes, layer=tuple(i % 8 for i in range(len(plain))))))
    laid = layout(flow)
    root = laid["groups"][0]["sums"]
    reached = [flow.layers[i].log10_gradient_rms for i in range(8)]
    assert (root["nodes"], root["layers"]) == (len(plain), sum(layer.weighted for layer in flow.layers[:8]))
    assert root["log10_gradient_rms"] == min(reached) == reached[root["smallest_layer"]]
    assert root["log10_gradient_rms_largest"] == max(reached)
    assert sum(
        item["kind"] == "node" or laid["groups"][item["id"]]["sums"]["nodes"] for item in laid["groups"][0]["items"]
    ) == len(plain)


@pytest.mark.parametrize("case", CASES)
def test_at_first_the_screen_is_not_flooded(case):
    laid = made(case)[1]
    opened = [laid["groups"][i] for i in laid["open"]]
    assert laid["open"][0] == 0
    assert sum(len(group["items"]) for group in opened) <= max(MOST_BOXES, len(opened[0]["items"]))


def test_no_graph_no_layout():
    assert layout(replace(with_graph(residual(1)), graph=None)) is None


def test_a_thousand_modules_inside_each_other_do_not_matter():
    calls = [(".".join(["a"] * depth), depth - 1) for depth in range(1500)]
    scopes = [i // 2 for i in range(3000)]
    laid = layout(with_graph(graph(["Relu"] * 3000, [(i, i + 1) for i in range(2999)], calls, scopes)))
    assert len(laid["groups"]) == 1500  # the outermost is the model, the root


@pytest.mark.parametrize(
    ("intervals", "lanes"),
    [
        ([], []),
        ([(0, 3), (3, 6), (6, 9)], [0, 0, 0]),
        ([(0, 9), (2, 7), (3, 5)], [2, 1, 0]),
        ([(0, 5), (1, 5), (2, 5), (5, 7)], [2, 1, 0, 0]),
        ([(0, 2), (1, 3), (2, 4)], [1, 0, 1]),
    ],
)
def test_colours_of_intervals(intervals, lanes):
    assert colour(intervals) == lanes


def test_many_side_by_side_are_wrapped():
    size = 20
    edges = [(0, i + 1) for i in range(size)] + [(i + 1, size + 1) for i in range(size)]
    laid = layout(with_graph(graph(["Relu"] * (size + 2), edges)))
    root = laid["groups"][0]
    assert (root["columns"], root["rows"]) == (8, 1 + 3 + 1)
    assert [item["row"] for item in root["items"]] == [0, *[1] * 8, *[2] * 8, *[3] * 4, 4]


def test_a_fork_counts_where_it_parts():
    plain = residual(3)
    entries = list(zip(plain.edges.source, plain.edges.target, strict=True))
    fork = tuple(source // 7 if target - source in (1, 6) and source % 7 == 0 else -1 for source, target in entries)
    edge = tuple(-1 if f < 0 else int(t - s == 6) for f, (s, t) in zip(fork, entries, strict=True))
    fork = tuple(f if f < 3 else -1 for f in fork)
    assert sorted(f for f in fork if f >= 0) == [0, 0, 1, 1, 2, 2]
    flow = replace(invented.flow(forks=3), graph=replace(plain, edges=replace(plain.edges, fork=fork, edge=edge)))
    laid = layout(flow)
    sums = {group["name"]: group["sums"] for group in laid["groups"]}
    assert [sums[name]["residual_forks"] for name in ("", "stages", "stages.0", "stages.2")] == [3, 3, 1, 1]
    assert sums["stages.2"]["skip_share"] == flow.forks[2].skip_share
    shares = [fork.skip_share for fork in flow.forks]
    assert sums["stages"]["skip_share"] == pytest.approx(sum(shares) / 3)
    assert Summing(flow).of([1, 2, 3])["residual_forks"] == 0  # the first convolution alone: one of its uses
