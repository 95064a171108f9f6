"""Make the font that pictures in pixels are written with: Noto Sans CJK SC, cut down to the characters we use.

    apt-get install fonts-noto-cjk; pip install fonttools
    python scripts/subset_font.py [/usr/share/fonts/opentype/noto]

Writes two weights and characters.txt, the list of what they hold, into src/gradpath/report/assets/fonts. The list is
read off the texts themselves, so a new text with a new character asks for a new run (tests/report/test_motion.py says
so). The small triangles ▸ ◂ ▴ ▾, which Noto lacks, are its large ones, made smaller. The font is renamed, as a changed
font should be; its licence is LICENSES/OFL-1.1-noto-sans-cjk.txt.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FONTS = ROOT / "src/gradpath/report/assets/fonts"
NOTO = Path("/usr/share/fonts/opentype/noto")
FAMILY = "Gradpath Sans"
WEIGHTS = ("Regular", "Bold")
TEXTS = ("circuits/*.py", "report/_circuit_*.py", "report/_motion/*.py", "units.py")
_LARGE = {"▸": "▶", "◂": "◀", "▴": "▲", "▾": "▼"}
_SMALLER = 0.55  # of the large triangle's size
_MIDDLE = 360  # of a capital letter, in units of the font (1000 to the em): what a triangle is made smaller around
_TOO_WIDE = "∂√×÷→·"  # as wide as a Chinese character, though they stand among Latin letters and digits
_BESIDE = 60  # white on either side of a sign
_COPYRIGHT = "© 2014-2021 Adobe (http://www.adobe.com/). A part of Noto Sans CJK SC."
_LICENCE = "SIL Open Font License, Version 1.1"


def characters() -> str:
    """Every character that a picture can need: printable ASCII, and what our texts have beyond it. Sorted."""
    found = {chr(code) for code in range(0x20, 0x7F)}
    for pattern in TEXTS:
        for file in (ROOT / "src/gradpath").glob(pattern):
            found |= {sign for string in _strings(file) for sign in string}
    return "".join(sorted(sign for sign in found if sign.isprintable()))


def _strings(file: Path) -> Iterator[str]:
    """The string constants of a file, but for its docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    prose = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


def subset(font: Any, wanted: str, weight: str) -> Any:
    """The font with these characters alone, under our name."""
    from fontTools import subset as tools

    options = tools.Options(layout_features=["kern"], name_IDs=[], notdef_outline=True, hinting=False)
    cutter = tools.Subsetter(options)
    cutter.populate(text="".join(_LARGE.get(sign, sign) for sign in wanted))
    cutter.subset(font)
    for small, large in _LARGE.items():
        _redraw(font, large, _SMALLER)
        _rename(font, large, small)
    for sign in _TOO_WIDE:
        _redraw(font, sign)
    full = {0: _COPYRIGHT, 1: FAMILY, 2: weight, 3: f"{FAMILY} {weight}", 4: f"{FAMILY} {weight}", 13: _LICENCE}
    names = font["name"]
    names.names = []
    for number, text in (full | {6: f"{FAMILY.replace(' ', '')}-{weight}"}).items():
        names.setName(text, number, 3, 1, 0x409)
    return font


def _redraw(font: Any, sign: str, scale: float = 1.0) -> None:
    """Draw a sign smaller, and no wider than it has to be."""
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.pens.t2CharStringPen import T2CharStringPen
    from fontTools.pens.transformPen import TransformPen

    glyphs, glyph = font.getGlyphSet(), font.getBestCmap()[ord(sign)]
    extent = BoundsPen(glyphs)
    glyphs[glyph].draw(extent)
    left, _, right, _ = extent.bounds
    width = round(scale * (right - left)) + 2 * _BESIDE
    old = font["CFF "].cff.topDictIndex[0].CharStrings[glyph]
    pen = T2CharStringPen(width - old.private.nominalWidthX, None)
    glyphs[glyph].draw(TransformPen(pen, (scale, 0, 0, scale, _BESIDE - scale * left, _MIDDLE * (1 - scale))))
    font["CFF "].cff.topDictIndex[0].CharStrings[glyph] = pen.getCharString(old.private, old.globalSubrs)
    font["hmtx"][glyph] = (width, _BESIDE)


def _rename(font: Any, sign: str, other: str) -> None:
    """The glyph of one character becomes that of another."""
    for table in font["cmap"].tables:
        table.cmap[ord(other)] = table.cmap.pop(ord(sign))


def main(noto: Path) -> None:
    from fontTools.ttLib import TTCollection

    FONTS.mkdir(parents=True, exist_ok=True)
    wanted = characters()
    for weight in WEIGHTS:
        fonts = TTCollection(noto / f"NotoSansCJK-{weight}.ttc").fonts
        font = next(font for font in fonts if font["name"].getDebugName(1) == "Noto Sans CJK SC")
        font.recalcTimestamp = False
        file = FONTS / f"GradpathSans-{weight}.otf"
        subset(font, wanted, weight).save(file)
        print(f"{file.relative_to(ROOT)}: {len(wanted)} characters, {file.stat().st_size} bytes")
    (FONTS / "characters.txt").write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else NOTO)
