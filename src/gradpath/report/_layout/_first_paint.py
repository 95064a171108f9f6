"""Which groups are open at first: as much as can be taken in at a glance, level by level."""

from __future__ import annotations

from collections.abc import Iterable

from gradpath.report._layout._terms import Group

MOST_BOXES = 150
"""Visible at first …"""
MOST_ROWS = 60
"""… and one below the other."""
MANY_LANES = 4
"""Where so many lanes run side by side (a dense block), they are the picture: what they join stays closed."""


def opened(groups: list[Group]) -> list[int]:
    """The root, then level by level what holds several layers: the prototypes of repeats, then the others. Of either,
    all if they fit, else the first that does, as a specimen. Sorted."""
    found, boxes, rows = [0], len(groups[0]["items"]), groups[0]["rows"]
    level = [groups[0]]
    while level:
        shown = [_shown(groups, inner) for group in level for inner in _inside(groups, group)]
        next_level: list[Group] = []
        for asked in (True, False):
            part = [inner for inner, is_prototype in shown if is_prototype is asked and _is_worth(inner)]
            for some in (part, *([inner] for inner in part)):
                more, higher = sum(len(inner["items"]) for inner in some), sum(inner["rows"] for inner in some)
                if boxes + more <= MOST_BOXES and rows + higher <= MOST_ROWS:
                    boxes, rows = boxes + more, rows + higher
                    found += [inner["id"] for inner in some]
                    next_level += some
                    break
        level = next_level
    return sorted(found)


def _inside(groups: list[Group], group: Group) -> Iterable[Group]:
    if group["lanes"] < MANY_LANES:
        yield from (groups[item["id"]] for item in group["items"] if item["kind"] == "group")


def _shown(groups: list[Group], group: Group) -> tuple[Group, bool]:
    """The group whose inside stands for it, and whether that is a prototype."""
    return (groups[group["prototype"]], True) if group["prototype"] >= 0 else (group, False)


def _is_worth(group: Group) -> bool:
    """One layer with its few operations, or none: its box says all. So does that of a repeat of single operations."""
    if group["kind"] == "repeat":
        return False
    return group["kind"] == "part" or group["sums"]["layers"] > 1 or group["sums"]["residual_forks"] > 0
