"""Path lengths drawn into matplotlib axes, for papers: signed shares as bars, the norm mass as a line."""

from __future__ import annotations

from typing import Any

from gradpath.record import PathLengths
from gradpath.report import _facts as facts
from gradpath.report import _figures as figures

LEAST_MASS = 5e-4
"""Lengths at both ends that hold less of the norm mass are left out."""


def draw_paths(axes: Any, record: PathLengths) -> None:
    """Shares ⟨g⁽ᵏ⁾, g⟩ / ‖g‖² where there are some; norm mass ‖g⁽ᵏ⁾‖ / Σ‖g⁽ʲ⁾‖; the mean length as a dashed line."""
    masses = record.norm_masses
    held = [i for i, mass in enumerate(masses) if mass >= LEAST_MASS]
    shown = range(held[0], held[-1] + 1) if held else range(len(masses))
    lengths = [record.lengths[i] for i in shown]
    bars, line = figures.look(5).light, figures.look(0).light
    if record.shares is not None:
        axes.bar(lengths, [record.shares[i] for i in shown], color=bars, label="share (signed)")
        axes.axhline(0, color="#5b6470", linewidth=0.8)
    name = "path-norm mass (Veit)" if record.method == "veit" else "norm mass"
    axes.plot(lengths, [masses[i] for i in shown], color=line, marker="o", markersize=3, linewidth=1.2, label=name)
    if record.mean_length is not None:
        axes.axvline(record.mean_length, color="#1b1f24", linestyle="--", linewidth=1, label=_mean(record))
    axes.set_xlabel(f"path length in {record.unit}")
    axes.set_ylabel("part of the gradient")
    axes.set_title(f"Gradient at {facts.printable(record.at)} by path length", fontsize=10.5, loc="left", pad=10)


def _mean(record: PathLengths) -> str:
    kind = "effective depth" if record.effective_depth == record.mean_length else "mean length"
    return f"{kind} {facts.ratio_text(record.mean_length)}"
