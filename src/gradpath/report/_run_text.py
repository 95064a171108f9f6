"""A trained net, its test images class by class, and several seeds side by side, as plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len

from gradpath import units
from gradpath.record import Evaluation, RunRecord, SeedRun, Seeds, mean_and_std
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._grid import shorten, table, wrap
from gradpath.report._headline import flow_headline
from gradpath.report._plan_words import plan_line

_MOST_ROWS = 24
"""Epochs that a table shows; of more, every so many."""
_NAMED = 3
"""Classes and mistakes that a run's text names."""


def run_text(run: RunRecord, width: int = 80) -> str:
    """One trained net: what it was, its epochs, what it gets right, its gradient before training."""
    lines = wrap(f"{facts.label(run)}: {run_headline(run)}", width)
    lines += wrap(
        f"{units.count(run.parameters)} parameters, {units.count(run.macs)} MACs an image; "
        f"{facts.recipe_prefix(run)}batch {run.recipe.batch_size}, {facts.learning_rate_text(run)}, "
        f"{run.recipe.schedule}, seed {run.seed}, {facts.counted(run.steps, 'step')} in {run.execution.precision}"
        f"{_blocks(run)}",
        width,
    )
    for note in run.notes:
        lines += wrap(f"- {facts.printable(note)}", width, indent="  ")
    if run.plan is not None:
        lines += wrap(f"trained by a plan: {plan_line(run.plan)}", width)
    if run.epochs:
        lines += ["", *epoch_table(run, width)]
    if run.test is not None:
        lines += ["", *(line for told in class_lines(run.test) for line in wrap(told, width, indent="  "))]
    if run.gradient is not None:
        lines += ["", *wrap(f"At initialisation: {flow_headline(run.gradient.initial)}", width)]
        if run.gradient.final is not None:
            lines += wrap(f"After training: {flow_headline(run.gradient.final)}", width)
    if run.weights is not None:
        lines += ["", *wrap(f"weights: {facts.printable(run.weights)}", width)]
    return "\n".join(lines) + "\n"


def _blocks(run: RunRecord) -> str:
    """What its blocks ran on, where that is not plain torch."""
    used = run.execution.backend
    return "" if used == "reference" else f" on fused blocks ({used})"


def run_headline(run: RunRecord) -> str:
    """What came of it: the test images, read once, where it came to them."""
    epoch = facts.last_epoch(run)
    if facts.diverged(run):
        return facts.divergence_place(run)
    if epoch is None:
        return "no epoch finished"
    if run.test is not None:
        return f"{right_of(run.test)}, by the weights of {_whose(run)}"
    stopped = ", interrupted" if run.interrupted else ""
    after = f"after {facts.epochs_text(len(run.epochs))}{stopped} (training loss {facts.loss_text(epoch.train_loss)})"
    if epoch.test_accuracy is not None:
        return f"{units.percent(epoch.test_accuracy)} of the test images right {after}"
    if epoch.validation_accuracy is not None:
        return f"{units.percent(epoch.validation_accuracy)} of the images held out right {after}; not tested"
    return f"{units.percent(epoch.train_accuracy)} of the training images right {after}; not tested"


def _whose(run: RunRecord) -> str:
    count = len(run.epochs)
    if run.best_epoch is None:
        return f"the last of {facts.epochs_text(count)}"
    return f"epoch {run.best_epoch} of {count}, the best on {run.data.validation_images:,} images held out of training"


def right_of(test: Evaluation) -> str:
    """'91.2 % of 500 test images right (standard error 1.3 %)'."""
    expected = (test.right + 1) / (test.images + 2)  # keeps the error above 0 where all of few are right
    error = math.sqrt(expected * (1 - expected) / test.images)
    return (
        f"{units.percent(test.accuracy)} of {facts.counted(test.images, f'{test.part} image')} right "
        f"(standard error {units.percent(error)})"
    )


def epoch_table(run: RunRecord, width: int) -> list[str]:
    """The epochs, or every so many of them, with the columns that have something to show."""
    rows = list(enumerate(run.epochs, 1))
    every = -(-len(rows) // _MOST_ROWS)
    shown = [row for row in rows if row[0] % every == 0 or row[0] in (1, run.best_epoch, len(rows))]
    kept = [c for c in columns.EPOCH_COLUMNS if any(c.cell(row) != "-" for row in shown)]
    return table(kept, shown, width)[0]


# ------------------------------------------------------------ class by class


def class_lines(test: Evaluation) -> list[str]:
    """The classes that are hardest, and what is most often confused: a line each."""
    known = [(a, name) for a, name in zip(test.class_accuracies, test.classes, strict=True) if a is not None]
    worst = sorted(known)[:_NAMED]
    of_classes = ", ".join(f"{facts.printable(name)} {units.percent(accuracy)}" for accuracy, name in worst)
    begin = "by class: " if len(known) <= _NAMED else "hardest classes: "
    lines = [begin + of_classes]
    if test.right < test.images and test.confusion:
        found = test.mistakes()[:_NAMED]
        told = (f"{facts.printable(true)} called {facts.printable(called)} ({count})" for true, called, count in found)
        lines.append(f"most often confused: {', '.join(told)}")
    return lines


CLASS_COLUMNS: tuple[Column[tuple[str, int, int]], ...] = (
    Column("class", lambda c: facts.printable(c[0]), "class", left=True),
    Column("images", lambda c: f"{c[1]:,}", "images", lambda c: c[1]),
    Column("right", lambda c: f"{c[2]:,}", "right", lambda c: c[2]),
    Column("accuracy", lambda c: units.percent(c[2] / c[1] if c[1] else None), "accuracy",
           lambda c: c[2] / c[1] if c[1] else None),
)  # fmt: skip


def class_rows(test: Evaluation) -> list[tuple[str, int, int]]:
    """(class, its images, how many of them are right)."""
    return list(zip(test.classes, test.class_images, test.class_right, strict=True))


def evaluation_text(test: Evaluation, width: int = 80) -> str:
    """What was right, each class, and what was called what."""
    lines = wrap(f"{facts.printable(test.name)} on {facts.printable(test.data)}: {right_of(test)}", width)
    lines += wrap(f"mean over the classes {units.percent(test.balanced_accuracy)}; computed in {test.precision}", width)
    lines += ["", *table(CLASS_COLUMNS, class_rows(test), width)[0]]
    return "\n".join([*lines, *_confusion_lines(test, width)]) + "\n"


def _confusion_lines(test: Evaluation, width: int) -> list[str]:
    """The matrix where it fits the width, else the most frequent mistakes."""
    if not test.confusion:
        return ["", *wrap(f"{len(test.classes)} classes: too many to show what was called what", width)]
    matrix = _matrix(test, width)
    if matrix is not None:
        return ["", *wrap("true class by row, what it was called by column", width), "", *matrix]
    mistakes = test.mistakes()[:20]
    told = [f"{facts.printable(true)} called {facts.printable(called)}: {count}" for true, called, count in mistakes]
    begin = wrap("most often confused (a wider terminal may show the whole matrix):", width)
    return ["", *begin, *(part for line in told for part in wrap(f"  {line}", width, indent="    "))]


def _matrix(test: Evaluation, width: int) -> list[str] | None:
    called = len(test.confusion[0])
    cell = max(len(str(max(map(max, test.confusion)))), len(str(called)), 3)
    room = width - (cell + 1) * called
    names = [f"{i + 1} {facts.printable(name)}" for i, name in enumerate(test.classes)]
    longest = min(max(map(cell_len, names)), room)
    if longest < min(max(map(cell_len, names)), 12):
        return None
    heads = [str(j + 1) if j < len(test.classes) else "oth" for j in range(called)]
    rows = [" " * longest + "".join(f" {head:>{cell}}" for head in heads)]
    for name, row in zip(names, test.confusion, strict=True):
        short = shorten(name, longest)
        rows.append(
            short + " " * (longest - cell_len(short)) + "".join(f" {count if count else '.':>{cell}}" for count in row)
        )
    return rows


# ------------------------------------------------------------ seeds


SEED_COLUMNS: tuple[Column[SeedRun], ...] = (
    Column("seed", lambda r: str(r.seed), "seed", lambda r: r.seed),
    Column("epochs", lambda r: str(r.epochs), "epochs", lambda r: r.epochs, keep=4),
    Column("best", lambda r: "-" if r.best_epoch is None else str(r.best_epoch), "best_epoch", lambda r: r.best_epoch,
           keep=5),
    Column("train loss", lambda r: facts.loss_text(r.train_loss, 3), "train_loss_nats", lambda r: r.train_loss),
    Column("valid. acc.", lambda r: units.percent(r.validation_accuracy), "validation_accuracy",
           lambda r: r.validation_accuracy),
    Column("test acc.", lambda r: units.percent(r.test_accuracy), "test_accuracy", lambda r: r.test_accuracy),
    Column("time", lambda r: units.seconds(r.seconds), "seconds", lambda r: r.seconds, keep=3),
    Column("", lambda r: "" if r.diverged_at_step is None else f"diverged at step {r.diverged_at_step}",
           "diverged_at_step", lambda r: r.diverged_at_step, keep=2, left=True),
)  # fmt: skip


def seeds_headline(seeds: Seeds) -> str:
    """'residual 20: test accuracy 91.2 % ± 0.8 % over 5 seeds'."""
    tested = [run.test_accuracy for run in seeds.runs]
    known = sum(value is not None for value in tested)
    told = (
        f"test accuracy {_spread(tested)} over {facts.counted(known, 'seed')}" if known else "no run came to its test"
    )
    missing = f"; {known} of {seeds.asked} done" if known < seeds.asked else ""
    return f"{facts.printable(seeds.name)}: {told}{missing}{', interrupted' if seeds.interrupted else ''}"


def _spread(values: Sequence[float | None]) -> str:
    mean, deviation = mean_and_std(list(values))
    return units.percent(mean) + ("" if deviation is None else f" ± {units.percent(deviation)}")


def seeds_text(seeds: Seeds, width: int = 80) -> str:
    """A row for each seed, then mean ± standard deviation."""
    lines = [*wrap(seeds_headline(seeds), width), ""]
    kept = [c for c in SEED_COLUMNS if c.head or any(run.diverged_at_step is not None for run in seeds.runs)]
    lines += table(kept, seeds.runs, width)[0]
    validated = _spread([run.validation_accuracy for run in seeds.runs])
    lines += ["", *wrap(
        f"mean ± standard deviation (n - 1): test {_spread([run.test_accuracy for run in seeds.runs])}, validation "
        f"{validated}. Another seed means other initial weights, another order of the images and other images held "
        "out to validate; the test images are the same.", width)]  # fmt: skip
    return "\n".join(lines) + "\n"
