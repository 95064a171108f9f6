"""Nets that other libraries build too: how ours are built, and what of theirs the frozen logits are of."""

from __future__ import annotations

from typing import Any, NamedTuple


class Foreign(NamedTuple):
    library: str
    theirs: str
    """What their code is called with."""
    ours: str
    overrides: dict[str, Any] = {}  # noqa: RUF012
    size: int = 64
    slow: bool = False


STAGES = {"blocks": (1, 1, 1, 1), "classes": 10}
TINY_RESNEXT = STAGES | {"depth": 14, "groups": 4, "group_width": 2}
TINY_DENSE = {"blocks": (2, 1, 1, 2), "depth": 17, "growth_rate": 8, "width": 10, "classes": 10}

NETS = (
    Foreign("torchvision", "tiny resnext", "resnet-50", TINY_RESNEXT),
    Foreign("torchvision", "tiny densenet", "densenet-121", TINY_DENSE),
    Foreign("timm", "tiny resnetv2", "resnetv2-50", STAGES | {"depth": 14}, 32),
    Foreign("akamaster", "resnet20", "resnet-20", {"padding": "both"}, 32),
    Foreign("kuangliu", "tiny densenet", "densenet-121",
            TINY_DENSE | {"stem": "cifar", "input_size": 32, "width": 16, "concat": "prepend"}, 32),
    Foreign("gpleiss", "tiny densenet", "densenet-bc-16-8", {"width": 10}, 32),
    Foreign("gpleiss", "tiny large densenet", "densenet-121", TINY_DENSE),
    Foreign("kuangliu", "resnet18", "resnet-18", {"stem": "cifar", "classes": 10, "input_size": 32}, 32, slow=True),
    Foreign("torchvision", "resnet18", "resnet-18", {"classes": 10}, slow=True),
    Foreign("torchvision", "resnet50", "resnet-50", {"classes": 10}, slow=True),
    Foreign("torchvision", "wide_resnet50_2", "wide-resnet-50-2", {"classes": 10}, slow=True),
    Foreign("torchvision", "resnext50_32x4d", "resnext-50-32x4d", {"classes": 10}, slow=True),
    Foreign("torchvision", "densenet121", "densenet-121", {"classes": 10}, slow=True),
    Foreign("timm", "resnetv2_50", "resnetv2-50", {"classes": 10}, slow=True),
)  # fmt: skip
