"""Recipes by name: those of the papers as they were published, and ours. Data sets of other sizes keep the lengths in
epochs, or in steps where the paper counts these."""

from __future__ import annotations

import difflib
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gradpath.errors import UserError
from gradpath.record import Recipe

_FB_RESNET = "github.com/facebook/fb.resnet.torch (train.lua, datasets/cifar10.lua)"
_LAST_BATCH = "The last images of an epoch that fill no batch are left for another; the paper does not say."

DEFAULT = Recipe(
    name="default",
    epochs=10,
    batch_size=128,
    learning_rate=0.1,
    augment="crop-flip",
    source="gradpath's own: what `gradpath train` does unless told otherwise",
)

_HE2015 = Recipe(
    name="he2015",
    epochs=164,
    steps=64_000,
    batch_size=128,
    learning_rate=0.1,
    schedule="step",
    milestones=(32_000, 48_000),
    count_in="steps",
    nesterov=False,
    weight_decay=1e-4,
    augment="crop-flip",
    crop_fill="mean",
    pixel_mean=True,
    source="He, Zhang, Ren, Sun 2015, Deep residual learning for image recognition, arXiv:1512.03385, section 4.2",
    notes=(
        "The paper trains on 45,000 images of CIFAR-10 (182 epochs) and keeps 5,000 for validation; on all 50,000 "
        "its 64,000 steps are 164 epochs.",
        "ResNet-110 starts at a rate of 0.01 until the training error is below 80 %, about 400 steps: "
        "--warmup 400 --warmup-factor 0.1 --warmup-shape constant.",
        "The paper subtracts the per-pixel mean and does not say whether it scales: here the channel's standard "
        "deviation divides, which BatchNorm behind the stem undoes.",
        "Padding is by zeros after the mean was subtracted in the authors' later code; here it is the mean colour, and "
        "the mean image is subtracted from the crop, wherever in the image that lies.",
        "Momentum is 0.9; Nesterov's form is not mentioned.",
        _LAST_BATCH,
    ),
)

_HE2016 = replace(
    _HE2015,
    name="he2016",
    warmup=400,
    warmup_factor=0.1,
    warmup_shape="constant",
    nesterov=True,
    pixel_mean=False,
    source="He, Zhang, Ren, Sun 2016, Identity mappings in deep residual networks, arXiv:1603.05027, section 3 and "
    "appendix; github.com/KaimingHe/resnet-1k-layers",
    notes=(
        "The 4.62 % of the net of 1,001 layers is with a batch of 64 (--batch-size 64); with 128 it is 4.92 %.",
        f"Nesterov's momentum and normalisation by channel are the code's, which builds on {_FB_RESNET}; the paper "
        "names neither. The code's own schedule is 200 epochs, the paper's is kept here.",
        "Padding is by zeros after normalisation, as in the code: the mean colour.",
        _LAST_BATCH,
    ),
)

_STOCHASTIC_DEPTH = Recipe(
    name="stochastic-depth",
    epochs=500,
    batch_size=128,
    learning_rate=0.1,
    schedule="step",
    milestones=(250, 375),
    weight_decay=1e-4,
    augment="crop-flip",
    crop_fill="mean",
    source="Huang, Sun, Liu, Sedra, Weinberger 2016, Deep networks with stochastic depth, arXiv:1603.09382, section 4; "
    "github.com/yueatsprograms/Stochastic_Depth",
    notes=(
        "The survival probability of the last block, 0.5, belongs to the net.",
        "SVHN: 50 epochs, the rate divided at 30 and 35, no augmentation: "
        "--epochs 50 --milestones 30,35 --augment none.",
        "The paper reports the test error of the epoch that is best on 5,000 images held out.",
        "Where zeros are padded, before or after normalisation, is not told: here after it, the mean colour.",
    ),
)

_WRN = Recipe(
    name="wrn",
    epochs=200,
    batch_size=128,
    learning_rate=0.1,
    schedule="step",
    milestones=(60, 120, 160),
    decay_factor=0.2,
    weight_decay=5e-4,
    augment="crop-flip",
    crop_fill="reflect",
    source="Zagoruyko, Komodakis 2016, Wide residual networks, arXiv:1605.07146, section 3; "
    "github.com/szagoruyko/wide-residual-networks",
    notes=(
        "SVHN: 160 epochs from a rate of 0.01, divided by 10 at 80 and 120, no augmentation, dropout 0.4 in the net: "
        "--epochs 160 --learning-rate 0.01 --milestones 80,120 --decay-factor 0.1 --augment none.",
        "Dropout (0.3 for WRN-28-10 on CIFAR) belongs to the net.",
    ),
)

_DENSENET = Recipe(
    name="densenet",
    epochs=300,
    batch_size=64,
    learning_rate=0.1,
    schedule="step",
    milestones=(150, 225),
    weight_decay=1e-4,
    augment="crop-flip",
    crop_fill="mean",
    source="Huang, Liu, van der Maaten, Weinberger 2017, Densely connected convolutional networks, arXiv:1608.06993, "
    "section 4.2; github.com/liuzhuang13/DenseNet",
    notes=(
        "SVHN: 40 epochs (--epochs 40; the rate then falls at 20 and 30), no augmentation, pixels divided by 255.",
        "Without augmentation the net has dropout 0.2 after every convolution but the first.",
        "4.5 % for DenseNet-BC-100 needs weight decay on norms and biases too, as here "
        "(github.com/liuzhuang13/DenseNet, issue 15).",
        f"Padding is by zeros after normalisation, as in the code, which builds on {_FB_RESNET}: the mean colour.",
    ),
)

_IMAGENET_90 = Recipe(
    name="imagenet-90",
    epochs=90,
    batch_size=256,
    learning_rate=0.1,
    schedule="step",
    milestones=(30, 60),
    nesterov=False,
    weight_decay=1e-4,
    augment="resized-crop-flip",
    crop_size=224,
    source="torchvision, references/classification (the recipe of its first weights), and pytorch/examples, imagenet; "
    "after He et al. 2015, section 3.4",
    notes=(
        "Photos are kept at 256 px (--image-size 256); evaluation takes their middle 224.",
        "Where torchvision draws a crop's box anew because it does not fit, here it is cut to the image.",
        "He et al. crop 224 px from a photo scaled to 256 to 480, subtract the per-pixel mean and alter colours; "
        f"{_FB_RESNET} has Nesterov's momentum, colour jitter and lighting noise as well.",
        "DenseNet-161 was trained with batches of 128, 100 epochs, and one more division at 90.",
    ),
)

_FAST = Recipe(
    name="fast",
    epochs=10,
    batch_size=64,
    learning_rate=0.15,
    schedule="one-cycle",
    peak_at=0.2,
    start_factor=0.1,
    weight_decay=5e-4,
    weight_decay_on="weights",
    augment="flip",
    flip="alternating",
    label_smoothing=0.1,
    lookahead=5,
    source="gradpath's own, for small images in few epochs; alternating flip and lookahead as in "
    "github.com/KellerJordan/cifar10-airbench (Jordan 2024, arXiv:2404.00498)",
    notes=(
        "Images lie on the device as bytes and are augmented there, whatever the recipe.",
        "Flips alone: in so few epochs a small net has not yet learnt the images as they are. With more of either, "
        "--augment crop-flip.",
    ),
)

_FINETUNE = Recipe(
    name="finetune",
    epochs=10,
    batch_size=64,
    learning_rate=0.01,
    head_learning_rate=0.1,
    schedule="cosine",
    warmup=1,
    weight_decay=1e-4,
    weight_decay_on="weights",
    augment="resized-crop-flip",
    crop_area=0.35,
    label_smoothing=0.1,
    source="gradpath's own, for photos and weights to start from (--weights)",
    notes=("The classifier is new and learns ten times as fast as the rest.",),
)

_ALL = (DEFAULT, _FAST, _FINETUNE, _HE2015, _HE2016, _STOCHASTIC_DEPTH, _WRN, _DENSENET, _IMAGENET_90)
RECIPES = MappingProxyType({recipe.name: recipe for recipe in _ALL})
"""Name → recipe."""
_LENGTH = ("epochs", "steps")


def recipe(name: str, **changes: Any) -> Recipe:
    """A recipe by name, with some of its fields changed (see `changed`). Raises UserError for an unknown name."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name.lower(), RECIPES, 1)
        there = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(RECIPES)}"
        raise UserError(f"no recipe {name!r}; {there}")
    return changed(RECIPES[name], **changes)


def changed(base: Recipe, **changes: Any) -> Recipe:
    """A recipe with some fields changed; with a new length (`epochs` or `steps`), milestones and warm-up keep their
    place in it unless they are given as well. Raises UserError for what is no field, or cannot train."""
    unknown = sorted(set(changes) - set(base.to_dict()))
    if unknown:
        near = difflib.get_close_matches(unknown[0], base.to_dict(), 1)
        raise UserError(f"a recipe has no field {unknown[0]!r}" + (f": did you mean {near[0]!r}?" if near else ""))
    stretched = _stretched(base, changes) if any(field in changes for field in _LENGTH) else {}
    return replace(base, **(stretched | changes))


def _stretched(base: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """What else changes with a recipe's length. A new number of epochs takes the place of one of steps."""
    steps = changes.get("steps")
    unit = "epochs" if steps is None else "steps"
    length: float = changes.get("epochs", base.epochs) if steps is None else steps
    fields: dict[str, Any] = {"steps": steps, "count_in": unit}
    old = base.steps if base.count_in == "steps" else base.epochs
    if (old, base.count_in) == (length, unit) or not (base.milestones or base.warmup):
        return fields
    if old is None:
        raise UserError("milestones in steps have no place in another number of epochs: give milestones and count_in")
    scale, counted = length / old, f"{old:,} {base.count_in}"
    fields |= {"milestones": tuple(at * scale for at in base.milestones), "warmup": base.warmup * scale}
    note = f"Its length was {counted}; milestones and warm-up were scaled with it."
    return fields | {"notes": (*base.notes, note)}
