"""A circuit that is a line, in as many rows as it needs: values above the wires, gradients below them."""

from __future__ import annotations

from gradpath.record import CircuitRecord, Node, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_layout import Bus, Line
from gradpath.report._circuit_marks import (
    BOX_HEIGHT,
    Cue,
    Mark,
    Point,
    Spot,
    box,
    course,
    dot,
    head,
    path,
    text,
    text_width,
)
from gradpath.report._facts import printable
from gradpath.report._markup import Markup

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


class Rows:
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
        self.marks: list[Mark] = []
        self.rails: list[str] = []
        """Where the wires run, as path data."""
        self.spots: dict[str, Spot] = {}
        """Gate → its box, as (x, y, width, height) around its middle; where it is drawn twice, the first."""
        self.width = self.height = 0.0
        top, left_out, bottom = layout.folded(layout.rows(line, self.pitches, _ROW_WIDTH), _ROWS_AT_MOST)
        for row in top:
            self._row(*row)
        if left_out:
            words = layout.more(record.language, "more_gates", left_out)
            self._draw(None, text(0, self.height + 24, words, "pale"))
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

    def _draw(self, cue: Cue | None, *marks: Markup) -> None:
        self.marks += [Mark(mark, cue) for mark in marks]

    def _rail(self, points: list[Point], cue: Cue) -> None:
        """The value's line of a wire."""
        self.rails.append(course(points))
        self._draw(cue, path(points, "value"))

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
            self._draw(None, text(self.x[first] - self.boxes[first] / 2 - 22, self.y + 5, "…", "pale"))
        right = self.x[last] + self.boxes[last] / 2
        if last < len(self.line.nodes) - 1:
            self._draw(None, text(right + 8, self.y + 5, "…", "pale"))
        below = self.x[last] + self.spreads[last][1] * (len(self.line.hanging[last]) == 1)
        end = right + (self.gaps[last] if last == len(self.line.nodes) - 1 else 22)
        self.width = max(self.width, end, below)
        depth = _LEAF_DROP + _LEAF_HEIGHT / 2 if any(self.line.hanging[first : last + 1]) else 44
        self.height = self.y + depth + _ROW_GAP

    def _node(self, i: int, repeated: bool) -> None:
        node = self.line.nodes[i]
        is_gate = node.gate not in layout.LEAVES
        glyph = printable(node.label or node.name)
        self._draw(None, *box(self.x[i], self.y, self.boxes[i], glyph, printable(node.name) if is_gate else ""))
        if is_gate:
            self.spots.setdefault(node.name, (self.x[i], self.y, self.boxes[i], BOX_HEIGHT))
        if not repeated:
            self._leaves(i)

    def _wire(self, i: int) -> None:
        node, wire = self.line.nodes[i], self.line.ahead[i]
        is_last = i == len(self.line.nodes) - 1
        if wire is None and not is_last:
            return
        start = self.x[i] + self.boxes[i] / 2 + 5
        end = start + self.gaps[i] - 10 if is_last else self.x[i + 1] - self.boxes[i + 1] / 2 - 5
        known = Cue("value", node.name)
        came = Cue("sent", wire.target) if wire else Cue("sum", node.name)
        self._pair(start, end, known, came)
        middle = (start + (_FORK + 6 if self.line.forks(i) else 0) + end) / 2
        gradient = wire.gradient if wire else node.gradient
        self._draw(known, text(middle, self.y - 12, layout.value_label(node.value), "value middle"))
        self._draw(came, text(middle, self.y + 23, layout.gradient_label(gradient), "gradient middle"))
        if self.line.forks(i):
            label = text(middle, self.y + 41, layout.sum_label(node.gradient), "gradient sum middle")
            self._draw(Cue("sum", node.name), label)

    def _pair(self, start: float, end: float, known: Cue, came: Cue) -> None:
        """A straight horizontal wire: the value's line above, the gradient's below."""
        above, below = self.y - _APART, self.y + _APART
        self._rail([(start, above), (end - 6, above)], known)
        self._draw(known, head(end, above, "right", "value"))
        self._draw(came, path([(end, below), (start + 6, below)], "gradient"), head(start, below, "left", "gradient"))

    def _leaves(self, i: int) -> None:
        leaves = self.line.hanging[i]
        for k, (leaf, _) in enumerate(leaves):
            x = self.x[i] + (k - (len(leaves) - 1) / 2) * sum(self.spreads[i])
            y = self.y + _LEAF_DROP
            name = printable(leaf.name)
            self._draw(None, *box(x, y, max(text_width(name, 17) + 16, BOX_HEIGHT), name, height=_LEAF_HEIGHT))
            self._stem(x, y - _LEAF_HEIGHT / 2 - 4, leaf, Cue("sent", self.line.nodes[i].name))

    def _stem(self, x: float, bottom: float, leaf: Node, came: Cue) -> None:
        """The wire from a leaf up to its gate."""
        top, known = self.y + BOX_HEIGHT / 2 + 4, Cue("value", leaf.name)
        self._rail([(x - _APART, bottom), (x - _APART, top + 6)], known)
        self._draw(known, head(x - _APART, top, "up", "value"))
        self._draw(known, text(x - 12, bottom - 14, f"{layout.show(leaf.value)} ▴", "value end"))
        self._draw(came, path([(x + _APART, top), (x + _APART, bottom - 6)], "gradient"))
        self._draw(came, head(x + _APART, bottom, "down", "gradient"))
        self._draw(came, text(x + 12, bottom - 14, f"▾ ∂{layout.show(leaf.gradient)}", "gradient"))

    def _riser(self, i: int) -> float:
        return self.x[i] + self.boxes[i] / 2 + _FORK

    def _drop(self, wire: Wire, target: int) -> float:
        """Where a bus comes down on a box: the lowest bus furthest left, so that none crosses another there."""
        arrivals = [arriving for _, arriving in self.line.arrivals(target)]
        return self.x[target] + (arrivals.index(wire) - (len(arrivals) - 1) / 2) * _DROPS_APART + _APART

    def _bus(self, bus: Bus) -> None:
        riser, y = self._riser(bus.source), self.y - _ABOVE - _LEVEL * bus.level
        node = self.line.nodes[bus.source]
        known, first_back = Cue("value", node.name), Cue("sent", self.line.nodes[bus.last].name)
        self._draw(known, text(riser + 10, y - 8, layout.value_label(node.value), "value"))
        for target, wire in bus.drops:
            self._way(wire, self._drop(wire, target), riser, y, known, target == bus.last)
        self._draw(known, dot(riser, self.y - _APART, "value"))
        self._draw(first_back, dot(riser + 2 * _APART, self.y + _APART, "gradient"))

    def _way(self, wire: Wire, x: float, riser: float, y: float, known: Cue, is_last: bool) -> None:
        """The way of a bus to one target, and of the gradient back; the last target's holds the bus itself."""
        back, low, top = x - 2 * _APART, y + 2 * _APART, self.y - BOX_HEIGHT / 2 - 4
        came = Cue("sent", wire.target)
        to_end, to_start = [(x, y), (x, top - 6)], [(back, top), (back, low)]
        if is_last:
            to_end = [(riser, self.y - _APART), (riser, y), *to_end]
            to_start += [(riser + 2 * _APART, low), (riser + 2 * _APART, self.y + _APART)]
        else:
            self._draw(known, dot(x, y, "value"))
            self._draw(came, dot(back, low, "gradient"))
        self._rail(to_end, known)
        self._draw(known, head(x, top, "down", "value"))
        self._draw(came, path(to_start, "gradient"))
        self._draw(came, text(back - 8, low + 16, layout.gradient_label(wire.gradient), "gradient end"))
