"""Records as pictures, with matplotlib: figures without any global state, safe beside a user's own plots."""

from __future__ import annotations

import contextlib
import importlib
import io
import textwrap
import warnings
from collections.abc import Iterator
from typing import Any

from gradpath.errors import MissingExtraError, UserError
from gradpath.record import Comparison, Flow, PathLengths, Plan, Record
from gradpath.report import _facts as facts
from gradpath.report import _figures as figures
from gradpath.report._figures import Line, Row
from gradpath.report._grid import shorten
from gradpath.report._headline import flow_headline, headline
from gradpath.report._paths_axes import draw_paths
from gradpath.report._plan_png import draw_plan, plan_figure
from gradpath.report._text import setting

INK, PALE, GRID = "#1b1f24", "#5b6470", "#e3e6ea"
DOTS_PER_INCH = 150
WIDTH, LOSS_LEFT, LOSS_WIDTH = 12, 0.605, 0.19
"""Inches of a comparison; left edge and width of its loss panel, as fractions of it."""
NAME_SIZE, SIGN_INCHES = 9, 0.45
"""Of the names beside the loss panel: points; what the line with its sign takes before each."""
LONGEST_NAME = 24
"""A longer name gives way in its middle."""
_RC = {"font.size": 9.5, "svg.fonttype": "none", "svg.hashsalt": "gradpath", "text.parse_math": False}
"""Settings of our own figures; a user's axes keep the user's. A name may hold a '$', which is not a formula."""
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK JP", "Arial Unicode MS")
"""Those of them that are installed, in this order: names can be in any script."""


def draw(record: Record, axes: Any = None) -> Any:
    """The gradient profile or the path lengths in the given axes (returned); the whole figure where there are none."""
    if axes is None:
        return figure(record)
    if isinstance(record, Comparison):
        _profile(axes, figures.lines(record), compared=False)
    elif isinstance(record, Flow):
        _profile(axes, (figures.line(record.model, figures.look(5), record),), compared=False)
    elif isinstance(record, PathLengths):
        draw_paths(axes, record)
    elif isinstance(record, Plan):
        draw_plan(axes, record)
    else:
        raise UserError(
            f"cannot draw a {type(record).__name__} into axes: a comparison, a flow, path lengths or a plan can be"
        )
    for name in axes.legend(fontsize="small").get_texts():
        name.set_parse_math(False)
    return axes


def png(record: Record) -> bytes:
    """The figure as PNG."""
    return _saved(record, "png")


def svg(record: Record) -> bytes:
    """The figure as SVG, its text as text."""
    return _saved(record, "svg")


def _saved(record: Record, form: str) -> bytes:
    file = io.BytesIO()
    metadata = {"Software": "gradpath"} if form == "png" else {"Creator": "gradpath", "Date": None}
    with _settings():
        figure(record).savefig(file, format=form, dpi=DOTS_PER_INCH, metadata=metadata)
    return file.getvalue()


def figure(record: Record) -> Any:
    """A matplotlib Figure of a comparison or a flow, drawn by Agg whatever the user's backend."""
    with _settings():
        if isinstance(record, Comparison):
            return _comparison_figure(record)
        if isinstance(record, Flow):
            return _flow_figure(record)
        if isinstance(record, Plan):
            return plan_figure(record)
    raise UserError(f"cannot draw a {type(record).__name__}: a comparison, a flow or a plan can be drawn")


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Our settings for a while. A character that no installed font has is drawn as a box, without a warning."""
    matplotlib, manager = _matplotlib("matplotlib"), _matplotlib("matplotlib.font_manager")
    installed = set(manager.get_font_names())
    fonts = [name for name in _FONTS if name in installed]
    with matplotlib.rc_context(_RC | {"font.family": fonts or ["sans-serif"]}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _matplotlib(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError("matplotlib", "plot", "drawing a PNG") from error


def _blank(width: float, height: float) -> Any:
    made = _matplotlib("matplotlib.figure").Figure(figsize=(width, height), facecolor="white")
    _matplotlib("matplotlib.backends.backend_agg").FigureCanvasAgg(made)
    return made


def _comparison_figure(record: Comparison) -> Any:
    rows = figures.rows(record)
    height = max(4.6, 1.9 + 0.42 * len(rows))
    made = _blank(WIDTH, height)
    head = _title(made, headline(record), setting(record), height)
    top, bottom = 1 - head / height, 0.62 / height
    gutter = _gutter(made, rows) / WIDTH
    profile = made.add_axes((0.065, bottom, LOSS_LEFT - gutter - 0.085, top - bottom))
    _profile(profile, figures.lines(record), compared=True)
    _own_style(profile)
    loss = made.add_axes((LOSS_LEFT, bottom, LOSS_WIDTH, top - bottom))
    _losses(loss, rows, facts.guessing_loss(record.data), gutter / LOSS_WIDTH)
    accuracy = made.add_axes((0.825, bottom, 0.125, top - bottom))
    _accuracies(accuracy, rows, facts.guessing_accuracy(record.data))
    return made


def _gutter(made: Any, rows: tuple[Row, ...]) -> float:
    """Inches that the signs and the longest name need."""
    renderer = made.canvas.get_renderer()
    texts = [made.text(0, 0, shorten(row.name, LONGEST_NAME), fontsize=NAME_SIZE) for row in rows]
    widest = max((text.get_window_extent(renderer).width / made.dpi for text in texts), default=0.0)
    for text in texts:
        text.remove()
    return float(widest) + SIGN_INCHES + 0.1


def _flow_figure(record: Flow) -> Any:
    bars = figures.fork_bars(record)
    height = max(4.6, 1.9 + 0.16 * len(bars))
    made = _blank(10 if bars else 6.5, height)
    under = f"{record.dtype}, {record.mode} mode, loss {facts.ratio_text(record.loss)}"
    found = record.findings[0].sentence.partition(";")[0] if record.findings else ""  # what follows is the cause
    if found:
        under = f"{facts.printable(record.model)}; {under}"
    head = _title(made, facts.printable(found) or flow_headline(record), under, height, characters=88 if bars else 56)
    top, bottom = 1 - head / height, 0.62 / height
    profile = made.add_axes((0.1, bottom, 0.38 if bars else 0.86, top - bottom))
    _profile(profile, (figures.line(record.model, figures.look(5), record),), compared=False)
    _own_style(profile)
    if bars:
        _shares(made.add_axes((0.645, bottom, 0.265, top - bottom)), bars)
    return made


def _title(made: Any, title: str, under: str, height: float, characters: int = 100) -> float:
    """The finding and where it comes from; returns the inches that they and the panels' titles take."""
    lines = textwrap.wrap(title, characters)[:3]
    below = 0.22 * (len(lines) - 1)
    made.text(0.02, 1 - 0.18 / height, "\n".join(lines), fontsize=13.5, weight="bold", color=INK, va="top")
    made.text(0.02, 1 - (0.5 + below) / height, under, fontsize=8.5, color=PALE, va="top")
    made.text(0.98, 0.08 / height, "gradpath", fontsize=8, color=PALE, ha="right", va="bottom")
    return 1.25 + below


def _own_style(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(PALE)
    axes.tick_params(colors=PALE, labelsize=8.5)


def _profile(axes: Any, shown: tuple[Line, ...], *, compared: bool) -> None:
    """log10 norms over depth. Exact zeros are circles at the bottom, what is not finite is a cross at the top."""
    scale = figures.log_axis(shown)
    for line in shown:
        color, style = line.look.light, (0, line.look.dashes) if line.look.dashes else "-"
        places, values = zip(*line.points, strict=True) if line.points else ((), ())
        every = max(len(values) // 7, 1)
        axes.plot(
            places, values, color=color, linestyle=style, linewidth=1.8, label=line.name,
            marker=line.look.marker, markersize=4.5, markevery=every,
        )  # fmt: skip
        axes.plot(line.zeros, [scale.low] * len(line.zeros), "o", mfc="none", color=color, clip_on=False)
        axes.plot(line.broken, [scale.high] * len(line.broken), "x", color=color, clip_on=False)
    axes.set_ylim(scale.low, scale.high)
    axes.set_yticks(scale.ticks, [f"1e{tick}" if tick else "1" for tick in scale.ticks])
    axes.set_xticks([0, 0.5, 1], ["stem", "middle", "head"])
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel(figures.PROFILE_AXIS)
    notes = [figures.ZERO_NOTE] * any(x.zeros for x in shown) + [figures.BROKEN_NOTE] * any(x.broken for x in shown)
    axes.set_xlabel("; ".join([figures.PLACE_AXIS, *notes]))
    when = figures.WHEN if compared else ""
    axes.set_title(figures.PROFILE_TITLE + when, fontsize=10.5, loc="left", pad=10)
    if compared:
        _name_lowest(axes, shown)


def _name_lowest(axes: Any, shown: tuple[Line, ...]) -> None:
    """Write the stem's gradient beside the line that vanishes: the number that people remember."""
    lowest = figures.vanishing(shown)
    if lowest is not None:
        axes.annotate(
            f"{lowest.name}\n{lowest.arrives} at the stem", lowest.points[0], xytext=(12, 4),
            textcoords="offset points", color=lowest.look.light, fontsize=8.5, va="top",
        )  # fmt: skip


def _bars(axes: Any, rows: tuple[Row, ...], title: str, guess: float, limit: float) -> None:
    """The frame of a panel with one row a net: a dashed line at the result of guessing."""
    _own_style(axes)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, limit)
    axes.spines["left"].set_visible(False)
    axes.axvline(guess, color=PALE, linewidth=1, linestyle=(0, (2, 2)), zorder=0)
    axes.text(guess, -0.62, "guessing", fontsize=8, color=PALE, ha="center", va="bottom")
    axes.set_title(title, fontsize=10.5, loc="left", pad=16)
    axes.set_yticks([])


def _legend(axes: Any, rows: tuple[Row, ...], gutter: float) -> None:
    """Name every row, with the line and sign that it has in the profile, in the gutter left of the axes."""
    across = axes.get_yaxis_transform()
    inch = 1 / (LOSS_WIDTH * WIDTH)
    spots = [-gutter + part * 0.34 * inch for part in (0, 0.5, 1)]
    for y, row in enumerate(rows):
        style = (0, row.look.dashes) if row.look.dashes else "-"
        axes.plot(
            spots, [y] * 3, transform=across, clip_on=False, color=row.look.light, linestyle=style,
            linewidth=1.8, marker=row.look.marker, markersize=5.5, markevery=[1],
        )  # fmt: skip
        x = -gutter + SIGN_INCHES * inch
        axes.text(x, y, shorten(row.name, LONGEST_NAME), transform=across, va="center", fontsize=NAME_SIZE, color=INK)


def _losses(axes: Any, rows: tuple[Row, ...], guess: float, gutter: float) -> None:
    highest = max([guess, *(row.losses[-1] for row in rows if row.losses)])
    _bars(axes, rows, figures.LOSS_TITLE, guess, 1.25 * highest or 1.0)
    _legend(axes, rows, gutter)
    for y, row in enumerate(rows):
        if row.losses:
            axes.plot([0, row.losses[-1]], [y, y], color=row.look.light, linewidth=2)
            axes.plot(row.losses[-1], y, row.look.marker, color=row.look.light, markersize=7.5)
        _say(axes, row.losses[-1] if row.losses else 0, y, row.loss_text, failed=not row.losses)


def _accuracies(axes: Any, rows: tuple[Row, ...], guess: float) -> None:
    _bars(axes, rows, figures.ACCURACY_TITLE, guess, 1.0)
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    for y, row in enumerate(rows):
        if row.accuracy is not None:
            axes.plot([0, row.accuracy], [y, y], color=row.look.light, linewidth=2)
            axes.plot(row.accuracy, y, row.look.marker, color=row.look.light, markersize=7.5)
        _say(axes, row.accuracy or 0, y, row.accuracy_text, failed=row.accuracy is None)


def _say(axes: Any, x: float, y: float, text: str, *, failed: bool) -> None:
    axes.annotate(
        text, (x, y), xytext=(2 if failed else 8, 0), textcoords="offset points", va="center",
        fontsize=9, color=PALE if failed else INK, style="italic" if failed else "normal", annotation_clip=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )  # fmt: skip


def _tail(name: str, size: int = 26) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= size else f"…{name[1 - size :]}"


def _shares(axes: Any, bars: tuple[figures.ForkBar, ...]) -> None:
    _own_style(axes)
    for y, bar in enumerate(bars):
        if bar.share is None:
            axes.text(0.02, y, bar.text, va="center", fontsize=7, style="italic", color=PALE)
        else:
            axes.barh(y, bar.share, height=0.7, color=figures.look(4).light)
        axes.annotate(
            f"cancels {bar.cancellation}", (1, y), xycoords=axes.get_yaxis_transform(), xytext=(4, 0),
            textcoords="offset points", fontsize=6.5, color=PALE, va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.axvline(1, color=PALE, linewidth=1, linestyle=(0, (2, 2)))
    axes.text(1, -0.65, "100 %", fontsize=7.5, color=PALE, ha="center", va="bottom")
    axes.axvline(0, color=PALE, linewidth=1)
    few = range(0, len(bars), max(len(bars) // 24 + 1, 1))
    axes.set_yticks(few, [_tail(bars[i].name) for i in few], fontsize=7)
    axes.set_xlabel(figures.SHARE_AXIS)
    axes.set_title(figures.SHARE_TITLE, fontsize=10.5, loc="left", pad=14)
