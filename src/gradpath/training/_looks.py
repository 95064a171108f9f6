"""The gradient of a net before its training and after it."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.errors import GradpathError, first_line
from gradpath.flow import trace
from gradpath.record import Flow, GradientHistory, RunRecord
from gradpath.training._data import Images
from gradpath.training._loop import Loop
from gradpath.training._planning import probe_images

_IMAGES = 32  # traced before and after training (fewer where the memory is small)


class Looks:
    """Traces the same images before and after, and sets the loop's probe on the first and the last weighted layer."""

    def __init__(
        self, net: nn.Module, images: Images, loop: Loop, record: RunRecord, reads_test: bool, looks: bool = True
    ) -> None:
        """looks: False in all processes of a run but the first, which looks for them."""
        self.net, self.loop = net, loop
        self.notes: tuple[str, ...] = ()
        self.initial: Flow | None = None
        count = probe_images(record.plan, record.recipe, _IMAGES)
        shown, labels = _shown(images, reads_test)
        self._images, self._labels = shown[:count], labels[:count]
        if record.recipe.freeze or not looks:  # no gradient reaches the layers that do not learn
            return
        try:
            self.initial = self._look()
        except GradpathError as error:
            self.notes = (f"the gradient was not traced: {first_line(error)}",)
            return
        weighted = [layer.scope for layer in self.initial.layers if layer.weighted]
        loop.watch(net.get_submodule(weighted[0]), net.get_submodule(weighted[-1]))

    def history(self) -> GradientHistory | None:
        """What was seen, the second look taken now where the training came to its end.

        Weights whose loss is not finite are noted in the loop's outcome, as is Ctrl-C.
        """
        if self.initial is None:
            return None
        outcome = self.loop.outcome
        if outcome.diverged_at_step is not None or outcome.interrupted:
            return GradientHistory(initial=self.initial)
        try:
            final: Flow | None = self._look()
        except KeyboardInterrupt:  # the training itself is done, and kept
            outcome.interrupted, final = True, None
        except GradpathError as error:
            self.notes, final = (f"the gradient after training was not traced: {first_line(error)}",), None
        if final is not None and not math.isfinite(final.loss):
            outcome.diverged_at_step, final = outcome.steps + 1, None
        return GradientHistory(initial=self.initial, final=final)

    def _look(self) -> Flow:
        """Trace in float32 and train mode: what a training step would see."""
        self.net.train()
        return trace(self.net, (self.loop.batches.normalise(self._images), self._labels), F.cross_entropy)


def _shown(images: Images, reads_test: bool) -> tuple[Tensor, Tensor]:
    """Test images where these are read anyway, else those held out, else the first of the training images."""
    if reads_test:
        return images.test_images, images.test_labels
    if images.validation_images is not None and images.validation_labels is not None:
        return images.validation_images, images.validation_labels
    return images.train_images, images.train_labels
