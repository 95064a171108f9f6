"""How a net is trained, as data: one frozen dataclass. The loop that follows it is `gradpath.training`'s."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from gradpath.errors import UserError
from gradpath.record._base import Record

Schedule = Literal["one-cycle", "step", "cosine", "constant"]
Augment = Literal["none", "flip", "crop-flip", "resized-crop-flip"]
Fill = Literal["black", "mean", "reflect"]
Flip = Literal["random", "alternating"]
Unit = Literal["epochs", "steps"]
WarmupShape = Literal["linear", "constant"]
DecayOn = Literal["all", "weights"]
RECIPE_CHOICES: dict[str, Any] = {
    "schedule": Schedule,
    "count_in": Unit,
    "warmup_shape": WarmupShape,
    "weight_decay_on": DecayOn,
    "augment": Augment,
    "crop_fill": Fill,
    "flip": Flip,
}
"""Field → what it may be."""
_LEAST = {"epochs": 1, "steps": 1, "batch_size": 1, "accumulate": 1, "crop_padding": 1, "crop_size": 8, "lookahead": 0}
_RANGES: dict[str, tuple[float, float]] = {  # open at both ends
    "learning_rate": (0, math.inf),
    "head_learning_rate": (0, math.inf),
    "decay_factor": (0, 1),
    "peak_at": (0, 1),
    "clip_norm": (0, math.inf),
}
_FROM_ZERO: dict[str, float] = {  # from 0 on, below this
    "momentum": 1,
    "weight_decay": math.inf,
    "warmup": math.inf,
    "warmup_factor": math.inf,
    "start_factor": math.inf,
    "end_factor": math.inf,
    "label_smoothing": 1,
    "mixup": math.inf,
    "cutmix": math.inf,
    "ema": 1,
}
_TO_ONE = ("lookahead_pull", "crop_area")  # above 0, at most 1


@dataclass(frozen=True, kw_only=True)
class Recipe(Record, kind="recipe"):
    """How a net is trained: SGD on cross-entropy. What each field means is in its metadata, under 'about'.

    Raises UserError for what cannot train.
    """

    epochs: int = field(metadata={"about": "passes over the training images"})
    steps: int | None = field(
        default=None, metadata={"about": "optimiser steps after which training ends; none: those of the epochs"}
    )
    batch_size: int = field(default=32, metadata={"about": "images in an optimiser step"})
    accumulate: int = field(
        default=1, metadata={"about": "parts of a batch, computed one after the other; BatchNorm sees each part alone"}
    )
    learning_rate: float = field(default=0.05, metadata={"about": "the highest learning rate of the schedule"})
    head_learning_rate: float | None = field(
        default=None, metadata={"about": "that of the classifier's own layer; none: the same"}
    )
    freeze: bool = field(
        default=False, metadata={"about": "train the classifier's layer alone; the rest stays as it is, in eval mode"}
    )
    balance: bool = field(
        default=False, metadata={"about": "draw every class equally often; an epoch is as long as without"}
    )
    schedule: Schedule = field(
        default="one-cycle",
        metadata={"about": "how the rate changes: one-cycle (up, then down, linearly), step, cosine, constant"},
    )
    peak_at: float = field(
        default=0.25, metadata={"about": "one-cycle: where the highest rate is reached, as a fraction of the steps"}
    )
    start_factor: float = field(
        default=0.1, metadata={"about": "one-cycle: rate at the start, as a fraction of learning_rate"}
    )
    end_factor: float = field(
        default=0.0, metadata={"about": "one-cycle, cosine: rate at the end, as a fraction of learning_rate"}
    )
    milestones: tuple[float, ...] = field(
        default=(), metadata={"about": "step: when the rate is multiplied; none: at 1/2 and 3/4 of the steps"}
    )
    decay_factor: float = field(default=0.1, metadata={"about": "step: by what the rate is multiplied at a milestone"})
    count_in: Unit = field(
        default="epochs", metadata={"about": "what milestones and warmup are counted in: epochs or steps"}
    )
    warmup: float = field(default=0.0, metadata={"about": "length of the warm-up"})
    warmup_factor: float = field(
        default=0.0, metadata={"about": "rate at which the warm-up starts, as a fraction of the schedule's"}
    )
    warmup_shape: WarmupShape = field(default="linear", metadata={"about": "linear, or constant at warmup_factor"})
    momentum: float = field(default=0.9, metadata={"about": "of SGD"})
    nesterov: bool = field(default=True, metadata={"about": "Nesterov's momentum"})
    weight_decay: float = field(default=1e-4, metadata={"about": "L2 penalty, added to the gradient"})
    weight_decay_on: DecayOn = field(
        default="all", metadata={"about": "all parameters, or weights (none on norms and biases)"}
    )
    clip_norm: float | None = field(
        default=None, metadata={"about": "largest norm of the whole gradient; none: not clipped"}
    )
    augment: Augment = field(
        default="none",
        metadata={"about": "what is done to images at random: none, flip, crop-flip, resized-crop-flip (for photos)"},
    )
    crop_padding: int = field(
        default=4, metadata={"about": "crop-flip: pixels of padding on each side, from which a crop is taken at random"}
    )
    crop_fill: Fill = field(
        default="black",
        metadata={"about": "crop-flip: padding is black, of the images' mean colour, or reflects the image"},
    )
    crop_area: float = field(
        default=0.08, metadata={"about": "resized-crop-flip: smallest crop, as a fraction of the image's area"}
    )
    crop_size: int | None = field(
        default=None, metadata={"about": "resized-crop-flip: side of what the net sees, in pixels; none: the image's"}
    )
    flip: Flip = field(default="random", metadata={"about": "random, or alternating: each image every other epoch"})
    pixel_mean: bool = field(
        default=False, metadata={"about": "subtract the mean image, not the channels' means (images up to 64 px)"}
    )
    label_smoothing: float = field(default=0.0, metadata={"about": "share of the target spread over all classes"})
    mixup: float = field(
        default=0.0,
        metadata={"about": "alpha of Beta(alpha, alpha), from which the share of another image is drawn; 0: off"},
    )
    cutmix: float = field(
        default=0.0,
        metadata={"about": "alpha of Beta(alpha, alpha), from which the area of a pasted box is drawn; 0: off"},
    )
    ema: float = field(
        default=0.0,
        metadata={"about": "decay, per step, of the weights' moving average that is evaluated and kept; 0: off"},
    )
    lookahead: int = field(default=0, metadata={"about": "steps between pulls towards the slow weights; 0: off"})
    lookahead_pull: float = field(
        default=0.5, metadata={"about": "how far the slow weights move towards the fast ones"}
    )
    name: str = field(default="", metadata={"about": "of the recipe that this one began as"})
    source: str = field(default="", metadata={"about": "where it was published"})
    notes: tuple[str, ...] = field(
        default=(), metadata={"about": "what its source leaves open, and what was decided here"}
    )

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()
        self._check_together()

    def __repr__(self) -> str:
        """Only what differs from the defaults, and no prose."""
        shown = [f for f in fields(self) if f.name not in ("source", "notes") and getattr(self, f.name) != f.default]
        return f"Recipe({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def _check_choices(self) -> None:
        for name, literal in RECIPE_CHOICES.items():
            if getattr(self, name) not in get_args(literal):
                raise UserError(f"{name} is one of {', '.join(get_args(literal))}, got {getattr(self, name)!r}")

    def _check_numbers(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise UserError(f"{name} must be a whole number, got {value!r}")
            if value is not None and not value >= least:
                raise UserError(f"{name} must be at least {least}, got {value}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not low < value < high:
                raise UserError(f"{name} must lie between {low:g} and {high:g}, got {value}")
        for name, high in _FROM_ZERO.items():
            if not 0 <= getattr(self, name) < high:
                limit = "a finite number, 0 or more" if high == math.inf else f"0 or more, and below {high:g}"
                raise UserError(f"{name} must be {limit}, got {getattr(self, name)}")
        for name in _TO_ONE:
            if not 0 < getattr(self, name) <= 1:
                raise UserError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    def _check_together(self) -> None:
        if any(not 0 < at < math.inf for at in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise UserError(f"milestones must be positive and rise, got {', '.join(map(str, self.milestones))}")
        if self.nesterov and not self.momentum:
            raise UserError("momentum 0 has no Nesterov form: set nesterov to false, or give a momentum")
        if self.accumulate > self.batch_size:
            raise UserError(f"accumulate: {self.accumulate} parts cannot be made of a batch of {self.batch_size}")
        if self.pixel_mean and self.augment == "resized-crop-flip":
            raise UserError("pixel_mean needs images that keep their place, which resized-crop-flip moves")
        if self.crop_size is not None and self.augment != "resized-crop-flip":
            raise UserError(f"crop_size belongs to augment resized-crop-flip, got it with {self.augment}")
