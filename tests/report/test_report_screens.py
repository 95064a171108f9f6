"""Every screen on consoles that lack signs: nothing is wider than the console, where '→' is written '->'."""

from __future__ import annotations

import dataclasses
import io

import pytest
from invented import flow, net, norm_free, plain, residual
from rich.cells import cell_len
from test_report_flow import HEALTHY, HELPED, NO_PATHS, PATHS, SICK, TRIED

from gradpath.cli import _console
from gradpath.record import Expectation, Finding, Record, Unseen, diff
from gradpath.report import as_text
from gradpath.report._grid import shorten
from gradpath.report._signs import replaced, replacing

SIGNS = "".join(sign for sign in _console._PLAIN if sign != "\u00a0")
WORDS = " ".join(f"σ²/2→χ₁≤…{sign}±" for sign in SIGNS)
"""Every sign there is, in words of a dozen columns that become longer."""
WIDENED = dataclasses.replace(
    SICK,
    model="Net…→" * 30,
    findings=(
        Finding(kind="vanishing", where=WORDS, sentence=WORDS, evidence=WORDS, remedy=WORDS, severity=3.0),
        Finding(kind="exploding", where="…→" * 90, sentence=WORDS, evidence="", remedy="", severity=1.0),
    ),
    tried=(dataclasses.replace(HELPED, sentence=WORDS, notes=(WORDS,)).in_short,),
    expected=tuple(
        Expectation(resolution="28x28", rule=WORDS, energy_gain=0.5, tolerance=0.1, measured=1.0, source="", unit=unit)
        for unit in ("layer", "block")
    ),
    layers=tuple(
        dataclasses.replace(x, scope=f"block…→≤{'·→' * (i % 20)}{i}", module="C…→") for i, x in enumerate(SICK.layers)
    ),
    unseen=Unseen(modules_not_called=(WORDS,), opaque=("…→" * 60,), notes=(WORDS,)),
)
FORKED = dataclasses.replace(
    HEALTHY, forks=tuple(dataclasses.replace(f, name=f"stages…→{f.name}…→≤≤≤≤") for f in HEALTHY.forks)
)
RECORDS: dict[str, Record] = {
    "vanishing": TRIED,
    "healthy": HEALTHY,
    "widened": WIDENED,
    "forked": FORKED,
    "exactly zero": flow(0.0),
    "not finite": flow(float("nan")),
    "what-if": HELPED,
    "what-if widened": dataclasses.replace(HELPED, sentence=WORDS, notes=(WORDS, WORDS), before=WIDENED),
    "diff": diff(SICK, HEALTHY),
    "diff the other way": diff(HEALTHY, SICK),
    "diff widened": diff(WIDENED, FORKED, 0.3, "→" * 70, WORDS),
    "diff of layers renamed": diff(SICK, WIDENED),
    "paths": PATHS,
    "no paths": NO_PATHS,
    "run": residual(),
    "run that diverged": plain(diverged=7),
    "run without norm": norm_free(),
    "run of a dense net": net("dense", 58, name="dense…→"),
}


class Console(io.StringIO):
    """A pipe to something of one encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:
        return self._encoding


@pytest.fixture(autouse=True)
def _safe(monkeypatch):
    """The error handler, without touching the streams that pytest holds."""
    monkeypatch.setattr(_console.sys, "stdout", io.StringIO())
    monkeypatch.setattr(_console.sys, "stderr", io.StringIO())
    _console.make_safe()


def printed(record: Record, encoding: str) -> list[str]:
    """The lines as they arrive on a console of this encoding."""
    text = _console.laid_out(lambda width: as_text(record, width), Console(encoding))
    return text.encode(encoding, "gradpath").decode(encoding).splitlines()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-8"])
@pytest.mark.parametrize("name", RECORDS)
def test_no_line_is_wider_than_eighty_columns(name, encoding):
    lines = printed(RECORDS[name], encoding)
    assert lines and [line for line in lines if cell_len(line) > 80] == []
    assert "?" not in "".join(lines), "each sign has something that stands for it"


def test_without_room_made_for_what_stands_for_signs_lines_would_be_wider():
    """The test above can fail: this is what it guards against."""
    late = as_text(WIDENED, 80).encode("ascii", "gradpath").decode("ascii").splitlines()
    assert max(map(cell_len, late)) > 80


def test_tables_stay_aligned():
    rows = printed(FORKED, "ascii")
    at = next(i for i, row in enumerate(rows) if row.startswith("---") and "stages" in rows[i + 1])
    ends = {row.index(" add") for row in rows[at + 1 : at + 5]}
    assert len(ends) == 1 and all("..." in row for row in rows[at + 1 : at + 5])


def test_signs_are_replaced_inside_the_block_alone():
    with replacing({ord("→"): "->"}):
        assert replaced("a → b") == "a -> b"
    assert replaced("a → b") == "a → b"
    with pytest.raises(ValueError), replacing({ord("→"): "->"}):
        raise ValueError
    assert replaced("→") == "→"


@pytest.mark.parametrize("size", [1, 2, 3, 8, 9])
def test_a_shortened_name_has_room_for_its_dots(size):
    with replacing({ord("…"): "..."}):
        assert cell_len(shorten("a.very.long.name.of.a.layer", size)) <= size
        assert shorten("a.very.long.name.of.a.layer", 9) == "a.v...yer"
    assert cell_len(shorten("a.very.long.name.of.a.layer", size)) <= size
