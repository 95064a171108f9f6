"""Which record can be shown in which format, as one table. What draws is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradpath.errors import UserError
from gradpath.record import (
    CircuitRecord,
    Comparison,
    DataReport,
    Evaluation,
    Flow,
    FlowDiff,
    NetComparison,
    NetList,
    NetTable,
    PathLengths,
    Plan,
    Predictions,
    Recipe,
    Record,
    RunRecord,
    Seeds,
    Spike,
    WhatIf,
)
from gradpath.report import _csv as csv
from gradpath.report import _text as text
from gradpath.report._data_text import data_markdown, data_text
from gradpath.report._diff_text import diff_markdown, diff_text
from gradpath.report._flow_text import flow_text
from gradpath.report._markdown import flow_markdown
from gradpath.report._nets_text import NetsRecord, nets_markdown, nets_text
from gradpath.report._paths_text import paths_markdown, paths_text
from gradpath.report._plan_text import plan_markdown, plan_text
from gradpath.report._predictions import predictions_csv, predictions_markdown, predictions_text
from gradpath.report._recipe_text import recipe_markdown, recipe_text
from gradpath.report._run_text import evaluation_text, seeds_text
from gradpath.report._say import speaking
from gradpath.report._watched import spike_text
from gradpath.report._whatif_text import whatif_text

Writer = Callable[[Any], bytes]
DEFAULT_WIDTH = 80
_TEXTS: dict[type[Record], Callable[[Any, int], str]] = {
    Comparison: text.comparison_text,
    DataReport: data_text,
    Evaluation: evaluation_text,
    Flow: flow_text,
    FlowDiff: diff_text,
    NetComparison: nets_text,
    NetList: nets_text,
    NetTable: nets_text,
    PathLengths: paths_text,
    Plan: plan_text,
    Predictions: predictions_text,
    Recipe: recipe_text,
    RunRecord: text.run_text,
    Seeds: seeds_text,
    Spike: spike_text,
    WhatIf: whatif_text,
}


def as_text(record: Record, width: int = DEFAULT_WIDTH) -> str:
    """The record as plain text of at most `width` columns, without colour. Raises UserError for kinds without text."""
    if isinstance(record, CircuitRecord):
        from gradpath.report.circuit import circuit_text

        return circuit_text(record, width)
    if type(record) in _TEXTS:
        return _TEXTS[type(record)](record, width)
    raise UserError(f"cannot show a {type(record).__name__} as text: it is a specification or a part, save it as .json")


def _text(record: Record) -> bytes:
    return as_text(record).encode()


def _json(record: Record) -> bytes:
    return record.to_json().encode()


def _html(record: Record) -> bytes:
    from gradpath.report._report_page import report_page

    return report_page([record]).encode()


def _circuit_html(record: CircuitRecord) -> bytes:
    from gradpath.report._html import circuit_page

    return circuit_page(record).encode()


def _png(record: Record) -> bytes:
    from gradpath.report._png import png

    with speaking("en"):  # the fonts of matplotlib have no Chinese
        return png(record)


def _drawn_svg(record: Record) -> bytes:
    from gradpath.report._png import svg

    with speaking("en"):
        return svg(record)


def _circuit_svg(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import picture_svg

    return picture_svg(record).encode()


def _circuit_png(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import circuit_png

    return circuit_png(record)


def _circuit_gif(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import circuit_gif

    return circuit_gif(record)


def _circuit_mp4(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import circuit_mp4

    return circuit_mp4(record)


def _circuit_md(record: CircuitRecord) -> bytes:
    from gradpath.report.circuit import circuit_markdown

    return circuit_markdown(record).encode()


def _flow_md(record: Flow) -> bytes:
    return flow_markdown(record).encode()


def _data_md(record: DataReport) -> bytes:
    return data_markdown(record).encode()


def _diff_md(record: FlowDiff) -> bytes:
    return diff_markdown(record).encode()


def _nets_md(record: NetsRecord) -> bytes:
    return nets_markdown(record).encode()


def _paths_md(record: PathLengths) -> bytes:
    return paths_markdown(record).encode()


def _plan_md(record: Plan) -> bytes:
    return plan_markdown(record).encode()


def _run_md(record: RunRecord) -> bytes:
    from gradpath.report._card import model_card

    with speaking("en"):  # for a hub
        return model_card(record).encode()


def _recipe_md(record: Recipe) -> bytes:
    return recipe_markdown(record).encode()


def _predictions_md(record: Predictions) -> bytes:
    return predictions_markdown(record).encode()


def _plan_svg(record: Plan) -> bytes:
    from gradpath.report._plan_svg import plan_svg

    with speaking("en"):
        return plan_svg(record).encode()


FORMATS: dict[type[Record], dict[str, Writer]] = {
    Comparison: {"html": _html, "png": _png, "svg": _drawn_svg, "txt": _text, "csv": csv.net_csv, "json": _json},
    DataReport: {"txt": _text, "json": _json, "md": _data_md},
    Evaluation: {"txt": _text, "csv": csv.evaluation_csv, "json": _json},
    Flow: {
        "html": _html,
        "png": _png,
        "svg": _drawn_svg,
        "txt": _text,
        "csv": csv.layer_csv,
        "json": _json,
        "md": _flow_md,
    },
    FlowDiff: {"html": _html, "txt": _text, "csv": csv.diff_csv, "json": _json, "md": _diff_md},
    NetComparison: {"txt": _text, "json": _json, "md": _nets_md},
    NetList: {"txt": _text, "json": _json, "md": _nets_md},
    NetTable: {"txt": _text, "json": _json, "md": _nets_md},
    PathLengths: {"html": _html, "txt": _text, "csv": csv.paths_csv, "json": _json, "md": _paths_md},
    Plan: {
        "html": _html,
        "png": _png,
        "svg": _plan_svg,
        "txt": _text,
        "csv": csv.plan_csv,
        "json": _json,
        "md": _plan_md,
    },
    Predictions: {"txt": _text, "csv": predictions_csv, "json": _json, "md": _predictions_md},
    Recipe: {"txt": _text, "json": _json, "md": _recipe_md},
    WhatIf: {"html": _html, "txt": _text, "json": _json},
    RunRecord: {"html": _html, "txt": _text, "csv": csv.epoch_csv, "json": _json, "md": _run_md},
    Seeds: {"txt": _text, "csv": csv.seeds_csv, "json": _json},
    Spike: {"html": _html, "json": _json},
    CircuitRecord: {
        "html": _circuit_html,
        "svg": _circuit_svg,
        "gif": _circuit_gif,
        "mp4": _circuit_mp4,
        "png": _circuit_png,
        "txt": _text,
        "json": _json,
        "md": _circuit_md,
    },
}


def writer(record: Record, ending: str, asked: str) -> Writer:
    """The function that makes the bytes of a file with that ending. Raises UserError naming the endings there are."""
    formats = FORMATS.get(type(record), {"json": _json})
    if ending not in formats:
        raise UserError(
            f"cannot write a {type(record).__name__} as {asked!r}: its formats are "
            f"{', '.join('.' + name for name in formats)}"
        )
    return formats[ending]
