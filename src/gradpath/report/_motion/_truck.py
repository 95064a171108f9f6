"""The article's picture, with the circuit's numbers: a truck of gradients, a queue of customers, an express lane."""

from __future__ import annotations

import math

from gradpath.errors import UserError
from gradpath.record import CircuitRecord
from gradpath.report._circuit_layout import show
from gradpath.report._circuit_marks import head, n, path, style, text
from gradpath.report._circuit_svg import svg_file
from gradpath.report._facts import printable
from gradpath.report._markup import Markup, element, joined
from gradpath.report._motion._clock import Clock
from gradpath.report._motion._film import HEIGHT, RULES, WIDTH

_MARGIN = 48
_DEPOT, _END = 1200.0, 140.0  # where the loss is, and x
_ROADS = (250.0, 530.0)
_LANE = 96.0  # from the road up to the express lane
_STANDS = 62.0  # from the road down to a customer
_NUMBER = 54.0  # from the road up to the number of the load
_DRIVE_SECONDS = 0.7
_PARTS_PITCH = 200.0  # pixels from stop to stop: room for "= 1.331 (lane) + 0.1331 (c1)"
MOST_CUSTOMERS = 8
"""With more, the numbers of neighbours would overlap."""
_DECADES = 5  # a load of 10⁻⁵ and less is the smallest crate
_RULES = """
.road{fill:none;stroke:var(--edge);stroke-width:12;opacity:.35}
.lane{fill:none;stroke:var(--gradient);stroke-width:3;stroke-dasharray:9 6}
.who{fill:var(--box);stroke:var(--ink);stroke-width:2}
.truck{fill:var(--ink)}
.crate{fill:var(--gradient)}
text.load{font-size:21px;font-weight:700;fill:var(--gradient)}
text.part{font-size:16px;fill:var(--pale)}
text.who{font-size:20px;fill:var(--ink);stroke:none;font-weight:600}
text.head{font-size:23px;font-weight:600}
"""
_WORDS = {
    "en": {
        "none": "Without the express lane",
        "express": "With the express lane beside each customer: the skip",
        "loss": "loss",
        "parts": "= {lane} (lane) + {through} ({customer})",
        "breaks": "Where the picture breaks: nothing is used up. An add gate copies, a multiply gate scales.",
    },
    "zh": {
        "none": "没有快捷通道",
        "express": "每位顾客旁边都有快捷通道：跳跃连接",
        "loss": "损失",
        "parts": "= {lane} (通道) + {through} ({customer})",
        "breaks": "比喻失效之处：没有什么会被取走。加法门复制，乘法门缩放。",
    },
}


def truck_svg(without: CircuitRecord, express: CircuitRecord, theme: str = "auto") -> str:
    """Two roads, 1280 × 720: the same queue without and with the express lane. Plays by itself.

    The records are `gp.circuit("truck", lane="none")` and the same with "express"; raises UserError for others,
    and for more than `MOST_CUSTOMERS`.
    """
    roads = _roads(without, express)
    clock = Clock(len(roads[0].stops) - 1)
    rules = clock.rules(roads[0].driving(clock))
    return _file(express, theme, rules, [road.drawn(clock) for road in roads])


def truck_frame(without: CircuitRecord, express: CircuitRecord, k: int, theme: str = "auto") -> str:
    """Frame k of the same, standing still: the trucks at stop k, as on the explainer's page. 0: at the loss.

    Raises as `truck_svg`, and UserError for a frame that there is not.
    """
    roads = _roads(without, express)
    last = len(roads[0].stops) - 1
    if not 0 <= k <= last:
        raise UserError(f"there is no frame {k}: the truck has the frames 0 to {last}")
    return _file(express, theme, "", [road.standing(k) for road in roads])


def truck_frames(without: CircuitRecord, express: CircuitRecord) -> int:
    """The last frame: one for each customer, and one for x. Raises as `truck_svg`."""
    return len(_roads(without, express)[0].stops) - 1


def _roads(without: CircuitRecord, express: CircuitRecord) -> list[_Road]:
    roads = [_Road(record, y) for record, y in zip((without, express), _ROADS, strict=True)]
    if [road.has_lane for road in roads] != [False, True] or len({len(road.stops) for road in roads}) > 1:
        raise UserError("the truck drives past one queue twice: give the circuits truck with lane none, then express")
    if len(roads[0].customers) > MOST_CUSTOMERS:
        raise UserError(
            f"the truck's picture has room for {MOST_CUSTOMERS} customers, not for {len(roads[0].customers)}: ask for "
            "fewer, or for the gates of one lane, --set lane=express"
        )
    return roads


def _file(express: CircuitRecord, theme: str, rules: str, roads: list[Markup]) -> str:
    return svg_file(
        express,
        WIDTH,
        HEIGHT,
        element("style", style(theme, RULES + _RULES + rules)),
        element("rect", class_="page", width=WIDTH, height=HEIGHT),
        text(_MARGIN, 60, printable(express.title), "title"),
        *roads,
        text(_MARGIN, HEIGHT - 20, _WORDS[express.language]["breaks"], "legend"),
    )


def _truck_body() -> list[Markup]:
    body = element("path", class_="truck", d="M-46 -8v-14l10-14h18v22h64v6z")
    return [body, *(element("circle", class_="truck", cx=x, cy="-4", r="6") for x in (-32, 14, 32))]


class _Road:
    """One road: the loss on the right, the customers, x at the end. Stop 0 is the loss, the last is x."""

    def __init__(self, record: CircuitRecord, y: float) -> None:
        if record.name != "truck":
            raise UserError(f"the truck drives through the circuit truck, not through {record.name}")
        self.record, self.y, self.words = record, y, _WORDS[record.language]
        found = {node.name: node for node in record.nodes}
        self.customers = [node.name for node in reversed(record.nodes) if node.gate == "weight"]
        self.has_lane = any(node.gate == "add" for node in record.nodes)
        gates = [f"p{name[1:]}" for name in self.customers]
        self.stops = [record.output, *gates, "x"]
        self.loads = [found[name].gradient for name in self.stops]
        pitch = (_DEPOT - _END) / (len(self.stops) - 1)
        self.x = [_DEPOT - k * pitch for k in range(len(self.stops))]

    def drawn(self, clock: Clock) -> Markup:
        """All of it, moving."""
        arrivals = [element("g", *self._arrival(k), class_=f"a{k}") for k in range(1, len(self.stops))]
        return joined(self._lasting(), *arrivals, self._truck(clock))

    def standing(self, k: int) -> Markup:
        """As it is at stop k."""
        arrived = [mark for stop in range(1, k + 1) for mark in self._arrival(stop)]
        truck = element("g", *_truck_body(), self._crate(k), transform=f"translate({n(self.x[k])} {n(self.y)})")
        return joined(self._lasting(), *arrived, truck)

    def _lasting(self) -> Markup:
        """Road, loss, customers and x: what is always there."""
        title = self.words["express" if self.has_lane else "none"]
        marks = [
            text(_MARGIN, self.y - (_LANE + 34 if self.has_lane else 90), title, "head"),
            element("path", class_="road", d=f"M{n(_DEPOT + 30)} {n(self.y)}H{n(_END - 50)}"),
            text(_DEPOT, self.y + _STANDS - 18, self.words["loss"], "who middle"),
            text(_END, self.y + _STANDS - 18, "x", "who middle"),
        ]
        for k, customer in enumerate(self.customers, 1):
            marks += self._customer(self.x[k], customer)
        return joined(*marks)

    def _customer(self, x: float, name: str) -> list[Markup]:
        y = self.y + _STANDS
        body = f"M{n(x - 15)} {n(y + 16)}v-10a15 15 0 0 1 30 0v10z"
        person = [
            element("circle", class_="who", cx=n(x), cy=n(y - 20), r="9"),
            element("path", class_="who", d=body),
            text(x + 24, y + 12, printable(name), "who"),
        ]
        if not self.has_lane:
            return person
        reach = (self.x[0] - self.x[1]) * 0.42
        low, high = self.y - 14, self.y - _LANE
        lane = path([(x + reach, low), (x + reach, high), (x - reach, high), (x - reach, low)], "lane")
        return [*person, lane, head(x - reach, self.y - 7, "down", "gradient")]

    def _arrival(self, k: int) -> list[Markup]:
        """What is said at stop k once the truck is there."""
        below = self.y + _STANDS + (44 if k <= len(self.customers) else 12)
        marks = [text(self.x[k], below, f"◂ ∂{show(self.loads[k])}", "load middle")]
        if self.has_lane and k > 1 and self.x[0] - self.x[1] >= _PARTS_PITCH:
            marks.append(text(self.x[k], below + 24, self._parts(k), "part middle"))
        return marks

    def _parts(self, k: int) -> str:
        """What came to stop k over the lane, and what through the customer before."""
        customer = self.customers[k - 2]
        source = "x" if k == len(self.stops) - 1 else f"h{self.stops[k][1:]}"
        parts = {wire.target[0]: wire.gradient for wire in self.record.wires if wire.source == source}
        return self.words["parts"].format(lane=show(parts["h"]), through=show(parts["p"]), customer=printable(customer))

    def _truck(self, clock: Clock) -> Markup:
        """The truck at the last stop, driven there by the rules; the crate is as large as the load's logarithm."""
        last = len(self.stops) - 1
        cargo = [element("g", self._crate(k), class_="o", style=clock.delay(k)) for k in range(last)]
        cargo.append(element("g", self._crate(last), class_=f"a{last}"))
        moving = element("g", *_truck_body(), *cargo, class_="drive")
        return element("g", moving, transform=f"translate({n(self.x[last])} {n(self.y)})")

    def _crate(self, k: int) -> Markup:
        decade = math.log10(max(abs(self.loads[k]), 10.0**-_DECADES))
        height = max(4.0, 30 * (1 + decade / _DECADES))
        crate = element("rect", class_="crate", x="-14", y=n(-15 - height), width="58", height=n(height))
        return joined(crate, text(14, -_NUMBER, show(self.loads[k]), "load middle"))

    def driving(self, clock: Clock) -> str:
        """Keyframes: from stop to stop, each time at the beginning of a frame."""
        way = [x - self.x[-1] for x in self.x]
        frames = [f"0%{{transform:translateX({n(way[0])}px)}}"]
        for k in range(1, len(way)):
            begin = k * clock.step
            frames.append(f"{clock.percent(begin)}{{transform:translateX({n(way[k - 1])}px)}}")
            frames.append(f"{clock.percent(begin + _DRIVE_SECONDS)}{{transform:translateX({n(way[k])}px)}}")
        ends = f"to{{transform:translateX({n(way[-1])}px)}}"
        rule = f".drive{{animation:drive {clock.seconds} ease-in-out infinite}}"
        return f"{rule}\n@keyframes drive{{{''.join(frames)}{ends}}}"
