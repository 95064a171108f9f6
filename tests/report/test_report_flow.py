"""The screen of a trace, path lengths, two flows side by side, tables: from invented records alone."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import sys
import types

import pytest
from invented import flow, fork, layer
from rich.cells import cell_len

from gradpath.cli import _console
from gradpath.errors import MissingExtraError, UserError
from gradpath.record import (
    Expectation,
    Finding,
    Flow,
    PathLengths,
    PathsAt,
    Statistic,
    Unseen,
    WhatIf,
    diff,
    read,
    table_rows,
)
from gradpath.report import (
    as_text,
    diff_markdown,
    diff_text,
    flow_markdown,
    flow_text,
    paths_markdown,
    render,
)
from gradpath.report._sparkline import LEVELS, sparkline

WORST = Finding(
    kind="vanishing",
    where="layer0 … layer20",
    sentence="The gradient halves every 0.7 layers.",
    evidence="stem over head 7e-24; ReLU σ²/2 expects ×0.167",
    remedy="Initialise with He's variance.",
    severity=17.0,
    cures=("init=he", "skip=every:2"),
)
OTHER = Finding(kind="dead units", where="layer3", sentence="40 % never fire.", evidence="", remedy="", severity=0.2)
SICK = dataclasses.replace(
    flow(7e-24, model="Net"),
    findings=(WORST, OTHER),
    expected=(
        Expectation(
            resolution="28x28", rule="ReLU σ²/2", energy_gain=0.167, tolerance=0.12, measured=0.146, source="He 2015"
        ),
        Expectation(
            resolution="7x7", rule="BN", energy_gain=1.2, tolerance=0.1, measured=1.3, source="x", unit="block"
        ),
    ),
)
HELPED = WhatIf(
    change="init=he",
    sentence="layer0 receives 0.4 instead of 6e-11",
    before=SICK,
    after=dataclasses.replace(SICK, findings=()),
    notes=("56",),
)
TRIED = dataclasses.replace(SICK, tried=(HELPED.in_short,))
HEALTHY = dataclasses.replace(
    flow(4.2, forks=27, effective_depth=5.31, model="mine"),
    statistics=(
        Statistic(name="stem_over_head", mean=4.21, standard_error=0.123, n=5),
        Statistic(name="log10_gradient_rms of layer0", mean=-3.0, standard_error=0.1, n=5),
    ),
)
HOSTILE = Finding(
    kind="k\x1b[31m", where="a|b", sentence="# <b>*x*</b>\nnext | [y](z)", evidence="`", remedy="@all", severity=1.0
)
BINOMIAL = [math.comb(40, k) / 2**40 for k in range(41)]
PATHS = PathLengths(
    model="Net",
    at="stem.conv",
    unit="branches",
    method="exact",
    lengths=tuple(range(41)),
    shares=tuple(BINOMIAL),
    log10_norms=tuple(math.log10(share) - 250 for share in BINOMIAL),
    mean_length=20.0,
    deviation=math.sqrt(10),
    effective_depth=20.0,
    relative_error=3e-7,
    log10_gradient_norm=-250.0,
    tolerance=1e-4,
    dropped=12,
    shortest_path=1,
    longest_path=81,
    branches=40,
    held_bytes=0,
    by_depth=tuple(
        PathsAt(scope=f"layer{i}", call=0, lengths=(0, 40 - i), shares=(0.5, 0.5), log10_norms=(-400.0, -401.0))
        for i in range(0, 40, 4)
    ),
)
NO_PATHS = dataclasses.replace(
    PATHS, lengths=(), shares=None, log10_norms=(), mean_length=None, effective_depth=None, branches=0, by_depth=(),
    relative_error=None, log10_gradient_norm=-math.inf, deviation=None, notes=("a note",),
)  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("record", [SICK, HEALTHY, PATHS, NO_PATHS, diff(SICK, HEALTHY), diff(HEALTHY, SICK), HELPED])
def test_no_line_is_wider_than_asked_and_none_says_nan(record, width):
    lines = as_text(record, width).splitlines()
    assert [line for line in lines if cell_len(line) > width] == []
    assert not re.search(r"\bnan\b|\binf\b|None", " ".join(lines))
    assert all(c.isprintable() for line in lines for c in line)


def test_the_worst_finding_comes_first_with_where_why_cure_and_what_it_would_do():
    lines = flow_text(TRIED, 100).splitlines()
    assert lines[:6] == [
        "The gradient halves every 0.7 layers.",
        "  where  layer0 … layer20",
        "  why    stem over head 7e-24; ReLU σ²/2 expects ×0.167",
        "  cure   Initialise with He's variance.",
        "  try    --try skip=every:2",
        "  tried  init=he: layer0 receives 0.4 instead of 6e-11 (56); no finding is left",
    ]
    assert lines[6] == "Also dead units at layer3: 40 % never fire."
    assert lines[8].startswith("Net: 56 layers deep")


def test_a_note_that_the_sentence_holds_already_is_not_repeated():
    nothing = dataclasses.replace(
        HELPED, sentence="nothing changes: no layer fits", notes=("no layer fits", "2 left"), after=SICK
    )
    assert (
        "  tried  init=he: nothing changes: no layer fits (2 left); still vanishing, dead units"
        in tried_text(nothing).splitlines()
    )


def tried_text(what: WhatIf) -> str:
    return flow_text(dataclasses.replace(SICK, tried=(what.in_short,)), 100)


def test_a_change_that_cures_one_finding_and_brings_another_says_so():
    other = dataclasses.replace(SICK, findings=(dataclasses.replace(WORST, kind="exploding"), OTHER))
    text = tried_text(dataclasses.replace(HELPED, after=other, notes=()))
    assert "instead of 6e-11; still dead units; now exploding" in text


def test_a_change_of_the_backward_pass_alone_is_no_cure():
    assert HELPED.in_short.findings == ()
    lesion = dataclasses.replace(HELPED, change="cut=skips", notes=())
    assert lesion.in_short.findings is None
    assert "  tried  cut=skips: layer0 receives 0.4 instead of 6e-11" in tried_text(lesion).splitlines()


def test_the_record_holds_what_was_tried_in_short(tmp_path):
    back = read(TRIED.save(tmp_path / "flow.json"))
    assert back == TRIED and back.tried[0].findings == ()
    assert len(back.tried[0].log10_gradient_rms) == sum(x.weighted for x in SICK.layers)
    assert back.tried[0].stem_over_head == 7e-24
    text = render(TRIED, tmp_path / "x.html").read_text()
    assert "Simulated changes" in text and "no finding is left" in text
    assert "Simulated changes" not in render(SICK, tmp_path / "y.html").read_text()


def test_notes_are_not_what_was_not_seen():
    noted = dataclasses.replace(HEALTHY, unseen=Unseen(notes=("no loss was given",)))
    assert flow_text(noted).splitlines()[-2:] == ["Notes", "no loss was given"]
    assert "Not seen" not in flow_text(noted)
    both = flow_text(dataclasses.replace(HEALTHY, unseen=Unseen(notes=("a",), modules_not_called=("aux",))))
    assert both.endswith("Not seen\nmodules never called (1): aux\n\nNotes\na\n")


def test_what_was_not_tried_is_proposed():
    assert "  try    --try init=he --try skip=every:2" in flow_text(SICK).splitlines()


def test_many_findings_are_counted():
    many = dataclasses.replace(SICK, findings=(WORST, *[dataclasses.replace(OTHER, where=str(i)) for i in range(7)]))
    text = flow_text(many)
    assert "… 3 more findings (dead units)" in text and "dead units at 3" in text and "dead units at 4" not in text


def test_a_healthy_model_has_no_finding_and_its_numbers():
    lines = flow_text(HEALTHY, 200).splitlines()
    assert lines[0].startswith("No finding. mine: 56 layers, but the gradient passes 5.31 of 27 branches on average")
    assert "stem over head 4.2" in lines[0]
    assert "Over 5 batches (mean ± standard error): stem over head 4.21 ± 0.12" in lines


def test_a_record_that_nobody_searched_for_findings_is_not_called_healthy():
    assert flow_text(flow(7e-24)).startswith("net: 56 layers deep with no way around them; the gradient vanishes")


def test_theory_stands_beside_the_measured_gain():
    text = " ".join(flow_text(SICK, 200).split())
    assert "r² 0.98); theory expects ×0.167 ± 12 % (ReLU σ²/2)" in text
    assert text.count("theory expects") == 2
    assert "at 7x7: gradient energy ×1.3 per residual block going backward; theory expects ×1.2 ± 10 % (BN)" in text


def test_five_least_fed_layers():
    rows = flow_text(SICK).split("Layers that the least gradient reaches")[1].splitlines()
    named = [row.split()[0] for row in rows if row.startswith("layer") and row.split()[0] != "layer"]
    assert named == ["layer0", "layer1", "layer2", "layer3", "layer4"]


def levels(values):
    """Independent of the code: the level of each value between the lowest and the highest."""
    low, high = min(values), max(values)
    return "".join(LEVELS[min(int(8 * (v - low) / (high - low)), 7)] for v in values)


def test_the_sparkline_is_the_profile_on_a_log_scale():
    shown = [layer(f"l{i}", v, "8x8" if i < 3 else "4x4") for i, v in enumerate((-9.0, -4.0, -7.5, -1.0, -2.0))]
    title, line, ruler = sparkline([*shown[:2], layer("norm", 5.0, weighted=False), *shown[2:]], 80)
    assert line == "  " + levels([-9.0, -4.0, -7.5, -1.0, -2.0])
    assert ruler == "  |  |4x4", "the first name has no room"
    assert title == "Gradient RMS, stem to head (1e-12 to 0.0001, log scale)"  # RMS: the invented norm less 3 decades


def test_a_flat_profile_looks_flat():
    line = sparkline([layer(f"l{i}", -1 - 0.01 * i) for i in range(20)], 80)[1]
    assert len(set(line.strip())) <= 2


def test_zeros_broken_and_unreached_layers_have_their_own_signs():
    title, line, _ = sparkline([layer(str(i), v) for i, v in enumerate((-math.inf, math.nan, None, -1.0, -5.0))], 120)
    assert line.strip() == "0!-█▁"
    assert "0 exactly 0, ! not finite, - no gradient" in title
    assert "no finite value" in sparkline([layer(str(i), -math.inf) for i in range(4)], 80)[0]
    assert sparkline([layer("a", 1.0), layer("b", 1.0)], 80) == []


def test_more_layers_than_columns_are_averaged():
    shown = [layer(str(i), float(-i)) for i in range(1000)]
    line = sparkline(shown, 42)[-2].strip()
    means = [sum(range(i * 25, i * 25 + 25)) / -25 for i in range(40)]
    assert line == levels(means)


def test_markdown_shows_hostile_text_as_it_is():
    text = flow_markdown(dataclasses.replace(SICK, findings=(HOSTILE, OTHER), model="a|b", tried=TRIED.tried))
    assert text.startswith(r"### \# \<b\>\*x\*\</b\>?next \| \[y\](z)")
    assert "\x1b" not in text and "<b>" not in text
    assert r"**cure** \@all" in text and "**tried** init=he" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({re.sub(r"\\\|", "", row).count("|") for row in rows}) == 1


def test_the_console_has_a_replacement_for_every_sign(monkeypatch):
    everything = "".join(
        [flow_text(TRIED, 100), flow_text(HEALTHY), as_text(PATHS), diff_text(diff(SICK, HEALTHY)), LEVELS]
    )
    signs = {c for c in everything if not c.isascii()}
    assert len(signs) > 10
    assert {c for c in signs if c not in _console._PLAIN} == set()
    assert len({_console._PLAIN[c] for c in LEVELS}) == len(LEVELS) and all(
        len(_console._PLAIN[c]) == 1 for c in LEVELS
    )


def test_csv_and_data_frame_hold_the_same_rows(tmp_path, monkeypatch):
    pandas = types.ModuleType("pandas")
    pandas.DataFrame = lambda rows: ("frame", rows)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    kind, rows = HEALTHY.to_pandas()
    assert kind == "frame" and len(rows) == len(HEALTHY.layers)
    assert rows[0]["layer"] == "layer0" and rows[0]["shape"] == "64x16x28x28" and rows[0]["zero_gradients"] is None
    assert rows[0]["log10_gradient_rms"] == HEALTHY.layers[0].log10_gradient_rms
    written = list(csv.DictReader(io.StringIO(render(HEALTHY, tmp_path / "x.csv").read_text())))
    assert list(written[0]) == list(rows[0])
    assert [float(row["log10_gradient_rms"]) for row in written] == [row["log10_gradient_rms"] for row in rows]
    edges = HEALTHY.to_pandas("forks")[1]
    assert len(edges) == 2 * 27 and edges[0]["kind"] == "skip" and edges[1]["share"] == pytest.approx(0.5)
    assert HEALTHY.to_pandas("statistics")[1][0]["n"] == 5
    assert HEALTHY.to_pandas("parameters")[1] == []
    with pytest.raises(UserError, match="no table 'nodes': it has layers, forks, parameters"):
        table_rows(HEALTHY, "nodes")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"to_pandas needs pandas"):
        HEALTHY.to_pandas()


def renamed(record: Flow, prefix: str) -> Flow:
    return dataclasses.replace(
        record, layers=tuple(dataclasses.replace(x, scope=prefix + x.scope) for x in record.layers)
    )


def test_layers_are_matched_by_name_and_where_names_differ_by_depth():
    a, b = flow(1e-4, depth=20), flow(1e-4, depth=56)
    assert {x.matched for x in diff(a, a).layers} == {"name"}
    found = diff(a, renamed(b, "other."))
    assert {x.matched for x in found.layers} == {"depth"} and len(found.layers) == 20
    places = [int(x.scope_b.removeprefix("other.layer")) / 55 for x in found.layers]
    assert places == pytest.approx([i / 19 for i in range(20)], abs=0.5 / 55 + 1e-9)
    assert found.agrees, "the same slope over the relative depth"
    swapped = diff(renamed(b, "other."), a)
    assert len(swapped.layers) == 20
    assert {x.matched for x in diff(a, b).layers} == {"depth"}, "20 of 56 names alike are a coincidence"


def test_a_renamed_layer_is_matched_by_depth_and_a_new_one_is_said():
    a = flow(1e-4, depth=9)
    one = dataclasses.replace(a.layers[4], scope="new")
    found = diff(a, dataclasses.replace(a, layers=(*a.layers[:4], one, *a.layers[5:])))
    assert [(x.scope_a, x.scope_b) for x in found.layers if x.matched == "depth"] == [(a.layers[4].scope, "new")]
    more = diff(a, dataclasses.replace(a, layers=(*a.layers, one)))
    assert more.only_b == ("new",) and more.only_a == () and "only in B (1): new" in diff_text(more)


@pytest.mark.parametrize(
    ("a", "b", "decades", "agrees"),
    [
        (-math.inf, -math.inf, 0.0, True),
        (math.nan, math.nan, 0.0, True),
        (None, None, None, True),
        (-1.0, None, None, False),
        (-1.0, -math.inf, -math.inf, False),
        (-math.inf, -1.0, math.inf, False),
        (-1.0, math.nan, math.inf, False),
        (-1.0, -1.25, -0.25, True),
        (-1.0, -1.35, -0.35, False),
        (-200.0, -200.1, -0.1, True),
    ],
)
def test_ratios_of_what_has_none(a, b, decades, agrees):
    one, other = (dataclasses.replace(flow(1.0, depth=9), layers=(layer("x", v), layer("y", 0.0))) for v in (a, b))
    found = diff(one, other)
    (first,) = (x for x in found.layers if x.scope_a == "x")
    assert first.decades == (None if decades is None else pytest.approx(decades))
    assert found.agrees is agrees
    assert ("agree" in diff_text(found).splitlines()[0]) is agrees


def test_quantities_that_only_one_has_or_that_are_tiny():
    plain, residual = flow(1.0), flow(1.0, forks=3, effective_depth=1.5)
    assert [q.name for q in diff(plain, residual).changed_quantities] == ["effective depth", "skip share"]
    zero = dataclasses.replace(residual, effective_depth=0.0)
    almost = dataclasses.replace(residual, effective_depth=-0.003)
    assert diff(zero, almost).agrees and not diff(zero, residual).agrees
    assert diff(dataclasses.replace(residual, skip_share=-0.2), residual).changed_quantities[0].decades == math.inf


def test_a_diff_survives_its_file_and_shows_hostile_names(tmp_path):
    found = diff(SICK, dataclasses.replace(HEALTHY, findings=(HOSTILE,)), name_a="a|b", name_b="<c>")
    assert read(found.save(tmp_path / "d.json")) == found
    text = diff_markdown(found)
    assert r"A: a\|b, B: \<c\>" in text and "new in B" in text and "gone in B: vanishing" in text
    assert len(list(csv.DictReader(io.StringIO(render(found, tmp_path / "d.csv").read_text())))) == len(found.layers)


def test_bars_hold_all_of_the_mass_and_the_quantiles_are_the_binomials():
    text = as_text(PATHS, 80)
    assert text.startswith("Net at stem.conv: the gradient passes 20 of 40 branches on average")
    assert "5 %: 15, 50 %: 20, 95 %: 25" in text, "of Binomial(40, ½)"
    rows = [line.split() for line in text.splitlines() if re.match(r"\d+ .*%", line)]
    assert sum(float(row[1]) for row in rows) == pytest.approx(100, abs=0.6)
    assert (
        len(rows) <= 24
        and int(rows[0][0]) > 5
        and "lengths with less than 0.05 % each left out" in " ".join(text.split())
    )
    assert "left out 12 parts" in " ".join(text.split()) and "1e-250" in text
    assert paths_markdown(PATHS).count("\n| ") > 10


def test_many_lengths_share_bars():
    wide = dataclasses.replace(
        PATHS, lengths=tuple(range(0, 4100, 100)), log10_norms=(-5.0,) * 41, shares=(1 / 41,) * 41
    )
    rows = [line for line in as_text(wide, 80).splitlines() if re.match(r"\d+ to \d+ ", line)]
    assert len(rows) >= 20 and rows[0].startswith("0 to 100 ") and "4.9 %" in rows[0]


def test_the_heat_map_puts_the_mass_at_its_length():
    rows = [line for line in as_text(PATHS, 80).splitlines() if line.endswith("|")]
    assert len(rows) == 10
    cells = rows[0].split("|")[1]
    assert cells[0] == "█" and cells[-1] == "░" and cells[1:-1].strip() == "" and len(cells) == 41


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"branches": 0, "effective_depth": None}, "no residual fork, so there is no branch to pass"),
        ({"mean_length": None}, "no mean path length: the gradient is 0"),
        ({"mean_length": -3.0}, "paths of opposite sign cancel"),
        ({"method": "veit", "shares": None}, "path-norm mass by sampling (Veit et al. 2016); not additive"),
        ({"unit": "layers", "mean_length": 44.0}, "passes 44 layers on average; 20 branches deep"),
        ({"relative_error": 0.0, "dropped": 0}, "sum to autograd's own gradient exactly"),
    ],
)
def test_what_paths_say_of_themselves(changes, words):
    assert words in " ".join(as_text(dataclasses.replace(PATHS, **changes), 200).split())


def test_forks_that_cancel_do_not_break_the_screen():
    odd = dataclasses.replace(HEALTHY, forks=(fork(0, None), fork(1, 9.0, cancellation=0.999), fork(2, kind="shared")))
    assert "cancelled" in flow_text(odd) and "1 shared fork" in flow_text(odd)
