"""One record, or several side by side, as one page with linked views. What it says stands in it without script too."""

from __future__ import annotations

from collections.abc import Sequence

from gradpath.errors import UserError
from gradpath.record import TOLERANCE_DECADES, Flow, Record, WatchLog, WhatIf
from gradpath.report._definitions import DEFINITIONS
from gradpath.report._entries import Entries, Shown
from gradpath.report._facts import counted, printable
from gradpath.report._markup import Markup, element, joined
from gradpath.report._redact import Redaction
from gradpath.report._say import chosen
from gradpath.report._spoken import Spoken
from gradpath.report._webpage import webpage

_WITHOUT_SCRIPT = {
    "en": "The drawings on this page need JavaScript; the records are inside this file, as JSON.",
    "zh": "本页的图需要 JavaScript；记录以 JSON 的形式存于本文件之内。",
}


def report_page(
    records: Sequence[Shown],
    names: Sequence[str] = (),
    language: str | None = None,
    *,
    redact: bool = False,
    tolerance: float = TOLERANCE_DECADES,
) -> str:
    """The page as HTML text. Raises UserError where there is no record, or one of a kind that has no page.

    Args:
        names: what to call each record; default: its model, or its kind.
        redact: replace names, leave out lines of source, paths and notes (see `Redaction`).
        tolerance: decades within which flows that stand side by side agree.
    """
    from gradpath import __version__

    if not records:
        raise UserError("a report shows records: there is none to show")
    titles = distinct([printable(name) for name in [*names, *_own_names(records)[len(names) :]]])
    if redact:
        redaction = Redaction(records)
        records, titles = [redaction.of(record) for record in records], distinct(["record"] * len(records))
    language = language or chosen()
    entries = Entries(tolerance)
    for record, name in zip(records, titles, strict=True):
        entries.add(record, name)
    entries.side_by_side(records, titles)
    said = entries.in_language(language)
    title = said[0]["headline"]
    data = {
        "data": {
            "version": __version__,
            "title": title,
            "definitions": DEFINITIONS,
            "spoken": entries.said,
            "chinese": entries.chinese,
        },
        "records": entries.records,
    }
    return webpage("report", title=title, data=data, static=_static(said, language), language=language)


def distinct(names: Sequence[str]) -> list[str]:
    """Names that tell records apart: a number after those that are there twice."""
    return [f"{name} ({names[: i + 1].count(name)})" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _own_names(records: Sequence[Shown]) -> list[str]:
    """Each record's name; flows of one name by their depth too, where that tells them apart."""
    names = [_name(record) for record in records]
    told = [
        f"{name}, {counted(sum(layer.weighted for layer in record.layers), 'layer')}"
        if isinstance(record, Flow) and names.count(name) > 1
        else name
        for name, record in zip(names, records, strict=True)
    ]
    return [deep if told.count(deep) == 1 else name for name, deep in zip(names, told, strict=True)]


def _name(record: Shown) -> str:
    if isinstance(record, WatchLog):
        return record.header.model if record.header else "watch"
    if isinstance(record, WhatIf):
        return f"{record.change}: before and after"
    return str(getattr(record, "model", "") or getattr(record, "name", "") or type(record).__name__)


def _static(said: Sequence[Spoken], language: str | None) -> Markup:
    first, *others = said
    return element(
        "main",
        element("h1", first["headline"]),
        _said(first),
        *(joined(element("h2", f"{one['name']}: {one['headline']}"), _said(one)) for one in others),
        element("p", _WITHOUT_SCRIPT["zh" if language == "zh" else "en"]),
    )


def _said(said: Spoken) -> Markup:
    notes = [note for pair in said["pairs"] for note in pair["notes"]]
    details = (
        joined(element("dt", label), element("dd", text)) for label, text in [*said["details"], *said["measured"]]
    )
    facts = (element("li", fact) for fact in [*said["facts"], *notes, *said["unseen"], *said["next"]])
    tried = [element("h3", "Simulated changes"), element("ul", *(element("li", line) for line in said["tried"]))]
    return joined(element("dl", *details), *(tried if said["tried"] else ()), element("ul", *facts))


def one_page(record: Record) -> str:
    """The page of one record."""
    return report_page([record])
