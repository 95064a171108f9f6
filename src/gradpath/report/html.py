"""One record as one HTML file: no network, no script that runs, readable on a telephone, in the dark and by ear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from gradpath import units
from gradpath.errors import UserError
from gradpath.record import CircuitRecord, Comparison, Flow, Recipe, Record
from gradpath.report import columns, facts, figures, svg, text
from gradpath.report.advice import next_steps
from gradpath.report.columns import Column
from gradpath.report.headline import flow_headline, headline
from gradpath.report.markup import Markup, element, joined, record_script
from gradpath.report.style import STYLE
from gradpath.report.verdict import findings

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page cannot fetch, run or send anything; that it works under this policy is the proof."""
T = TypeVar("T")


def page(record: Record) -> str:
    """The whole file. Raises UserError for kinds that have no page."""
    if isinstance(record, Comparison):
        return _shell("gradpath compare", headline(record), _comparison(record), record)
    if isinstance(record, Flow):
        return _shell("gradpath trace", flow_headline(record), _flow(record), record)
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
    note = "This file is complete: it loads nothing. The record it shows is inside it, as JSON."
    footer = element("footer", element("p", note, class_="small-print"))
    main = element("main", element("p", brand, class_="brand"), element("h1", title), body, footer)
    language = record.language if isinstance(record, CircuitRecord) else "en"
    body = element("body", main, record_script(record))
    return f"<!doctype html>\n{element('html', element('head', head), body, lang=language)}\n"


def _comparison(record: Comparison) -> Markup:
    rows, shown = figures.rows(record), figures.lines(record)
    charts = [
        _figure(f"{figures.PROFILE_TITLE}, before training", svg.profile(shown), _profile_note(shown), svg.key(shown))
    ]
    charts += [
        _figure(
            figures.LOSS_TITLE,
            svg.losses(rows, facts.guessing_loss(record)),
            "Mean over the last epoch; dashed: the loss of guessing.",
        ),
        _figure(
            figures.ACCURACY_TITLE,
            svg.accuracies(rows, 1 / max(len(record.data.classes), 2)),
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
            table = _table("Weighted layers, before training", columns.LAYER_COLUMNS, layers)
            yield _details(f"{facts.printable(net.name)}: gradient at each layer", table)


def _measured(record: Comparison) -> Markup:
    machine, data = record.machine, record.data
    recipes = sorted({_recipe(net.recipe) for net in record.nets})
    channels = "1 channel" if data.channels == 1 else f"{data.channels} channels"
    pairs = {
        "started": record.started,
        "images": f"{data.name}: {data.train_images:,} for training, {data.test_images:,} for testing, "
        f"{data.image_size} px, {channels}, {len(data.classes)} classes",
        "recipe": "; ".join(recipes),
        "computed in": f"{record.execution.precision}, {record.execution.layout}: {record.execution.reason}",
        "machine": f"{machine.processor}, {machine.threads} threads, {machine.device}; {machine.system}, Python "
        f"{machine.python}, torch {machine.torch}",
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
        charts.append(_figure(figures.SHARE_TITLE, svg.shares(bars), figures.SHARE_NOTE))
    unseen = text.unseen_lines(flow.unseen)[2:]  # without the blank line and the title of the text version
    return joined(
        element("p", f"{flow.dtype}, {flow.mode} mode, {flow.device}", class_="setting"),
        element("div", *charts, class_="figures"),
        element("h2", "In numbers"),
        element("ul", *(element("li", line) for line in text.flow_facts(flow)), class_="findings"),
        element("h2", "Not seen"),
        element("ul", *(element("li", line) for line in unseen), class_="findings")
        if unseen
        else element("p", "Every module, layer and parameter took part."),
        element("h2", "More"),
        _details("Residual forks", _table("Stem first", columns.FORK_COLUMNS, flow.residual_forks)) if bars else "",
        _details("Layers", _table("In the order of the forward pass", columns.LAYER_COLUMNS, flow.layers)),
    )


def _circuit(record: CircuitRecord) -> Markup:
    from gradpath.report.circuit import circuit_svg

    steps = [element("li", step.sentence) for step in record.steps]
    return joined(
        element("p", record.caption, class_="setting"),
        element("figure", Markup(circuit_svg(record)), class_="wide", tabindex=0),
        element("ul", *(element("li", line) for line in record.findings), class_="findings"),
        element("h2", "Steps" if record.language == "en" else "步骤"),
        element("ol", *steps, class_="findings"),
    )


def _profile_note(shown: Sequence[figures.Line]) -> str:
    notes = [figures.PROFILE_AXIS, "stem: first weighted layer, head: last"]
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
    return "left" if column.left else None


def _details(summary: str, content: Markup) -> Markup:
    return element("details", element("summary", summary), content)


def _pairs(pairs: dict[str, str]) -> Markup:
    return element("dl", *(joined(element("dt", k), element("dd", facts.printable(v))) for k, v in pairs.items()))
