"""A plan as one HTML file: the figure, then what the terminal says, with every layer. No script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gradpath.record import Plan
from gradpath.report import _plan_layers as layer_words
from gradpath.report import _plan_words as words
from gradpath.report._columns import Column
from gradpath.report._html import POLICY
from gradpath.report._markup import Markup, element, joined
from gradpath.report._plan_svg import plan_svg
from gradpath.report._style import STYLE
from gradpath.report._webpage import page_head

T = TypeVar("T")
MOST_LAYERS = 2000
"""Calls of layers in the page's table; those beyond are in the record."""
_COMPLETE = "This file is complete: it loads nothing and runs nothing."


def plan_page(plan: Plan) -> str:
    """The whole file."""
    head = page_head(words.headline(plan), POLICY, STYLE)
    setting = words.setting(plan)
    main = element(
        "main",
        element("p", "gradpath plan", class_="brand"),
        element("h1", words.headline(plan)),
        element("p", setting, class_="setting"),
        element("figure", Markup(plan_svg(plan, titled=False)), class_="wide", tabindex=0),
        element("ul", *(element("li", fact) for fact in words.facts(plan) if fact != setting), class_="findings"),
        *_tables(plan),
        *_alone(plan),
        element("footer", element("p", _COMPLETE, class_="small-print")),
    )
    return f"<!doctype html>\n{element('html', head, element('body', main), lang='en')}\n"


def _tables(plan: Plan) -> list[Markup]:
    bytes_columns = words.BYTES_COLUMNS if plan.segments else words.KEPT_COLUMNS
    parts = [_table("Bytes at the peak of a step", bytes_columns, words.bytes_by_kind(plan))]
    if plan.segments:
        parts.append(_table(words.RUNS_TITLE, words.RUN_COLUMNS, words.runs(plan)))
        parts.append(_table(words.CURVE_TITLE, words.CURVE_COLUMNS, words.points(plan)))
    grouped, rest = layer_words.layer_rows(plan)
    if grouped:
        parts += [_table(layer_words.LAYERS_TITLE, layer_words.LAYER_COLUMNS, grouped), element("p", rest)]
        every = layer_words.layer_rows(plan, True)[0]
        shown = f"{layer_words.ALL_LAYERS_TITLE}, {min(len(every), MOST_LAYERS):,} of {len(every):,} calls"
        table = _table(layer_words.ALL_LAYERS_TITLE, layer_words.LAYER_COLUMNS, every[:MOST_LAYERS], titled=False)
        parts.append(element("details", element("summary", shown), table))
    return parts


def _table(title: str, columns: Sequence[Column[T]], rows: Sequence[T], *, titled: bool = True) -> Markup:
    """A table that scrolls sideways where it is wider than the page."""
    looks = ["left" if column.left else None for column in columns]
    heads = (element("th", column.head, scope="col", class_=look) for column, look in zip(columns, looks, strict=True))
    lines = (
        element(
            "tr", *(element("td", column.cell(row), class_=look) for column, look in zip(columns, looks, strict=True))
        )
        for row in rows
    )
    table = element("table", element("thead", element("tr", *heads)), element("tbody", *lines))
    framed = element("div", table, class_="table", tabindex=0, role="region", aria_label=title)
    return joined(element("h2", title), framed) if titled else framed


def _alone(plan: Plan) -> list[Markup]:
    found = words.left_alone(plan)
    return [element("h2", "Left alone"), element("ul", *(element("li", why) for why in found))] if found else []
