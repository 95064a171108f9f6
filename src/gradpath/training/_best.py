"""The weights of the epoch that is best on the images held out to validate."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Best:
    """Keeps a copy, in the computer's memory, of the best weights so far. Of equally good epochs the later counts: it
    was trained for longer."""

    def __init__(self) -> None:
        self.epoch: int | None = None
        """From 1."""
        self.accuracy = -1.0
        self._weights: dict[str, Tensor] = {}

    def look(self, net: nn.Module, epoch: int, accuracy: float) -> None:
        """Take the net's weights and buffers where they are the best yet, and finite: a net of NaN calls every image
        the first class, and is right by chance."""
        if accuracy < self.accuracy:
            return
        weights = {key: tensor.detach().to("cpu", copy=True) for key, tensor in net.state_dict().items()}
        if all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            self.epoch, self.accuracy, self._weights = epoch, accuracy, weights

    def put_back(self, net: nn.Module) -> None:
        """Fill the net with the best weights; as it is where no epoch was looked at."""
        if self.epoch is not None:
            net.load_state_dict(self._weights)

    def rescued(self) -> tuple[str, ...]:
        """What there is to say of the best weights where the run diverged after them; nothing where there are none."""
        if self.epoch is None:
            return ()
        return (f"the weights kept are those of epoch {self.epoch}, from before it diverged; they were not tested",)

    def state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self.accuracy, "weights": self._weights}

    def restore(self, state: dict[str, Any]) -> None:
        self.epoch, self.accuracy, self._weights = state["epoch"], state["accuracy"], dict(state["weights"])
