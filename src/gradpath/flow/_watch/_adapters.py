"""Thin adapters: what other tools call, in terms of `Watch`. Frameworks are imported when an adapter is made."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gradpath.record import WatchHeader, WatchReport

if TYPE_CHECKING:
    from gradpath.flow._watch._watch import Watch

Listener = Callable[[WatchHeader, WatchReport], None]


def scalars(header: WatchHeader, report: WatchReport) -> Iterator[tuple[str, float]]:
    """A report as tags and finite numbers: 'gradient_rms/conv1' …; exact zeros are kept, what is not finite is left
    out (both charts and averages break on it)."""
    columns = (
        ("activation_rms", report.log10_activation_rms),
        ("gradient_rms", report.log10_gradient_rms),
        ("parameter_gradient_norm", report.log10_parameter_gradient_norm),
    )
    for name, values in columns:
        for layer, value in zip(header.layers, values, strict=True):
            if value is not None and not math.isnan(value):
                yield f"{name}/{layer.scope or header.model}", 10.0**value
    if report.overhead is not None:
        yield "watch/overhead", report.overhead


def to_tensorboard(writer: Any) -> Listener:
    def listener(header: WatchHeader, report: WatchReport) -> None:
        for tag, value in scalars(header, report):
            writer.add_scalar(tag, value, report.step)

    return listener


def to_wandb(log: Callable[..., Any]) -> Listener:
    def listener(header: WatchHeader, report: WatchReport) -> None:
        log(dict(scalars(header, report)), step=report.step)

    return listener


def _import(names: tuple[str, ...], package: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError(f"this adapter is for {package}, which is not installed: pip install {package}")


def LightningWatch(**options: Any) -> Any:
    """A Lightning callback that watches the module in training: `Trainer(callbacks=[LightningWatch(folder="run")])`.

    `options` are those of `gp.watch`. A step is an optimiser step, accumulation included. Under mixed precision the
    precision plugin's scaler is used. Raises ImportError where Lightning is not installed.
    """
    lightning = _import(("lightning.pytorch", "pytorch_lightning"), "lightning")

    class Callback(lightning.Callback):  # type: ignore[misc,name-defined]
        watch: Watch | None = None
        steps = 0

        def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
            optimizers = list(getattr(trainer, "optimizers", ()))
            scaler = getattr(getattr(trainer, "precision_plugin", None), "scaler", None)
            self.watch = _watch(pl_module, optimizers[0] if optimizers else None, scaler, options)
            self.steps = trainer.global_step

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
            if self.watch is not None and trainer.global_step > self.steps:
                self.steps = trainer.global_step
                self.watch.step(outputs.get("loss") if isinstance(outputs, dict) else outputs)

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            self._close()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            self._close()

        def _close(self) -> None:
            if self.watch is not None:
                self.watch.close()

    return Callback()


def HFWatch(**options: Any) -> Any:
    """A Hugging Face `TrainerCallback` that watches the model: `Trainer(..., callbacks=[HFWatch(folder="run")])`.

    `options` are those of `gp.watch`. The Trainer tells callbacks no step's loss: the one in the reports is its last
    logged mean (`logging_steps=1` gives each step's). Raises ImportError where transformers is not installed.
    """
    transformers = _import(("transformers",), "transformers")

    class Callback(transformers.TrainerCallback):  # type: ignore[misc,name-defined]
        watch: Watch | None = None
        loss: float | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
            self.watch = _watch(model, rest.get("optimizer"), None, options)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
            self.loss = (logs or {}).get("loss", self.loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if self.watch is not None:
                self.watch.step(self.loss)

        def on_train_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            if self.watch is not None:
                self.watch.close()

    return Callback()


def _watch(model: Any, optimizer: Any, scaler: Any, options: dict[str, Any]) -> Watch:
    from gradpath.flow._watch._watch import watch  # here, since it imports this module

    return watch(model, optimizer, scaler, **options)
