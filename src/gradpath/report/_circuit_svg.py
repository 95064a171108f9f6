"""A circuit as a standalone SVG: values above the wires, gradients below; light and dark in one file."""

from __future__ import annotations

from collections.abc import Iterator

from gradpath.record import CircuitRecord, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_grid import Grid
from gradpath.report._circuit_layout import WORDS, Bus, Line
from gradpath.report._circuit_marks import (
    BOX_HEIGHT,
    STYLE,
    box,
    dot,
    head,
    n,
    path,
    text,
    text_width,
)
from gradpath.report._circuit_text import wrapped
from gradpath.report._facts import printable
from gradpath.report._markup import Markup, element

_MARGIN = 32
_LEAST_WIDTH = 720
_TEXT_LINE = 20
_CAPTION_COLUMN = 7.2  # pixels for one column of a wrapped caption
_ROW_WIDTH = 1150
_ROWS_AT_MOST = 8
_ROW_GAP = 20
_ABOVE = 64  # from the middle of a row up to the lowest bus
_LEVEL = 56  # between two buses: a label above, a label below
_APART = 4  # the two lines of a wire, from its middle
_FORK = 18  # from a box to the wire that leaves for the bus
_DROPS_APART = 18
_LEAF_DROP = 122  # from the middle of a gate to the middle of the weight below it
_LEAF_HEIGHT = 32


def circuit_svg(record: CircuitRecord) -> str:
    """The circuit as one SVG file: its title and caption, the figure, a legend."""
    line = layout.line(record)
    picture: _Rows | Grid = _Rows(record, line) if line is not None else Grid(record)
    width = max(picture.width + 2 * _MARGIN, _LEAST_WIDTH)
    heading = list(_heading(record, width))
    top = 40 + _TEXT_LINE * len(heading)
    height = top + picture.height + 60
    return "<?xml version='1.0' encoding='UTF-8'?>\n" + element(
        "svg",
        element("title", printable(record.title), id="title"),
        element("desc", printable(" ".join([record.caption, *record.findings])), id="description"),
        element("style", Markup(STYLE)),
        element("rect", class_="page", width=n(width), height=n(height)),
        *heading,
        element("g", *picture.marks, transform=f"translate({n((width - picture.width) / 2)} {n(top)})"),
        text(_MARGIN, height - 24, WORDS[record.language][picture.legend].replace("    ", " \N{MIDDLE DOT} "), "pale"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {n(width)} {n(height)}",
        width=n(width),
        height=n(height),
        role="img",
        aria_labelledby="title description",
        lang=record.language,
    )


def _heading(record: CircuitRecord, width: float) -> Iterator[Markup]:
    yield text(_MARGIN, 42, printable(record.title), "title")
    for i, line in enumerate(wrapped(record.caption, int((width - 2 * _MARGIN) / _CAPTION_COLUMN)), 1):
        yield text(_MARGIN, 48 + _TEXT_LINE * i, line, "pale")


class _Rows:
    """A line of nodes, in as many rows as it needs."""

    legend = "legend"

    def __init__(self, record: CircuitRecord, line: Line) -> None:
        self.line = line
        self.spreads = [self._spread(i) for i in range(len(line.nodes))]
        self.boxes = [self._box_width(i) for i in range(len(line.nodes))]
        self.gaps = [self._gap(i) for i in range(len(line.nodes))]
        following = [*self.boxes[1:], 0.0]
        self.pitches = [
            (here + after) / 2 + gap for here, after, gap in zip(self.boxes, following, self.gaps, strict=True)
        ]
        self.marks: list[Markup] = []
        self.width = self.height = 0.0
        top, left_out, bottom = layout.folded(layout.rows(line, self.pitches, _ROW_WIDTH), _ROWS_AT_MOST)
        for row in top:
            self._row(*row)
        if left_out:
            words = layout.more(record.language, "more_gates", left_out)
            self.marks.append(text(0, self.height + 24, words, "pale"))
            self.height += 24 + _ROW_GAP
        for row in bottom:
            self._row(*row)

    # sizes

    def _spread(self, i: int) -> tuple[float, float]:
        """How far the labels of the wires from the leaves below a node reach to the left and to the right."""
        leaves = [leaf for leaf, _ in self.line.hanging[i]]
        left = max((text_width(f"{layout.show(leaf.value)} ▴") for leaf in leaves), default=0)
        right = max((text_width(f"▾ ∂{layout.show(leaf.gradient)}") for leaf in leaves), default=0)
        names = max((text_width(printable(leaf.name), 17) / 2 for leaf in leaves), default=0)
        return max(left + 12, names + 10), max(right + 12, names + 10)

    def _box_width(self, i: int) -> float:
        node = self.line.nodes[i]
        label = text_width(printable(node.label or node.name), 17) + 18
        name = text_width(printable(node.name), 11) + 14
        drops = _DROPS_APART * len(self.line.arrivals(i)) + 22
        between_leaves = (len(self.line.hanging[i]) - 1) * sum(self.spreads[i]) + 40
        return float(max(BOX_HEIGHT, label, name, drops, between_leaves))

    def _gap(self, i: int) -> float:
        """The way from a box to the next: its labels, and those of the leaves below, must fit."""
        node, wire = self.line.nodes[i], self.line.ahead[i]
        labels = [layout.value_label(node.value), layout.gradient_label(wire.gradient if wire else node.gradient)]
        labels += [layout.gradient_label(wire.gradient) for _, wire in self.line.arrivals(i + 1)]
        forks = self.line.forks(i)
        if forks:
            labels.append(layout.sum_label(node.gradient))
        gap = max(map(text_width, labels)) + 22 + (_FORK + 12 if forks else 0)
        if i + 1 == len(self.line.nodes):
            return gap
        outer = [len(self.line.hanging[k]) == 1 for k in (i, i + 1)]  # several leaves are inside their wide box
        below = self.spreads[i][1] * outer[0] + self.spreads[i + 1][0] * outer[1]
        return max(gap, below + 14 - (self.boxes[i] * outer[0] + self.boxes[i + 1] * outer[1]) / 2)

    # drawing

    def _row(self, first: int, last: int) -> None:
        buses = [bus for bus in self.line.buses if first <= bus.source and bus.last <= last]
        levels = 1 + max((bus.level for bus in buses), default=-1)
        self.y = self.height + (_ABOVE + _LEVEL * (levels - 1) + 24 if levels else 40)
        self.x: dict[int, float] = {}
        at = (
            self.boxes[first] / 2
            + (self.spreads[first][0] if self.line.hanging[first] and first == 0 else 0)
            + 22 * (first > 0)
        )
        for i in range(first, last + 1):
            self.x[i] = at
            at += self.pitches[i]
        for bus in buses:
            self._bus(bus)
        for i in range(first, last + 1):
            self._node(i, repeated=i == first > 0)
            if i < last or i == len(self.line.nodes) - 1:
                self._wire(i)
        if first > 0:
            self.marks.append(text(self.x[first] - self.boxes[first] / 2 - 22, self.y + 5, "…", "pale"))
        right = self.x[last] + self.boxes[last] / 2
        if last < len(self.line.nodes) - 1:
            self.marks.append(text(right + 8, self.y + 5, "…", "pale"))
        below = self.x[last] + self.spreads[last][1] * (len(self.line.hanging[last]) == 1)
        end = right + (self.gaps[last] if last == len(self.line.nodes) - 1 else 22)
        self.width = max(self.width, end, below)
        depth = _LEAF_DROP + _LEAF_HEIGHT / 2 if any(self.line.hanging[first : last + 1]) else 44
        self.height = self.y + depth + _ROW_GAP

    def _node(self, i: int, repeated: bool) -> None:
        node = self.line.nodes[i]
        is_gate = node.gate not in layout.LEAVES
        glyph = printable(node.label or node.name)
        self.marks += box(self.x[i], self.y, self.boxes[i], glyph, printable(node.name) if is_gate else "")
        if not repeated:
            self._leaves(i)

    def _wire(self, i: int) -> None:
        node, wire = self.line.nodes[i], self.line.ahead[i]
        is_last = i == len(self.line.nodes) - 1
        if wire is None and not is_last:
            return
        start = self.x[i] + self.boxes[i] / 2 + 5
        end = start + self.gaps[i] - 10 if is_last else self.x[i + 1] - self.boxes[i + 1] / 2 - 5
        self._pair([(start, self.y), (end, self.y)])
        middle = (start + (_FORK + 6 if self.line.forks(i) else 0) + end) / 2
        gradient = wire.gradient if wire else node.gradient
        self.marks.append(text(middle, self.y - 12, layout.value_label(node.value), "value middle"))
        self.marks.append(text(middle, self.y + 23, layout.gradient_label(gradient), "gradient middle"))
        if self.line.forks(i):
            self.marks.append(text(middle, self.y + 41, layout.sum_label(node.gradient), "gradient sum middle"))

    def _pair(self, points: list[tuple[float, float]]) -> None:
        """A straight horizontal wire: the value's line above, the gradient's below."""
        (start, y), (end, _) = points
        self.marks += [
            path([(start, y - _APART), (end - 6, y - _APART)], "value"),
            head(end, y - _APART, "right", "value"),
            path([(end, y + _APART), (start + 6, y + _APART)], "gradient"),
            head(start, y + _APART, "left", "gradient"),
        ]

    def _leaves(self, i: int) -> None:
        leaves = self.line.hanging[i]
        for k, (leaf, _) in enumerate(leaves):
            x = self.x[i] + (k - (len(leaves) - 1) / 2) * sum(self.spreads[i])
            y = self.y + _LEAF_DROP
            top, bottom = self.y + BOX_HEIGHT / 2 + 4, y - _LEAF_HEIGHT / 2 - 4
            name = printable(leaf.name)
            self.marks += box(x, y, max(text_width(name, 17) + 16, BOX_HEIGHT), name, height=_LEAF_HEIGHT)
            self.marks += [
                path([(x - _APART, bottom), (x - _APART, top + 6)], "value"),
                head(x - _APART, top, "up", "value"),
                path([(x + _APART, top), (x + _APART, bottom - 6)], "gradient"),
                head(x + _APART, bottom, "down", "gradient"),
                text(x - 12, bottom - 14, f"{layout.show(leaf.value)} ▴", "value end"),
                text(x + 12, bottom - 14, f"▾ ∂{layout.show(leaf.gradient)}", "gradient"),
            ]

    def _riser(self, i: int) -> float:
        return self.x[i] + self.boxes[i] / 2 + _FORK

    def _drop(self, wire: Wire, target: int) -> float:
        """Where a bus comes down on a box: the lowest bus furthest left, so that none crosses another there."""
        arrivals = [arriving for _, arriving in self.line.arrivals(target)]
        return self.x[target] + (arrivals.index(wire) - (len(arrivals) - 1) / 2) * _DROPS_APART + _APART

    def _bus(self, bus: Bus) -> None:
        riser, y, top = self._riser(bus.source), self.y - _ABOVE - _LEVEL * bus.level, self.y - BOX_HEIGHT / 2 - 4
        value = layout.value_label(self.line.nodes[bus.source].value)
        self.marks.append(text(riser + 10, y - 8, value, "value"))
        low = y + 2 * _APART  # the gradient's line
        for target, wire in bus.drops:
            x = self._drop(wire, target)
            back = x - 2 * _APART
            if target == bus.last:
                to_end = [(riser, self.y - _APART), (riser, y), (x, y), (x, top - 6)]
                to_start = [
                    (back, top),
                    (back, low),
                    (riser + 2 * _APART, low),
                    (riser + 2 * _APART, self.y + _APART),
                ]
            else:
                to_end, to_start = [(x, y), (x, top - 6)], [(back, top), (back, low)]
                self.marks += [dot(x, y, "value"), dot(back, low, "gradient")]
            label = layout.gradient_label(wire.gradient)
            self.marks += [path(to_end, "value"), head(x, top, "down", "value"), path(to_start, "gradient")]
            self.marks.append(text(back - 8, low + 16, label, "gradient end"))
        self.marks.append(dot(riser, self.y - _APART, "value"))
        self.marks.append(dot(riser + 2 * _APART, self.y + _APART, "gradient"))
