"""Wires of one group: straight or by a lane, where each begins and ends, which tracks its horizontal parts take."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gradpath.report._layout._lanes import colour
from gradpath.report._layout._lift import OUTSIDE, Strand, Wiring
from gradpath.report._layout._terms import Item, Target, Wire

NOT = -1


@dataclass
class Strung:
    """The wires of a group, and what of them lies between its rows and beside them."""

    wires: list[Wire]
    tracks: list[int]
    lanes: int


@dataclass
class Stringer:
    """Strings the wires of one group; counts in its items the places where they begin and end."""

    items: list[Item]
    rows: int
    wiring: Wiring
    inner: dict[int, Wiring]
    """By item that is a group: its wiring."""
    last: set[int] = field(init=False)
    """Items with nobody right of them: wires may reach their right sides from the lanes."""

    def __post_init__(self) -> None:
        rightmost: dict[int, int] = {}
        for i, item in enumerate(self.items):
            best = rightmost.setdefault(item["row"], i)
            if item["column"] > self.items[best]["column"]:
                rightmost[item["row"]] = i
        self.last = set(rightmost.values())

    def string(self) -> Strung:
        """All wires, in the order of the forward pass."""
        wires = [self._wire(node, strand) for node, strand in self.wiring.strands.items()]
        wires.sort(key=lambda wire: (self._row(wire["item"], -1), wire["node"]))
        lanes = self._lanes(wires)
        self._ends(wires)
        tracks = self._tracks(wires)
        return Strung(wires, tracks, lanes)

    def _row(self, item: int, outside: int) -> int:
        return outside if item == OUTSIDE else self.items[item]["row"]

    def _wire(self, node: int, strand: Strand) -> Wire:
        begin = strand.begin
        port = self.wiring.ports[node] if begin == OUTSIDE else self._inner(begin, "outs", node)
        targets = [self._target(node, begin, end, edges) for end, edges in strand.ends.items()]
        targets.sort(key=lambda t: (self._row(t["item"], self.rows), t["item"]))
        far = any(target["lane"] for target in targets)
        return Wire(
            node=node,
            item=begin,
            port=port,
            lane=NOT,
            at=("side" if begin == OUTSIDE or begin in self.last else "bottom") if far else "",
            slot=NOT,
            exit=NOT,
            track=NOT,
            targets=targets,
        )

    def _target(self, node: int, begin: int, end: int, edges: list[int]) -> Target:
        gap = self._row(end, self.rows) - self._row(begin, -1)
        by_lane = gap != 1
        return Target(
            item=end,
            port=self.wiring.outs[node] if end == OUTSIDE else self._inner(end, "ports", node),
            edges=edges,
            lane=by_lane,
            at="side" if by_lane and (end == OUTSIDE or end in self.last) else "top",
            slot=0,
            track=NOT,
        )

    def _inner(self, item: int, table: str, node: int) -> int:
        found: dict[int, int] = getattr(self.inner[item], table) if item in self.inner else {}
        return found.get(node, 0)

    def _lanes(self, wires: list[Wire]) -> int:
        far = [wire for wire in wires if wire["at"]]
        intervals = [self.interval(wire) for wire in far]
        for wire, lane in zip(far, colour(intervals), strict=True):
            wire["lane"] = lane
        return max((wire["lane"] + 1 for wire in far), default=0)

    def interval(self, wire: Wire) -> tuple[int, int]:
        """The rows between which a wire takes its lane; wider by one where it leads back, up beside its own ends."""
        begin = self._row(wire["item"], -1)
        ends = [self._row(target["item"], self.rows) for target in wire["targets"] if target["lane"]]
        back = min(ends) <= begin
        return min(begin, *ends) - back, max(begin, *ends) + back

    def _ends(self, wires: list[Wire]) -> None:
        """Places where wires begin and end, counted in the items. At the side, those that begin are in the order in
        which they cross none, the outermost lane first, those that end the other way round; from above, the leftmost
        source comes first."""
        for wire in sorted(wires, key=lambda wire: -wire["lane"]):
            if wire["item"] == OUTSIDE:
                continue
            item = self.items[wire["item"]]
            if wire["at"] == "bottom" or not all(target["lane"] for target in wire["targets"]):
                wire["slot"], item["bottom"] = item["bottom"], item["bottom"] + 1
            if wire["at"] == "side":
                wire["exit"], item["exits"] = item["exits"], item["exits"] + 1
        pairs = [(wire, target) for wire in wires for target in wire["targets"] if target["item"] != OUTSIDE]
        for _, target in sorted(pairs, key=self._place):
            item = self.items[target["item"]]
            target["slot"] = item[target["at"]]
            item[target["at"]] += 1

    def _place(self, pair: tuple[Wire, Target]) -> tuple[bool, int]:
        wire, target = pair
        return target["lane"], wire["lane"] if target["at"] == "side" else self._column(wire)

    def _column(self, wire: Wire) -> int:
        return 0 if wire["item"] == OUTSIDE else self.items[wire["item"]]["column"]

    def _tracks(self, wires: list[Wire]) -> list[int]:
        """One track for each wire in each gap where it goes sideways. Returns the number of tracks by gap."""
        count = [0] * (self.rows + 1)
        for wire in wires:
            own: dict[int, int] = defaultdict(lambda: NOT)
            begin = self._row(wire["item"], -1)
            if wire["at"] == "bottom":
                wire["track"] = _track(own, count, begin + 1)
            for target in wire["targets"]:
                gap = self._row(target["item"], self.rows)
                if target["at"] == "top" and (target["lane"] or self._goes_aside(wire, target)):
                    target["track"] = _track(own, count, gap)
        return count

    def _goes_aside(self, wire: Wire, target: Target) -> bool:
        column = 0 if target["item"] == OUTSIDE else self.items[target["item"]]["column"]
        return self._column(wire) != column


def _track(own: dict[int, int], count: list[int], gap: int) -> int:
    if own[gap] == NOT:
        own[gap], count[gap] = count[gap], count[gap] + 1
    return own[gap]
