"""The learning rate of every step, as a function of the recipe and the step alone."""

from __future__ import annotations

import math

from gradpath.record import Recipe


def learning_rate(recipe: Recipe, step: int, steps: int, steps_per_epoch: int = 1) -> float:
    """The learning rate of step `step` (from 0) of `steps`; see the fields of `Recipe`."""
    return (
        recipe.learning_rate
        * _scheduled(recipe, step, steps, steps_per_epoch)
        * _warming(recipe, step, steps_per_epoch)
    )


def _scheduled(recipe: Recipe, step: int, steps: int, steps_per_epoch: int) -> float:
    done = (step + 0.5) / steps
    if recipe.schedule == "one-cycle":
        start, end, peak = recipe.start_factor, recipe.end_factor, recipe.peak_at
        return start + (1 - start) * done / peak if done < peak else end + (1 - end) * (1 - done) / (1 - peak)
    if recipe.schedule == "cosine":
        return recipe.end_factor + (1 - recipe.end_factor) * (1 + math.cos(math.pi * done)) / 2
    if recipe.schedule == "step":
        return recipe.decay_factor ** sum(step >= at for at in milestone_steps(recipe, steps, steps_per_epoch))
    return 1.0


def milestone_steps(recipe: Recipe, steps: int, steps_per_epoch: int) -> tuple[float, ...]:
    """The steps, from 0, from which on the rate is lower."""
    if not recipe.milestones:
        return steps / 2, 3 * steps / 4
    return tuple(at * _unit(recipe, steps_per_epoch) for at in recipe.milestones)


def _warming(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    length = recipe.warmup * _unit(recipe, steps_per_epoch)
    if step >= length:
        return 1.0
    if recipe.warmup_shape == "constant":
        return recipe.warmup_factor
    return recipe.warmup_factor + (1 - recipe.warmup_factor) * (step + 1) / length if length > 1 else 1.0


def _unit(recipe: Recipe, steps_per_epoch: int) -> int:
    return 1 if recipe.count_in == "steps" else steps_per_epoch
