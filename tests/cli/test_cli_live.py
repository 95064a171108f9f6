"""The live view: what it shows of a run, and that it fits 80 columns."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gradpath.cli._live import Display, _bar
from gradpath.record import Comparison, DataInfo, Epoch
from gradpath.training import EpochDone, NetDone, NetStarted, Planned, Progress

DATA = DataInfo(
    name="mini", train_images=90, validation_images=10, test_images=20, image_size=8, channels=1, classes=("a", "b"),
    mean=(0.5,), std=(0.5,),
)  # fmt: skip


@pytest.fixture
def planned():
    names = ("plain 56, no norm", "residual 56")

    class Plan:
        """The parts of a comparison that the display reads."""

        class data:
            name, train_images, test_images = "fashion-mini", 5000, 1000

        class execution:
            precision, layout, reason = "float32", "channels_last", "a test"

        estimated_seconds = 40.0

    plan: Comparison = Plan  # type: ignore[assignment]
    return Planned(plan, names, (10.0, 30.0), 2)


class Run:
    data, notes, diverged_in = DATA, (), None

    def __init__(self, name, diverged=None, interrupted=False):
        self.name, self.diverged_at_step, self.interrupted = name, diverged, interrupted


def drawn(display, width=80):
    console = Console(file=io.StringIO(), width=width, legacy_windows=False)
    console.print(display._table())
    return console.file.getvalue()


def test_the_table_fits_80_columns_and_shows_loss_accuracy_and_gradient(planned):
    display = Display(quiet=True)
    display(planned)
    display(NetStarted(Run("plain 56, no norm"), "finding lr"))
    display(Progress("residual 56", 150, 300, 1, 1.2345, 0.567, 7.3e-24))
    display(EpochDone("residual 56", 1, Epoch(train_loss=1.1, train_accuracy=0.6, test_accuracy=0.7, seconds=3)))
    text = drawn(display)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(text.splitlines()) == 4
    for part in ("finding lr", "epoch 1", "1.100", "60.0 %", "70.0 %", "7.3e-24", "███░░░", "left"):
        assert part in text
    assert "…" not in text


def test_time_left_is_stretched_by_what_was_slower_than_expected(planned):
    display = Display(quiet=True)
    display(planned)
    assert display.seconds_left(1.0) == 40.0
    display(NetDone(Run("plain 56, no norm")))
    assert display.seconds_left(20.0) == pytest.approx(60.0)  # 10 of 40 seconds' work took 20
    display(NetDone(Run("residual 56")))
    assert display.seconds_left(80.0) == 0.0


def test_a_diverged_net_is_named(planned, capsys):
    display = Display()
    display(planned)
    display(NetDone(Run("residual 56", diverged=12)))
    assert "residual 56: diverged at step 12" in capsys.readouterr().err
    assert "diverged" in drawn(display)


def test_quiet_says_nothing(planned, capsys):
    display = Display(quiet=True)
    with display:
        display(planned)
    assert capsys.readouterr() == ("", "")


def test_bars():
    assert [_bar(x) for x in (0.0, 0.5, 1.0)] == ["░░░░░░", "███░░░", "██████"]
