"""Which picture is asked for: the one that moves, one frame of it, or the whole drawing standing still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gradpath.errors import UserError

if TYPE_CHECKING:
    from gradpath.report._motion import Shots

PICTURES = (".svg", ".png", ".gif", ".mp4")
_IN_PIXELS = (".png", ".gif", ".mp4")


@dataclass(frozen=True)
class Picture:
    """What the options of `gradpath explain` say about a picture; None and False where nothing was said."""

    still: bool = False
    frame: int | None = None
    theme: str | None = None
    width: int | None = None

    def writer(self, ending: str) -> Callable[[Shots], bytes]:
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

    def _svg(self, shots: Shots) -> bytes:
        theme = self.theme or "auto"
        if self.frame is not None:
            return shots.frame(self.frame, theme).encode()
        return (shots.still if self.still else shots.moving)(theme).encode()

    def _png(self, shots: Shots) -> bytes:
        from gradpath.report._motion import png

        return png(shots, k=self.frame, **self._pixels())

    def _gif(self, shots: Shots) -> bytes:
        from gradpath.report._motion import gif

        return gif(shots, **self._pixels())

    def _mp4(self, shots: Shots) -> bytes:
        from gradpath.report._motion import mp4

        return mp4(shots, **self._pixels())

    def _pixels(self) -> dict[str, Any]:
        return {"theme": self.theme or "light"} | ({} if self.width is None else {"width": self.width})
