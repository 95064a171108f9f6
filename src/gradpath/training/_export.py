"""A file of weights as a program for other runtimes: ONNX, or torch.export's .pt2; checked before it is kept."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gradpath import __version__
from gradpath.errors import GradpathError, MissingExtraError, UserError, first_line
from gradpath.nets import NetSpec
from gradpath.record import Padding, write_whole
from gradpath.training._opened import Normalisation, OnPixels, Opened, open_weights

Pixels = Literal["float", "uint8"]
Runner = Callable[[Tensor], Tensor]
TOLERANCE = 1e-4
"""Largest difference between the file's logits and the net's, over the net's largest logit: float32 in another order
of summation differs by about 1e-6."""
CHECKED_BATCHES = (1, 3)
"""Batch sizes of the check; neither is the one that was exported with."""
_EXAMPLE_BATCH = 2
_KEY = "gradpath"


@dataclass(frozen=True)
class Exported:
    """A file that was written, and how far its logits lie from the net's."""

    file: Path
    net: str
    takes: str
    """What it takes, in words."""
    classes: int
    bytes: int
    difference: float
    """Over the net's largest logit."""


def export(
    weights: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    net: NetSpec | str | nn.Module | None = None,
    padding: Padding | None = None,
    normalise: Normalisation = "weights",
    classes: Sequence[str] | None = None,
    image_size: int | None = None,
    pixels: Pixels = "float",
) -> Exported:
    """Write the net of a file of weights as `output`: .onnx, or .pt2 for torch.export.load.

    The file takes `images`, N C H W for any N, and gives `logits`, N classes. The normalisation is inside: it takes
    pixels as they are, float32 in 0..1 or uint8 in 0..255 (`pixels`); with normalise='none', the caller normalises.
    Size, classes, mean and standard deviation are in its metadata, under 'gradpath' ('gradpath.json' in a .pt2).
    It is run on random images in batches of 1 and of 3 and compared with the net before it gets its name: what
    differs by more than TOLERANCE is not kept.

    Args:
        net, padding, normalise, classes, image_size: what a foreign file does not tell; see `open_weights`.

    Raises WeightsError, SpecError, UserError; MissingExtraError for .onnx without onnx and onnxruntime.
    """
    file = Path(output)
    if file.suffix.lower() not in _WRITERS:
        raise UserError(f"{file}: the ending is neither {' nor '.join(_WRITERS)}: it decides what is written")
    write, run = _WRITERS[file.suffix.lower()]
    if file.suffix.lower() == ".onnx":
        _need_onnx()
    opened = open_weights(
        weights, net=net, padding=padding, normalise=normalise, classes=classes, image_size=image_size
    )
    model = opened.on_pixels()
    content = _said(file, lambda: write(model, _images(opened, _EXAMPLE_BATCH, pixels), _metadata(opened, pixels)))
    difference = _said(file, lambda: _difference(model, run(content), opened, pixels))
    if not difference <= TOLERANCE:
        raise UserError(
            f"{file}: not written: its logits differ from the net's by {difference:.1e} of the largest, more than "
            f"{TOLERANCE:g}"
        )
    write_whole(file, content)
    return Exported(file, opened.label, _takes(opened, pixels), len(opened.classes), len(content), difference)


def _said(file: Path, step: Callable[[], Any]) -> Any:
    """What `step` gives; the exporters raise whatever a model leads them to."""
    try:
        with _quiet():
            return step()
    except GradpathError:
        raise
    except Exception as error:
        raise UserError(
            f"{file}: this net cannot be exported ({type(error).__name__}: {first_line(error)[:150]})"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' remarks on their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _images(opened: Opened, count: int, pixels: Pixels, seed: int = 0) -> Tensor:
    """Random pixels, N C H W."""
    shape = (count, opened.channels, opened.image_size, opened.image_size)
    noise = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return noise if pixels == "uint8" else noise / 255


def _difference(model: OnPixels, run: Runner, opened: Opened, pixels: Pixels) -> float:
    worst = torch.zeros(())
    for count in CHECKED_BATCHES:
        images = _images(opened, count, pixels, seed=count)
        with torch.no_grad():
            expected = model(images)
        seen = run(images)
        if seen.shape != expected.shape:
            raise ValueError(f"it gives {tuple(seen.shape)} for {count} images, expected {tuple(expected.shape)}")
        difference = (seen - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
        worst = torch.maximum(worst, difference)  # NaN wins
    return float(worst)


def _takes(opened: Opened, pixels: Pixels) -> str:
    """'float32 N×3×32×32, pixels from 0 to 1 (normalised inside)'."""
    shape = f"N×{opened.channels}×{opened.image_size}×{opened.image_size}"
    scale = "uint8 {}, pixels from 0 to 255" if pixels == "uint8" else "float32 {}, pixels from 0 to 1"
    return scale.format(shape) + (" (normalised inside)" if opened.normalises else ", normalised by the caller")


def _metadata(opened: Opened, pixels: Pixels) -> str:
    """What a reader of the file must know, as JSON."""
    mean: Sequence[float] | None = opened.mean.mean((0, 2, 3)).tolist()
    std: Sequence[float] | None = opened.std.mean((0, 2, 3)).tolist()
    if not opened.normalises:  # what the caller has to do
        mean, std = (None, None) if opened.stored is None else (opened.stored.mean, opened.stored.std)
    return json.dumps(
        {
            "gradpath": __version__,
            "net": opened.label,
            "input": _takes(opened, pixels),
            "channels": {1: "grey", 3: "RGB"}.get(opened.channels, str(opened.channels)),
            "image_size": opened.image_size,
            "normalised_inside": opened.normalises,
            "mean": mean,
            "std": std,
            "output": "logits",
            "classes": list(opened.classes),
        },
        ensure_ascii=False,
    )


# ------------------------------------------------------------ ONNX


def _need_onnx() -> None:
    for package in ("onnx", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError(package, "export", "writing and checking .onnx") from error


def _to_onnx(model: OnPixels, images: Tensor, metadata: str) -> bytes:
    """By torch's tracer, which needs nothing but onnx and is several times faster; where it fails, by torch.export."""
    import onnx

    try:
        content = _traced(model, images)
    except Exception:  # a torch that has no tracer any more, a model that it cannot trace
        content = _exported_onnx(model, images)
    program = onnx.load_from_string(content)
    onnx.helper.set_model_props(program, {_KEY: metadata})
    return bytes(program.SerializeToString())


def _traced(model: OnPixels, images: Tensor) -> bytes:
    any_batch = {0: "batch"}
    with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            model,
            (images,),
            str(file),
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": any_batch, "logits": any_batch},
            dynamo=False,
        )
        return file.read_bytes()


def _exported_onnx(model: OnPixels, images: Tensor) -> bytes:
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model,
        (images,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def _run_onnx(content: bytes) -> Runner:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(np.asarray(session.run(["logits"], {"images": images.numpy()})[0]))


# ------------------------------------------------------------ torch.export


def _to_pt2(model: OnPixels, images: Tensor, metadata: str) -> bytes:
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:
        file = Path(folder) / "model.pt2"
        torch.export.save(program, file, extra_files={f"{_KEY}.json": metadata})
        return file.read_bytes()


def _run_pt2(content: bytes) -> Runner:
    with tempfile.TemporaryDirectory(prefix="gradpath-") as folder:
        file = Path(folder) / "model.pt2"
        file.write_bytes(content)
        program = torch.export.load(file).module()

    def run(images: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = program(images)
        return logits

    return run


_WRITERS: dict[str, tuple[Callable[[OnPixels, Tensor, str], bytes], Callable[[bytes], Runner]]] = {
    ".onnx": (_to_onnx, _run_onnx),
    ".pt2": (_to_pt2, _run_pt2),
}
