"""How a torchvision wheel that was made for CUDA is imported beside CPU-only torch: for tests and benchmarks."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import torch

_MISSING: list[torch.library.Library] = []  # definitions live as long as their library


def load(name: str) -> ModuleType:
    """Import a module without what it warns of. Raises ImportError where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def load_torchvision() -> ModuleType:
    """torchvision, two of its operators defined where its own library lacks them."""
    try:
        return load("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _MISSING.append(library)
        return load("torchvision")
