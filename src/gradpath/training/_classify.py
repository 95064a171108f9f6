"""Images classified once, and counted class by class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradpath.errors import DataError
from gradpath.record import MOST_CLASSES, DataInfo, Evaluation
from gradpath.training import _augment as augment
from gradpath.training._batches import Batches

_BATCH = 250


def predictions(net: nn.Module, images: Tensor, batches: Batches) -> Tensor:
    """The class that the net calls each image (N), in eval mode and the precision it is in; modes left as found."""
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        with torch.no_grad():
            parts = [images[i : i + _BATCH] for i in range(0, len(images), _BATCH)]
            seen = (augment.centre(part, batches.recipe.crop_size) for part in parts)
            return torch.cat([net(batches.normalise(part)).argmax(1) for part in seen])
    finally:
        for module, training in modes:
            module.training = training


def counted(called: Tensor, labels: Tensor, info: DataInfo, *, name: str, precision: str = "float32") -> Evaluation:
    """What was called what, as a record. called, labels: N."""
    classes = len(info.classes)
    if not len(labels):
        raise DataError(f"{info.name}: has no images to test on")
    known = called.clamp(max=classes)  # a net may have more classes than the images
    table = torch.bincount(labels * (classes + 1) + known, minlength=classes * (classes + 1)).view(classes, -1)
    right = table.diagonal()
    shown = table if bool(table[:, classes].any()) else table[:, :classes]
    return Evaluation(
        name=name,
        data=info.name,
        right=int(right.sum()),
        images=len(labels),
        classes=info.classes,
        class_images=tuple(table.sum(1).tolist()),
        class_right=tuple(right.tolist()),
        confusion=tuple(map(tuple, shown.tolist())) if classes <= MOST_CLASSES else (),
        precision=precision,
    )
