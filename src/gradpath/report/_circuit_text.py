"""A circuit for the terminal: a drawing of characters, then every step with its arithmetic."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

from gradpath.record import CircuitRecord, Step, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_layout import WORDS, Bus, Line, show
from gradpath.report.facts import printable

_STEPS_WHOLE = 20
_STEPS_AT_EACH_END = 5
_ROWS_AT_MOST = 4
_NODES_WHOLE = 40
_NODES_AT_EACH_END = 15
_PARTS_AT_MOST = 8
_LEVELS_AT_MOST = 6
# a word with the marks that must not begin a line, or one Chinese character with the marks after it
_PIECES = re.compile(
    r"[^\s\u2e80-\u9fff\uff00-\uffef]+[，。：；、）！？]*|[（]?[\u2e80-\u9fff\uff00-\uffef][，。：；、）！？]*|\s+"
)


def circuit_text(record: CircuitRecord, width: int = 80) -> str:
    """The circuit as plain text, no line wider than `width` columns (a wide character takes two)."""
    words = WORDS[record.language]
    blocks = [_heading(record, width), figure(record, width)]
    for direction in ("forward", "backward"):
        blocks.append([words[direction], *numbered_steps(record, direction, width)])
    if record.findings:
        bullets = [line for finding in record.findings for line in wrapped(finding, width, "  • ", "    ")]
        blocks.append([words["findings"], *bullets])
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def _heading(record: CircuitRecord, width: int) -> list[str]:
    title = wrapped(record.title, width)
    return [*title, "═" * max(map(columns, title)), *wrapped(record.caption, width)]


def columns(text: str) -> int:
    """Columns a text takes on a terminal."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """A sentence as lines of at most `width` columns; Chinese breaks between any two characters."""
    lines, line = [], first
    for piece in _short_pieces(printable(text), max(width - columns(later), 2)):
        if columns(line) + columns(piece.rstrip()) > width and line.strip():
            lines.append(line)
            line = later
        if not (piece.isspace() and line == later):
            line += piece
    return [entry.rstrip() for entry in [*lines, line]]


def _short_pieces(text: str, width: int) -> Iterator[str]:
    """What may stand on a line of its own; a name longer than a line is broken."""
    for piece in _PIECES.findall(text):
        size = max(width // 2, 1) if columns(piece) > width else len(piece)
        yield from (piece[i : i + size] for i in range(0, len(piece), size))


# steps


def numbered_steps(record: CircuitRecord, direction: str, width: int) -> list[str]:
    """The steps of one direction with their arithmetic, the middle of a long list left out."""
    steps = [step for step in record.steps if step.direction == direction]
    numbered = list(enumerate(_explained(record, steps), 1))
    if len(numbered) <= _STEPS_WHOLE:
        return _blocks(numbered, len(numbered), width)
    more = WORDS[record.language]["more_steps"].format(count=len(numbered) - 2 * _STEPS_AT_EACH_END)
    first, last = numbered[:_STEPS_AT_EACH_END], numbered[-_STEPS_AT_EACH_END:]
    return [*_blocks(first, len(numbered), width), f"  {more}", *_blocks(last, len(numbered), width)]


def _blocks(numbered: list[tuple[int, tuple[str, list[str]]]], count: int, width: int) -> list[str]:
    digits = len(str(count))
    indent = " " * (digits + 4)
    lines: list[str] = []
    for i, (sentence, details) in numbered:
        lines += wrapped(sentence, width, f"  {i:>{digits}}  ", indent)
        lines += [line for detail in details for line in wrapped(detail, width, indent, indent + "  ")]
    return lines


def _explained(record: CircuitRecord, steps: Iterable[Step]) -> Iterator[tuple[str, list[str]]]:
    """(sentence, lines of arithmetic) of each step; a sum stands where its last part arrives."""
    into: dict[str, list[Wire]] = {}
    for wire in record.wires:
        into.setdefault(wire.target, []).append(wire)
    left = Counter(wire.source for wire in record.wires)
    parts: dict[str, list[Wire]] = {name: [] for name, uses in left.items() if uses > 1 and name != record.output}
    gradients = {node.name: node.gradient for node in record.nodes}
    for step in steps:
        details = []
        for wire in into.get(step.node, []) if step.direction == "backward" else []:
            details.append(_derivation(record, step, wire, wire.source in parts))
            left[wire.source] -= 1
            if wire.source in parts:
                parts[wire.source].append(wire)
                if left[wire.source] == 0:
                    details.append(_sum(record, wire.source, parts[wire.source], gradients[wire.source]))
        yield step.sentence, _shortened(details, record)


def _shortened(details: list[str], record: CircuitRecord) -> list[str]:
    if len(details) <= 2 * _PARTS_AT_MOST:
        return details
    more = WORDS[record.language]["more_parts"].format(count=len(details) - _PARTS_AT_MOST)
    return [*details[:_PARTS_AT_MOST], more]


def _bracketed(value: float) -> str:
    return f"({show(value)})" if value < 0 else show(value)


def _derivation(record: CircuitRecord, step: Step, wire: Wire, is_part: bool) -> str:
    return WORDS[record.language]["part" if is_part else "derivation"].format(
        name=wire.source,
        target=wire.target,
        upstream=show(step.value),
        local=_bracketed(wire.local),
        gradient=show(wire.gradient),
    )


def _sum(record: CircuitRecord, name: str, parts: list[Wire], total: float) -> str:
    words = WORDS[record.language]
    shown = [f"{_bracketed(wire.gradient)} ({wire.target})" for wire in parts[:_PARTS_AT_MOST]]
    if len(parts) > _PARTS_AT_MOST:
        shown.append(words["more_parts"].format(count=len(parts) - _PARTS_AT_MOST))
    return words["sum"].format(name=name, parts=" + ".join(shown), total=show(total))


# the figure


def figure(record: CircuitRecord, width: int) -> list[str]:
    """A drawing if the circuit is a line that fits into `width` columns, else a table of its nodes."""
    line = layout.line(record)
    if line is not None and max((bus.level for bus in line.buses), default=0) < _LEVELS_AT_MOST:
        drawing = _drawing(record, line, width)
        if max(map(columns, drawing)) <= width:
            return [*drawing, "", *wrapped(WORDS[record.language]["legend"], width, "  ", "  ")]
    return _table(record, width)


def _drawing(record: CircuitRecord, line: Line, width: int) -> list[str]:
    drawn = _Drawing(line)
    found = layout.rows(line, drawn.pitches, width - drawn.margins)
    top, left_out, bottom = layout.folded(found, _ROWS_AT_MOST)
    blocks = [drawn.row(*row) for row in top]
    if left_out:
        blocks.append(["  " + WORDS[record.language]["more_gates"].format(count=left_out)])
    blocks += [drawn.row(*row) for row in bottom]
    return "\n\n".join("\n".join(block) for block in blocks).split("\n")


class _Drawing:
    """One line of nodes; `row(first, last)` draws a stretch of it as lines of characters."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.glyphs = [printable(node.label or node.name) for node in line.nodes]
        self.below = [[printable(f"{leaf.name} = {show(leaf.value)}") for leaf, _ in leaves] for leaves in line.hanging]
        self.pitches = [self._pitch(i) for i in range(len(line.nodes))]
        self.margins = 4 + max(map(len, self.glyphs)) + int(self.pitches[-1])  # indent, dots, the output's own wire

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
        if not (i == first and first > 0):
            self._leaves(i, middle + 1)
        else:
            self._put(middle, place - 2, "…")
        if i == last < len(self.line.nodes) - 1:
            self._put(middle, place + len(self.glyphs[i]) + 1, "…")
        elif wire or i == len(self.line.nodes) - 1:
            self._wire(i, node.value, wire.gradient if wire else node.gradient)

    def _wire(self, i: int, value: float, gradient: float) -> None:
        middle, start, fork = self.height + 1, self._riser(i), self.line.forks(i)
        labels = start + 2 if fork else start
        length = self.pitches[i] - len(self.glyphs[i]) - 2
        self._put(middle, start, "─" * length)
        self._put(middle - 1, labels, layout.value_label(value))
        self._put(middle + 1, labels, layout.gradient_label(gradient))
        if fork:
            self._put(middle, start, "●")
            self._put(middle + 2, labels, layout.sum_label(self.line.nodes[i].gradient))
        if i == len(self.line.nodes) - 1:
            self._put(middle, start + length + 1, printable(self.line.nodes[i].name))

    def _leaves(self, i: int, row: int) -> None:
        centre = self._drop(i)
        for text, (leaf, _) in zip(self.below[i], self.line.hanging[i], strict=True):
            gradient = f"∂{show(leaf.gradient)}"
            self._put(row, centre, "│")
            self._put(row + 1, centre, "│")
            self._put(row + 2, max(centre - len(text) // 2, 0), text)
            self._put(row + 3, max(centre - len(gradient) // 2, 0), gradient)
            row += 4

    def _lines(self) -> list[str]:
        height = 1 + max(row for row, _ in self.cells)
        width = 1 + max(column for _, column in self.cells)
        return ["".join(self.cells.get((r, c), " ") for c in range(width)).rstrip() for r in range(height)]


def _table(record: CircuitRecord, width: int) -> list[str]:
    """Every node on one line: what a circuit that is no line looks like in a terminal."""
    words = WORDS[record.language]
    edges: dict[str, list[float]] = {}
    for wire in record.wires:
        edges.setdefault(wire.source, []).append(wire.gradient)
    head = (words["node"], words["gate"], words["value"], words["gradient"])
    body = [
        (printable(n.name), printable(n.gate), show(n.value), _total(n.gradient, edges.get(n.name, [])))
        for n in record.nodes
    ]
    if len(body) > _NODES_WHOLE:
        more = (words["more_nodes"].format(count=len(body) - 2 * _NODES_AT_EACH_END), "", "", "")
        body = [*body[:_NODES_AT_EACH_END], more, *body[-_NODES_AT_EACH_END:]]
    widths = [max(columns(entry[k]) for entry in (head, *body) if entry[1] or k) for k in range(3)]
    lines = []
    for entry in (head, *body):
        cells = [text + " " * (size - columns(text)) for text, size in zip(entry, widths, strict=False)]
        lines += wrapped("  ".join([*cells, entry[3]]), width, "  ", " " * (sum(widths) + 8) if entry[1] else "  ")
    return lines


def _total(gradient: float, parts: list[float]) -> str:
    if 1 < len(parts) <= _PARTS_AT_MOST:
        return f"{show(gradient)} = {' + '.join(map(_bracketed, parts))}"
    return show(gradient)
