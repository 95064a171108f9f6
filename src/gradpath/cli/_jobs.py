"""Jobs that produce records and show them: where training and report meet."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

from gradpath import training
from gradpath.errors import MissingExtraError
from gradpath.record import Comparison
from gradpath.report import render

P = ParamSpec("P")
_REPORTS = ("report.html", "report.png")


def _with_reports(job: Callable[P, Comparison]) -> Callable[P, Comparison]:
    """The same job; where it has an `output` folder, the reports are written there too."""

    @functools.wraps(job)
    def run(*args: P.args, **kwargs: P.kwargs) -> Comparison:
        output = kwargs.get("output")
        if output is not None and not training.can_keep_weights():
            _leave_out("the weights", MissingExtraError("safetensors", "build", "keeping them"))
        comparison = job(*args, **kwargs)
        for name in _REPORTS if output is not None and comparison.nets else ():
            try:
                render(comparison, Path(str(output)) / name)
            except MissingExtraError as error:
                _leave_out(name, error)
        return comparison

    return run


def _leave_out(what: str, error: MissingExtraError) -> None:
    warnings.warn(f"{what} left out: {error}", stacklevel=3)


compare = _with_reports(training.compare)
