"""What a loop counts on the way: losses and right answers of an epoch, right answers on images it does not train on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradpath.training._batches import Batches
from gradpath.training._data import Images

Gather = Callable[[Tensor], Tensor]


def alone(tensor: Tensor) -> Tensor:
    """What a process sees is all there is."""
    return tensor


class Seen:
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
        """One for each step."""
        return [float(loss) for loss in self._losses[: self.count].tolist()]

    def right(self) -> int:
        return int(self._right)

    def state(self) -> dict[str, Any]:
        return {"losses": self._losses[: self.count].clone(), "right": self._right.clone()}

    def restore(self, state: dict[str, Any]) -> None:
        self.count = len(state["losses"])
        self._losses[: self.count] = state["losses"].to(self._losses.device)
        self._right.copy_(state["right"])


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


def accuracy(
    net: nn.Module, images: Images, batches: Batches, share: tuple[int, int] = (0, 1), gather: Gather = alone
) -> float:
    """Fraction of the test images classified right, in float32."""
    return _fraction_right(net, images.test_images, images.test_labels, batches, share, gather)


def validation_accuracy(
    net: nn.Module, images: Images, batches: Batches, share: tuple[int, int] = (0, 1), gather: Gather = alone
) -> float | None:
    """Fraction of the images held out that are classified right, in float32; None where there are none."""
    if images.validation_images is None or images.validation_labels is None:
        return None
    return _fraction_right(net, images.validation_images, images.validation_labels, batches, share, gather)


def _fraction_right(
    net: nn.Module, images: Tensor, labels: Tensor, batches: Batches, share: tuple[int, int], gather: Gather
) -> float:
    """`share`: (rank, ranks) of this process among those that classify a part of the images each."""
    rank, ranks = share
    own = slice(rank * len(labels) // ranks, (rank + 1) * len(labels) // ranks)
    if ranks > 1:
        _align(net, rank, gather)
    right = right_answers(net, images[own], labels[own], batches) if own.start < own.stop else 0
    return int(gather(torch.tensor(right, device=labels.device))) / len(labels)


@torch.no_grad()
def _align(net: nn.Module, rank: int, gather: Gather) -> None:
    """Give every process the first one's running statistics: those that will be kept."""
    for buffer in net.buffers():
        buffer.copy_(gather(buffer if rank == 0 else torch.zeros_like(buffer)))
