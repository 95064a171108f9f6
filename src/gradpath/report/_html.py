"""One record as one HTML file: no network, no script that runs, readable on a telephone, in the dark and by ear."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from gradpath import units
from gradpath.errors import UserError
from gradpath.record import CircuitRecord, Comparison, Flow, Recipe, Record
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report import _figures as figures
from gradpath.report import _flow_text as flow_words
from gradpath.report import _svg as svg
from gradpath.report import _text as text
from gradpath.report._advice import next_steps
from gradpath.report._columns import Column
from gradpath.report._headline import flow_headline, headline
from gradpath.report._markup import Markup, element, joined, record_script
from gradpath.report._style import STYLE
from gradpath.report._verdict import findings

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page cannot fetch, run or send anything; that it works under this policy is the proof."""
_COMPLETE = {
    "en": "This file is complete: it loads nothing. The record it shows is inside it, as JSON.",
    "zh": "此文件是完整的：不加载任何外部内容。所显示的记录以 JSON 的形式保存在文件里。",
}
_DRAWN_HEAD = re.compile(
    r'(<svg [^>]*?)viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*?( role=.*?)(?:<text [^>]*>[^<]*</text>)+'
    r'(<g transform="translate\([\d.]+ ([\d.]+)\)">)',
    re.DOTALL,
)
"""The visible title and caption of a circuit's figure: on a page they stand above it, as text that wraps."""
T = TypeVar("T")


def page(record: Record) -> str:
    """The whole file. Raises UserError for kinds that have no page."""
    if isinstance(record, Comparison):
        return _shell("gradpath compare", headline(record), _comparison(record), record)
    if isinstance(record, Flow):
        return _shell("gradpath trace", flow_words.verdict(record), _flow(record), record)
    if isinstance(record, CircuitRecord):
        return _shell("gradpath explain", record.title, _circuit(record), record)
    raise UserError(f"a {type(record).__name__} has no page: comparisons, flows and circuits do")


def _shell(brand: str, title: str, body: Markup, record: Record) -> str:
    head = joined(
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    language = record.language if isinstance(record, CircuitRecord) else "en"
    footer = element("footer", element("p", _COMPLETE[language], class_="small-print"))
    main = element("main", element("p", brand, class_="brand"), element("h1", title), body, footer)
    body = element("body", main, record_script(record))
    return f"<!doctype html>\n{element('html', element('head', head), body, lang=language)}\n"


def _comparison(record: Comparison) -> Markup:
    rows, shown = figures.rows(record), figures.lines(record)
    charts = [_figure(figures.PROFILE_TITLE + figures.WHEN, svg.profile(shown), _profile_note(shown), svg.key(shown))]
    charts += [
        _figure(
            figures.LOSS_TITLE,
            svg.losses(rows, facts.guessing_loss(record.data)),
            "Mean over the last epoch, as the images were seen; dashed: the loss of guessing.",
        ),
        _figure(
            figures.ACCURACY_TITLE,
            svg.accuracies(rows, facts.guessing_accuracy(record.data)),
            "At the end of the last epoch; dashed: guessing.",
        ),
    ]
    return joined(
        element("p", text.setting(record), class_="setting"),
        element("div", *(charts if shown else charts[1:]), class_="figures"),
        element("h2", "What was seen"),
        element("ul", *(element("li", f.sentence) for f in findings(record)), class_="findings"),
        element("h2", "All numbers"),
        _table(columns.NET_CAPTION, columns.NET_COLUMNS, record.nets),
        element("h2", "What to try next"),
        element("ul", *map(_step, next_steps(record)), class_="steps"),
        element("h2", "More"),
        *_layer_details(record),
        _measured(record),
    )


def _step(line: str) -> Markup:
    command, _, why = line.partition("  # ")
    return element("li", element("code", command), f" {why}")


def _layer_details(record: Comparison) -> Iterable[Markup]:
    for net in record.nets:
        flow = facts.initial(net)
        if flow is not None:
            layers = [layer for layer in flow.layers if layer.weighted]
            table = _table("Weighted layers, at initialisation", columns.LAYER_COLUMNS, layers)
            yield _details(f"{facts.label(net)}: gradient at each layer", table)


def _measured(record: Comparison) -> Markup:
    machine, data = record.machine, record.data
    recipes = sorted({_recipe(net.recipe) for net in record.nets})
    channels = facts.counted(data.channels, "channel")
    pairs = {
        "started": record.started,
        "images": f"{data.name}: {data.train_images:,} for training, {data.test_images:,} for testing, "
        f"{data.image_size} px, {channels}, {len(data.classes)} classes",
        "recipe": "; ".join(recipes),
        "computed in": f"{record.execution.precision}, {record.execution.layout}: {record.execution.reason}",
        "machine": f"{machine.processor}, {facts.counted(machine.threads, 'thread')}, {machine.device}; "
        f"{machine.system}, Python {machine.python}, torch {machine.torch}",
        "time": f"{units.seconds(record.seconds)} (expected {units.seconds(record.estimated_seconds)})",
    }
    return _details("How this was measured", _pairs(pairs))


def _recipe(recipe: Recipe) -> str:
    """What all nets of a comparison share; the learning rate is in the table where it was chosen."""
    decay = units.number(recipe.weight_decay)
    return f"{recipe.schedule}, batch {recipe.batch_size}, weight decay {decay}, augmentation {recipe.augment}"


def _flow(flow: Flow) -> Markup:
    shown = (figures.line(flow.model, figures.look(5), flow),)
    bars = figures.fork_bars(flow)
    charts = [_figure(figures.PROFILE_TITLE, svg.profile(shown), _profile_note(shown))]
    if bars:
        charts.append(_figure(figures.SHARE_TITLE, svg.shares(bars), f"{figures.SHARE_NOTE}. Dashed: 100 %."))
    unseen = flow_words.unseen_lines(flow.unseen)[2:]  # without the blank line and the title of the text version
    return joined(
        *_found(flow),
        element("p", f"{flow.dtype}, {flow.mode} mode, {flow.device}", class_="setting"),
        element("div", *charts, class_="figures"),
        element("h2", "In numbers"),
        element("ul", *(element("li", line) for line in flow_words.flow_facts(flow)), class_="findings"),
        element("h2", "Not seen"),
        element("ul", *(element("li", line) for line in unseen), class_="findings")
        if unseen
        else element("p", "Every module, layer and parameter took part."),
        element("h2", "More"),
        _details("Residual forks", _table("Stem first", columns.FORK_COLUMNS, flow.residual_forks)) if bars else "",
        _details("Layers", _table("In the order of the forward pass", columns.LAYER_COLUMNS, flow.layers)),
    )


def _found(flow: Flow) -> Iterable[Markup]:
    """Where, why and what would cure the finding in the title; the other findings; then the net in one sentence."""
    if not flow.findings:
        return
    worst, *others = flow.findings
    yield _pairs(dict(flow_words.details(worst)))
    if others:
        yield element("h2", "Also found")
        yield element("ul", *(element("li", flow_words.finding_title(other)) for other in others), class_="findings")
    yield element("p", flow_headline(flow))


def _circuit(record: CircuitRecord) -> Markup:
    from gradpath.report._circuit_layout import WORDS
    from gradpath.report._circuit_text import numbered_steps
    from gradpath.report.circuit import circuit_svg

    words = WORDS[record.language]
    parts = [
        element("p", record.caption, class_="setting"),
        element("figure", Markup(_without_head(circuit_svg(record))), class_="wide", tabindex=0),
        element("ul", *(element("li", line) for line in record.findings), class_="findings"),
    ]
    for direction in ("forward", "backward"):
        steps = numbered_steps(record, direction, _ONE_LINE)
        parts += [element("h2", words[direction]), element("pre", "\n".join(steps), class_="steps-text")]
    return joined(*parts)


_ONE_LINE = 1000
"""Columns: the page wraps the steps, not we."""


def _without_head(figure: str) -> str:
    """The figure without its title and caption, and without the room that they took."""

    def cut(match: re.Match[str]) -> str:
        start, width, height, rest, group, top = match.groups()
        gone = max(float(top) - 16, 0.0)
        left = float(height) - gone
        frame = re.sub(r'<rect class="page"[^>]*></rect>', "", rest)
        return f'{start}viewBox="0 {gone:g} {width} {left:g}" width="{width}" height="{left:g}"{frame}{group}'

    return _DRAWN_HEAD.sub(cut, figure.partition("?>")[2] if figure.startswith("<?xml") else figure, count=1)


def _profile_note(shown: Sequence[figures.Line]) -> str:
    notes = [figures.PROFILE_AXIS, "stem: first weighted layer, head: last", figures.EXPLODES_NOTE]
    notes += [figures.ZERO_NOTE] * any(x.zeros for x in shown) + [figures.BROKEN_NOTE] * any(x.broken for x in shown)
    return "; ".join(notes)


def _figure(title: str, chart: Markup, note: str, *more: Markup) -> Markup:
    return element("figure", element("h2", title), chart, *more, element("figcaption", note))


def _table(caption: str, heads: Sequence[Column[T]], rows: Iterable[T]) -> Markup:
    """A table that scrolls sideways in its own frame, by keyboard too."""
    top = element("tr", *(element("th", _head(c), scope="col", class_=_side(c)) for c in heads))
    body = [element("tr", *_cells(heads, row)) for row in rows]
    table = element("table", element("caption", caption), element("thead", top), element("tbody", *body))
    return element("div", table, class_="table", role="region", aria_label=f"Table: {caption[:60]}", tabindex=0)


def _cells(heads: Sequence[Column[T]], row: T) -> Iterable[Markup]:
    first, *others = heads
    yield element("th", first.cell(row), scope="row", class_=_side(first))
    for column in others:
        yield element("td", column.cell(row), class_=_side(column))


def _head(column: Column[T]) -> str:
    return column.head.replace("/ ", "/").replace("- ", "")


def _side(column: Column[T]) -> str | None:
    names = ["left"] * column.left + ["minor"] * column.minor
    return " ".join(names) or None


def _details(summary: str, content: Markup) -> Markup:
    return element("details", element("summary", summary), content)


def _pairs(pairs: dict[str, str]) -> Markup:
    return element("dl", *(joined(element("dt", k), element("dd", facts.printable(v))) for k, v in pairs.items()))
