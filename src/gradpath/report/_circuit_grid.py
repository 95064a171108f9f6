"""A circuit that is no line, as a grid: columns from left to right, lanes from top to bottom."""

from __future__ import annotations

from gradpath.record import CircuitRecord, Node, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_layout import WORDS
from gradpath.report._circuit_marks import frame, n, text, text_width
from gradpath.report.facts import printable
from gradpath.report.markup import Markup, element

_COLUMNS_AT_MOST = 40
_HEAD = 34
_LANE = 68
_BOX_HEIGHT = 24
_GAP = 46


class Grid:
    """Values above the boxes and gradients below them, because the wires are too many for labels of their own."""

    def __init__(self, record: CircuitRecord) -> None:
        columns = sorted({node.column for node in record.nodes})
        kept = columns[:_COLUMNS_AT_MOST]
        nodes = [node for node in record.nodes if node.column in set(kept)]
        lanes = sorted({node.lane for node in nodes})
        self.box_width = max(44.0, *(self._needs(node) for node in nodes))
        self.x = {column: self.box_width / 2 + i * (self.box_width + _GAP) for i, column in enumerate(kept)}
        self.y = {lane: _HEAD + _LANE / 2 + i * _LANE for i, lane in enumerate(lanes)}
        self.width = len(kept) * (self.box_width + _GAP) - _GAP
        self.height = _HEAD + len(lanes) * _LANE + 0.0
        place = {node.name: node for node in nodes}
        self.marks = [self._wire(place[w.source], place[w.target]) for w in record.wires if _inside(w, place)]
        self.marks += self._heads(nodes, WORDS[record.language])
        for node in nodes:
            self.marks += self._node(node)
        if len(columns) > len(kept):
            words = WORDS[record.language]["more_columns"].format(count=len(columns) - len(kept))
            self.marks.append(text(0, self.height + 14, words, "pale"))
            self.height += 20

    def _needs(self, node: Node) -> float:
        labels = (layout.value_label(node.value), layout.gradient_label(node.gradient))
        return max(text_width(printable(node.name), 13) + 12, *(text_width(label, 11) for label in labels))

    def _heads(self, nodes: list[Node], words: dict[str, str]) -> list[Markup]:
        """The gate of each column, from its topmost node."""
        topmost = {node.column: node for node in sorted(nodes, key=lambda node: -node.lane)}
        return [
            text(self.x[column], 16, words.get(node.gate) or printable(node.label or node.gate), "middle")
            for column, node in topmost.items()
        ]

    def _node(self, node: Node) -> list[Markup]:
        x, y = self.x[node.column], self.y[node.lane]
        return [
            frame(x, y, self.box_width, _BOX_HEIGHT),
            text(x, y + 4.5, printable(node.name), "middle"),
            text(x, y - _BOX_HEIGHT / 2 - 5, layout.value_label(node.value), "value small middle"),
            text(x, y + _BOX_HEIGHT / 2 + 13, layout.gradient_label(node.gradient), "gradient small middle"),
        ]

    def _wire(self, source: Node, target: Node) -> Markup:
        start, end = self.x[source.column] + self.box_width / 2, self.x[target.column] - self.box_width / 2
        y1, y2, middle = self.y[source.lane], self.y[target.lane], (start + end) / 2
        curve = f"M{n(start)} {n(y1)}C{n(middle)} {n(y1)} {n(middle)} {n(y2)} {n(end)} {n(y2)}"
        return element("path", class_="thin", d=curve)


def _inside(wire: Wire, place: dict[str, Node]) -> bool:
    return wire.source in place and wire.target in place
