"""A Hugging Face model and its Trainer: keyword inputs, an output object with `.loss`, random weights, no download."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

import gradpath as gp
from gradpath.flow import HFWatch
from gradpath.record import Flow


def make_model() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(n_layer=4, n_head=4, n_embd=64, vocab_size=128, n_positions=32, bos_token_id=None, eos_token_id=None)
    )


def batch(size: int = 8) -> dict[str, torch.Tensor]:
    tokens = torch.randint(128, (size, 32))
    return {"input_ids": tokens, "labels": tokens}


def probe():
    """A mapping is keyword arguments; the loss is the output's own."""
    model = make_model()
    return model, batch()


def make_trainer(model: GPT2LMHeadModel, steps: int, folder: str, **options: Any) -> Trainer:
    arguments = TrainingArguments(
        folder, max_steps=steps, per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True,
        save_strategy="no", logging_steps=1,
    )  # fmt: skip
    examples = [{name: tensor[0] for name, tensor in batch(1).items()} for _ in range(8)]
    return Trainer(model=model, args=arguments, train_dataset=examples, **options)


def trace_while_training(steps: int = 2) -> Flow:
    """Around `trainer.train()`: the record of a backward pass that the Trainer makes."""
    model = make_model()
    with tempfile.TemporaryDirectory() as folder, gp.trace(model) as traced:
        make_trainer(model, steps, folder).train()
    return traced.flow


def watch_while_training(folder: str, steps: int = 20) -> None:
    """All the while: `gradpath follow FOLDER` shows it from another terminal."""
    make_trainer(make_model(), steps, folder, callbacks=[HFWatch(folder=folder)]).train()


if __name__ == "__main__":
    print(gp.render(gp.trace(*probe())))
