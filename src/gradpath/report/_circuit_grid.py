"""A circuit that is no line, as a grid: columns from left to right, lanes from top to bottom."""

from __future__ import annotations

from gradpath.record import CircuitRecord, Node, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_marks import Cue, Mark, Spot, frame, n, text, text_width
from gradpath.report._facts import printable
from gradpath.report._markup import Markup, element

_COLUMNS_AT_MOST = 40
_HEAD = 38
_LANE = 76
_BOX_HEIGHT = 28
_GAP = 34
_SIZE = 15  # of the numbers, in pixels; a figure 1600 wide is looked at from the back of a room


class Grid:
    """Values above the boxes and gradients below them, because the wires are too many for labels of their own."""

    legend = "legend_grid"

    def __init__(self, record: CircuitRecord) -> None:
        columns = sorted({node.column for node in record.nodes})
        kept = columns[:_COLUMNS_AT_MOST]
        nodes = [node for node in record.nodes if node.column in set(kept)]
        lanes = sorted({node.lane for node in nodes})
        self.box_width = max(44.0, *(self._needs(node) for node in nodes))
        self.x = {column: self.box_width / 2 + i * (self.box_width + _GAP) for i, column in enumerate(kept)}
        headed = self._headed(nodes)
        self.y, bottom = {}, 0.0
        for lane in lanes:
            if any(node.lane == lane for node in headed):
                bottom += _HEAD
            self.y[lane] = bottom + _LANE / 2
            bottom += _LANE
        self.width = len(kept) * (self.box_width + _GAP) - _GAP
        self.height = bottom
        place = {node.name: node for node in nodes}
        self.rails: list[str] = []
        self.spots: dict[str, Spot] = {
            node.name: (self.x[node.column], self.y[node.lane], self.box_width, _BOX_HEIGHT) for node in nodes
        }
        self.marks = [Mark(self._wire(place[w.source], place[w.target])) for w in record.wires if _inside(w, place)]
        self.marks += [Mark(self._head(node, record.language)) for node in headed]
        for node in nodes:
            self.marks += self._node(node)
        if len(columns) > len(kept):
            words = layout.more(record.language, "more_columns", len(columns) - len(kept))
            self.marks.append(Mark(text(0, self.height + 14, words, "pale")))
            self.height += 20

    def _needs(self, node: Node) -> float:
        labels = (printable(node.name), layout.show(node.value), f"∂{layout.show(node.gradient)}")
        return max(text_width(label, _SIZE) for label in labels) + 8

    def _headed(self, nodes: list[Node]) -> list[Node]:
        """The nodes with a word above them: the topmost of each column, and where another kind begins further down."""
        found, kinds = [], dict.fromkeys(self.x, "")
        for node in sorted(nodes, key=lambda node: node.lane):
            if kinds[node.column] != node.gate:
                found.append(node)
            kinds[node.column] = node.gate
        return found

    def _head(self, node: Node, language: str) -> Markup:
        y = self.y[node.lane] - _LANE / 2 - 8
        return text(self.x[node.column], y, printable(layout.gate_word(node.gate, language)), "grid middle")

    def _node(self, node: Node) -> list[Mark]:
        x, y = self.x[node.column], self.y[node.lane]
        value = text(x, y - _BOX_HEIGHT / 2 - 5, layout.show(node.value), "value grid middle")
        gradient = text(x, y + _BOX_HEIGHT / 2 + 16, f"∂{layout.show(node.gradient)}", "gradient grid middle")
        return [
            Mark(frame(x, y, self.box_width, _BOX_HEIGHT)),
            Mark(text(x, y + 5, printable(node.name), "grid middle")),
            Mark(value, Cue("value", node.name)),
            Mark(gradient, Cue("sum", node.name)),
        ]

    def _wire(self, source: Node, target: Node) -> Markup:
        start, end = self.x[source.column] + self.box_width / 2, self.x[target.column] - self.box_width / 2
        y1, y2, middle = self.y[source.lane], self.y[target.lane], (start + end) / 2
        curve = f"M{n(start)} {n(y1)}C{n(middle)} {n(y1)} {n(middle)} {n(y2)} {n(end)} {n(y2)}"
        return element("path", class_="thin", d=curve)


def _inside(wire: Wire, place: dict[str, Node]) -> bool:
    return wire.source in place and wire.target in place
