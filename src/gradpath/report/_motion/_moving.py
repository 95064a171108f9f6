"""A circuit's walk as one SVG that plays by itself, also inside <img>: CSS alone, no script."""

from __future__ import annotations

from gradpath.record import CircuitRecord
from gradpath.report._circuit_svg import circuit_svg
from gradpath.report._markup import Markup, element, joined
from gradpath.report._motion._clock import Clock
from gradpath.report._motion._film import FRAMES_AT_MOST, Film


def moving_svg(record: CircuitRecord, theme: str = "auto", first: int = 0, last: int | None = None) -> str:
    """The frames `first` to `last` (None: the last there is) as one SVG file of 1280 × 720 that repeats them.

    Without CSS animations, and for readers who asked for less motion, it is its last frame. `theme` is 'light',
    'dark', or 'auto' for the reader's own setting. Raises UserError for frames that there are not.
    """
    film = Film(record, theme)
    end = film.checked(film.last if last is None else last)
    begin = film.checked(min(first, end))
    clock = Clock(end - begin)
    added = ((k, film.drawn(range(k, k + 1))) for k in range(begin + 1, end + 1))
    stays = [element("g", marks, class_=f"a{k - begin}") for k, marks in added if marks]
    known = film.drawn(range(begin + 1))
    return film.file(joined(known, *stays, *_words(film, begin, end, clock)), clock.rules())


def picture_svg(record: CircuitRecord, theme: str = "auto") -> str:
    """The picture that moves; of a circuit with too many steps for that, the one that stands still."""
    return (moving_svg if len(record.steps) <= FRAMES_AT_MOST else circuit_svg)(record, theme)


def _words(film: Film, begin: int, end: int, clock: Clock) -> list[Markup]:
    """Sentence and ring of each frame; those of the last frame stay."""
    alone = [
        element("g", film.ring(k), film.panel(k), class_="o", style=clock.delay(k - begin)) for k in range(begin, end)
    ]
    look = f"a{clock.last}" if clock.last else None
    return [*alone, element("g", film.ring(end), film.panel(end), class_=look)]
