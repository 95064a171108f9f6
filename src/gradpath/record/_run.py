"""What a training run was and what it saw, and several runs side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gradpath.errors import UserError
from gradpath.record._base import Record
from gradpath.record._flow import Flow
from gradpath.record._net import Family, NetSpec, NormKind
from gradpath.record._plan import Plan

Precision = Literal["float32", "bfloat16"]
Layout = Literal["contiguous", "channels_last"]
Schedule = Literal["one-cycle", "step"]
Augment = Literal["none", "flip", "crop-flip"]


@dataclass(frozen=True, kw_only=True)
class Machine(Record):
    """What the measurements were taken on."""

    system: str
    processor: str
    cpu_features: tuple[str, ...]
    """Those that matter here: avx2, avx512f, avx512_bf16, amx_bf16 …"""
    threads: int
    device: str
    python: str
    torch: str


@dataclass(frozen=True, kw_only=True)
class Execution(Record):
    """How a step is computed on this machine, and why."""

    precision: Precision
    layout: Layout
    reason: str


@dataclass(frozen=True, kw_only=True)
class DataInfo(Record):
    """The images a run saw."""

    name: str
    train_images: int
    test_images: int
    image_size: int
    channels: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    """Per channel, of pixel values in 0..1: what the network was normalised with."""
    std: tuple[float, ...]
    class_shares: tuple[float, ...] = ()
    """Fraction of the training images in each class; empty where it is not known."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """How a net is trained: SGD with Nesterov momentum, cross-entropy."""

    epochs: int
    batch_size: int = 32
    learning_rate: float = 0.05
    """The peak of the schedule."""
    schedule: Schedule = "one-cycle"
    """one-cycle: linear up from a tenth over the first quarter, then linear down to 0.
    step: divided by 10 after half and after three quarters of the steps."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    augment: Augment = "none"
    """crop-flip: pad by 4 zeros, crop at a random place, flip left to right at random."""

    def __post_init__(self) -> None:
        for name, choices in (("schedule", Schedule), ("augment", Augment)):
            if getattr(self, name) not in get_args(choices):
                raise UserError(f"{name} is one of {', '.join(get_args(choices))}, got {getattr(self, name)!r}")
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name, low, high in (("learning_rate", 0.0, math.inf), ("momentum", 0.0, 1.0)):
            if not low < getattr(self, name) < high:
                raise UserError(f"{name} must lie between {low:g} and {high:g}, got {getattr(self, name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise UserError(f"weight_decay must not be negative, got {self.weight_decay}")


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """Means over one epoch. Losses are cross-entropies in nats; accuracies are fractions."""

    train_loss: float
    train_accuracy: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class GradientHistory(Record):
    """The same batch traced before the first step and after the last."""

    initial: Flow
    final: Flow | None = None
    """None when the run was interrupted or diverged."""


@dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """A short run that was made to choose a learning rate."""

    learning_rate: float
    steps: int
    loss: float
    """Mean cross-entropy over its last quarter; not finite when it diverged."""


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record, kind="run"):
    """One net, trained (`gp.train`)."""

    name: str
    family: Family
    depth: int
    norm: NormKind
    parameters: int
    macs: int
    """Multiply-accumulates of one image, convolutions and linear layers only."""
    seed: int
    spec: NetSpec
    recipe: Recipe
    execution: Execution
    data: DataInfo
    machine: Machine
    epochs: tuple[Epoch, ...]
    steps: int
    """Optimiser steps made."""
    diverged_at_step: int | None
    """The first step, from 1, whose loss was not finite (losses are looked at every few steps, so `steps` may be
    larger); steps + 1 where the last update left weights whose loss is not finite."""
    interrupted: bool
    trials: tuple[Trial, ...]
    """Learning rates tried before the run; empty where the recipe's was used."""
    gradient: GradientHistory | None
    weights: str | None
    """File name of the weights, beside the record."""
    plan: Plan | None = None
    """By which it was trained, without its table of layers; None where everything was kept."""

    def __repr__(self) -> str:
        if self.diverged_at_step is not None:
            state = f"diverged at step {self.diverged_at_step}"
        elif self.epochs:
            state = f"{len(self.epochs)} epochs, test accuracy {self.epochs[-1].test_accuracy:.1%}"
        else:
            state = "no epoch finished"
        return f"RunRecord({self.name}, {self.parameters:,} parameters: {state})"


@dataclass(frozen=True, kw_only=True)
class Comparison(Record, kind="comparison"):
    """Networks trained side by side on the same images (`gp.compare`)."""

    started: str
    """UTC, ISO 8601."""
    minutes: float | None
    """The time asked for; None when the epochs were given."""
    estimated_seconds: float
    seconds: float
    interrupted: bool
    seed: int
    data: DataInfo
    machine: Machine
    execution: Execution
    nets: tuple[RunRecord, ...]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(net.name for net in self.nets)}; {self.seconds:.0f} s)"
