"""A plan's two panels with matplotlib: PNG, and into axes that a user has."""

from __future__ import annotations

from typing import Any

from gradpath.record import Plan
from gradpath.report import _plan_figures as figures
from gradpath.report import _plan_words as words
from gradpath.report._circuit_marks import COLOURS
from gradpath.report._plan_figures import CurvePanel, StepPanel

FORWARD, BACKWARD = COLOURS["light"]["value"], COLOURS["light"]["gradient"]
_BELOW = 1.4  # inches: the axis and the legend under it, which over the bars would hide some
INK, PALE, GRID = COLOURS["light"]["ink"], COLOURS["light"]["pale"], "#e3e6ea"
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}


def plan_figure(plan: Plan) -> Any:
    """Both panels as a figure of their own, under the headline."""
    from gradpath.report._png import WIDTH, _blank, _own_style, _title

    step, curve = figures.step_panel(plan), figures.curve_panel(plan)
    height, both = 5.3, curve is not None
    made = _blank(WIDTH if both else 7, height)
    head = _title(made, words.headline(plan), words.setting(plan), height, 100 if both else 60)
    bottom, tall = _BELOW / height, 1 - (head + _BELOW) / height
    if step is not None:
        left = made.add_axes((0.085 if both else 0.13, bottom, 0.47 if both else 0.83, tall))
        draw_step(left, step)
    if curve is not None:
        draw_curve(made.add_axes((0.63, bottom, 0.34, tall)), curve)
    for axes in made.axes:
        _own_style(axes)
        axes.legend(fontsize=8, framealpha=0.9)
    if step is not None:
        below = (-0.02, -0.6 / (tall * height))
        left.legend(fontsize=8, loc="upper left", bbox_to_anchor=below, ncols=2, frameon=False)
    return made


def draw_plan(axes: Any, plan: Plan) -> None:
    """The trade-off curve; memory over the step where nothing is planned."""
    curve, step = figures.curve_panel(plan), figures.step_panel(plan)
    if curve is not None:
        draw_curve(axes, curve)
    elif step is not None:
        draw_step(axes, step)


def draw_step(axes: Any, panel: StepPanel) -> None:
    """Bars, the passes in two colours; below them a strip where forwards are done again."""
    step = panel.step
    heights = [panel.height(size) for size in step.heights]
    for name, color, columns in (
        ("forward", FORWARD, range(step.forward)),
        ("backward", BACKWARD, range(step.forward, len(heights))),
    ):
        if columns:
            edges = [*columns, columns.stop]
            axes.stairs([heights[i] for i in columns], edges, fill=True, color=color, label=name)
    axes.axhspan(0, panel.always, color=GRID, label=panel.always_text)
    for i in (i for i in range(len(heights)) if step.again[i]):
        axes.bar(i, -0.02, width=1.0, align="edge", color=FORWARD, alpha=step.again[i], bottom=-0.012)
    if any(step.again):
        axes.bar(0, 0, color=FORWARD, alpha=0.6, label=f"{figures.AGAIN_NOTE} (strip)")
    if panel.budget is not None:
        axes.axhline(panel.budget, color=INK, linewidth=1.3, linestyle=(0, (6, 3)), label=panel.budget_text)
    _mark_peak(axes, panel)
    axes.set_xlim(0, len(step.heights))
    axes.set_ylim(-0.045 if any(step.again) else 0, 1)
    _ticked(axes, (), panel.ticks)
    axes.set_xlabel(f"{step.moves:,} moves in the order of the step")
    axes.set_title(figures.STEP_TITLE, fontsize=10.5, loc="left", pad=10)


def _mark_peak(axes: Any, panel: StepPanel) -> None:
    top = panel.height(max(panel.step.heights))
    left = panel.step.peak > len(panel.step.heights) / 2
    axes.plot(panel.step.peak + 0.5, top + 0.015, "v", color=INK, markersize=5)
    axes.annotate(
        panel.peak_text, (panel.step.peak + 0.5, top), xytext=(-6 if left else 6, 4), textcoords="offset points",
        ha="right" if left else "left", va="bottom", color=INK, fontsize=8.5, bbox=_BEHIND,
    )  # fmt: skip


def draw_curve(axes: Any, panel: CurvePanel) -> None:
    """The fastest plan for each memory, this one, keeping everything, the rule of thumb."""
    if panel.line:
        axes.plot(*zip(*panel.line, strict=True), color=FORWARD, linewidth=2, label="fastest plans")
    if panel.theory:
        axes.plot(
            *zip(*panel.theory, strict=True), color=PALE, linewidth=1.2, linestyle=(0, (1, 2)),
            label=figures.THEORY_NOTE,
        )  # fmt: skip
    if panel.budget is not None:
        axes.axvline(panel.budget, color=INK, linewidth=1.3, linestyle=(0, (6, 3)), label="budget")
    axes.plot(*panel.everything, "s", color=INK, markersize=7, label=panel.everything_text, linestyle="none")
    axes.plot(*panel.own, "o", color=BACKWARD, markersize=8, label=panel.own_text, linestyle="none")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _ticked(axes, panel.memory_ticks, panel.time_ticks)
    axes.set_xlabel(figures.MEMORY_AXIS)
    axes.set_ylabel("time of a step")
    axes.set_title(f"{figures.CURVE_TITLE} ({figures.TIME_NOTE})", fontsize=10.5, loc="left", pad=10)


def _ticked(axes: Any, across: tuple[figures.Tick, ...], up: tuple[figures.Tick, ...]) -> None:
    axes.set_xticks([place for place, _ in across], [said for _, said in across])
    axes.set_yticks([place for place, _ in up], [said for _, said in up])
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
