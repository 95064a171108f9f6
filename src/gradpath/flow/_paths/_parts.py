"""The parts of a gradient as the sweeps bring them: their sizes, their sum, and whether it is autograd's gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradpath.errors import TraceError
from gradpath.flow._norms import log10, norm, share
from gradpath.flow._paths._sweeps import Sweeps, ask

LARGEST_ERROR = 1e-3
"""Relative; parts whose sum is further than this from autograd's gradient are not shown."""

_NONE = torch.zeros(())
"""The gradient where none arrives."""


class Spectrum:
    """Norms and shares of the parts of one gradient, part by part. The parts themselves are not kept."""

    def __init__(self, whole: Tensor) -> None:
        self.whole, self.size = whole, norm(whole)
        self.lengths: tuple[int, ...] = ()
        self.log10_norms: tuple[float, ...] = ()
        self._shares: tuple[float, ...] = ()

    def add(self, length: int, part: Tensor | None) -> None:
        """Take in one part; one that is exactly zero is no part."""
        size = 0.0 if part is None else norm(part)
        if part is None or size == 0:
            return
        self.lengths += (length,)
        self.log10_norms += (log10(size),)
        self._shares += (share(part, self.whole, self.size) if self.size > 0 else 0.0,)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """None where the whole gradient is zero."""
        return self._shares if self.size > 0 else None


def split(sweeps: Sweeps, tolerance: float) -> tuple[Spectrum, list[Spectrum], Tensor, float | None]:
    """The spectrum at the tensor asked for and at each place, the gradient, and the relative error of its parts' sum.

    Raises TraceError where that is above `LARGEST_ERROR`, or the gradient is not finite."""
    return ask(lambda fill: _split(sweeps, tolerance, fill))


def _split(sweeps: Sweeps, tolerance: float, fill: bool) -> tuple[Spectrum, list[Spectrum], Tensor, float | None]:
    sweeps.fill = fill
    wholes: dict[int, Tensor] = {}
    sweeps.arrive = wholes.__setitem__
    whole = sweeps.plain(note=tolerance > 0)
    here = Spectrum(_NONE if whole is None else whole)
    refuse_not_finite(here.size)
    places = [
        here if place[:2] == sweeps.at[:2] else Spectrum(wholes.get(number, _NONE))
        for number, place in enumerate(sweeps.places)
    ]  # a pass ends at `at`: nothing goes by there
    sweeps.arrive = lambda number, part: places[number].add(sweeps.length, part)
    total = torch.zeros_like(here.whole)
    for length, part in sweeps.lengths(tolerance):
        here.add(length, part)
        total = total if part is None else total + part
    return here, places, here.whole, _checked_error(here, total, sweeps, tolerance)


def refuse_not_finite(size: float) -> None:
    """Raises TraceError for the norm of a gradient that is infinite or NaN."""
    if not math.isfinite(size):
        raise TraceError(
            "the gradient is infinite or NaN where its paths were asked for: gradpath.trace shows where that begins"
        )


def _checked_error(spectrum: Spectrum, total: Tensor, sweeps: Sweeps, tolerance: float) -> float | None:
    if spectrum.size == 0:
        return None
    error = norm(total - spectrum.whole) / spectrum.size
    if not error <= LARGEST_ERROR:
        raise TraceError(
            f"the parts do not sum to autograd's gradient (relative error {error:.1e}, at most {LARGEST_ERROR:.0e} is "
            f"shown): {_likely_cause(spectrum, sweeps, tolerance)}"
        )
    return error


def _likely_cause(spectrum: Spectrum, sweeps: Sweeps, tolerance: float) -> str:
    again = sweeps.plain()
    if again is None or norm(again - spectrum.whole) > LARGEST_ERROR / 10 * spectrum.size:
        return "a second backward pass gave another gradient; make the model's operations deterministic"
    if spectrum.whole.dtype in (torch.float16, torch.bfloat16) or torch.is_autocast_enabled(again.device.type):
        return "it is computed in 16 bits, which round more than that; ask in float32, without autocast"
    if sweeps.dropped and tolerance > 0:
        return f"tolerance={tolerance:g} left out {sweeps.dropped} parts; give tolerance=0"
    return "a tensor hook or a custom Function is not linear in the gradient (a clip, say); remove it to ask"
