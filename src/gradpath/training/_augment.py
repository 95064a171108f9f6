"""What is done to a batch of images at random, as functions of what was drawn. No randomness of their own."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gradpath.record import Fill

_SHAPES = (math.log(3 / 4), math.log(4 / 3))  # of a resized crop: width over height (Szegedy et al. 2015)


def flip(images: Tensor, which: Tensor) -> Tensor:
    """N C H W → the same, those of `which` (bool, N) mirrored left to right."""
    return torch.where(which.view(-1, 1, 1, 1), images.flip(3), images)


def padded(images: Tensor, padding: int, fill: Fill, mean: Tensor) -> Tensor:
    """uint8 N C H W → the same with `padding` pixels on each side; `mean`: the colour of 'mean', 0..255, 1 C 1 1."""
    if fill == "reflect":
        rows, columns = (_reflected(side, padding, images.device) for side in images.shape[2:])
        return images[:, :, rows[:, None], columns]
    out = F.pad(images, (padding,) * 4)
    if fill == "mean":
        inside = F.pad(torch.ones_like(images[:1, :1]), (padding,) * 4).bool()  # 1 1 H W
        out = torch.where(inside, out, mean.round().to(images.dtype))
    return out


def _reflected(side: int, padding: int, device: torch.device) -> Tensor:
    """Index of each row of the padded image: its edge is not repeated."""
    places = torch.arange(-padding, side + padding, device=device).abs()
    return torch.where(places < side, places, 2 * (side - 1) - places)


def crop(images: Tensor, shifts: Tensor, height: int, width: int) -> Tensor:
    """N C H W → N C height width, cut out at `shifts` (2 N: rows, columns from the upper left)."""
    places = images.unfold(2, height, 1).unfold(3, width, 1)  # N C rows columns height width: a view, whole rows copied
    return places[torch.arange(len(images), device=images.device), :, shifts[0], shifts[1]]


def boxes(uniform: Tensor, least_area: float) -> Tensor:
    """Boxes of resized crops from uniform draws. 4 N → 4 N: centre x and y, half width, half height, in −1..1.

    Area uniform from `least_area` of the image to all of it, log of width over height uniform within 3/4..4/3, place
    uniform (Szegedy et al. 2015). Where torchvision draws anew because a box is too wide or too high, this cuts it to
    the image: one draw each, so that a batch is a fixed number of draws.
    """
    area = least_area + (1 - least_area) * uniform[0]
    shape = torch.exp(_SHAPES[0] + (_SHAPES[1] - _SHAPES[0]) * uniform[1])
    half_width, half_height = (area * shape).sqrt().clamp(max=1), (area / shape).sqrt().clamp(max=1)
    x, y = (2 * uniform[2] - 1) * (1 - half_width), (2 * uniform[3] - 1) * (1 - half_height)
    return torch.stack((x, y, half_width, half_height))


def resized_crop(images: Tensor, box: Tensor, size: int) -> Tensor:
    """uint8 N C H W → uint8 N C size size: each image's `box` (4 N, as `boxes` gives them), bilinear.

    Without a low-pass filter: meant for photos kept at no more than about twice `size`.
    """
    x, y, half_width, half_height = box
    zero = torch.zeros_like(x)
    rows = (torch.stack((half_width, zero, x), 1), torch.stack((zero, half_height, y), 1))
    grid = F.affine_grid(torch.stack(rows, 1), [len(images), 1, size, size], align_corners=False)  # N size size 2
    sampled = F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)
    return sampled.round_().clamp_(0, 255).to(images.dtype)


def centre(images: Tensor, size: int | None) -> Tensor:
    """N C H W → N C size size, from the middle; as they are where `size` is None or not smaller."""
    height, width = images.shape[2:]
    if size is None or size >= min(height, width):
        return images
    top, left = (height - size) // 2, (width - size) // 2
    return images[:, :, top : top + size, left : left + size]
