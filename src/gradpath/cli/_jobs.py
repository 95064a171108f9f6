"""Jobs that produce records and show them: where training and report meet. `gp.compare` is the same job in Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gradpath import training
from gradpath.errors import MissingExtraError
from gradpath.record import Comparison
from gradpath.report import render
from gradpath.training import Listener, ignore

_REPORTS = ("report.html", "report.png")


def compare(
    data: str | os.PathLike[str] | None = None,
    *,
    depth: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    quick: bool = False,
    seed: int = 0,
    device: str | None = None,
    output: str | os.PathLike[str] | None = None,
    listener: Listener = ignore,
    notice: Callable[[str], None] = print,
) -> Comparison:
    """Train plain, residual and dense nets side by side; return what was seen, and write it where `output` says.

    Args:
        data: 'fashion-mini' (shipped), an .npz file or a folder of IDX files.
        depth: of the deep nets, 6n+2. Default 56, with `quick` 32.
        epochs: default: as many as fit into `minutes` on this machine, measured first.
        minutes: default 5, with `quick` 1.
        quick: fewer nets: plain without norm, plain with BatchNorm, residual.
        output: a folder for compare.json, report.html, report.png and each net's weights; None writes nothing.
        listener: called with news of the running job (events of `gradpath.training`).
        notice: called with a line for each report that could not be written for want of an optional package.

    Raises DataError, SpecError, UserError. Ctrl-C ends it: the record holds what was done and says `interrupted`.
    """
    if output is not None and not training.can_keep_weights():
        notice(f"weights left out: {MissingExtraError('safetensors', 'build', 'keeping them')}")
    comparison = training.compare(
        data,
        depth=depth,
        epochs=epochs,
        minutes=minutes,
        quick=quick,
        seed=seed,
        device=device,
        output=output,
        listener=listener,
    )
    if output is not None and comparison.nets:
        for name in _REPORTS:
            try:
                render(comparison, Path(output) / name)
            except MissingExtraError as error:
                notice(f"{name} left out: {error}")
    return comparison
