"""The training loop, top to bottom."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.flow import StemOverHead, Watch
from gradpath.record import Epoch, Execution, Recipe
from gradpath.training._batches import Batch, Batches
from gradpath.training._best import Best
from gradpath.training._data import Images
from gradpath.training._distributed import unsynchronised
from gradpath.training._diverged import bad_gradient, bad_output
from gradpath.training._events import EpochDone, Listener, Progress
from gradpath.training._frozen import frozen_modules
from gradpath.training._machine import memory_format, precision_context
from gradpath.training._optimise import Optimiser
from gradpath.training._random import own_randomness, seed_net
from gradpath.training._schedule import learning_rate
from gradpath.training._seen import Gather, Seen, accuracy, alone, validation_accuracy
from gradpath.training._seen import right_answers as right_answers

_SKIPS_IN_A_ROW = 20  # from here on a run has diverged whose steps are skipped; float16's first few are no fault
_REPORT_STEPS = 10  # losses stay on the device and are read this often; the stem is looked at as often


@dataclass
class Outcome:
    """What the loop saw; filled as it goes, so that an interruption loses nothing."""

    epochs: list[Epoch] = field(default_factory=list)
    steps: int = 0
    diverged_at_step: int | None = None
    diverged_in: str | None = None
    interrupted: bool = False
    losses: list[float] = field(default_factory=list)
    skipped: int = 0
    """Steps that changed nothing, as their gradient was not finite; counted where it is clipped or scaled."""


class Loop:
    """Trains one net by one recipe on images that lie on the net's device.

    Order and augmentation of every step are functions of the seed and the step, what the net itself draws (dropout)
    too: `state()` after a step is all that the following steps depend on.
    """

    def __init__(
        self,
        net: nn.Module,
        images: Images,
        recipe: Recipe,
        execution: Execution,
        seed: int,
        listener: Listener,
        name: str,
        head: nn.Module | None = None,
    ) -> None:
        """`head`: the part of the net that learns at the recipe's `head_learning_rate`."""
        self.device = images.train_images.device
        self.layout = memory_format(execution.layout)
        self.net = net.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.images, self.recipe, self.execution, self.seed = images, recipe, execution, seed
        self.listener, self.name = listener, name
        precision_context(execution.precision, self.device)  # raises for one that the device has not
        self.batches = Batches(images.info, self.device, self.layout, seed, recipe)
        self.optimiser = Optimiser(net, recipe, head, scaling=execution.precision == "float16")
        self.frozen = frozen_modules(net, head) if recipe.freeze else ()
        self.best = Best()
        self.batch_size = min(recipe.batch_size, images.info.train_images)
        self.steps_per_epoch = images.info.train_images // self.batch_size
        self.steps = recipe.steps or self.steps_per_epoch * recipe.epochs
        self.outcome = Outcome()
        self.probe: StemOverHead | None = None
        self.after_step: Callable[[Loop], None] | None = None
        """Called after every step, the last of an epoch closed; what it raises ends `run`."""
        self.watcher: Watch | None = None
        """Told the loss after every step (`gp.watch`)."""
        self.tests_each_epoch = True
        """Whether the test images are read after each epoch where no images are held out to validate."""
        self.called: nn.Module = self.net
        """What a step calls: the net, or DistributedDataParallel around it."""
        self.share = (0, 1)
        """(rank, ranks) of this process among those that train together: each makes its part of every batch."""
        self.gather: Gather = alone
        """Sums a tensor over those processes, into a new one."""
        self.collect: Callable[[Any], list[Any]] = lambda value: [value]
        """What each of those processes has, in all of them."""
        self.epoch = 1
        self._seen: Seen | None = None
        self._began: float | None = None  # when this epoch did, had it gone on without a break

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self.optimiser.sgd

    def watch(self, stem: nn.Module, head: nn.Module) -> None:
        """Tell the listener the ratio of gradient norms at the outputs of these two modules."""
        self.probe = StemOverHead(stem, head)

    def run(self, limit_steps: int | None = None) -> Outcome:
        """Train to the recipe's end, or until `limit_steps` steps (then without tests between epochs); stop at a loss
        that is not finite, or at Ctrl-C. May be called again to go on."""
        try:
            with own_randomness(self.device):
                while not self._done(limit_steps):
                    self._epoch(limit_steps)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        return self.outcome

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on: tensors (not copied), numbers, lists, in nested mappings."""
        return {
            "model": dict(self.net.state_dict()),
            "optimiser": self.optimiser.state(),
            "outcome": asdict(self.outcome),
            "epoch": self.epoch,
            "seconds": 0.0 if self._began is None else time.perf_counter() - self._began,
            "seen": None if self._seen is None else self._seen.state(),
            "best": self.best.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the `state()` of a loop of the same net, images, recipe, execution and seed."""
        self.net.load_state_dict(state["model"])
        self.optimiser.restore(state["optimiser"])
        epochs = [Epoch(**epoch) for epoch in state["outcome"]["epochs"]]
        self.outcome = Outcome(**(state["outcome"] | {"epochs": epochs, "interrupted": False}))
        self.epoch, self._seen = state["epoch"], None
        self.best.restore(state["best"])
        if state["seen"] is not None:
            self._began = time.perf_counter() - state["seconds"]
            self._seen = Seen(self.device, self._epoch_steps())
            self._seen.restore(state["seen"])

    def adopt(self) -> None:
        """Leave the net with the weights that are kept: those best on the images held out to validate, else the last
        (their moving average, if the recipe has one)."""
        self.optimiser.adopt()
        self.best.put_back(self.net)

    def _done(self, limit_steps: int | None) -> bool:
        """Whether all is done; an epoch whose steps are made but which was not closed is not."""
        limit = self.steps if limit_steps is None else min(limit_steps, self.steps)
        closed = self._seen is None or limit_steps is not None
        return self.outcome.diverged_at_step is not None or (self.outcome.steps >= limit and closed)

    def _epoch_steps(self) -> int:
        """Steps of the epoch that is under way: fewer where the recipe ends within it."""
        return min(self.steps_per_epoch, self.steps - (self.epoch - 1) * self.steps_per_epoch)

    def _order(self) -> Tensor:
        return self.batches.order(self.images.train_labels, self.batch_size, self.epoch)[: self._epoch_steps()]

    def _epoch(self, limit_steps: int | None) -> None:
        """One epoch, or the rest of one."""
        order = self._order()
        self._began = self._began or time.perf_counter()
        self._seen = seen = self._seen or Seen(self.device, len(order))
        self.net.train()
        for module in self.frozen:
            module.eval()
        announce(self.images, order[seen.count :], self.share)
        for index in order[seen.count :]:
            looking = self.outcome.steps % _REPORT_STEPS == 0
            seen.add(*self._step(index, looking))
            self.outcome.steps += 1
            stopped = self.outcome.steps == limit_steps
            if (looking or stopped or seen.count == len(order)) and self._report(seen):
                return
            if seen.count < len(order):
                self._after_step()
            if stopped:
                break
        if limit_steps is not None:
            self.outcome.losses[self.outcome.steps - seen.count :] = seen.losses()
        if seen.count == len(order):
            self._close_epoch(seen, limit_steps is None)
            self._after_step()

    def _step(self, index: Tensor, looking: bool) -> tuple[Tensor, Tensor]:
        """One optimiser step on the images of `index`. Returns the batch's mean loss, and its right answers."""
        step, (rank, ranks) = self.outcome.steps, self.share
        seed_net(self.seed, step, self.device, rank)
        with self._looking(looking):
            loss, right = self._passes(index, step)
        rate = learning_rate(self.recipe, step, self.steps, self.steps_per_epoch)
        if ranks > 1:
            loss, right = self.gather(torch.stack((loss, right.to(loss.dtype))))
        self.optimiser.step(rate, loss, step + 1, last=step + 1 == self.steps)
        if self.watcher is not None:
            self.watcher.step(loss)
        return loss, right.long()

    def _passes(self, index: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Forward and backward passes of this process's parts of a batch."""
        own = self.parts(len(index))
        losses, right = [], []
        for part in own:
            batch = self.batches.make(self.images, index, step, self.epoch, part)
            with nullcontext() if part is own[-1] else unsynchronised(self.called):
                with precision_context(self.execution.precision, self.device):
                    logits = self.called(batch.inputs).float()  # N classes
                loss = self.loss(logits, batch) / len(index)
                self.optimiser.backward(loss * self.share[1])  # the processes' gradients are averaged, not summed
            losses.append(loss.detach())
            right.append((logits.detach().argmax(1) == batch.labels).sum())
        return (losses[0], right[0]) if len(own) == 1 else (torch.stack(losses).sum(), torch.stack(right).sum())

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Summed cross-entropy of a part of a batch, in nats."""
        smoothing = self.recipe.label_smoothing
        own = F.cross_entropy(logits, batch.labels, label_smoothing=smoothing, reduction="sum")
        if batch.partners is None:
            return own
        others = F.cross_entropy(logits, batch.partners, label_smoothing=smoothing, reduction="sum")
        return batch.share * own + (1 - batch.share) * others

    def _looking(self, looking: bool) -> AbstractContextManager[None]:
        return self.probe.listening() if looking and self.probe is not None else nullcontext()

    def _after_step(self) -> None:
        if self.after_step is not None:
            self.after_step(self)

    def parts(self, count: int) -> list[slice]:
        """The parts of a batch of `count` images that this process makes."""
        return parts(count, self.recipe.accumulate, *self.share)

    def _report(self, seen: Seen) -> bool:
        """Tell the listener; returns whether the run has diverged."""
        losses = seen.losses()
        first = next((i for i, loss in enumerate(losses) if not abs(loss) < float("inf")), None)
        if first is not None:
            return self._diverged(len(losses) - first, bad_output(self, self._order()[first], first))
        self.outcome.skipped, row = self.optimiser.skipped()
        if row >= min(_SKIPS_IN_A_ROW, self.steps):
            last = len(losses) - 1
            return self._diverged(row, bad_gradient(self, self._order()[last], last))
        accuracy = seen.right() / (len(losses) * self.batch_size)
        ratio = None if self.probe is None else self.probe.value
        mean = sum(losses) / len(losses)
        self.listener(Progress(self.name, self.outcome.steps, self.steps, self.epoch, mean, accuracy, ratio))
        return False

    def _diverged(self, steps: int, place: str | None) -> bool:
        """Note that the run has not gone on for so many steps, and where that begins."""
        self.outcome.diverged_at_step = self.outcome.steps - steps + 1
        self.outcome.diverged_in = place
        return True

    def _close_epoch(self, seen: Seen, tested: bool) -> None:
        if tested:
            epoch = self._evaluated(seen)
            self.outcome.epochs.append(epoch)
        self.epoch, self._seen, self._began = self.epoch + 1, None, None
        if tested:
            self.listener(EpochDone(self.name, self.epoch - 1, epoch))

    def _evaluated(self, seen: Seen) -> Epoch:
        """The epoch's means; accuracy on the images held out of training, or on the test images where none are."""
        losses, right = seen.losses(), seen.right()
        with self.optimiser.evaluated():
            validated = validation_accuracy(self.net, self.images, self.batches, self.share, self.gather)
            if validated is not None:
                self.best.look(self.net, self.epoch, validated)
            reads = validated is None and self.tests_each_epoch
            tested = accuracy(self.net, self.images, self.batches, self.share, self.gather) if reads else None
        return Epoch(
            train_loss=sum(losses) / len(losses),
            train_accuracy=right / (len(losses) * self.batch_size),
            test_accuracy=tested,
            validation_accuracy=validated,
            seconds=time.perf_counter() - (self._began or 0.0),
        )


def parts(count: int, accumulate: int, rank: int = 0, ranks: int = 1) -> list[slice]:
    """The parts of a batch of `count` images that one of `ranks` processes makes, one after the other."""
    edges = [i * count // (accumulate * ranks) for i in range(accumulate * rank, accumulate * (rank + 1) + 1)]
    return [slice(*edge) for edge in pairwise(edges) if edge[0] < edge[1]]


def announce(images: Images, order: Tensor, share: tuple[int, int]) -> None:
    """Tell images that are read on demand (they have a method `prefetch`) what will be asked for: steps × batch."""
    prefetch = getattr(images.train_images, "prefetch", None)
    if prefetch is not None:
        size, (rank, ranks) = order.shape[1], share
        prefetch(order[:, rank * size // ranks : (rank + 1) * size // ranks])
