"""A learning rate chosen by short runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradpath.record import Execution, Trial
from gradpath.training._events import ignore
from gradpath.training._job import Ready
from gradpath.training._loop import Loop, Outcome
from gradpath.training._start import begin


def try_rates(ready: Ready, execution: Execution) -> tuple[tuple[Trial, ...], bool]:
    """A short run at each learning rate; stops at Ctrl-C."""
    job, images, trials = ready.job, ready.images, list[Trial]()
    for rate in job.learning_rates:
        epochs = -(-job.trial_steps // max(images.info.train_images // job.recipe.batch_size, 1))
        recipe = replace(job.recipe, learning_rate=rate, epochs=epochs)
        net = begin(job.model, images, ready.seed, job.weights).net
        loop = Loop(net, images, recipe, execution, ready.seed, ignore, job.name)
        loop.steps = job.trial_steps  # the whole schedule within the trial
        outcome = loop.run(job.trial_steps)
        if outcome.interrupted:
            return tuple(trials), True
        trials.append(Trial(learning_rate=rate, steps=outcome.steps, loss=_late_loss(outcome)))
    return tuple(trials), False


def _late_loss(outcome: Outcome) -> float:
    if outcome.diverged_at_step is not None:
        return float("inf")
    late = outcome.losses[-max(len(outcome.losses) // 4, 1) :]
    return sum(late) / len(late)


def best_rate(trials: Sequence[Trial], otherwise: float) -> float:
    """The rate of the lowest loss; the smallest rate where all diverged."""
    if not trials:
        return otherwise
    return min(trials, key=lambda trial: (trial.loss, trial.learning_rate)).learning_rate
