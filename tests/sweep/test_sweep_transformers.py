"""Architectures of Hugging Face transformers, built from small random configurations: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sweep.checks import check_paths, check_trace

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

LAYERS = 3
_USUAL = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 64}
_TEXT = {**_USUAL, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_GROUPED = {**_TEXT, "num_key_value_heads": 2}
_SHORT = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 0}


def text(labels: bool = True) -> dict[str, Tensor]:
    ids = torch.randint(3, 100, (2, 12))
    return {"input_ids": ids, "labels": ids} if labels else {"input_ids": ids}


def images(size: int) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(2, 3, size, size)}


def sound() -> dict[str, Tensor]:
    return {"input_features": torch.randn(2, 8, 40), "labels": torch.randint(3, 100, (2, 12))}


# class → (configuration, batch, residual forks)
NETS: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Tensor]], int]] = {
    "BertForMaskedLM": (_TEXT, text, 2 * LAYERS),
    "RobertaForMaskedLM": (_TEXT, text, 2 * LAYERS),
    "AlbertForMaskedLM": ({**_TEXT, "embedding_size": 16}, text, 2 * LAYERS),
    "DistilBertForMaskedLM": (
        {"vocab_size": 100, "dim": 32, "n_layers": LAYERS, "n_heads": 4, "hidden_dim": 64, "pad_token_id": 0},
        text,
        2 * LAYERS,
    ),
    "GPT2LMHeadModel": ({**_SHORT, "n_embd": 32, "n_layer": LAYERS, "n_head": 4}, text, 2 * LAYERS),
    "GPTNeoXForCausalLM": (_TEXT, text, LAYERS),  # attention and MLP side by side
    "OPTForCausalLM": (
        {
            **_SHORT,
            "hidden_size": 32,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "word_embed_proj_dim": 32,
        },
        text,
        2 * LAYERS,
    ),
    "LlamaForCausalLM": (_GROUPED, text, 2 * LAYERS),
    "MistralForCausalLM": (_GROUPED, text, 2 * LAYERS),
    "Qwen2ForCausalLM": (_GROUPED, text, 2 * LAYERS),
    "MixtralForCausalLM": (
        {**_GROUPED, "num_local_experts": 4, "output_router_logits": True},
        text,
        2 * LAYERS,
    ),
    "MambaForCausalLM": (
        {**_SHORT, "hidden_size": 32, "num_hidden_layers": LAYERS, "state_size": 4},
        text,
        2 * LAYERS,  # each block has a skip, and a learned one (D) around its recurrence
    ),
    "T5ForConditionalGeneration": (
        {**_SHORT, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": LAYERS, "num_heads": 4},
        text,
        5 * LAYERS,
    ),
    "WhisperForConditionalGeneration": (
        {
            **_SHORT,
            "num_mel_bins": 8,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_source_positions": 20,
            "max_target_positions": 20,
            "begin_suppress_tokens": None,
        },
        sound,
        2 * 2 + 3 * 2,
    ),
    "Wav2Vec2Model": (
        {
            **_USUAL,
            "conv_dim": [16] * 3,
            "conv_kernel": [10, 3, 3],
            "conv_stride": [5, 2, 2],
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4,
        },
        lambda: {"input_values": torch.randn(2, 2000)},
        2 * LAYERS + 1,  # the convolutional position embedding is added to what it reads
    ),
    "ViTModel": ({**_USUAL, "image_size": 32, "patch_size": 8}, lambda: images(32), 2 * LAYERS),
    "SwinModel": (
        {
            "image_size": 32,
            "patch_size": 2,
            "embed_dim": 16,
            "depths": [2, 2],
            "num_heads": [2, 4],
            "window_size": 4,
        },
        lambda: images(32),
        8,
    ),
    "ConvNextModel": (
        {"hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 2, 1]},
        lambda: images(64),
        5,
    ),
    "ResNetModel": (
        {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 2, 1], "layer_type": "basic"},
        lambda: images(64),
        5,
    ),
}


def step(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    output = model(**batch)
    return output.loss if "loss" in output else output[0].square().mean()


def make(transformers: Any, name: str) -> tuple[nn.Module, dict[str, Tensor], int]:
    options, batch, forks = NETS[name]
    torch.manual_seed(0)
    kind = getattr(transformers, name)
    return kind(kind.config_class(**options)).train(), batch(), forks


@pytest.mark.parametrize("name", NETS)
def test_a_transformer(transformers, name):
    model, batch, forks = make(transformers, name)
    flow = check_trace(model, batch, step, forks)
    check_paths(model, batch, step, flow)


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "BertForMaskedLM"])
def test_checkpointed_layers_have_the_same_forks(transformers, name):
    model, batch, forks = make(transformers, name)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    check_trace(model, batch, step, forks)
