"""A list of runs as a page: what `gradpath view` shows in a browser. No script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradpath.report._markup import Markup, element
from gradpath.report._webpage import asset, page_head

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class RunRow:
    """One run of the list."""

    name: str
    """Its folder, below the one that is listed."""
    kind: str
    when: str
    headline: str
    address: str
    """Where its page is, relative to the list; '' where it has none."""


def runs_page(title: str, rows: Sequence[RunRow]) -> str:
    """The whole page."""
    head = page_head(title, POLICY, asset("report.css"))
    found = element("ul", *map(_row, rows), class_="runs") if rows else element("p", "No run was found here.")
    body = element("main", element("p", "gradpath view", class_="brand"), element("h1", title), found)
    return f"<!doctype html>\n{element('html', head, element('body', body), lang='en')}\n"


def _row(row: RunRow) -> Markup:
    name = element("a", row.name, href=row.address) if row.address else element("span", row.name)
    return element(
        "li",
        element("strong", name),
        element("span", f" {row.kind}, {row.when}", class_="pale"),
        element("p", row.headline),
    )
