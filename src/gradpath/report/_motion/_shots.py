"""What a moving picture is made of: frames, what plays them, what stands still. A circuit's walk, or the truck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gradpath.record import CircuitRecord
from gradpath.report._circuit_svg import circuit_svg
from gradpath.report._motion._film import frame
from gradpath.report._motion._moving import picture_svg
from gradpath.report._motion._truck import truck_frame, truck_frames, truck_svg


@dataclass(frozen=True)
class Shots:
    """Frames 0 to `last`, each the page's step of that number."""

    last: int
    frame: Callable[[int, str], str]
    """(k, theme) → an SVG of 1280 × 720 that stands still."""
    moving: Callable[[str], str]
    """theme → one SVG that plays all frames."""
    still: Callable[[str], str]
    """theme → the whole drawing as an SVG that does not move."""


def walk_shots(record: CircuitRecord) -> Shots:
    """A circuit, gate by gate."""
    return Shots(len(record.steps), partial(frame, record), partial(picture_svg, record), partial(circuit_svg, record))


def truck_shots(without: CircuitRecord, express: CircuitRecord) -> Shots:
    """The truck, stop by stop, without and with the express lane. Raises as `truck_svg`."""
    last, stop = truck_frames(without, express), partial(truck_frame, without, express)
    return Shots(last, stop, partial(truck_svg, without, express), partial(stop, last))
