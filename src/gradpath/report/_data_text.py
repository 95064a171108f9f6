"""A data set as plain text and as Markdown: what it is, its classes with a bar each, what was skipped and why."""

from __future__ import annotations

from dataclasses import dataclass

from gradpath import units
from gradpath.record import CORRUPT_LIMIT, DataReport, ImageSizes
from gradpath.report._columns import Column
from gradpath.report._facts import counted, printable
from gradpath.report._grid import table, wrap
from gradpath.report._markdown import markdown_table, plain

_BAR = 24  # cells of the largest class
_SHOWN = 30  # classes, the largest first and the smallest last
_SKIPPED = 20
IMBALANCED = 1.5
"""Largest class over smallest from which it is said."""


@dataclass(frozen=True)
class _Row:
    name: str
    train: int
    test: int
    bar: str


_COLUMNS: tuple[Column[_Row], ...] = (
    Column("class", lambda row: row.name, "class", left=True),
    Column("train", lambda row: f"{row.train:,}", "train_images"),
    Column("test", lambda row: f"{row.test:,}", "test_images", keep=6),
    Column("training images", lambda row: row.bar, keep=5, left=True),
)


def data_text(report: DataReport, width: int = 80) -> str:
    """The whole screen."""
    lines = wrap(headline(report), width)
    lines += [line for fact in facts(report) for line in wrap(fact, width, indent="  ")]
    rows, rest = _rows(report)
    lines += ["", *table(_COLUMNS, rows, width)[0], *(wrap(rest, width) if rest else [])]
    if report.skipped:
        lines += ["", *wrap(skipped_title(report), width)]
        lines += [line for file in skipped_lines(report) for line in wrap(file, width, indent="  ")]
    return "\n".join(lines) + "\n"


def data_markdown(report: DataReport) -> str:
    """The same as Markdown."""
    rows, rest = _rows(report)
    parts = [f"### {plain(headline(report))}", "\n".join(f"- {plain(fact)}" for fact in facts(report))]
    parts += [markdown_table(_COLUMNS, rows), plain(rest)]
    if report.skipped:
        parts += [plain(skipped_title(report)), "\n".join(f"- {plain(line)}" for line in skipped_lines(report))]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(report: DataReport) -> str:
    """'photos: 1,200 images of 3 classes (image folder)'."""
    info = report.info
    images = counted(info.train_images + info.test_images, "image")
    return f"{printable(info.name)}: {images} of {len(info.classes)} classes ({report.format})"


def facts(report: DataReport) -> list[str]:
    """A sentence each: the split, the size, the pixels, the balance, what was left out."""
    info = report.info
    said = [
        f"{info.train_images:,} for training, {info.test_images:,} for testing ({printable(report.test_from)})",
        f"{info.image_size}×{info.image_size} px, {counted(info.channels, 'channel')}: "
        f"{units.memory(report.bytes)} in memory",
    ]
    if report.sizes is not None:
        said.append(_sizes(report.sizes))
    mean, std = (", ".join(f"{value:.4f}" for value in values) for values in (info.mean, info.std))
    said += [f"mean {mean}, std {std} (training images, pixels 0 to 1)", _balance(report)]
    if report.ignored:
        said.append(f"{counted(report.ignored, 'file')} of other kinds ignored")
    return said + [printable(note) for note in report.notes]


def _sizes(sizes: ImageSizes) -> str:
    if sizes.different == 1:
        return f"all files {_px(sizes.median)}"
    return (
        f"files of {counted(sizes.different, 'size')}: {_px(sizes.smallest)} to {_px(sizes.largest)}, "
        f"median {_px(sizes.median)}"
    )


def _px(size: tuple[int, ...]) -> str:
    return f"{size[0]}×{size[1]} px"


def _balance(report: DataReport) -> str:
    """Says the ratio of the largest class to the smallest, and what always naming the largest gets right."""
    names, counts = report.info.classes, report.train_counts
    largest, smallest = max(counts), min(counts)
    ratio = largest / max(smallest, 1)
    if ratio < IMBALANCED:
        return f"balanced: {smallest:,} to {largest:,} training images a class"
    big, small = (printable(names[counts.index(size)]) for size in (largest, smallest))
    return (
        f"imbalanced: {big} has {units.number(ratio, 2)} times as many training images as {small}; "
        f"always answering {big} is right for {units.percent(largest / sum(counts))} of them"
    )


def _rows(report: DataReport) -> tuple[list[_Row], str]:
    """The classes in their order; of very many the first, and how many are not shown."""
    most = max(report.train_counts)
    rows = [
        _Row(printable(name), train, test, "█" * max(round(_BAR * train / most), 1 if train else 0))
        for name, train, test in zip(report.info.classes, report.train_counts, report.test_counts, strict=True)
    ]
    rest = len(rows) - _SHOWN
    return (rows, "") if rest <= 0 else (rows[:_SHOWN], f"and {counted(rest, 'more class', 'more classes')}")


def skipped_title(report: DataReport) -> str:
    """How many could not be read, and whether training refuses that."""
    bad = len(report.skipped)
    share = bad / (bad + report.info.train_images + report.info.test_images)
    refused = f", more than the {units.percent(CORRUPT_LIMIT)} that training skips" * (share > CORRUPT_LIMIT)
    return f"{counted(bad, 'image')} could not be read ({units.percent(share)}{refused}):"


def skipped_lines(report: DataReport) -> list[str]:
    """'cat/x.jpg: why', the first of them."""
    lines = [f"{printable(file.file)}: {printable(file.reason)}" for file in report.skipped[:_SKIPPED]]
    rest = len(report.skipped) - _SKIPPED
    return lines if rest <= 0 else [*lines, f"and {rest:,} more (all in --format json)"]
