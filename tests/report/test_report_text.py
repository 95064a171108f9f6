"""Text that fits the terminal, says what happened, and never a NaN."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import shlex

import pytest
from invented import comparison, dense, flow, fork, layer, norm_free, plain, residual, typical
from rich.cells import cell_len

from gradpath.errors import UserError
from gradpath.record import CircuitRecord, Comparison, NetSpec, Record, Unseen, read
from gradpath.report import as_text, comparison_text, flow_text, render, run_text
from gradpath.report._text import advice_lines

BROKEN = comparison(
    norm_free(diverged=12, name="层名-很长的网络名字-很长的网络名字-1"),
    plain(losses=(math.nan, math.nan)),
    residual(losses=(0.9,), interrupted=True),
    norm_free("he", math.nan, name="\x1b[31mred\nnext"),
    dense(diverged=3, gradient=flow(math.inf)),
    interrupted=True,
)
TRACED = flow(4.2, forks=27, effective_depth=5.31, model="mine")
HOLES = dataclasses.replace(
    flow(0.0, depth=6),
    layers=(layer("dead", -math.inf), layer("broken", math.nan), layer("unreached", None), layer("fine", -300.5)),
    forks=(fork(0, None, cancellation=None), fork(1, 9.0, cancellation=0.999), fork(2, kind="inner")),
    unseen=Unseen(modules_not_called=("aux",), opaque=("checkpoint",), notes=("two losses",)),
    effective_depth=math.nan,
)
RECORDS: list[Record] = [comparison(), BROKEN, TRACED, HOLES, comparison(plain(20)), *typical(), *BROKEN.nets]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_no_line_is_wider_than_asked(record: Record, width: int) -> None:
    wide = [line for line in as_text(record, width).splitlines() if cell_len(line) > width]
    assert not wide


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_no_nan_no_colour_no_control_characters(record: Record) -> None:
    text = as_text(record, 200)
    assert not re.search(r"\bnan\b|\binf\b", text, re.IGNORECASE)
    assert all(c.isprintable() or c == "\n" for c in text)


def test_a_diverged_net_says_when() -> None:
    for width in (80, 160):
        text = comparison_text(BROKEN, width)
        assert "diverged at step 12" in text
        (row,) = (line for line in text.splitlines() if line.startswith("层名") and ":" not in line)
        assert "diverged" in row


def test_the_table_has_every_number_where_there_is_room() -> None:
    text = comparison_text(comparison(), 130)
    (row,) = (line for line in text.splitlines() if line.startswith("residual 56") and "852.7 k" in line)
    assert row.split()[2:] == "0.49 82.0 % 81.0 % 852.7 k 4.2 1.07 5.31 batch he".split()
    (row,) = (line for line in text.splitlines() if line.startswith("plain 56, no norm  ") and "852.7 k" in line)
    assert "2.9e-22" in row and "did not learn; lr 0.005, best of 3 tried" in row


def test_eighty_columns_keep_the_essential_and_say_what_is_missing() -> None:
    text = comparison_text(comparison(), 80)
    (row,) = (line for line in text.splitlines() if line.startswith("residual 56") and "852.7 k" in line)
    assert all(value in row for value in ("852.7 k", "0.49", "81.0 %", "4.2", "1.07", "5.31"))
    assert "plain 56, BatchNorm " in text, "names are whole"
    assert "(a wider terminal also shows: " in text
    assert "plain 56, no norm: did not learn; lr 0.005, best of 3 tried" in text


def test_the_finding_comes_first_and_advice_last() -> None:
    lines = comparison_text(comparison()).splitlines()
    assert lines[0].startswith("After 2 epochs, plain 56, BatchNorm has")
    assert lines.index("What to try next") > len(lines) - 12
    assert lines[lines.index("What to try next") + 1].startswith("  gradpath compare --minutes 20")


def test_flow_text_begins_with_effective_depth_and_folds_the_forks() -> None:
    text = flow_text(TRACED)
    assert text.startswith("No finding. mine: 56 layers, but the gradient passes 5.31 of 27 branches")
    assert "… 19 more" in text and "stages.0: relu" in text and "stages.26: relu" in text
    assert "stages.13: relu" not in text
    assert "at 14x14: gradient energy ×" in text and "skip share 62.0 %" in text


def test_a_cell_over_time_is_not_called_that_many_layers_deep() -> None:
    calls = tuple(dataclasses.replace(layer("cell", -1.0), call=i) for i in range(60))
    text = flow_text(dataclasses.replace(flow(), layers=(*calls, layer("head", -1.0))))
    assert text.startswith("No finding. net: 61 layers, 60 of them calls of cell; ") and "deep" not in text
    assert "\ncell           Conv2d" in text and "\ncell (call 4)  Conv2d" in text


def test_flow_text_names_holes() -> None:
    text = flow_text(HOLES)
    assert "exactly 0" in text and "not finite" in text and "cancelled" in text
    assert "modules never called (1): aux" in text and "Notes\ntwo losses" in text and "1 inner" in text
    assert text.index("broken") < text.index("dead") < text.index("fine"), "worst first"
    assert "3.16e-301" in text or "1e-300" in text
    assert "No residual fork" in flow_text(flow())


def test_run_text() -> None:
    text = run_text(typical()[4])
    assert "81.0 % of the test images right after 2 epochs" in text and "At initialisation" in text
    assert "diverged at step 12" in run_text(norm_free(diverged=12))
    assert "no epoch finished" in run_text(plain(losses=()))


def test_render_writes_what_the_ending_says(tmp_path) -> None:
    record = comparison()
    assert render(record, tmp_path / "x.txt").read_text(encoding="utf-8") == comparison_text(record)
    assert read(render(record, tmp_path / "x.json")) == record
    rows = list(csv.DictReader(io.StringIO(render(record, tmp_path / "deep" / "x.CSV").read_text(encoding="utf-8"))))
    assert [row["net"] for row in rows] == [net.name for net in record.nets]
    assert float(rows[4]["train_loss_nats"]) == 0.49 and rows[0]["effective_depth_initial"] == ""
    layers = list(csv.DictReader(io.StringIO(render(TRACED, tmp_path / "l.csv").read_text(encoding="utf-8"))))
    assert len(layers) == len(TRACED.layers)


def test_render_names_the_formats_there_are(tmp_path) -> None:
    with pytest.raises(UserError, match=r"'x\.gif'.*\.html, \.png, \.svg, \.txt, \.csv, \.json"):
        render(comparison(), tmp_path / "x.gif")
    with pytest.raises(UserError, match=r"RunRecord as 'x\.png'.*\.txt, \.csv, \.json"):
        render(plain(), tmp_path / "x.png")
    with pytest.raises(UserError, match="shows records, got a dict"):
        render({})  # type: ignore[call-overload]
    with pytest.raises(UserError, match="path or axes"):
        render(comparison(), tmp_path / "x.png", axes=object())  # type: ignore[call-overload]
    with pytest.raises(UserError, match="NetSpec"):
        as_text(NetSpec(family="plain", depth=20))
    assert not list(tmp_path.iterdir())


def test_a_page_prints_as_text() -> None:
    assert str(render(comparison())) == comparison_text(comparison())
    assert repr(render(plain())) == run_text(plain())


def test_records_without_nets_or_epochs_do_not_fail() -> None:
    empty: Comparison = dataclasses.replace(comparison(), nets=(), interrupted=True)
    assert "interrupted" in comparison_text(empty)
    assert issubclass(CircuitRecord, Record)


def test_advice_is_what_a_shell_takes() -> None:
    """Wrapped lines of a command go on with a backslash, and every line of a comment begins with '#'."""
    for width in (40, 60, 80):
        lines = advice_lines("gradpath compare --data 'a b.npz' --minutes 20 --seed 1  # longer: " + "why " * 30, width)
        assert all(cell_len(line) <= width for line in lines)
        first = next(i for i, line in enumerate(lines) if "#" in line)
        assert all(line.lstrip().startswith("# ") for line in lines[first:])
        words = ["gradpath", "compare", "--data", "a b.npz", "--minutes", "20", "--seed", "1"]
        assert shlex.split("\n".join(lines[:first]).replace("\\\n", "")) == words
    assert advice_lines("gradpath explain residual  # short", 80) == ["  gradpath explain residual  # short"]


def test_losses_have_fixed_decimals() -> None:
    rows = comparison_text(comparison(plain(56, 1.2), residual(2.3)), 80).splitlines()
    assert any(row.startswith("plain 56") and " 1.20 " in row for row in rows)
    assert any(row.startswith("residual 56") and " 2.30 " in row for row in rows)


def test_shares_stand_beside_cancellation() -> None:
    assert "skip share 62.0 % (mean over 27 residual forks; mean cancellation 12.0 %)" in flow_text(TRACED, 100)


def test_gains_without_a_trend_say_so() -> None:
    loose = dataclasses.replace(TRACED.gain_per_layer[0], r_squared=0.25)
    wild = dataclasses.replace(loose, energy_gain=math.inf, r_squared=0.9)
    text = flow_text(dataclasses.replace(TRACED, gain_per_layer=(loose, wild)), 100)
    assert "at 28x28: no clear trend (18 layers, r² 0.25)" in text and "gain not finite (18 layers)" in text
    assert "×1" not in text.split("Layers that")[0]


def test_paths_that_cancel_have_no_average_in_the_table() -> None:
    odd = residual(gradient=flow(4.2, forks=27, effective_depth=99.0))
    text = comparison_text(comparison(odd), 120)
    assert any(line.startswith("residual 56") and "cancels" in line for line in text.splitlines())
    assert "99" not in text and "no average" in flow_text(flow(4.2, forks=27, effective_depth=99.0))


def test_one_of_anything_is_singular() -> None:
    small = dataclasses.replace(flow(1.0, depth=9, forks=1, effective_depth=0.5), model="m")
    assert flow_text(small).startswith("No finding. m: 9 layers, but the gradient passes 0.5 of 1 branch on average")
    assert "mean over 1 residual fork;" in flow_text(small, 100)
    assert "hardly changes" in flow_text(small).replace("\n", " ")
