"""A circuit's frames as pixels: PNG and GIF through resvg and Pillow, MP4 through ffmpeg. (Extra `motion`.)"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from gradpath.errors import MissingExtraError, UserError, first_line
from gradpath.record import CircuitRecord
from gradpath.report._motion._clock import hold_seconds, step_seconds
from gradpath.report._motion._film import HEIGHT, WIDTH
from gradpath.report._motion._shots import Shots, walk_shots

_FONTS = resources.files("gradpath.report") / "assets" / "fonts"
_FAMILY = "Gradpath Sans"
_COLOURS = 48  # of a GIF: the theme's seven, and what lies between them at the edges of letters
_FRAMES_PER_SECOND = 25
_NARROWEST, _WIDEST = 320, 3840


def circuit_png(record: CircuitRecord, theme: str = "light", k: int | None = None, width: int = WIDTH) -> bytes:
    """Frame k (None: the last) of a circuit's walk as a PNG. Raises as `png`."""
    return png(walk_shots(record), theme, k, width)


def circuit_gif(record: CircuitRecord, theme: str = "light", width: int = WIDTH) -> bytes:
    """A circuit's walk as a GIF that repeats. Raises as `gif`."""
    return gif(walk_shots(record), theme, width)


def circuit_mp4(record: CircuitRecord, theme: str = "light", width: int = WIDTH) -> bytes:
    """A circuit's walk as an MP4. Raises as `mp4`."""
    return mp4(walk_shots(record), theme, width)


def png(shots: Shots, theme: str = "light", k: int | None = None, width: int = WIDTH) -> bytes:
    """Frame k (None: the last) as a PNG of `width` × 9/16 `width` pixels.

    Raises UserError for a frame, theme or width that cannot be; MissingExtraError without resvg_py.
    """
    _check(theme, width)
    return _pixels(shots.frame(shots.last if k is None else k, theme), width)


def gif(shots: Shots, theme: str = "light", width: int = WIDTH) -> bytes:
    """All frames as a GIF that repeats. Raises as `png`; needs Pillow, too."""
    image = _pillow()
    frames = [image.open(io.BytesIO(shown)).convert("RGB") for shown in _frames(shots, theme, width)]
    palette = _mosaic(image, [frames[-1], frames[len(frames) // 2]]).quantize(_COLOURS, dither=0)
    indexed = [shown.quantize(palette=palette, dither=0) for shown in frames]
    milliseconds = [round(1000 * seconds) for seconds in _durations(shots.last)]
    file = io.BytesIO()
    indexed[0].save(
        file, "GIF", save_all=True, append_images=indexed[1:], duration=milliseconds, loop=0, optimize=True, disposal=1
    )
    return file.getvalue()


def mp4(shots: Shots, theme: str = "light", width: int = WIDTH) -> bytes:
    """All frames as an MP4 (H.264). Raises as `png`; UserError where there is no ffmpeg, or it fails."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise UserError(
            "an .mp4 is made by ffmpeg, and there is none on the PATH: install it (apt install ffmpeg, "
            "brew install ffmpeg, winget install ffmpeg), or write .gif or .svg"
        )
    # each frame is piped as often as it is seen in units of one step, the last one for as long as it is held
    step = step_seconds(shots.last)
    pngs = b"".join(
        shown * max(1, round(seconds / step))
        for shown, seconds in zip(_frames(shots, theme, width), _durations(shots.last), strict=True)
    )
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        read = ["-f", "image2pipe", "-c:v", "png", "-framerate", f"{1 / step:.6f}", "-i", "pipe:0"]
        write = ["-r", str(_FRAMES_PER_SECOND), "-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        command = [program, "-v", "error", *read, *write, str(film)]
        done = subprocess.run(command, input=pngs, capture_output=True, check=False)
        if done.returncode or not film.exists():
            said = first_line(Exception(done.stderr.decode(errors="replace")))
            raise UserError(f"{program} could not write the film: {said}; write .gif or .svg")
        return film.read_bytes()


def _durations(steps: int) -> list[float]:
    return [step_seconds(steps)] * steps + [hold_seconds(steps)]


def _frames(shots: Shots, theme: str, width: int) -> Iterator[bytes]:
    _check(theme, width)
    return (_pixels(shots.frame(k, theme), width) for k in range(shots.last + 1))


def _check(theme: str, width: int) -> None:
    if theme == "auto":
        raise UserError("pixels cannot follow the reader's setting: take the theme light or dark, or an .svg")
    if not _NARROWEST <= width <= _WIDEST:
        raise UserError(f"a picture is {_NARROWEST} to {_WIDEST} pixels wide, not {width}")


def _pixels(svg: str, width: int) -> bytes:
    """The SVG as a PNG. A picture whose letters are all in the shipped font looks the same on every machine."""
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtraError("resvg_py", "motion", "a picture in pixels") from error
    covered = set((_FONTS / "characters.txt").read_text(encoding="utf-8"))
    with resources.as_file(_FONTS) as folder:
        fonts = [str(folder / f"GradpathSans-{weight}.otf") for weight in ("Regular", "Bold")]
        png = resvg_py.svg_to_bytes(
            svg_string=svg,
            width=width // 2 * 2,  # H.264 wants even numbers
            height=round(width * HEIGHT / WIDTH / 2) * 2,
            font_files=fonts,
            skip_system_fonts=set(svg) <= covered | {"\n"},
            font_family=_FAMILY,
            sans_serif_family=_FAMILY,
        )
    return bytes(png)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pillow", "motion", "a GIF") from error
    return Image


def _mosaic(image: Any, shown: list[Any]) -> Any:
    """The pictures side by side: what one palette for all of them is taken from."""
    width, height = shown[0].size
    whole = image.new("RGB", (width * len(shown), height))
    for i, picture in enumerate(shown):
        whole.paste(picture, (i * width, 0))
    return whole
