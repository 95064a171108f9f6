"""Pictures: they decode, show something, and never touch matplotlib's global state."""

from __future__ import annotations

import io
import math
import sys

import pytest
from invented import comparison, flow, norm_free, plain, residual

from gradpath.errors import MissingExtraError, UserError
from gradpath.record import Record
from gradpath.report import _figures as figures
from gradpath.report import render
from gradpath.report._png import draw, png, svg

image = pytest.importorskip("matplotlib.image")
EDGES = comparison(
    norm_free(diverged=12, name="$\\frac{$ 层"),
    plain(losses=()),
    residual(gradient=flow(0.0)),
    norm_free("he", math.nan),
)
DRAWN: list[Record] = [
    comparison(),
    EDGES,
    comparison(plain(20)),
    flow(4.2, forks=27, effective_depth=5.31),
    flow(None),
    flow(0.0, depth=2),
]


@pytest.mark.parametrize("record", DRAWN, ids=["typical", "edges", "one", "flow", "untraced", "two layers"])
def test_png_decodes_and_is_not_blank(record: Record) -> None:
    pixels = image.imread(io.BytesIO(png(record)))  # H W 4
    assert pixels.shape[0] > 400 and pixels.shape[1] > 800
    assert pixels[..., :3].std() > 0.05 and (pixels[..., :3] < 0.5).any()


def test_svg_keeps_text_and_is_reproducible() -> None:
    drawing = svg(comparison())
    assert b"residual 56 has 0.49" in drawing and drawing == svg(comparison())


def test_the_title_is_the_finding_and_values_are_printed() -> None:
    texts = {text.get_text() for text in draw(comparison()).findobj(lambda x: hasattr(x, "get_text"))}
    assert any(text.startswith("After 2 epochs, plain 56, BatchNorm has a training loss of 1.87") for text in texts)
    assert {"0.49", "81.0 %", figures.PROFILE_AXIS} <= texts and any("1.8e-23 at the stem" in text for text in texts)
    said = {text.get_text() for text in draw(EDGES).findobj(lambda x: hasattr(x, "get_text"))}
    assert "diverged at step 12" in said and any("○ exactly 0; ✕ not finite" in text for text in said)


def test_given_axes_are_drawn_into() -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    assert render(EDGES, axes=axes) is axes
    assert len(axes.get_lines()) >= 3 and axes.get_ylabel() == figures.PROFILE_AXIS
    axes.figure.canvas.draw()
    with pytest.raises(UserError, match="RunRecord"):
        draw(plain(), Figure().add_subplot())


def test_no_global_state_is_left() -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 7.5, "text.parse_math": True}):
        png(comparison())
        assert matplotlib.rcParams["font.size"] == 7.5 and matplotlib.rcParams["text.parse_math"]
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.font_manager"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"drawing a PNG needs matplotlib.*gradpath\[plot\]"):
        render(comparison(), tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_the_axis_covers_every_point_with_few_ticks() -> None:
    for ratio in (2.9e-22, 1.0, 1e9):
        lines = figures.lines(comparison(norm_free(ratio=ratio), residual()))
        axis = figures.log_axis(lines)
        assert all(0 <= axis.place(value) <= 1 for line in lines for _, value in line.points)
        assert 1 <= len(axis.ticks) <= 8


def test_zeros_and_broken_values_are_kept_apart() -> None:
    zero = figures.line("z", figures.look(0), flow(0.0))
    broken = figures.line("b", figures.look(1), flow(math.nan))
    assert zero.zeros == (0.0,) and not zero.broken and broken.broken == (0.0,) and not broken.zeros
    assert figures.vanishing([zero]) is None
    assert figures.vanishing(figures.lines(comparison())).name == "plain 56, no norm"


def test_names_of_24_characters_are_whole_and_stay_in_their_gutter() -> None:
    name = "plain 1234, no norm, Heh"
    assert len(name) == 24
    made = draw(comparison(plain(20, 0.5), residual(name=name)))
    renderer = made.canvas.get_renderer()
    profile, losses, _ = made.axes
    (drawn,) = (text for text in losses.texts if text.get_text() == name)
    box = drawn.get_window_extent(renderer)
    assert box.x1 <= losses.get_window_extent(renderer).x0 and box.x0 > profile.get_window_extent(renderer).x1


def test_shares_have_their_cancellation_and_the_line_its_label() -> None:
    texts = [text.get_text() for text in draw(flow(4.2, forks=3, effective_depth=1.2)).axes[1].texts]
    assert texts.count("cancels 12.0 %") == 3 and "100 %" in texts
