"""From a flow's graph to its layout."""

from __future__ import annotations

from gradpath.record import Flow
from gradpath.report._layout._first_paint import opened
from gradpath.report._layout._lift import Wiring, lift
from gradpath.report._layout._repeats import fold, name_of
from gradpath.report._layout._rows import rows_and_columns
from gradpath.report._layout._sums import Summing
from gradpath.report._layout._terms import Group, Item, Layout
from gradpath.report._layout._tree import ROOT, Child, Tree, grow
from gradpath.report._layout._wires import Stringer


def layout(flow: Flow) -> Layout | None:
    """The layout of a flow's graph; None where the record holds no graph. Deterministic."""
    if flow.graph is None:
        return None
    tree = grow(flow.graph)
    fold(tree)
    numbers = {group: number for number, group in enumerate(tree.order)}
    wirings, summing = lift(tree), Summing(flow)
    groups = [_group(tree, group, numbers, wirings, summing) for group in tree.order]
    return Layout(groups=groups, open=opened(groups))


def _group(tree: Tree, group: int, numbers: dict[int, int], wirings: dict[int, Wiring], summing: Summing) -> Group:
    branch, wiring = tree.branches[group], wirings[group]
    rows, columns = rows_and_columns(len(branch.children), wiring)
    items = [
        _item(tree, child, numbers, row, column)
        for child, row, column in zip(branch.children, rows, columns, strict=True)
    ]
    height = max(rows, default=-1) + 1
    inner = {i: wirings[~child] for i, child in enumerate(branch.children) if child < 0}
    strung = Stringer(items, height, wiring, inner).string()
    prototype = branch.children[0] if branch.kind == "repeat" and branch.children else 0
    first, last = (wirings[~branch.children[i]] if prototype < 0 else Wiring() for i in (0, -1))
    return Group(
        id=numbers[group],
        parent=numbers.get(tree.parent[group], -1),
        kind=branch.kind,
        name=branch.name,
        label=_label(tree, ~group) if group != ROOT else "",
        module=branch.module,
        call=branch.call,
        count=len(items) if branch.kind == "repeat" else 1,
        prototype=numbers[~prototype] if prototype < 0 else -1,
        prototype_ports=[first.ports.get(node, 0) for node in wiring.ports] if prototype < 0 else [],
        prototype_outs=[last.outs.get(node, 0) for node in wiring.outs] if prototype < 0 else [],
        items=items,
        ports=list(wiring.ports),
        outs=list(wiring.outs),
        rows=height,
        columns=max(columns, default=-1) + 1,
        lanes=strung.lanes,
        tracks=strung.tracks,
        wires=strung.wires,
        sums=summing.of(tree.nodes_in(group)),
    )


def _item(tree: Tree, child: Child, numbers: dict[int, int], row: int, column: int) -> Item:
    return Item(
        kind="group" if child < 0 else "node",
        id=numbers[~child] if child < 0 else child,
        name=_label(tree, child),
        row=row,
        column=column,
        top=0,
        side=0,
        bottom=0,
        exits=0,
    )


def _label(tree: Tree, child: Child) -> str:
    """A child's name inside its group: without the path that they share."""
    name, group = name_of(tree, child), tree.place[child][0]
    while group != ROOT and not name.startswith(f"{tree.branches[group].name}."):  # a repeat's name is no path
        group = tree.parent[group]
    return " … ".join(part.removeprefix(f"{tree.branches[group].name}.") for part in name.split(" … "))
