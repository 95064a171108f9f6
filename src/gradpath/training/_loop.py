"""The training loop, top to bottom."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.flow import StemOverHead
from gradpath.record import Epoch, Execution, Recipe
from gradpath.training._batches import Batches, learning_rate
from gradpath.training._data import Images
from gradpath.training._events import EpochDone, Listener, Progress
from gradpath.training._machine import memory_format, precision_context

_REPORT_STEPS = 10  # losses stay on the device and are read this often; the stem is looked at as often


@dataclass
class Outcome:
    """What the loop saw; filled as it goes, so that an interruption loses nothing."""

    epochs: list[Epoch] = field(default_factory=list)
    steps: int = 0
    diverged_at_step: int | None = None
    interrupted: bool = False
    losses: list[float] = field(default_factory=list)


class Loop:
    """Trains one net by one recipe on images that lie on the net's device."""

    def __init__(
        self,
        net: nn.Module,
        images: Images,
        recipe: Recipe,
        execution: Execution,
        seed: int,
        listener: Listener,
        name: str,
    ) -> None:
        self.device = images.train_images.device
        self.layout = memory_format(execution.layout)
        self.net = net.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        self.images, self.recipe, self.execution = images, recipe, execution
        self.listener, self.name = listener, name
        self.batches = Batches(images.info, self.device, self.layout, seed)
        self.optimizer = torch.optim.SGD(
            net.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
        self.batch_size = min(recipe.batch_size, images.info.train_images)
        self.steps_per_epoch = images.info.train_images // self.batch_size
        self.steps = self.steps_per_epoch * recipe.epochs
        self.outcome = Outcome()
        self.probe: StemOverHead | None = None

    def watch(self, stem: nn.Module, head: nn.Module) -> None:
        """Tell the listener the ratio of gradient norms at the outputs of these two modules."""
        self.probe = StemOverHead(stem, head)

    def run(self, limit_steps: int | None = None) -> Outcome:
        """Train for all epochs, or until `limit_steps` steps (then without tests between epochs); stop at a loss that
        is not finite, or at Ctrl-C."""
        try:
            for number in range(1, self.recipe.epochs + 1):
                if not self._epoch(number, limit_steps):
                    break
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        return self.outcome

    def _epoch(self, number: int, limit_steps: int | None) -> bool:
        """One epoch. Returns whether to go on."""
        begin = time.perf_counter()
        self.net.train()
        seen = _Seen(self.device, self.steps_per_epoch)
        done = False
        for index in self.batches.order(self.images.info.train_images, self.batch_size):
            looking = self.outcome.steps % _REPORT_STEPS == 0
            seen.add(*self._step(index.to(self.device), looking))
            self.outcome.steps += 1
            done = self.outcome.steps == limit_steps
            if (looking or done or seen.count == self.steps_per_epoch) and self._report(number, seen):
                return False
            if done:
                break
        self.outcome.losses += seen.losses()
        if limit_steps is None:
            self._close_epoch(number, seen, time.perf_counter() - begin)
        return not done

    def _step(self, index: Tensor, looking: bool) -> tuple[Tensor, Tensor]:
        """One optimiser step on the images of `index`. Returns the loss and the number of right answers."""
        images = self.batches.augment(self.images.train_images[index], self.recipe.augment)
        inputs, labels = self.batches.normalise(images), self.images.train_labels[index]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.outcome.steps, self.steps)
        with self._looking(looking):
            with precision_context(self.execution.precision, self.device):
                logits = self.net(inputs).float()  # N classes
            loss = F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def _looking(self, looking: bool) -> AbstractContextManager[None]:
        return self.probe.listening() if looking and self.probe is not None else nullcontext()

    def _report(self, number: int, seen: _Seen) -> bool:
        """Tell the listener; returns whether the run has diverged."""
        losses = seen.losses()
        first = next((i for i, loss in enumerate(losses) if not abs(loss) < float("inf")), None)
        if first is not None:
            self.outcome.diverged_at_step = self.outcome.steps - len(losses) + first + 1
            return True
        accuracy = seen.right() / (len(losses) * self.batch_size)
        ratio = None if self.probe is None else self.probe.value
        mean = sum(losses) / len(losses)
        self.listener(Progress(self.name, self.outcome.steps, self.steps, number, mean, accuracy, ratio))
        return False

    def _close_epoch(self, number: int, seen: _Seen, seconds: float) -> None:
        losses = seen.losses()
        epoch = Epoch(
            train_loss=sum(losses) / len(losses),
            train_accuracy=seen.right() / (len(losses) * self.batch_size),
            test_accuracy=accuracy(self.net, self.images, self.batches),
            seconds=seconds,
        )
        self.outcome.epochs.append(epoch)
        self.listener(EpochDone(self.name, number, epoch))


class _Seen:
    """Losses and right answers of one epoch, kept on the device so that a step waits for nothing."""

    def __init__(self, device: torch.device, steps: int) -> None:
        self._losses = torch.zeros(steps, device=device)
        self._right = torch.zeros((), dtype=torch.int64, device=device)
        self.count = 0

    def add(self, loss: Tensor, right: Tensor) -> None:
        self._losses[self.count] = loss
        self._right += right
        self.count += 1

    def losses(self) -> list[float]:
        return [float(loss) for loss in self._losses[: self.count].tolist()]

    def right(self) -> int:
        return int(self._right)


def right_answers(net: nn.Module, images: Tensor, labels: Tensor, batches: Batches, batch_size: int = 250) -> int:
    """How many of the images the net classifies right, in eval mode and the precision it is in; mode left as found."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            pairs = zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
            return sum(int((net(batches.normalise(x)).argmax(1) == y).sum()) for x, y in pairs)
    finally:
        for module, training in modes:
            module.training = training


def accuracy(net: nn.Module, images: Images, batches: Batches) -> float:
    """Fraction of the test images classified right, in float32."""
    return right_answers(net, images.test_images, images.test_labels, batches) / images.info.test_images
