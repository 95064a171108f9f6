"""Pictures that move: every frame against what the walk did, the moving SVG against the frames, pixels, the font."""

from __future__ import annotations

import importlib
import io
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gradpath as gp
from gradpath.circuits import circuit, names
from gradpath.errors import MissingExtraError, UserError
from gradpath.report import circuit as report
from gradpath.report._circuit_marks import COLOURS

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
FILMS = [
    *((name, {}) for name in names() if "forward" not in name),
    ("gate", {"gate": "dot"}),
    ("dense", {"layers": 4}),
    ("residual-chain", {"blocks": 12}),
    ("plain-chain", {"blocks": 50}),
    ("vanishing-forward", {"steps": 1}),
]


def strings(svg: str) -> Counter[str]:
    return Counter(mark.text or "" for mark in ElementTree.fromstring(svg.encode()).iter(f"{SVG}text"))


def labels(shown: Counter[str]) -> Counter[str]:
    """The values and gradients that stand at wires."""
    at_a_wire = re.compile(r"−?[\d.]+ [▸▴]|[◂▾] ∂\S+|= ∂\S+|∂?−?[\d.]*\d(e[-−]?\d+)?")
    return Counter({text: count for text, count in shown.items() if at_a_wire.fullmatch(text)})


# frames


ADDED = [  # by hand: what each step of the residual block adds
    ["10 ▸", "10 ▸", *["0.1 ▴"] * 4],
    ["1 ▸"],
    ["0.1 ▸"],
    ["0.01 ▸"],
    ["0.001 ▸"],
    ["10.001 ▸"],
    ["◂ ∂1", "◂ ∂1", "◂ ∂1"],  # at the output, to z4, over the skip
    ["◂ ∂0.1", "▾ ∂0.01"],
    ["◂ ∂0.01", "▾ ∂0.01"],
    ["◂ ∂0.001", "▾ ∂0.01"],
    ["◂ ∂0.0001", "▾ ∂0.01", "= ∂1.0001"],
]


def test_every_frame_of_the_residual_block():
    record, seen = circuit("residual"), Counter[str]()
    for k, added in enumerate(ADDED):
        seen += Counter(added)
        assert labels(strings(report.frame(record, k))) == seen, k


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "options"), FILMS)
def test_the_last_frame_shows_what_the_still_picture_shows(name, options, language):
    record = circuit(name, language=language, **options)
    still, last = strings(report.circuit_svg(record)), strings(report.frame(record, len(record.steps)))
    assert labels(last) == labels(still)
    assert sum(labels(strings(report.frame(record, 0))).values()) < sum(labels(last).values())


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "options"), FILMS)
def test_each_frame_says_its_step_and_only_adds_to_the_drawing(name, options, language):
    record = circuit(name, language=language, **options)
    before = Counter[str]()
    for k in range(0, len(record.steps) + 1, max(1, len(record.steps) // 12)):
        shown = report.frame_texts(record, k)
        if k:
            assert "".join(record.steps[k - 1].sentence.split()) in "".join("".join(shown).split())
        now = labels(Counter(shown))
        assert now >= before
        before = now


def test_a_step_is_counted_and_reckoned():
    record = circuit("residual")
    assert "Forward 5 of 5" in report.frame_texts(record, 5)
    shown = report.frame_texts(record, 10)
    assert "Backward 5 of 5" in shown
    assert "dL/dx = 1 (h) + 0.0001 (z1) = 1.0001" in shown
    assert "反向传播 5 / 5" in report.frame_texts(circuit("residual", language="zh"), 10)


def test_texts_stay_inside_the_frame():
    from gradpath.report._circuit_marks import text_width

    for name, options in FILMS:
        for language in ("en", "zh"):
            record = circuit(name, language=language, **options)
            root = ElementTree.fromstring(report.frame(record, len(record.steps)).encode())
            for mark in root.findall(f"{SVG}text"):  # title and words; the drawing is scaled to fit
                size = {"said": 24, "detail": 21}.get(mark.attrib.get("class", "").split(" ")[0], 20)
                assert float(mark.attrib["y"]) <= 710
                assert float(mark.attrib["x"]) + text_width(mark.text or "", 0.92 * size) <= 1280, mark.text


@pytest.mark.parametrize("k", [-1, 11])
def test_a_frame_that_there_is_not(k):
    with pytest.raises(UserError, match=rf"there is no frame {k}: residual has the frames 0 to 10"):
        report.frame(circuit("residual"), k)


def test_too_many_steps_stand_still():
    record = circuit("normalised-forward")
    with pytest.raises(UserError, match="has 154 steps, and a film at most 120"):
        report.moving_svg(record)
    assert report.picture_svg(record) == report.circuit_svg(record)


def test_themes():
    record = circuit("residual")
    for make in (report.circuit_svg, report.moving_svg, lambda r, theme: report.frame(r, 3, theme)):
        auto = make(record, "auto")
        assert "prefers-color-scheme:dark" in auto
        for theme, other in (("light", "dark"), ("dark", "light")):
            svg = make(record, theme)
            assert "var(" not in svg
            assert "prefers-color-scheme" not in svg
            assert COLOURS[theme]["page"] in svg
            assert COLOURS[other]["page"] not in svg
            assert strings(svg) == strings(auto)
    with pytest.raises(UserError, match="unknown theme 'blue'"):
        report.frame(record, 0, "blue")


# the SVG that moves: what is seen at a moment, worked out from its CSS


class Played:
    """A small reader of the file's own rules: which strings are seen at a second."""

    def __init__(self, svg: str) -> None:
        self.root = ElementTree.fromstring(svg.encode())
        style = self.root.find(f"{SVG}style").text
        self.moves = "animation" in style
        if self.moves:
            self.total = float(re.search(r"\.o\{animation:o ([\d.]+)s", style)[1])
            self.alone = self._percent(re.search(r"@keyframes o\{0%\{opacity:1\}([\d.]+)%,to\{opacity:0\}", style)[1])
            found = re.findall(r"@keyframes (a\d+)\{0%,([\d.]+)%\{opacity:0\}([\d.]+)%,to\{opacity:1\}", style)
            self.from_second = {name: self._percent(full) for name, _, full in found}

    def _percent(self, text: str) -> float:
        return float(text) / 100 * self.total

    def _is_seen(self, group: ElementTree.Element, second: float) -> bool:
        look = group.attrib.get("class")
        if look == "o":
            delay = float(re.fullmatch(r"animation-delay:([\d.]+)s", group.attrib["style"])[1])
            return second >= delay and (second - delay) % self.total < self.alone
        return second >= self.from_second[look] if look in getattr(self, "from_second", {}) else True

    def strings(self, second: float) -> Counter[str]:
        found, left = Counter[str](), [self.root]
        while left:
            element = left.pop()
            if element.tag == f"{SVG}text":
                found[element.text or ""] += 1
            left += [child for child in element if self._is_seen(child, second)]
        return found

    def still(self) -> Counter[str]:
        """Without animations: what the static rules leave, `.o{opacity:0}`."""
        found = Counter[str]()
        for element in self.root.iter():
            if element.tag == f"{SVG}g" and element.attrib.get("class") == "o":
                found -= Counter({mark.text or "": 1 for mark in element.iter(f"{SVG}text")})
                for mark in element.iter(f"{SVG}text"):
                    mark.tag = "hidden"
        return Counter(mark.text or "" for mark in self.root.iter(f"{SVG}text"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("name", "options"), FILMS)
def test_the_moving_picture_shows_frame_after_frame(name, options, language):
    record = circuit(name, language=language, **options)
    played, last = Played(report.moving_svg(record)), len(record.steps)
    for k in {*range(0, last, max(1, last // 10)), last}:
        middle = (k + 0.6) * played.alone
        assert played.strings(middle) == strings(report.frame(record, k)), k
    assert played.strings(played.total - 0.01) == strings(report.frame(record, last))
    assert played.still() == strings(report.frame(record, last))


def test_a_part_of_the_walk():
    record = circuit("plain")
    forward, backward = Played(report.moving_svg(record, last=4)), Played(report.moving_svg(record, first=4))
    assert forward.still() == strings(report.frame(record, 4))
    assert backward.strings(0.5) == strings(report.frame(record, 4))
    assert backward.strings(1.6 * backward.alone) == strings(report.frame(record, 5))
    assert backward.still() == strings(report.frame(record, 8))
    assert not Played(report.moving_svg(record, first=4, last=4)).moves
    with pytest.raises(UserError, match="there is no frame 9"):
        report.moving_svg(record, last=9)


def test_the_moving_picture_is_small_and_asks_for_nothing():
    svg = report.moving_svg(circuit("residual"))
    assert len(svg.encode()) <= 16_000
    assert "<script" not in svg
    assert re.findall("https?://[^\"' ]*", svg) == ["http://www.w3.org/2000/svg"]
    rules = svg[svg.index("<style") : svg.index("</style")]
    before, moving = rules.split("@media screen and (prefers-reduced-motion:no-preference){")
    assert "animation" not in before
    assert "@keyframes" in moving


def test_names_from_outside_stay_text():
    from report.test_circuit_report import EVIL, invented

    for svg in (report.moving_svg(invented(EVIL, EVIL)), report.frame(invented(EVIL, EVIL), 2)):
        assert not list(ElementTree.fromstring(svg.encode()).iter(f"{SVG}script"))
        assert "<script" not in svg


# the truck


def roads(language: str = "en") -> list:
    return [circuit("truck", lane=lane, language=language) for lane in ("none", "express")]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_truck_delivers_what_the_gradient_is(language):
    played = Played(report.truck_svg(*roads(language)))
    seen = played.strings(played.total - 0.01)
    for customers_passed in range(5):
        without, express = 0.1**customers_passed, 1.1**customers_passed
        assert seen[f"◂ ∂{without:.5g}"] + seen[f"◂ ∂{express:.5g}"] >= 1 + (customers_passed > 0)
    assert seen["1.4641"] == seen["0.0001"] == 1  # on the trucks
    assert sum(text.startswith("◂") for text in played.strings(0.1)) == 0
    assert played.strings(0.1)["1"] == 2
    assert any("1.331" in text and "0.1331" in text for text in seen)


def test_the_truck_needs_both_roads():
    none, express = roads()
    for wrong in ((express, none), (none, none), (circuit("plain"), express)):
        with pytest.raises(UserError, match="truck"):
            report.truck_svg(*wrong)
    with pytest.raises(UserError, match="one queue"):
        report.truck_svg(circuit("truck", lane="none", customers=3), express)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_frame_of_the_truck_is_what_plays_then(language):
    played = Played(report.truck_svg(*roads(language)))
    for k in range(6):
        still = report.truck_frame(*roads(language), k)
        assert strings(still) == played.strings(2 * k + 1.9)
        assert sum(count for text, count in strings(still).items() if text.startswith("◂")) == 2 * k  # both roads
        assert strings(still)["0.0001"] == (k == 5)
    for k in (-1, 6):
        with pytest.raises(UserError, match="frames 0 to 5"):
            report.truck_frame(*roads(), k)


# pixels


@pytest.fixture
def image():
    pytest.importorskip("resvg_py")
    return pytest.importorskip("PIL.Image")


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


@pytest.mark.parametrize(("theme", "language"), [("light", "en"), ("dark", "zh")])
def test_gif_of_the_reference_case(image, theme, language):
    content = report.circuit_gif(circuit("residual", language=language), theme)
    assert len(content) <= 300_000
    gif = image.open(io.BytesIO(content))
    assert gif.size == (1280, 720)
    assert gif.n_frames == 11
    assert gif.info["loop"] == 0
    colours = COLOURS[theme]
    shown = []
    for k in (0, 10):
        gif.seek(k)
        pixels = gif.convert("RGB")
        assert pixels.getpixel((5, 5)) == rgb(colours["page"])
        counted = Counter({colour: count for count, colour in pixels.getcolors(1 << 20)})
        shown.append(sum(counted[colour] for colour in counted if math.dist(colour, rgb(colours["gradient"])) < 12))
    assert shown[0] == 0
    assert shown[1] > 1000
    assert gif.info["duration"] > 5000


def test_png_is_one_frame(image):
    record = circuit("plain")
    whole, first = report.circuit_png(record, width=640), report.circuit_png(record, k=0, width=640)
    assert image.open(io.BytesIO(whole)).size == (640, 360)
    assert whole == report.circuit_png(record, k=8, width=640)
    assert whole != first


@pytest.mark.parametrize(
    ("options", "says"),
    [({"theme": "auto"}, "light or dark"), ({"width": 20}, "320 to 3840 pixels wide, not 20"), ({"k": 9}, "frame 9")],
)
def test_pixels_that_cannot_be(options, says):
    with pytest.raises(UserError, match=says) as caught:
        report.circuit_png(circuit("plain"), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("package", "module"), [("resvg_py", "resvg_py"), ("pillow", "PIL")])
def test_without_the_extra(package, module, monkeypatch, tmp_path):
    if package == "pillow":
        pytest.importorskip("resvg_py")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"needs {package}.*gradpath\[motion\]"):
        gp.render(circuit("gate"), tmp_path / "gate.gif")
    assert not list(tmp_path.iterdir())


def test_render_writes_by_the_ending(image, tmp_path):
    record = circuit("gate")
    assert gp.render(record, tmp_path / "g.gif").read_bytes()[:6] == b"GIF89a"
    assert gp.render(record, tmp_path / "g.png").read_bytes()[:4] == b"\x89PNG"
    assert gp.render(record, tmp_path / "g.svg").read_text(encoding="utf-8") == report.moving_svg(record)
    assert gp.render(record, tmp_path / "g.md").read_text(encoding="utf-8").startswith("# One gate")


def program(folder: Path, text: str, monkeypatch) -> None:
    """An ffmpeg of our own, the only program on the PATH beside the shell's."""
    file = folder / "ffmpeg"
    file.write_text(f"#!{sys.executable}\nimport sys, pathlib\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_mp4_pipes_every_frame_to_ffmpeg(image, monkeypatch, tmp_path):
    program(tmp_path, "pathlib.Path(sys.argv[-1]).write_bytes(sys.stdin.buffer.read())", monkeypatch)
    piped = report.circuit_mp4(circuit("gate"), width=320)
    frames = piped.count(b"\x89PNG\r\n")
    assert frames == 2 + 3  # two frames of 2 s, and the last one for 6 s
    assert image.open(io.BytesIO(piped)).size == (320, 180)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script")
def test_mp4_that_fails_says_what_ffmpeg_said(image, monkeypatch, tmp_path):
    program(tmp_path, "sys.exit('no encoder libx264')", monkeypatch)
    with pytest.raises(UserError, match=r"could not write the film: no encoder libx264") as caught:
        gp.render(circuit("gate"), tmp_path / "gate.mp4")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "gate.mp4").exists()


def test_mp4_without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="made by ffmpeg, and there is none on the PATH: install it"):
        report.circuit_mp4(circuit("gate"))


# the font


@pytest.fixture
def subset(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("subset_font")


def test_the_shipped_font_has_every_character_of_our_texts(subset):
    listed = (subset.FONTS / "characters.txt").read_text(encoding="utf-8")
    missing = set(subset.characters()) - set(listed)
    assert not missing, f"{sorted(missing)}: run python scripts/subset_font.py"
    assert sum("\u4e00" <= sign <= "\u9fff" for sign in listed) > 300


def test_what_a_chinese_film_says_is_listed(subset):
    listed = set((subset.FONTS / "characters.txt").read_text(encoding="utf-8"))
    for name in names():
        record = circuit(name, language="zh")
        said = "".join([record.title, record.caption, *record.findings, *(step.sentence for step in record.steps)])
        assert set(said) <= listed


def test_both_weights_hold_what_is_listed(subset):
    fonts = pytest.importorskip("fontTools.ttLib")
    listed = (subset.FONTS / "characters.txt").read_text(encoding="utf-8")
    for weight in subset.WEIGHTS:
        font = fonts.TTFont(subset.FONTS / f"GradpathSans-{weight}.otf")
        assert set(map(ord, listed)) == set(font.getBestCmap())
        assert font["name"].getDebugName(1) == "Gradpath Sans"
        assert (subset.FONTS / f"GradpathSans-{weight}.otf").stat().st_size < 100_000
    assert (ROOT / "LICENSES/OFL-1.1-noto-sans-cjk.txt").read_text(encoding="utf-8").count("SIL OPEN FONT LICENSE") == 1


def test_letters_are_drawn_with_the_shipped_font(image):
    """A character that no other font here need have: without ours nothing, or a box, would stand there."""
    from gradpath.report._motion._raster import _pixels

    def drawn(sign: str) -> bytes:
        style = "text{font-family:sans-serif;font-size:80px}"
        mark = f'<text x="20" y="120">{sign}</text>'
        return _pixels(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 180"><style>{style}</style>{mark}</svg>', 320
        )

    signs = "梯度▸∂×"
    assert len({drawn(sign) for sign in signs} | {drawn(" ")}) == len(signs) + 1


# a browser


CHROMIUM = shutil.which("chromium")


def screenshot(folder: Path, name: str, *flags: str) -> bytes:
    """What Chromium shows of picture.svg inside <img>, as PNG."""
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=640,360", *flags]
    command += [
        f"--user-data-dir={folder / name}",
        f"--screenshot={folder / name}.png",
        (folder / "page.html").as_uri(),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    return (folder / f"{name}.png").read_bytes()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_plays_it_inside_img_and_shows_the_last_frame_to_those_who_asked_for_less_motion(tmp_path):
    record = circuit("gate")
    page = '<body style="margin:0"><img src="picture.svg" width="640">'
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    (tmp_path / "picture.svg").write_text(report.frame(record, 2), encoding="utf-8")
    last = screenshot(tmp_path, "last")
    (tmp_path / "picture.svg").write_text(report.moving_svg(record), encoding="utf-8")
    assert screenshot(tmp_path, "calm", "--force-prefers-reduced-motion") == last
    assert screenshot(tmp_path, "begins") != last
