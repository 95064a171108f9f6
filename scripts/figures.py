"""Draw the figures of docs/figures: those of the article, rebuilt as our own, in English and in Chinese.

python scripts/figures.py    # writes them all; tests/test_article.py fails where one is not as drawn now
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gradpath.circuits import circuit
from gradpath.record import CircuitRecord, write_whole
from gradpath.report.circuit import frame, moving_svg, truck_svg

FOLDER = Path(__file__).parents[1] / "docs/figures"
LANGUAGES = ("en", "zh")
_RESNET_BLOCKS = 3  # as many as stand in one row
_DENSE_LAYERS = 4


def figures(language: str) -> Iterator[tuple[str, str]]:
    """(name of the file without language and ending, SVG) of each figure, in the article's order."""
    plain, residual = circuit("plain", language=language), circuit("residual", language=language)
    slow, express = (circuit("truck", language=language, lane=lane) for lane in ("none", "express"))
    resnet = circuit("residual-chain", language=language, blocks=_RESNET_BLOCKS)
    dense = circuit("dense", language=language, layers=_DENSE_LAYERS)
    yield "figure-01-gate", moving_svg(circuit("gate", language=language))
    yield "figure-02-plain-forward-end", frame(plain, _turn(plain))
    yield "figure-03-plain-forward", moving_svg(plain, last=_turn(plain))
    yield "figure-04-plain-backward", moving_svg(plain, first=_turn(plain))
    yield "figure-05-residual-end", frame(residual, len(residual.steps))
    yield "figure-06-residual", moving_svg(residual)
    yield "figure-07-truck", truck_svg(slow, express)
    yield "figure-08-resnet", moving_svg(resnet, first=_turn(resnet))
    yield "figure-09-dense-forward", moving_svg(dense, last=_turn(dense))
    yield "figure-10-dense-backward", moving_svg(dense, first=_turn(dense))


def _turn(record: CircuitRecord) -> int:
    """The frame after the last forward step."""
    return sum(step.direction == "forward" for step in record.steps)


def file_name(name: str, language: str) -> str:
    """'figure-01-gate.svg', 'figure-01-gate.zh.svg'."""
    return f"{name}.svg" if language == "en" else f"{name}.{language}.svg"


def drawn() -> dict[str, str]:
    """File name → SVG, of all figures in all languages."""
    return {file_name(name, language): svg for language in LANGUAGES for name, svg in figures(language)}


if __name__ == "__main__":
    for name, svg in drawn().items():
        print(write_whole(FOLDER / name, svg.encode()), len(svg.encode()), "bytes")
