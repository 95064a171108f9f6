"""Records as plain text, without colour, never wider than the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.cells import cell_len

from gradpath import units
from gradpath.record import Comparison, RunRecord
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._advice import next_steps
from gradpath.report._columns import Column
from gradpath.report._grid import table, wrap
from gradpath.report._headline import headline
from gradpath.report._run_text import run_headline as run_headline
from gradpath.report._run_text import run_text as run_text
from gradpath.report._say import listed, say
from gradpath.report._verdict import paragraph


def comparison_text(comparison: Comparison, width: int = 80) -> str:
    """One table, what it shows, and what to try next."""
    lines = [*wrap(headline(comparison), width), ""]
    lines += [*wrap(setting(comparison), width), ""]
    if comparison.nets:
        rows, dropped = table(columns.NET_COLUMNS, comparison.nets, width)
        lines += rows
        lines += _notes(comparison.nets, dropped, width)
        lines += ["", *wrap(columns.net_caption(), width), ""]
    lines += wrap(paragraph(comparison), width)
    lines += ["", say("What to try next", "接下来可以试")]
    for step in next_steps(comparison):
        lines += advice_lines(step, width)
    return "\n".join(lines) + "\n"


def advice_lines(step: str, width: int) -> list[str]:
    """A command and its comment as lines that a shell takes as they are: ' \\' goes on, '#' begins every comment."""
    command, _, why = step.partition("  # ")
    if cell_len(f"  {step}") <= width:
        return [f"  {step}"]
    lines = ["  gradpath"]
    for word in map(shlex.quote, shlex.split(command)[1:]):
        if cell_len(lines[-1]) + 1 + cell_len(word) > width - 2:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    return lines + [f"    # {line}" for line in wrap(why, width - 6)]


def setting(comparison: Comparison) -> str:
    """On what, how long, on which machine: '6 nets, 2 epochs on 5,000 images of …'."""
    data, machine = comparison.data, comparison.machine
    epochs = max((len(net.epochs) for net in comparison.nets), default=0)
    nets, trained = facts.counted(len(comparison.nets), "net"), facts.epochs_text(epochs)
    images, name, tests = facts.counted(data.train_images, "image"), facts.printable(data.name), data.test_images
    seconds, device = units.seconds(comparison.seconds), facts.printable(machine.device)
    threads, precision = facts.counted(machine.threads, "thread"), comparison.execution.precision
    return say(
        f"{nets}, {trained} on {images} of {name} ({tests:,} more for testing), seed {comparison.seed}; {seconds} on "
        f"{device}, {threads}, {precision}",
        f"{nets}，在 {name} 的 {images}上训练 {trained}（另有 {tests:,} 张用于测试），随机种子 {comparison.seed}；用时 "
        f"{seconds}，{device}，{threads}，{precision}",
    )


def _notes(nets: Sequence[RunRecord], dropped: list[Column[RunRecord]], width: int) -> list[str]:
    """The notes under a table that had no room for them, and the names of the other columns that are missing."""
    heads = [column.title.replace("/ ", "/") for column in dropped if column.key != "note"]
    lines = []
    if any(column.key == "note" for column in dropped):
        notes = [f"{facts.label(net)}: {columns.note(net)}" for net in nets if columns.note(net)]
        lines += [line for note in notes for line in wrap(note, width, indent="  ")]
    if heads:
        named = listed(heads)
        lines += wrap(say(f"(a wider terminal also shows: {named})", f"（更宽的终端还会显示：{named}）"), width)
    return ["", *lines] if lines else []
