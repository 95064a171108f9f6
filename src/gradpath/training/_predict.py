"""Images classified by a file of weights, one answer for each file."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gradpath.errors import DataError, UserError
from gradpath.nets import NetSpec
from gradpath.record import Padding, Prediction, Predictions, SkippedFile
from gradpath.training._data._listing import legible, photos_below
from gradpath.training._data._workers import for_each, need_pillow, reserve
from gradpath.training._machine import pick_device
from gradpath.training._opened import Normalisation, Opened, open_weights

_AT_ONCE = 1024  # images decoded, then classified: so much is held in memory
_NAMED = 3  # files that an error names


def predict(
    weights: str | os.PathLike[str],
    images: Iterable[str | os.PathLike[str]],
    *,
    net: NetSpec | str | nn.Module | None = None,
    padding: Padding | None = None,
    normalise: Normalisation = "weights",
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    top_k: int = 3,
    batch_size: int = 64,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """What the net of a file of weights calls images.

    Args:
        images: files, folders (all photos below them) and patterns such as 'new/*.jpg'. They are decoded as for
            training: EXIF rotation applied, shorter side resized, centre cropped, to as many channels as the net has.
        net, padding, normalise, classes, image_size: what a foreign file does not tell; see `open_weights`.
        top_k: classes to name for each image, the most probable first.
        progress: called with (done, all) images.

    Raises WeightsError, SpecError, UserError; DataError for a file that is not there, and where no image at all can be
    read: some that cannot are listed in the record; MissingExtraError without Pillow.
    """
    if top_k < 1 or batch_size < 1:
        raise UserError(f"top_k and batch_size must be at least 1, got {top_k} and {batch_size}")
    files = files_of(images)
    need_pillow("reading images")
    where = pick_device(device)
    opened = open_weights(
        weights, net=net, padding=padding, normalise=normalise, classes=classes, image_size=image_size
    )
    model = opened.on_pixels().to(where)
    seen: list[Prediction] = []
    skipped: list[SkippedFile] = []
    for done, (file, answer) in enumerate(_answers(model, opened, files, batch_size, where), 1):
        if isinstance(answer, str):
            skipped.append(SkippedFile(file=legible(str(file)), reason=answer))
        else:
            seen.append(_prediction(file, answer, opened, top_k))
        if progress is not None:
            progress(done, len(files))
    _check_any(seen, skipped)
    return Predictions(
        net=opened.label,
        weights=Path(weights).name,
        classes=opened.classes,
        image_size=opened.image_size,
        images=tuple(seen),
        skipped=tuple(skipped),
    )


def files_of(images: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files that names, folders and patterns stand for, each once. Raises DataError for a name without one."""
    files: dict[Path, None] = {}
    for named in images:
        found = _below(str(named))
        if not found:
            raise DataError(f"{named}: holds no image" if Path(named).is_dir() else f"{named}: there is no such file")
        files |= dict.fromkeys(found)
    if not files:
        raise DataError("no image was named: give files, folders or patterns such as 'new/*.jpg'")
    return list(files)


def _below(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        return photos_below(path)
    if path.exists():
        return [path]
    matches = map(Path, sorted(glob.glob(name, recursive=True)))  # noqa: PTH207 (a pattern may be absolute)
    return [file for match in matches for file in (photos_below(match) if match.is_dir() else [match])]


def _answers(
    model: nn.Module, opened: Opened, files: Sequence[Path], batch_size: int, device: torch.device
) -> Iterator[tuple[Path, Tensor | str]]:
    """Each file with its probabilities (classes), or why it cannot be read."""
    for start in range(0, len(files), _AT_ONCE):
        part = files[start : start + _AT_ONCE]
        with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:
            pixels, reasons = _decoded(part, opened, Path(folder))
        good = [i for i, reason in enumerate(reasons) if reason is None]
        probabilities = _probabilities(model, pixels[good], batch_size, device)
        rows = dict(zip(good, probabilities, strict=True))
        yield from ((file, rows.get(i, str(reasons[i]))) for i, file in enumerate(part))


def _decoded(files: Sequence[Path], opened: Opened, folder: Path) -> tuple[Tensor, list[str | None]]:
    """uint8 N C H W, and for each file None or why its row means nothing."""
    target = folder / "pixels.npy"
    reserve(target, (len(files), opened.channels, opened.image_size, opened.image_size))
    reasons = for_each(files, target)
    return torch.from_numpy(np.load(target)), reasons


def _probabilities(model: nn.Module, pixels: Tensor, batch_size: int, device: torch.device) -> Tensor:
    """uint8 N C H W → float32 N classes, on the CPU."""
    if not len(pixels):
        return torch.empty(0, 0)
    with torch.inference_mode():
        logits = [model(part.to(device)).float() for part in torch.split(pixels, batch_size)]
        return torch.cat(logits).softmax(1).cpu()


def _prediction(file: Path, probabilities: Tensor, opened: Opened, top_k: int) -> Prediction:
    best = probabilities.topk(min(top_k, len(opened.classes)))
    return Prediction(
        image=legible(str(file)),
        classes=tuple(opened.classes[i] for i in best.indices.tolist()),
        probabilities=tuple(best.values.tolist()),
    )


def _check_any(seen: Sequence[Prediction], skipped: Sequence[SkippedFile]) -> None:
    if not seen:
        first = ", ".join(f"{file.file} ({file.reason})" for file in skipped[:_NAMED])
        more = f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else ""
        raise DataError(f"no image could be read: {first}{more}")
