"""The times of frames in an SVG that plays by itself, as CSS.

What comes with frame k, and stays, has the class a{k}; what is seen in frame k alone has the class `o` and a delay.
Without CSS animations, and for readers who asked for less motion, the last frame is what is seen.
"""

from __future__ import annotations

_STEP_SECONDS = 2.0
_HOLD_SECONDS = 6.0  # the last frame, before it begins again
_LONGEST_SECONDS = 60.0
_FADE_SECONDS = 0.3


def step_seconds(steps: int) -> float:
    """How long a frame is seen: less where there are many."""
    return min(_STEP_SECONDS, _LONGEST_SECONDS / max(steps, 1))


def hold_seconds(steps: int) -> float:
    """How long the last frame is seen."""
    return max(_HOLD_SECONDS, step_seconds(steps))


class Clock:
    """Frames 0 to `last`, then again."""

    def __init__(self, last: int) -> None:
        self.last, self.step = last, step_seconds(last)
        self.total = self.step * last + hold_seconds(last)

    @property
    def seconds(self) -> str:
        """One round, as CSS."""
        return f"{self.total:.4g}s"

    def percent(self, seconds: float) -> str:
        """A time as a part of the round."""
        return f"{100 * seconds / self.total:.4g}%"

    def delay(self, k: int) -> str:
        """The style of what is seen in frame k alone: all of that plays the same, each at its time."""
        return f"animation-delay:{k * self.step:.4g}s"

    def rules(self, more: str = "") -> str:
        """The rules of all frames, with `more` that move."""
        if not self.last:
            return ""
        stays = map(self._stays, range(1, self.last + 1))
        alone = f"@keyframes o{{0%{{opacity:1}}{self.percent(self.step)},to{{opacity:0}}}}"
        moving = "\n".join([f".o{{animation:o {self.seconds} step-end infinite}}", alone, *stays, more]).rstrip()
        return f".o{{opacity:0}}\n@media screen and (prefers-reduced-motion:no-preference){{\n{moving}\n}}\n"

    def _stays(self, k: int) -> str:
        begin = k * self.step
        seen = begin + min(_FADE_SECONDS, self.step / 2)
        frames = f"0%,{self.percent(begin)}{{opacity:0}}{self.percent(seen)},to{{opacity:1}}"
        return f".a{k}{{animation:a{k} {self.seconds} linear infinite}}\n@keyframes a{k}{{{frames}}}"
