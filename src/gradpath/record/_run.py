"""What a training run was and what it saw, and several runs side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradpath.record._base import Record
from gradpath.record._evaluation import Evaluation
from gradpath.record._flow import Flow
from gradpath.record._net import Family, NetSpec, NormKind
from gradpath.record._plan import Plan
from gradpath.record._recipe import Recipe

Precision = Literal["float32", "bfloat16", "float16"]
Layout = Literal["contiguous", "channels_last"]


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
    backend: str = "reference"
    """Which blocks compute: reference (plain torch), or the name of the fused ones."""
    threads: int | None = None
    """Of the CPU; None: as found."""


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
    pixel_mean: str = ""
    """Mean training image, of pixel values in 0..1, that is subtracted in place of `mean`: float32, C H W, little
    endian, in base64. Empty: `mean` is."""
    validation_images: int = 0
    """Held out of the training images, which are counted without them."""


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """Means over one epoch. Losses are cross-entropies in nats, with the recipe's label smoothing and mixing;
    accuracies are fractions, training's of the augmented images."""

    train_loss: float
    train_accuracy: float
    test_accuracy: float | None
    """None where the test images are kept for the end, as in `gp.train`."""
    seconds: float
    validation_accuracy: float | None = None
    """On images held out of training; None where none were."""


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
class Start(Record):
    """What a net began with."""

    weights: str
    """The file's name, without its folder."""
    replaced: tuple[str, ...]
    """Parameters that the file did not give: those of a classifier for other classes."""
    normalise: str
    """Whose mean and standard deviation: 'weights', 'imagenet' or 'data'."""


@dataclass(frozen=True, kw_only=True)
class RunRecord(Record, kind="run"):
    """One net, trained (`gp.train`)."""

    name: str
    family: Family | None
    """None, as norm and spec, for a model that is not one of gradpath's own."""
    depth: int
    """Weighted layers: on the main path of a net of ours, all that are run of another model."""
    norm: NormKind | None
    parameters: int
    macs: int
    """Multiply-accumulates of one image, convolutions and linear layers only."""
    seed: int
    spec: NetSpec | None
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
    diverged_in: str | None = None
    """Where the step that diverged first left what is finite: a module's name and what of it; None where unknown."""
    start: Start | None = None
    """None: from scratch."""
    notes: tuple[str, ...] = ()
    """What was decided on the way: a classifier replaced, a normalisation taken, layers frozen. A sentence each."""
    skipped_steps: int = 0
    """Of `steps`, those that changed nothing since their gradient was not finite. Counted where the recipe clips the
    gradient or float16 scales it; else such a gradient makes the next loss not finite."""
    best_epoch: int | None = None
    """From 1: the epoch best on the validation images, whose weights were kept; None: the last epoch's."""
    test: Evaluation | None = None
    """Of the weights that were kept, read once, at the end; None where the run did not come to it."""

    @property
    def kept_epoch(self) -> Epoch | None:
        """The epoch whose weights were kept; None where none was finished."""
        if self.best_epoch is not None:
            return self.epochs[self.best_epoch - 1]
        return self.epochs[-1] if self.epochs else None

    @property
    def test_accuracy(self) -> float | None:
        """Of the weights that were kept; None where the test images were not read."""
        if self.test is not None:
            return self.test.accuracy
        return self.epochs[-1].test_accuracy if self.epochs else None

    def __repr__(self) -> str:
        tested = "" if self.test_accuracy is None else f", test accuracy {self.test_accuracy:.1%}"
        if self.diverged_at_step is not None:
            state = f"diverged at step {self.diverged_at_step}"
        elif self.epochs:
            state = f"{len(self.epochs)} epochs{tested}"
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
