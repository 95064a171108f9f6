"""How deep are well-known architectures for the gradient? Effective depth at initialisation.

    python bench/gallery.py              # all nets: writes bench/results/gallery.json and docs/gallery.md
    python bench/gallery.py resnet-20    # these nets alone: prints their rows, writes nothing
    python bench/gallery.py --page       # the page alone, from the results

Random weights, nothing is downloaded. torchvision, timm and transformers are used where they are installed; their nets
are left out, and the page says so, where they are not.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from _common import RESULTS, keep
from torch import Tensor, nn

import gradpath as gp
from gradpath.record import Flow

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from sweep.libraries import load, load_torchvision  # noqa: E402

SEED, BATCHES = 0, 3
PAGE = ROOT / "docs/gallery.md"
Batch = Any
Step = Callable[[nn.Module, Any], Tensor]


@dataclass(frozen=True)
class Net:
    """One line of the gallery. `make` and `batch` draw from torch's random state."""

    name: str
    library: str
    make: Callable[[], nn.Module]
    batch: Callable[[], Batch]
    step: Step
    input: str


def image_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    images, labels = batch
    return F.cross_entropy(model(images), labels)


def own_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    loss: Tensor = model(**batch).loss
    return loss


def images(n: int, size: int, classes: int) -> Callable[[], tuple[Tensor, Tensor]]:
    return lambda: (torch.randn(n, 3, size, size), torch.randint(classes, (n,)))


def tokens(n: int, length: int, vocabulary: int) -> Callable[[], dict[str, Tensor]]:
    """Random tokens that predict themselves (BERT, T5) or the next one (GPT-2, Llama)."""

    def draw() -> dict[str, Tensor]:
        ids = torch.randint(2, vocabulary, (n, length))
        return {"input_ids": ids, "labels": ids}

    return draw


def ours() -> Iterator[Net]:
    for name in ("plain-20", "resnet-20", "resnet-110", "preresnet-110", "densenet-bc-100-12"):
        yield Net(name, "gradpath", lambda name=name: gp.build(name), images(8, 32, 10), image_loss, "8×3×32×32")


def of_torchvision() -> Iterator[Net]:
    models = load_torchvision() and load("torchvision.models")
    for name in (
        "vgg16 googlenet resnet18 resnet50 resnet152 wide_resnet50_2 resnext50_32x4d densenet121 shufflenet_v2_x1_0 "
        "mobilenet_v2 efficientnet_b0 regnet_y_400mf convnext_tiny swin_t"
    ).split():
        options = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
        make = lambda name=name, options=options: models.get_model(name, weights=None, **options)  # noqa: E731
        yield Net(name, "torchvision", make, images(4, 224, 1000), image_loss, "4×3×224×224")


def of_timm() -> Iterator[Net]:
    with contextlib.suppress(ImportError):
        load_torchvision()
    timm = load("timm")
    nets = {  # timm closes every branch at the start, by a last norm of zeros, where it is not told to leave them open
        "res2net50_26w_4s": {"zero_init_last": False},
        "cspresnet50": {"zero_init_last": False},
        "vit_base_patch16_224": {},  # torchvision's ViT begins with a head of zeros: no gradient anywhere
    }
    for name, options in nets.items():
        make = lambda name=name, options=options: timm.create_model(name, **options)  # noqa: E731
        yield Net(name, "timm", make, images(4, 224, 1000), image_loss, "4×3×224×224")


def of_transformers() -> Iterator[Net]:
    with contextlib.suppress(ImportError):
        load_torchvision()
    t = load("transformers")
    t.logging.set_verbosity_error()
    llama = {"vocab_size": 32000, "hidden_size": 512, "intermediate_size": 1376, "num_hidden_layers": 8}
    nets = {
        "BERT-base": (lambda: t.BertForMaskedLM(t.BertConfig()), 30522),
        "GPT-2 small": (lambda: t.GPT2LMHeadModel(t.GPT2Config()), 50257),
        "Llama, 8 layers": (lambda: t.LlamaForCausalLM(t.LlamaConfig(**llama)), 32000),
        "T5-small": (
            lambda: t.T5ForConditionalGeneration(t.T5Config(num_layers=6, decoder_start_token_id=0)),
            32128,
        ),
    }
    for name, (make, vocabulary) in nets.items():
        yield Net(name, "transformers", make, tokens(4, 64, vocabulary), own_loss, "4×64 tokens")


def row(net: Net) -> dict[str, Any]:
    """One net with one draw of its weights, traced on three random batches."""
    torch.manual_seed(SEED)
    began, model = time.perf_counter(), net.make().train()
    flows: list[Flow] = []
    for number in range(BATCHES):
        torch.manual_seed(SEED + 1 + number)
        flows.append(gp.trace(model, net.batch(), step=net.step))
    first = flows[0]
    return {
        "net": net.name,
        "library": net.library,
        "input": net.input,
        "parameters": sum(p.numel() for p in model.parameters()),
        "weighted_layers": innermost(first),
        "residual_forks": len(first.residual_forks),
        "at": first.at,
        "effective_depth": over([flow.effective_depth for flow in flows]),
        "skip_share": over([flow.skip_share for flow in flows]),
        "stem_over_head": over([flow.stem_over_head for flow in flows]),
        "findings": [finding.kind for finding in first.findings],
        "seconds": round(time.perf_counter() - began, 1),
    }


def innermost(flow: Flow) -> int:
    """Calls of weighted layers that hold no other one: a ViT owns position embeddings and is no layer of weights."""
    weighted = [layer.scope for layer in flow.layers if layer.weighted]
    return sum(
        not any(inner.startswith(f"{scope}." if scope else "") and inner != scope for inner in weighted)
        for scope in weighted
    )


def over(values: list[float | None]) -> dict[str, float] | None:
    """Mean and standard error; None where one batch has no such number."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return {
        "mean": float(f"{statistics.mean(known):.6g}"),
        "standard_error": float(f"{statistics.stdev(known) / math.sqrt(len(known)):.3g}"),
    }


def shown(value: dict[str, float] | None, digits: int = 2) -> str:
    """'8.37 ± 0.04'."""
    if value is None:
        return "–"
    return f"{value['mean']:.{digits}f} ± {value['standard_error']:.{digits}f}"


def short(value: float) -> str:
    """Three digits: '1370', '0.706'."""
    return f"{float(f'{value:.3g}'):g}"


def line(found: dict[str, Any]) -> str:
    ratio = found["stem_over_head"]
    cells = (
        found["net"],
        str(found["weighted_layers"]),
        str(found["residual_forks"]),
        shown(found["effective_depth"]),
        shown(found["skip_share"], 3),
        "–" if ratio is None else short(ratio["mean"]),
        found["input"],
    )
    return "| " + " | ".join(cells) + " |"


def page(result: dict[str, Any]) -> str:
    """docs/gallery.md."""
    missing = [f"{name} was not installed: its nets are left out." for name in result["missing"]]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    return "\n".join([*HEAD, *map(line, result["nets"]), "", *TAIL, "", *missing, f"Versions: {versions}.", ""])


HEAD = """
# Gallery: how deep are well-known networks for the gradient?

A ResNet-152 has 152 layers. The gradient that reaches its first one did not pass them all: most of it came over the
skips. *Effective depth* is the mean number of branches that it did pass. These are the numbers at initialisation,
before any training, so they tell about the architecture and its initialisation alone. Training changes them: that of a
residual net of 56 layers fell from 8.4 to 5.2 in one epoch ([compare](../README.md#learn-why)). `–`: no residual fork,
so there is no such number.

| net | weighted layers | residual forks | effective depth | skip share | stem over head | input |
|---|---:|---:|---:|---:|---:|---|
""".strip().splitlines()
TAIL = f"""
*Weighted layers*: calls of convolutions, linear layers, embeddings; those of projections and gates included; Swin's
attention, which applies its two matrices itself, counts as one. *Residual forks*:
tensors that a skip or projection and a branch leave, to meet again in an add or a concatenation. *Skip share*: mean
over these forks of the share of the gradient that came back over the skip. *Stem over head*: ratio of the gradient
norms at the outputs of the first and the last weighted layer. All words: [definitions](definitions.md).

Random weights as the library draws them (seed {SEED}), train mode with its dropout, random inputs and labels,
cross-entropy, float32. Mean ± standard error over {BATCHES} random batches, the weights the same; other weights move
the numbers more: the effective depth of a resnet-56 has a standard deviation of 0.25 over four draws of its weights, of
0.024 over four batches. ConvNeXt's branches begin with a factor of 1e-6 (LayerScale), hence its 0.00; timm's two
residual nets are made with zero_init_last=False, since a last norm of zeros closes every branch. The Llama is a small
one (width 512).

Written by `python bench/gallery.py` from [bench/results/gallery.json](../bench/results/gallery.json).
""".strip().splitlines()


def main() -> None:
    if sys.argv[1:] == ["--page"]:
        PAGE.write_text(page(kept()), encoding="utf-8")
        return
    wanted, rows, missing = sys.argv[1:], [], []
    for library, nets in {"gradpath": ours, "torchvision": of_torchvision, "timm": of_timm,
                          "transformers": of_transformers}.items():  # fmt: skip
        try:
            for net in nets():
                if not wanted or net.name in wanted:
                    rows.append(row(net))
                    print(line(rows[-1]), rows[-1]["findings"], f"{rows[-1]['seconds']} s", file=sys.stderr, flush=True)
                    gc.collect()
        except ImportError as error:
            missing.append(library)
            print(f"{library} is left out: {error}", file=sys.stderr)
    if not wanted:
        write(rows, missing)


def kept() -> dict[str, Any]:
    """The results of the last run."""
    result: dict[str, Any] = json.loads((RESULTS / "gallery.json").read_text(encoding="utf-8"))
    return result


def write(rows: list[dict[str, Any]], missing: list[str]) -> None:
    libraries = ["torch", *dict.fromkeys(found["library"] for found in rows)]
    versions = {name: gp.__version__ if name == "gradpath" else importlib.metadata.version(name) for name in libraries}
    result = {"seed": SEED, "batches": BATCHES, "versions": versions, "missing": missing, "nets": rows}
    keep("gallery", result)
    PAGE.write_text(page(result), encoding="utf-8")
    print(f"{RESULTS / 'gallery.json'} and {PAGE} written", file=sys.stderr)


if __name__ == "__main__":
    main()
