"""What is asked of a training run, and what it is made ready with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from gradpath.nets import NetSpec
from gradpath.record import DataSplit, Recipe
from gradpath.training._data import Images
from gradpath.training._planning import Budget
from gradpath.training._start import Beginning, Model, Weights


@dataclass(frozen=True)
class Job:
    """One net to train, and how."""

    name: str
    model: Model
    recipe: Recipe
    learning_rates: Sequence[float] = ()
    """Rates to try before training, for `trial_steps` steps each; empty: the recipe's is used."""
    trial_steps: int = 0
    budget: Budget | None = None
    """The memory that training may take; None: as much as it needs."""
    weights: Weights | None = None
    """To start from; None: from scratch."""
    validation: float | None = None
    """The fraction of the training images that chooses the best epoch; the test images are read once, at the end.
    None: none is chosen, and the test images are read after every epoch."""
    backend: str | None = None
    """Of the net's blocks, as for `gp.fuse`; None: the execution's where one is asked for, else 'auto'."""
    watch: bool = False
    """Whether `gp.watch` looks at the net as it trains."""

    @property
    def spec(self) -> NetSpec:
        """Of a net that is given by one."""
        if not isinstance(self.model, NetSpec):
            raise TypeError(f"{self.name} is not given by a specification")
        return self.model


@dataclass(frozen=True)
class Ready:
    """A job whose net is made and whose images are split."""

    job: Job
    beginning: Beginning
    split: DataSplit | None
    seed: int

    @property
    def images(self) -> Images:
        return self.beginning.images

    @property
    def head(self) -> nn.Module:
        """The classifier."""
        return self.beginning.net.get_submodule(self.beginning.head)
