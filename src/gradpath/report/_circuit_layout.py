"""Where things stand in a circuit's figure: shared by the terminal's drawing and the SVG.

Most circuits are a line: nodes of lane 0 in order, weights hanging below their gates, and wires that pass over
nodes, gathered into one bus per source that runs above. What is no line is drawn as a grid (SVG) or a table (text).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from gradpath.record import CircuitRecord, Node, Wire
from gradpath.units import circuit_number

LEAVES = ("input", "weight", "constant")
_ROWS_ABOVE_FOLD = 2
_ROOM_BESIDE = 1.25  # a row that cannot be cut takes its neighbours in, rather than leave them a row of their own

show = circuit_number  # a number of the circuit, as its sentences write it

WORDS = {
    "en": {
        "forward": "Forward",
        "backward": "Backward",
        "findings": "What to see",
        "legend": "▸ value, forward    ◂ ∂ gradient, backward    = ∂ sum over all wires",
        "legend_grid": "above: value, forward    below: ∂ gradient, backward, summed over all wires",
        "derivation": "dL/d{name} = upstream × local = {upstream} × {local} = {gradient}",
        "part": "dL/d{name}, part from {target} = upstream × local = {upstream} × {local} = {gradient}",
        "sum": "dL/d{name} = {parts} = {total}",
        "more_parts": "… {count} more",
        "more_steps": "… {count} more steps",
        "more_gates": "… {count} more gates …",
        "one_more_gates": "… 1 more gate …",
        "more_columns": "… {count} more columns",
        "one_more_columns": "… 1 more column",
        "more_nodes": "… {count} more nodes",
        "start": "Start",
        "given": "Inputs and weights are given; nothing is computed yet.",
        "count": "{direction} {k} of {count}",
        "node": "node",
        "gate": "gate",
        "value": "value ▸",
        "gradient": "◂ ∂ gradient",
    },
    "zh": {
        "forward": "前向传播",
        "backward": "反向传播",
        "findings": "要点",
        "legend": "▸ 值（前向）    ◂ ∂ 梯度（反向）    = ∂ 各条线之和",
        "legend_grid": "上方：值（前向）    下方：∂ 梯度（反向），各条线之和",
        "derivation": "dL/d{name} = 上游梯度 × 局部导数 = {upstream} × {local} = {gradient}",
        "part": "dL/d{name}（来自 {target} 的部分）= 上游梯度 × 局部导数 = {upstream} × {local} = {gradient}",
        "sum": "dL/d{name} = {parts} = {total}",
        "more_parts": "… 还有 {count} 项",
        "more_steps": "… 还有 {count} 步",
        "more_gates": "… 还有 {count} 个门 …",
        "one_more_gates": "… 还有 1 个门 …",
        "more_columns": "… 还有 {count} 列",
        "one_more_columns": "… 还有 1 列",
        "more_nodes": "… 还有 {count} 个节点",
        "start": "开始",
        "given": "输入和权重已经给定，还没有开始计算。",
        "count": "{direction} {k} / {count}",
        "node": "节点",
        "gate": "门",
        "value": "值 ▸",
        "gradient": "◂ ∂ 梯度",
    },
}
GATE_WORDS = {
    "input": "输入", "weight": "权重", "constant": "常数", "add": "加", "subtract": "减", "multiply": "乘",
    "divide": "除", "max": "最大值", "relu": "ReLU", "sigmoid": "Sigmoid", "tanh": "Tanh", "exp": "指数", "log": "对数",
    "square": "平方", "sqrt": "开方", "copy": "复制", "mean": "平均", "variance": "方差", "dot": "加权和",
    "normalise": "归一化", "concat": "拼接",
}  # fmt: skip
"""The gates in Chinese; in English a gate is called by its name."""


def bracketed(value: float) -> str:
    """A number as it stands after a sign: '(−2)'."""
    return f"({show(value)})" if value < 0 else show(value)


def gate_word(gate: str, language: str) -> str:
    """What kind of node it is, in words."""
    return GATE_WORDS.get(gate, gate) if language == "zh" else gate


def more(language: str, what: str, count: int) -> str:
    """'… 3 more gates …', '… 1 more gate …'."""
    words = WORDS[language]
    return words[f"one_{what}" if count == 1 else what].format(count=count)


def value_label(value: float) -> str:
    """'10 ▸'"""
    return f"{show(value)} ▸"


def gradient_label(gradient: float) -> str:
    """'◂ ∂0.01'"""
    return f"◂ ∂{show(gradient)}"


def sum_label(gradient: float) -> str:
    """'= ∂1.0001', where several wires leave a node. (No Σ: an ASCII console writes it wider, and wires shift.)"""
    return f"= ∂{show(gradient)}"


@dataclass(frozen=True)
class Bus:
    """The wires from one node over its neighbours to later ones, as one line with drops."""

    source: int
    drops: tuple[tuple[int, Wire], ...]
    """(position of the target, wire), from left to right."""
    level: int = 0
    """0 runs lowest."""

    @property
    def last(self) -> int:
        return self.drops[-1][0]


@dataclass(frozen=True)
class Line:
    """A circuit that can be drawn along one line. Positions count the nodes of lane 0 from the left."""

    nodes: tuple[Node, ...]
    ahead: tuple[Wire | None, ...]
    """The wire from each node to its neighbour on the right; None for the last, or if there is none."""
    hanging: tuple[tuple[tuple[Node, Wire], ...], ...]
    """The leaves below each node."""
    buses: tuple[Bus, ...]

    def forks(self, position: int) -> bool:
        """Whether more than one wire leaves the node."""
        return position in self._sources

    def arrivals(self, position: int) -> list[tuple[Bus, Wire]]:
        """The drops at the node, those of the lowest bus first."""
        return self._arrivals.get(position, [])

    @cached_property
    def _sources(self) -> set[int]:
        return {bus.source for bus in self.buses}

    @cached_property
    def _arrivals(self) -> dict[int, list[tuple[Bus, Wire]]]:
        found: dict[int, list[tuple[Bus, Wire]]] = defaultdict(list)
        for bus in sorted(self.buses, key=lambda bus: bus.level):
            for target, wire in bus.drops:
                found[target].append((bus, wire))
        return found

    def cuts(self) -> list[int]:
        """Positions at which the line may be broken: no bus runs over them."""
        covered = [0] * (len(self.nodes) + 1)
        for bus in self.buses:
            covered[bus.source + 1] += 1
            covered[bus.last] -= 1
        running, free = 0, []
        for position in range(len(self.nodes)):
            running += covered[position]
            if running == 0:
                free.append(position)
        return free


def line(record: CircuitRecord) -> Line | None:
    """The circuit as a line, or None if it is none."""
    main = sorted((node for node in record.nodes if node.lane == 0), key=lambda node: node.column)
    place = {node.name: i for i, node in enumerate(main)}
    aside = {node.name: node for node in record.nodes if node.lane != 0}
    uses = Counter(wire.source for wire in record.wires)
    if not main or len({node.column for node in main}) < len(main):
        return None
    if any(node.gate not in LEAVES or uses[name] != 1 for name, node in aside.items()):
        return None
    hanging: list[list[tuple[Node, Wire]]] = [[] for _ in main]
    ahead: list[Wire | None] = [None] * len(main)
    over: dict[int, list[tuple[int, Wire]]] = defaultdict(list)
    for wire in record.wires:
        target = place.get(wire.target)
        if target is None or place.get(wire.source, -1) >= target:
            return None
        if wire.source in aside:
            hanging[target].append((aside[wire.source], wire))
        elif place[wire.source] == target - 1 and ahead[target - 1] is None:
            ahead[target - 1] = wire
        else:
            over[place[wire.source]].append((target, wire))
    return Line(tuple(main), tuple(ahead), tuple(map(tuple, hanging)), _levels(over))


def _levels(over: dict[int, list[tuple[int, Wire]]]) -> tuple[Bus, ...]:
    """Buses packed from below, the shortest first; two on one level do not overlap, but may touch."""
    buses = [Bus(source, tuple(sorted(drops, key=lambda drop: drop[0]))) for source, drops in over.items()]
    taken: list[list[tuple[int, int]]] = []
    placed = []
    for bus in sorted(buses, key=lambda bus: (bus.last - bus.source, bus.source)):
        level = next((k for k, spans in enumerate(taken) if _is_free(spans, bus)), len(taken))
        if level == len(taken):
            taken.append([])
        insort(taken[level], (bus.source, bus.last))
        placed.append(Bus(bus.source, bus.drops, level))
    return tuple(placed)


def _is_free(spans: list[tuple[int, int]], bus: Bus) -> bool:
    """Whether none of the sorted spans, which do not overlap each other, overlaps the bus."""
    after = bisect_left(spans, (bus.source, bus.source))
    return (after == 0 or spans[after - 1][1] <= bus.source) and (after == len(spans) or bus.last <= spans[after][0])


def rows(line: Line, pitches: Sequence[float], limit: float, tail: float = 0.0) -> list[tuple[int, int]]:
    """The line cut into rows (first and last position, the last is the first of the next row) no wider than `limit`
    where that is possible. `pitches[i]` is the way from node i to the next; `tail` is what the last row needs
    beside, for the output's own wire."""
    free = set(line.cuts())
    ends = sorted(free)
    widest = max((sum(pitches[a:b]) for a, b in pairwise(ends)), default=0)
    limit = max(limit, _ROOM_BESIDE * widest)
    found, first, best, width, last = [], 0, 0, 0.0, len(line.nodes) - 1
    for position in range(1, last + 1):
        width += pitches[position - 1]
        if width + (tail if position == last else 0) > limit and best > first:
            found.append((first, best))
            width, first = sum(pitches[best:position]), best
        if position in free:
            best = position
    return [*found, (first, last)]


def folded(found: list[tuple[int, int]], most: int) -> tuple[list[tuple[int, int]], int, list[tuple[int, int]]]:
    """Rows for the top, the number of nodes left out between them, rows for the bottom."""
    if len(found) <= most:
        return found, 0, []
    top, bottom = found[:_ROWS_ABOVE_FOLD], found[-1:]
    return top, bottom[0][0] - top[-1][1] - 1, bottom
