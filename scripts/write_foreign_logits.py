"""Record what other libraries' own code answers, for the tests of foreign weights.

    python scripts/write_foreign_logits.py FOLDER

Every net gets weights by a formula (tests/nets/arithmetic_weights.py); its names, shapes and logits go to
tests/nets/foreign_logits.json. torchvision and timm must be importable. FOLDER holds the authors' model files:

    akamaster.py          akamaster/pytorch_resnet_cifar10     resnet.py            4e4f8da1
    kuangliu_resnet.py    kuangliu/pytorch-cifar               models/resnet.py     0acfbc16
    kuangliu_densenet.py  kuangliu/pytorch-cifar               models/densenet.py   64fe317a
    gpleiss.py            gpleiss/efficient_densenet_pytorch   models/densenet.py   cdb4366d
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "tests"), str(ROOT / "tests/nets")]
arithmetic, foreign_nets, libraries = map(
    importlib.import_module, ("arithmetic_weights", "foreign_nets", "sweep.libraries")
)
TARGET = ROOT / "tests/nets/foreign_logits.json"


def builders() -> dict[tuple[str, str], Callable[[], nn.Module]]:
    """(library, name) → the net of ten classes, as the library's own code builds it."""
    models, timm = libraries.load_torchvision().models, libraries.load("timm")
    v2: Any = libraries.load("timm.models.resnetv2")
    akamaster, residual, dense, gpleiss = map(
        importlib.import_module, ("akamaster", "kuangliu_resnet", "kuangliu_densenet", "gpleiss")
    )
    norm = libraries.load("timm.layers").BatchNormAct2d
    conv = libraries.load("timm.layers").create_conv2d
    bottleneck, tiny = models.resnet.Bottleneck, [1, 1, 1, 1]
    named = {
        ("torchvision", name): lambda name=name: getattr(models, name)(num_classes=10)
        for name in ("resnet18", "resnet50", "wide_resnet50_2", "resnext50_32x4d", "densenet121")
    }
    return named | {
        ("torchvision", "tiny resnext"): lambda: models.ResNet(
            bottleneck, tiny, num_classes=10, groups=4, width_per_group=2
        ),
        ("torchvision", "tiny densenet"): lambda: models.DenseNet(8, (2, 1, 1, 2), 10, num_classes=10),
        ("timm", "resnetv2_50"): lambda: timm.create_model("resnetv2_50", num_classes=10),
        ("timm", "tiny resnetv2"): lambda: v2.ResNetV2(tiny, num_classes=10, conv_layer=conv, norm_layer=norm),
        ("akamaster", "resnet20"): lambda: akamaster.ResNet(akamaster.BasicBlock, [3, 3, 3]),
        ("kuangliu", "resnet18"): lambda: residual.ResNet(residual.BasicBlock, [2, 2, 2, 2]),
        ("kuangliu", "tiny densenet"): lambda: dense.DenseNet(dense.Bottleneck, [2, 1, 1, 2], growth_rate=8),
        ("gpleiss", "tiny densenet"): lambda: gpleiss.DenseNet(8, (2, 2, 2), num_init_features=10),
        ("gpleiss", "tiny large densenet"): lambda: gpleiss.DenseNet(
            8, (2, 1, 1, 2), num_init_features=10, small_inputs=False
        ),
    }


def answer(net: nn.Module, size: int) -> dict[str, Any]:
    """Names and shapes as a digest, and the logits of two images."""
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    net.load_state_dict(arithmetic.state(shapes))
    with torch.no_grad():
        logits = net.eval()(arithmetic.image(size))
    return {"entries": len(shapes), "digest": arithmetic.digest(shapes), "logits": logits.tolist()}


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    makers = builders()
    nets = {
        f"{net.library}, {net.theirs}": answer(makers[net.library, net.theirs](), net.size) for net in foreign_nets.NETS
    }
    versions = {name: sys.modules[name].__version__ for name in ("torch", "torchvision", "timm")}
    TARGET.write_text(json.dumps({"versions": versions, "nets": nets}, indent=1) + "\n", encoding="utf-8")
    print(TARGET)


if __name__ == "__main__":
    main()
