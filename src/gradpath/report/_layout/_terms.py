"""The words of a layout: what the page, SVG and PNG draw from. Plain JSON; `web/` reads exactly these fields.

A layout is a tree of groups (module calls, mostly). Inside a group, items stand in rows and columns; wires join them.
Rows, columns, lanes and tracks are decided here once: they do not depend on which groups are open. What is left to a
display is arithmetic (`_place.py`, its reference): heights of open groups push what is below them further down.

Rows count from 0. A group's ports (tensors that come in) stand above row 0, its outs (tensors that go out) below the
last row; for wires they are rows −1 and `rows`. Gap g is the space above row g, gap `rows` the one below the last.
"""

from __future__ import annotations

from typing import Literal, TypedDict

GroupKind = Literal["root", "module", "path", "repeat", "part"]
"""module: a call of a module. path: adjacent calls whose names begin alike (a ModuleList, which is never called).
repeat: adjacent groups of one structure. part: some adjacent items, one period of a repeat or a slice of a long row."""


class Item(TypedDict):
    """A node or a group inside a group."""

    kind: Literal["node", "group"]
    id: int
    """Index into the record's `graph.nodes`, or into `Layout.groups`."""
    name: str
    """'conv1': what to call it inside this group; '' for an operation without a module of its own."""
    row: int
    column: int
    top: int
    """Number of wires that end at its top …"""
    side: int
    """… and, from lanes, at its right side; and of wires that begin at …"""
    bottom: int
    """… its bottom …"""
    exits: int
    """… and at its right side."""


class Target(TypedDict):
    """One end of a wire."""

    item: int
    """Index into `items`; -1: an out of this group."""
    port: int
    """Which port of the target where it is a group; which out where `item` is -1; else 0."""
    edges: list[int]
    """Indices into the record's `graph.edges`; all begin at the same tensor's node. Where both ends of the wire are
    items, this is the one place in the layout that joins the two; else it is the rest of its way."""
    lane: bool
    """By the wire's lane; else straight down to the next row."""
    at: Literal["top", "side"]
    slot: int
    """Which of the item's `top` or `side` places it ends at, from the left or from above."""
    track: int
    """Which track of the gap above the target's row its horizontal part takes; -1: it has none there."""


class Wire(TypedDict):
    """What leaves one node, inside one group."""

    node: int
    item: int
    """Where it begins: an index into `items`; -1: a port of this group."""
    port: int
    """Which out of that item where it is a group; which port where `item` is -1; else 0."""
    lane: int
    """0 is next to the boxes; -1: all targets are in the next row."""
    at: Literal["bottom", "side", ""]
    """Where the lane begins: at the right side of the last box of a row, else at the bottom; '' without a lane."""
    slot: int
    """Which of the item's `bottom` places straight lines begin at (and a lane, if at its bottom); -1: none do."""
    exit: int
    """Which of its `exits` the lane begins at; -1: none."""
    track: int
    """Which track of the gap below the source's row the lane's first part takes; -1: it begins at the side."""
    targets: list[Target]


class Sums(TypedDict):
    """What a closed group tells of what is in it. Not finite: "NaN", "-Infinity" (an exact zero), as in records."""

    nodes: int
    layers: int
    """Weighted layers: calls."""
    parameters: int
    """Elements of the own parameters of the modules whose operations are in it, each module once."""
    log10_gradient_rms: float | str | None
    """Smallest over its layers; None where there is none with a gradient."""
    smallest_layer: int
    """Index into `Flow.layers` of that layer; -1: none."""
    log10_gradient_rms_largest: float | str | None
    skip_share: float | None
    """Mean over its residual forks; None without any."""
    residual_forks: int
    """Those that part in it: two of their uses lie here."""
    opaque: int
    without_gradient: int
    """Layers that no gradient reached."""


class Group(TypedDict):
    """A box that can be opened."""

    id: int
    parent: int
    """-1 for the root, which is group 0 and always open."""
    kind: GroupKind
    name: str
    """Module path: 'stages.0'; of a repeat or part 'stages.0.1 … stages.0.8'."""
    label: str
    """The same inside its parent: '0', '1 … 8'."""
    module: str
    """Class name: 'Bottleneck'; of a repeat that of its members; '' where there is none."""
    call: int
    count: int
    """Members of a repeat; 1 for the others."""
    prototype: int
    """A repeat's first member, a group; -1 for the others."""
    prototype_ports: list[int]
    """For each port of a repeat, the prototype's port that stands for it."""
    prototype_outs: list[int]
    items: list[Item]
    ports: list[int]
    """The nodes outside of this group whose tensors are used in it."""
    outs: list[int]
    """The nodes in it whose tensors are used outside."""
    rows: int
    columns: int
    lanes: int
    tracks: list[int]
    """For each gap, 0 … rows, the number of its tracks."""
    wires: list[Wire]
    sums: Sums


class Layout(TypedDict):
    """A record's graph, ready to be drawn."""

    groups: list[Group]
    """In the order of the forward pass, each before what is in it."""
    open: list[int]
    """What is open at first. A repeat is drawn in one of three ways: in `open`, all its members; else, its prototype
    in `open`, that one's inside with the count beside its name; else closed."""


class Box(TypedDict):
    """A rectangle, in pixels."""

    kind: Literal["node", "closed", "open", "prototype"]
    id: int
    """A node for 'node', else a group."""
    name: str
    x: float
    y: float
    w: float
    h: float


class Line(TypedDict):
    """A wire's way to one target."""

    group: int
    wire: int
    target: int
    points: list[float]
    """x₀ y₀ x₁ y₁ …"""


class Placed(TypedDict):
    """A layout with some groups open, in pixels."""

    width: float
    height: float
    boxes: list[Box]
    """Frames before what is in them."""
    lines: list[Line]
