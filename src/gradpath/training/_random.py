"""Draws that are functions of the seed and a number (of an epoch, of a step) alone: nothing to keep, nothing to
restore. Order and augmentation are drawn on the CPU on every device, so that they are the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Purpose = Literal["order", "crop", "flip", "mix", "net"]
_PURPOSES: tuple[Purpose, ...] = ("order", "crop", "flip", "mix", "net")
_WORD = 2**64 - 1


def mixed(seed: int, purpose: Purpose, number: int = 0, rank: int = 0) -> int:
    """63 bits that look independent for any other arguments: SplitMix64 (Steele et al. 2014) over them."""
    state = 0
    for word in (seed, _PURPOSES.index(purpose) + 1, number, rank):
        state = _splitmix((state ^ word) & _WORD)
    return state >> 1


def _splitmix(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _WORD
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _WORD
    return state ^ (state >> 31)


def generator(seed: int, purpose: Purpose, number: int = 0) -> torch.Generator:
    """A generator on the CPU for one purpose of one epoch or step."""
    return torch.Generator().manual_seed(mixed(seed, purpose, number))


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """The global generators of the CPU and the device are as they were when the block ends."""
    index = [_index(device)] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=index):
        yield


def seed_net(seed: int, step: int, device: torch.device, rank: int = 0) -> None:
    """Give the global generators, from which dropout and stochastic depth draw, the state of this step."""
    value = mixed(seed, "net", step, rank)
    torch.default_generator.manual_seed(value)  # 4 µs; torch.manual_seed goes through all devices: 350 µs
    if device.type == "cuda":
        torch.cuda.default_generators[_index(device)].manual_seed(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
