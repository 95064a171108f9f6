"""A LightningModule, traced by its own training step; and a callback that watches while `Trainer.fit` runs."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gradpath as gp
from gradpath.flow import LightningWatch
from gradpath.record import Flow


class Classifier(L.LightningModule):
    def __init__(self, depth: int = 8, width: int = 32) -> None:
        super().__init__()
        hidden = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        self.net = nn.Sequential(nn.Linear(5, width), nn.ReLU(), *hidden, nn.Linear(width, 3))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        inputs, labels = batch
        return F.cross_entropy(self.net(inputs), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def data() -> TensorDataset:
    return TensorDataset(torch.randn(64, 5), torch.randint(3, (64,)))


def trace_one_step() -> Flow:
    """Before training: the step of the module itself is the `step` of the trace."""
    torch.manual_seed(0)
    return gp.trace(Classifier(), data()[:16], step=lambda module, batch: module.training_step(batch, 0))


def probe():
    """What `gradpath trace examples/lightning_module.py:probe` asks for."""
    torch.manual_seed(0)
    return Classifier().net, data()[:16], F.cross_entropy


def make_trainer(steps: int, **options: Any) -> L.Trainer:
    return L.Trainer(
        max_steps=steps, max_epochs=-1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, **options,
    )  # fmt: skip


def trace_while_fitting() -> Flow:
    """In the middle of `fit`: everything that Lightning does to the loss is in the record."""
    torch.manual_seed(0)
    module = Classifier()
    with gp.trace(module) as traced:
        make_trainer(3).fit(module, DataLoader(data(), batch_size=16))
    return traced.flow


def watch_while_fitting(folder: str, steps: int = 20) -> None:
    """All the while: `gradpath follow FOLDER` shows it from another terminal."""
    torch.manual_seed(0)
    trainer = make_trainer(steps, callbacks=[LightningWatch(folder=folder)])
    trainer.fit(Classifier(), DataLoader(data(), batch_size=16))


if __name__ == "__main__":
    print(gp.render(trace_one_step()))
