"""Which picture of a circuit is asked for: the one that moves, one frame of it, or the whole drawing standing still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradpath.errors import UserError
from gradpath.record import CircuitRecord

PICTURES = (".svg", ".png", ".gif", ".mp4")
_IN_PIXELS = (".png", ".gif", ".mp4")


@dataclass(frozen=True)
class Picture:
    """What the options of `gradpath explain` say about a picture; None and False where nothing was said."""

    still: bool = False
    frame: int | None = None
    theme: str | None = None
    width: int | None = None

    def plays(self, ending: str) -> bool:
        """Whether it is a drawing that moves, in the file itself."""
        return ending == ".svg" and not self.still and self.frame is None

    def writer(self, ending: str) -> Callable[[CircuitRecord], bytes]:
        """What makes a file with that ending, one of `PICTURES`."""
        self.check(ending)
        return {".svg": self._svg, ".png": self._png, ".gif": self._gif, ".mp4": self._mp4}[ending]

    def check(self, ending: str | None) -> None:
        """Raises UserError for an option that does not go with the ending; None: nothing is written."""
        asked: tuple[tuple[str, object, tuple[str, ...]], ...] = (
            ("--still", self.still, (".svg",)),
            ("--frame", self.frame is not None, (".svg", ".png")),
            ("--theme", self.theme, PICTURES),
            ("--width", self.width, _IN_PIXELS),
        )
        for option, given, endings in asked:
            if given and ending not in endings:
                what = "nothing is written" if ending is None else f"this is {ending}"
                raise UserError(f"{option} is for --output FILE{' FILE'.join(endings)}, and {what}: leave it out")
        if self.still and self.frame is not None:
            raise UserError("--still is the whole drawing, --frame one step of it: give one of the two")

    def _svg(self, record: CircuitRecord) -> bytes:
        from gradpath.report import circuit

        theme = self.theme or "auto"
        if self.frame is not None:
            return circuit.frame(record, self.frame, theme).encode()
        return (circuit.circuit_svg if self.still else circuit.picture_svg)(record, theme).encode()

    def _png(self, record: CircuitRecord) -> bytes:
        from gradpath.report.circuit import circuit_png

        return circuit_png(record, k=self.frame, **self._pixels())

    def _gif(self, record: CircuitRecord) -> bytes:
        from gradpath.report.circuit import circuit_gif

        return circuit_gif(record, **self._pixels())

    def _mp4(self, record: CircuitRecord) -> bytes:
        from gradpath.report.circuit import circuit_mp4

        return circuit_mp4(record, **self._pixels())

    def _pixels(self) -> dict[str, Any]:
        return {"theme": self.theme or "light"} | ({} if self.width is None else {"width": self.width})
