"""One frame of a circuit's walk: the drawing as far as it has come, and below it the step in words. 16:9.

Frame k shows what the explainer's page shows at step k, in the same strings; the last frame shows everything.
"""

from __future__ import annotations

import math
from functools import cached_property
from xml.etree import ElementTree

from gradpath.errors import UserError
from gradpath.record import CircuitRecord
from gradpath.report._circuit_grid import Grid
from gradpath.report._circuit_layout import WORDS
from gradpath.report._circuit_marks import THEMES, Mark, n, style, text
from gradpath.report._circuit_svg import legend, picture_of, svg_file
from gradpath.report._circuit_text import explained, wrapped
from gradpath.report._facts import printable
from gradpath.report._markup import Markup, element, joined
from gradpath.report._motion._timing import first_frames

WIDTH, HEIGHT = 1280, 720
_MARGIN = 48
_TITLE = 30
_TOP = 92  # where the drawing begins
_LARGEST = 2.0  # a small drawing is not blown up further
_SAID, _DETAIL, _LINE = 24, 21, 31  # font sizes of a step's sentence and arithmetic; from line to line
_LETTER = 0.56  # width of a letter of a sentence, in font sizes, in a wide font
_DETAILS_AT_MOST = 4
_BOTTOM = 44  # the legend's
_RING = 2  # from a box to the ring around it
FRAMES_AT_MOST = 120

RULES = f"""
text.title{{font-size:{_TITLE}px}}
text.said{{font-size:{_SAID}px}}
text.detail{{font-size:{_DETAIL}px}}
text.legend{{font-size:18px;fill:var(--pale)}}
text.count{{font-size:{_DETAIL}px;font-weight:600}}
.ring{{fill:none;stroke-width:3}}
.ring.value{{stroke:var(--value)}}
.ring.gradient{{stroke:var(--gradient);stroke-dasharray:7 4}}
.rail{{stroke:var(--edge);stroke-width:1;opacity:.6}}
"""


def frame(record: CircuitRecord, k: int, theme: str = "auto") -> str:
    """Frame k as an SVG file that stands still: 0 has the inputs alone, len(record.steps) everything.

    `theme` is 'light', 'dark', or 'auto' for the reader's own setting. Raises UserError for a frame that there is not.
    """
    film = Film(record, theme)
    return film.file(joined(film.drawn(range(film.checked(k) + 1)), film.ring(k), film.panel(k)))


def frame_texts(record: CircuitRecord, k: int) -> list[str]:
    """All strings that frame k shows, in the order of the file, without title and description."""
    shown = ElementTree.fromstring(frame(record, k).encode())
    return [mark.text or "" for mark in shown.iter("{http://www.w3.org/2000/svg}text")]


class Film:
    """What the frames of a walk have in common. Raises UserError for an unknown theme and for too many frames."""

    def __init__(self, record: CircuitRecord, theme: str = "auto") -> None:
        if theme not in THEMES:
            raise UserError(f"unknown theme {theme!r}: there are {', '.join(THEMES)}")
        self.record, self.theme, self.last = record, theme, len(record.steps)
        if self.last > FRAMES_AT_MOST:
            raise UserError(
                f"{record.name} has {self.last} steps, and a film at most {FRAMES_AT_MOST}: "
                "take fewer blocks, steps or layers, or an .svg, which then stands still"
            )
        self.picture = picture_of(record)
        self.first = first_frames(record)

    def checked(self, k: int) -> int:
        """`k`, which has to be a frame."""
        if not 0 <= k <= self.last:
            raise UserError(f"there is no frame {k}: {self.record.name} has the frames 0 to {self.last}")
        return k

    def file(self, moving: Markup, rules: str = "") -> str:
        """The SVG: what is always there, then what moves."""
        return svg_file(
            self.record,
            WIDTH,
            HEIGHT,
            element("style", style(self.theme, RULES + rules)),
            element("rect", class_="page", width=WIDTH, height=HEIGHT),
            text(_MARGIN, 60, printable(self.record.title), "title"),
            self.placed(
                element("path", class_="rail", d="".join(self.picture.rails)),
                *(mark.markup for mark in self.picture.marks if mark.cue is None),
            ),
            text(_MARGIN, HEIGHT - 20, legend(self.record, self.picture), "legend"),
            moving,
        )

    # the drawing

    def placed(self, *marks: Markup) -> Markup:
        """Marks of the drawing where the drawing stands."""
        return element("g", *marks, transform=self.transform) if marks else Markup()

    @cached_property
    def transform(self) -> str:
        """From the drawing's own pixels to those of the frame: as large as fits, in the middle."""
        wide, high = WIDTH - 2 * _MARGIN, self.floor - _TOP
        scale = min(wide / self.picture.width, high / self.picture.height, _LARGEST)
        x = (WIDTH - scale * self.picture.width) / 2
        y = _TOP + (high - scale * self.picture.height) / 2
        return f"translate({n(x)} {n(y)})scale({math.floor(1000 * scale) / 1000})"

    @cached_property
    def _by_frame(self) -> dict[int, list[Mark]]:
        found: dict[int, list[Mark]] = {}
        for mark in self.picture.marks:
            if mark.cue is not None:
                found.setdefault(self.first.get(mark.cue, 0), []).append(mark)
        return found

    def drawn(self, frames: range) -> Markup:
        """What these frames add to the drawing."""
        return self.placed(*(mark.markup for k in frames for mark in self._by_frame.get(k, ())))

    def ring(self, k: int) -> Markup:
        """Around the gate of step k; nothing where it is not drawn."""
        step = self.record.steps[k - 1] if k else None
        if step is None or step.node not in self.picture.spots:
            return Markup()
        x, y, width, height = self.picture.spots[step.node]
        look = "ring value" if step.direction == "forward" else "ring gradient"
        corner = {"x": x - width / 2 - _RING, "y": y - height / 2 - _RING}
        size = {"width": width + 2 * _RING, "height": height + 2 * _RING}
        return self.placed(
            element("rect", class_=look, rx="11", **{name: n(value) for name, value in (corner | size).items()})
        )

    # the words

    @cached_property
    def said(self) -> list[tuple[str, list[str], list[str]]]:
        """(what is counted, lines of the sentence, lines of arithmetic) of each frame."""
        words, backward = WORDS[self.record.language], [s for s in self.record.steps if s.direction == "backward"]
        forward = [step for step in self.record.steps if step.direction == "forward"]
        found = [(words["start"], self._lines(words["given"], _SAID), list[str]())]
        for name, steps in (("forward", forward), ("backward", backward)):
            for i, (sentence, details) in enumerate(explained(self.record, steps), 1):
                count = words["count"].format(direction=words[name], k=i, count=len(steps))
                found.append((count, self._lines(sentence, _SAID), self._arithmetic(details)))
        return found

    def _arithmetic(self, details: list[str]) -> list[str]:
        """The lines below the sentence; where there is no room for all, those that sum up come last and stay."""
        if isinstance(self.picture, Grid):
            return []
        lines = [line for detail in details for line in self._lines(detail, _DETAIL)]
        if len(lines) <= _DETAILS_AT_MOST:
            return lines
        more = WORDS[self.record.language]["more_parts"].format(count=len(lines) - _DETAILS_AT_MOST + 1)
        return [*lines[: _DETAILS_AT_MOST - 2], more, lines[-1]]

    def _lines(self, sentence: str, size: int) -> list[str]:
        return wrapped(sentence, int((WIDTH - 2 * _MARGIN) / (_LETTER * size)))

    @cached_property
    def floor(self) -> float:
        """Where the words begin, below the drawing: the same in every frame."""
        lines = max(len(sentence) + len(details) for _, sentence, details in self.said)
        return HEIGHT - _BOTTOM - (lines + 1) * _LINE - 16

    def panel(self, k: int) -> Markup:
        """The words of frame k."""
        count, sentence, details = self.said[k]
        direction = self.record.steps[k - 1].direction if k else "forward"
        look = "count value" if direction == "forward" else "count gradient"
        looks = [(count, look), *((line, "said") for line in sentence), *((line, "detail pale") for line in details)]
        y = self.floor + 22
        return joined(*(text(_MARGIN, y + i * _LINE, printable(line), look) for i, (line, look) in enumerate(looks)))
