"""A ResNet-110 at initialisation and after some steps of plain SGD: what the benchmarks of `gp.paths` are run on."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.training._batches import Batches
from gradpath.training._data import Images, load_images

BATCH_SIZE, LEARNING_RATE, MOMENTUM = 64, 0.05, 0.9


class Trainee:
    """A net that can be trained further. SGD, batches of 64, learning rate 0.05, momentum 0.9, nothing else."""

    def __init__(self, name: str, data: str | None, **overrides: Any) -> None:
        torch.manual_seed(0)
        self.images: Images = load_images(data)
        info = self.images.info
        self.net: nn.Module = gp.build(
            name, input_channels=info.channels, input_size=info.image_size, classes=len(info.classes), **overrides
        )
        self.steps = self._epochs = 0
        self.loss = float("nan")
        self._batches = Batches(info, torch.device("cpu"), torch.contiguous_format, seed=0)
        self._optimizer = torch.optim.SGD(self.net.parameters(), LEARNING_RATE, MOMENTUM)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """The first images of the test set."""
        return self._batches.normalise(self.images.test_images[:size]), self.images.test_labels[:size]

    def train_until(self, steps: int) -> Trainee:
        """Train until so many steps are done in all; `loss` is the mean over the last ten of them."""
        last: list[float] = []
        while self.steps < steps:
            self._epochs += 1
            for index in self._batches.order(len(self.images.train_images), BATCH_SIZE, self._epochs):
                inputs = self._batches.normalise(self.images.train_images[index])
                loss = F.cross_entropy(self.net(inputs), self.images.train_labels[index])
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
                last = [*last[-9:], float(loss.detach())]
                self.steps += 1
                if self.steps == steps:
                    break
        self.loss = sum(last) / len(last) if last else self.loss
        return self
