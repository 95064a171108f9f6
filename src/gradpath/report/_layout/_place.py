"""A layout in pixels, for a given set of open groups: the reference of what the page does while groups open and close.

Plain arithmetic, in three walks: which groups show their inside; their sizes, from the inside out; positions of boxes
and wires, from the outside in. `tests/report/golden/layout` holds cases that both languages must agree on.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gradpath.report._layout._terms import Box, Group, Item, Layout, Line, Placed, Target, Wire

BOX_WIDTH = 148.0
BOX_HEIGHT = 26.0
COLUMN_GAP = 18.0
ROW_GAP = 16.0
TRACK = 7.0
"""Between two wires that go sideways in one gap …"""
MOST_TRACKS = 84.0
"""… and the height that all of them take at most: many are nearer to each other."""
LANE = 9.0
MOST_LANES = 360.0
"""The width that all lanes of a group take at most."""
PAD = 12.0
TITLE = 20.0
"""Height of a frame's title."""
PORT = 8.0
"""Height of a row of one port; each further one adds PORT_STEP."""
PORT_STEP = 3.0
MOST_PORTS = 60.0
"""Height that all further ones take at most."""

Point = tuple[float, float]


@dataclass
class Frame:
    """An open group: where its parts lie, relative to its upper left corner."""

    shell: Group
    """The group that the frame stands for …"""
    group: Group
    """… and the one whose inside it shows: the same, or a repeat's prototype."""
    columns: list[float]
    """x of each column's axis."""
    lanes: float
    """x of lane 0 …"""
    pitch: float
    """… and the distance to the next one."""
    gaps: list[float]
    """y of the top of each gap."""
    rows: list[float]
    """y of the top of each row; the last one is that of the outs."""
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


def place(layout: Layout, opened: Collection[int] | None = None) -> Placed:
    """Boxes and wires, in pixels, with these groups open (default: those of the layout)."""
    shown = _shown(layout, set(layout["open"] if opened is None else opened))
    frames: dict[int, Frame] = {}
    for number in reversed(shown):  # the inside first
        frames[number] = _frame(layout["groups"][number], layout["groups"][shown[number]], frames)
    boxes: list[Box] = []
    lines: list[Line] = []
    for number in shown:  # the outside first
        _put(frames[number], frames, boxes)
        lines += _lines(frames[number], frames)
    return Placed(width=frames[0].width, height=frames[0].height, boxes=boxes, lines=lines)


def _shown(layout: Layout, opened: set[int]) -> dict[int, int]:
    """Group that has a frame → group whose inside stands in it; each before those in it."""
    groups, shown, stack = layout["groups"], {}, [0]
    while stack:
        number = stack.pop()
        inside = number if number == 0 or number in opened else groups[number]["prototype"]
        if inside == 0 or inside in opened:
            shown[number] = inside
            stack += [item["id"] for item in reversed(groups[inside]["items"]) if item["kind"] == "group"]
    return shown


def _frame(shell: Group, group: Group, frames: dict[int, Frame]) -> Frame:
    left, right = [0.0] * group["columns"], [0.0] * group["columns"]
    heights = [0.0] * group["rows"]
    for item in group["items"]:
        width, height, axis = _size(item, frames)
        left[item["column"]] = max(left[item["column"]], axis)
        right[item["column"]] = max(right[item["column"]], width - axis)
        heights[item["row"]] = max(heights[item["row"]], height)
    columns, x = [], PAD
    for before, after in zip(left, right, strict=True):
        columns.append(x + before)
        x += before + after + COLUMN_GAP
    x -= COLUMN_GAP
    gaps, rows, y = [], [], _head(shell, group)
    for tracks, height in zip(group["tracks"], [*heights, _ports_height(group["outs"])], strict=True):
        gaps.append(y)
        y += ROW_GAP + _spread(TRACK, MOST_TRACKS, tracks) * tracks
        rows.append(y)
        y += height
    pitch = _spread(LANE, MOST_LANES, group["lanes"])
    return Frame(shell, group, columns, x + LANE, pitch, gaps, rows, x + pitch * group["lanes"] + PAD, y)


def _spread(pitch: float, most: float, count: int) -> float:
    """The distance between `count` neighbours: the usual one, less where they would take more than `most`."""
    return min(pitch, most / max(count, 1))


def _head(shell: Group, group: Group) -> float:
    """Height of the title and the ports."""
    return (TITLE if shell["id"] else 0.0) + _ports_height(group["ports"])


def _ports_height(ports: list[int]) -> float:
    further = len(ports) - 1
    return PORT + _spread(PORT_STEP, MOST_PORTS, further) * further if ports else 0.0


def _size(item: Item, frames: dict[int, Frame]) -> tuple[float, float, float]:
    """Width, height and x of the axis of a box; a frame's axis is that of its first column."""
    frame = _opened(item, frames)
    if frame is None:
        return BOX_WIDTH, BOX_HEIGHT, BOX_WIDTH / 2
    return frame.width, frame.height, frame.columns[0]


def _opened(item: Item, frames: dict[int, Frame]) -> Frame | None:
    return frames.get(item["id"]) if item["kind"] == "group" else None


def _corner(frame: Frame, item: Item, frames: dict[int, Frame]) -> Point:
    axis = _size(item, frames)[2]
    return frame.x + frame.columns[item["column"]] - axis, frame.y + frame.rows[item["row"]]


def _put(frame: Frame, frames: dict[int, Frame], boxes: list[Box]) -> None:
    """Boxes of what is in a frame that has its place; frames in it get theirs."""
    for item in frame.group["items"]:
        x, y = _corner(frame, item, frames)
        width, height, _ = _size(item, frames)
        inner = _opened(item, frames)
        kind = "node" if item["kind"] == "node" else "closed"
        if inner is not None:
            inner.x, inner.y = x, y
            kind = "open" if inner.shell is inner.group else "prototype"
        boxes.append(Box(kind=kind, id=item["id"], name=item["name"], x=x, y=y, w=width, h=height))  # type: ignore[typeddict-item]


def _lines(frame: Frame, frames: dict[int, Frame]) -> list[Line]:
    found = []
    for w, wire in enumerate(frame.group["wires"]):
        for t, target in enumerate(wire["targets"]):
            way = _lane_way(frame, wire, target, frames) if target["lane"] else _way_down(frame, wire, target, frames)
            points = [coordinate for point in way for coordinate in point]
            found.append(Line(group=frame.shell["id"], wire=w, target=t, points=points))
    return found


def _way_down(frame: Frame, wire: Wire, target: Target, frames: dict[int, Frame]) -> list[Point]:
    """Straight, or with one step sideways."""
    start, end = _start(frame, wire, frames, "bottom"), _end(frame, target, frames)
    if abs(start[0] - end[0]) < 0.5:
        return [start, end]
    y = _track_y(frame, _row(frame, target), target["track"])
    return [start, (start[0], y), (end[0], y), end]


def _lane_way(frame: Frame, wire: Wire, target: Target, frames: dict[int, Frame]) -> list[Point]:
    """Out to the lane, along it, and back in."""
    start, end = _start(frame, wire, frames, wire["at"]), _end(frame, target, frames)
    x = frame.x + frame.lanes + frame.pitch * wire["lane"]
    way = [start]
    if wire["at"] == "bottom":
        y = _track_y(frame, frame.group["items"][wire["item"]]["row"] + 1, wire["track"])
        way += [(start[0], y), (x, y)]
    else:
        way += [(x, start[1])]
    if target["at"] == "top":
        y = _track_y(frame, _row(frame, target), target["track"])
        return [*way, (x, y), (end[0], y), end]
    return [*way, (x, end[1]), end]


def _row(frame: Frame, target: Target) -> int:
    return frame.group["rows"] if target["item"] < 0 else frame.group["items"][target["item"]]["row"]


def _track_y(frame: Frame, gap: int, track: int) -> float:
    pitch = _spread(TRACK, MOST_TRACKS, frame.group["tracks"][gap])
    return frame.y + frame.gaps[gap] + ROW_GAP / 2 + pitch * (track + 1)


def _start(frame: Frame, wire: Wire, frames: dict[int, Frame], at: str) -> Point:
    if wire["item"] < 0:
        return _port(frame, wire["port"])
    item = frame.group["items"][wire["item"]]
    inner = _opened(item, frames)
    if inner is not None:
        outs = inner.shell["prototype_outs"] if inner.shell is not inner.group else None
        return _out(inner, outs[wire["port"]] if outs else wire["port"])
    x, y = _corner(frame, item, frames)
    if at == "bottom":
        return x + BOX_WIDTH * (wire["slot"] + 1) / (item["bottom"] + 1), y + BOX_HEIGHT
    return x + BOX_WIDTH, y + BOX_HEIGHT * (item["side"] + wire["exit"] + 1) / (item["side"] + item["exits"] + 1)


def _end(frame: Frame, target: Target, frames: dict[int, Frame]) -> Point:
    if target["item"] < 0:
        return _out(frame, target["port"])
    item = frame.group["items"][target["item"]]
    inner = _opened(item, frames)
    if inner is not None:
        ports = inner.shell["prototype_ports"] if inner.shell is not inner.group else None
        return _port(inner, ports[target["port"]] if ports else target["port"])
    x, y = _corner(frame, item, frames)
    if target["at"] == "top":
        return x + BOX_WIDTH * (target["slot"] + 1) / (item["top"] + 1), y
    return x + BOX_WIDTH, y + BOX_HEIGHT * (target["slot"] + 1) / (item["side"] + item["exits"] + 1)


def _port(frame: Frame, port: int) -> Point:
    """A dot below the title; several stand side by side, each a little lower than the last."""
    ports = frame.group["ports"]
    return _dot(frame, port, len(ports), frame.gaps[0] - _ports_height(ports))


def _out(frame: Frame, out: int) -> Point:
    return _dot(frame, out, len(frame.group["outs"]), frame.rows[-1])


def _dot(frame: Frame, dot: int, dots: int, top: float) -> Point:
    step = _spread(PORT_STEP, MOST_PORTS, dots - 1)
    x = frame.columns[0] + BOX_WIDTH * ((dot + 1) / (dots + 1) - 0.5)
    return frame.x + x, frame.y + top + PORT / 2 + step * dot
