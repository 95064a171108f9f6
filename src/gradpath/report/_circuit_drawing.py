"""A circuit that is a line, drawn with characters: every sign is as wide on an ASCII console as on any other."""

from __future__ import annotations

from gradpath.record import CircuitRecord, Node
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_layout import LEAVES, Bus, Line, show
from gradpath.report._facts import printable

_ROWS_AT_MOST = 4
_WIDENED = "√²Σσ÷"  # an ASCII console writes these longer, or not at all: the gate's name stands in the drawing
_DOTS = "..."  # not '…', for the same reason


def drawn(record: CircuitRecord, line: Line, width: int) -> list[str]:
    """The drawing in as many rows as `width` asks for, the middle of a long chain left out."""
    drawing = _Drawing(line)
    found = layout.rows(line, drawing.pitches, width - drawing.margins, drawing.tail)
    top, left_out, bottom = layout.folded(found, _ROWS_AT_MOST)
    blocks = [drawing.row(*row) for row in top]
    if left_out:
        blocks.append(["  " + layout.more(record.language, "more_gates", left_out)])
    blocks += [drawing.row(*row) for row in bottom]
    return "\n\n".join("\n".join(block) for block in blocks).split("\n")


class _Drawing:
    """One line of nodes; `row(first, last)` draws a stretch of it as lines of characters."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.glyphs = [_glyph(node) for node in line.nodes]
        self.below = [[printable(f"{leaf.name} = {show(leaf.value)}") for leaf, _ in leaves] for leaves in line.hanging]
        self.pitches = [self._pitch(i) for i in range(len(line.nodes))]
        half = max((len(text) // 2 for texts in self.below for text in texts), default=0)
        self.margins = 4 + max(map(len, self.glyphs)) + max(len(_DOTS) + 1, half)
        self.tail = max(self.pitches[-1] + len(printable(line.nodes[-1].name)) - len(_DOTS), 0)

    def _labels(self, i: int) -> list[str]:
        """What has to fit between node i and the next."""
        node, wire = self.line.nodes[i], self.line.ahead[i]
        gradient = wire.gradient if wire else node.gradient
        labels = [layout.value_label(node.value), layout.gradient_label(gradient)]
        if self.line.forks(i):
            labels.append(layout.sum_label(node.gradient))
        return labels + [layout.gradient_label(wire.gradient) for _, wire in self.line.arrivals(i + 1)]

    def _pitch(self, i: int) -> int:
        between = max(map(len, self._labels(i))) + (4 if self.line.forks(i) else 2)
        half = [max(map(len, texts), default=0) // 2 for texts in self.below[i : i + 2]]
        return max(len(self.glyphs[i]) + 1 + between, sum(half) + 3)

    def row(self, first: int, last: int) -> list[str]:
        self.places, at = {}, 4 + max(map(len, self.below[first]), default=0) // 2 * (first == 0)
        for i in range(first, last + 1):
            self.places[i] = at
            at += self.pitches[i]
        buses = [bus for bus in self.line.buses if first <= bus.source and bus.last <= last]
        levels = 1 + max((bus.level for bus in buses), default=-1)
        self.height = 3 * levels
        crowded = any(self.line.forks(i) and self.line.hanging[i] for i in range(first, last + 1))
        self.stem = 3 if crowded else 2  # rows of the wire down to a leaf; its last one holds the gate's name
        self.cells: dict[tuple[int, int], str] = {}
        for bus in buses:
            self._bus(bus)
        for bus in buses:
            self._verticals(bus)
        for i in range(first, last + 1):
            self._node(i, first, last)
        return self._lines()

    def _put(self, row: int, column: int, text: str) -> None:
        self.cells.update({(row, column + k): c for k, c in enumerate(text)})

    def _riser(self, i: int) -> int:
        return self.places[i] + len(self.glyphs[i]) + 1

    def _drop(self, i: int) -> int:
        return self.places[i] + len(self.glyphs[i]) // 2

    def _bus(self, bus: Bus) -> None:
        row, start = self.height - 3 * bus.level - 2, self._riser(bus.source)
        self._put(row, start, "╭" + "─" * (self._drop(bus.last) - start - 1))
        self._put(row - 1, start + 2, layout.value_label(self.line.nodes[bus.source].value))
        for target, wire in bus.drops:
            label = layout.gradient_label(wire.gradient)
            self._put(row + 1, self._drop(target) - len(label) - 1, label)
            self._put(row, self._drop(target), "╮" if target == bus.last else "┬")

    def _verticals(self, bus: Bus) -> None:
        row = self.height - 3 * bus.level - 2
        for column in {self._riser(bus.source), *(self._drop(target) for target, _ in bus.drops)}:
            for below in range(row + 1, self.height + 1):
                joined = {"╮": "┤", "┬": "┼"}.get(self.cells.get((below, column), ""), "│")
                self.cells[below, column] = joined

    def _node(self, i: int, first: int, last: int) -> None:
        node, place, wire = self.line.nodes[i], self.places[i], self.line.ahead[i]
        middle = self.height + 1
        self._put(middle, place, self.glyphs[i])
        repeated = i == first > 0
        if repeated:
            self._put(middle, place - len(_DOTS) - 1, _DOTS)
        else:
            self._leaves(i, middle + 1)
        self._name(i, bool(self.line.hanging[i]) and not repeated)
        if i == last < len(self.line.nodes) - 1:
            self._put(middle, place + len(self.glyphs[i]) + 1, _DOTS)
        elif wire or i == len(self.line.nodes) - 1:
            self._wire(i, node.value, wire.gradient if wire else node.gradient)

    def _name(self, i: int, hangs: bool) -> None:
        """A gate's name below its sign, beside the wire to its leaf; left out where there is no room for it."""
        node, name = self.line.nodes[i], printable(self.line.nodes[i].name)
        if node.gate in LEAVES or i == len(self.line.nodes) - 1:  # the output's name stands at the end of its wire
            return
        column = self._drop(i) + 2 if hangs else self.places[i]
        sum_ahead = self.line.forks(i) and not hangs
        room = len(self.glyphs[i]) + 2 if sum_ahead else self.places[i] + self.pitches[i] - column - 1
        if len(name) <= room:
            below = self.stem if hangs else 1 if sum_ahead else 2
            self._put(self.height + 1 + below, column, name)

    def _wire(self, i: int, value: float, gradient: float) -> None:
        middle, start, fork = self.height + 1, self._riser(i), self.line.forks(i)
        labels = start + 2 if fork else start
        length = self.pitches[i] - len(self.glyphs[i]) - 2
        self._put(middle, start, "─" * length)
        self._put(middle - 1, labels, layout.value_label(value))
        self._put(middle + 1, labels, layout.gradient_label(gradient))
        if fork:
            self._put(middle, start, "•")
            self._put(middle + 2, labels, layout.sum_label(self.line.nodes[i].gradient))
        if i == len(self.line.nodes) - 1:
            self._put(middle, start + length + 1, printable(self.line.nodes[i].name))

    def _leaves(self, i: int, row: int) -> None:
        centre = self._drop(i)
        for text, (leaf, _) in zip(self.below[i], self.line.hanging[i], strict=True):
            gradient = f"∂{show(leaf.gradient)}"
            for _ in range(self.stem):
                self._put(row, centre, "│")
                row += 1
            self._put(row, max(centre - len(text) // 2, 0), text)
            self._put(row + 1, max(centre - len(gradient) // 2, 0), gradient)
            row += 2

    def _lines(self) -> list[str]:
        height = 1 + max(row for row, _ in self.cells)
        width = 1 + max(column for _, column in self.cells)
        return ["".join(self.cells.get((r, c), " ") for c in range(width)).rstrip() for r in range(height)]


def _glyph(node: Node) -> str:
    """What stands for the node in the drawing: as wide on every console."""
    label = node.label or node.name
    return printable(node.gate if any(sign in _WIDENED for sign in label) else label)
