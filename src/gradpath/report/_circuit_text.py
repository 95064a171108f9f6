"""A circuit for the terminal: a drawing of characters, then every step with its arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from gradpath.record import CircuitRecord, Step, Wire
from gradpath.report import _circuit_layout as layout
from gradpath.report._circuit_drawing import drawn
from gradpath.report._circuit_layout import WORDS, bracketed, gate_word, show
from gradpath.report._facts import printable
from gradpath.report._wrapped import columns as columns
from gradpath.report._wrapped import wrapped as wrapped

_STEPS_WHOLE = 20
_STEPS_AT_EACH_END = 5
_NODES_WHOLE = 40
_NODES_AT_EACH_END = 15
_PARTS_AT_MOST = 8
_LEVELS_AT_MOST = 6


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
    return [*title, "━" * max(map(columns, title)), *wrapped(record.caption, width)]


# steps


def numbered_steps(record: CircuitRecord, direction: str, width: int) -> list[str]:
    """The steps of one direction with their arithmetic, the middle of a long list left out."""
    steps = [step for step in record.steps if step.direction == direction]
    numbered = list(enumerate(explained(record, steps), 1))
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


def explained(record: CircuitRecord, steps: Iterable[Step]) -> Iterator[tuple[str, list[str]]]:
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


def _derivation(record: CircuitRecord, step: Step, wire: Wire, is_part: bool) -> str:
    return WORDS[record.language]["part" if is_part else "derivation"].format(
        name=wire.source,
        target=wire.target,
        upstream=show(step.value),
        local=bracketed(wire.local),
        gradient=show(wire.gradient),
    )


def _sum(record: CircuitRecord, name: str, parts: list[Wire], total: float) -> str:
    words = WORDS[record.language]
    shown = [f"{bracketed(wire.gradient)} ({wire.target})" for wire in parts[:_PARTS_AT_MOST]]
    if len(parts) > _PARTS_AT_MOST:
        shown.append(words["more_parts"].format(count=len(parts) - _PARTS_AT_MOST))
    return words["sum"].format(name=name, parts=" + ".join(shown), total=show(total))


# the figure


def figure(record: CircuitRecord, width: int) -> list[str]:
    """A drawing if the circuit is a line that fits into `width` columns, else a table of its nodes."""
    line = layout.line(record)
    if line is not None and max((bus.level for bus in line.buses), default=0) < _LEVELS_AT_MOST:
        drawing = drawn(record, line, width)
        if max(map(columns, drawing)) <= width:
            return [*drawing, "", *wrapped(WORDS[record.language]["legend"], width, "  ", "  ")]
    return _table(record, width)


def _table(record: CircuitRecord, width: int) -> list[str]:
    """Every node on one line: what a circuit that is no line looks like in a terminal."""
    words = WORDS[record.language]
    edges: dict[str, list[float]] = {}
    for wire in record.wires:
        edges.setdefault(wire.source, []).append(wire.gradient)
    head = (words["node"], words["gate"], words["value"], words["gradient"])
    body = [
        (
            printable(n.name),
            printable(gate_word(n.gate, record.language)),
            show(n.value),
            _total(n.gradient, edges.get(n.name, [])),
        )
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
        return f"{show(gradient)} = {' + '.join(map(bracketed, parts))}"
    return show(gradient)
