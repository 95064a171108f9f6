"""The one table of small models that the tracer is tested on: each with a batch, a criterion and what must be found.

Every model is deterministic given `torch.manual_seed`; `float64` unless a problem says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import architectures as nets


class ResidualMLP(nn.Module):
    """A stem, n blocks x + W₂ relu(W₁ x), a head."""

    def __init__(self, blocks: int = 3, width: int = 6, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace
        self.stem = nn.Linear(5, width)
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for first, second in zip(self.first, self.second, strict=True):
            branch = second(F.relu(first(x), inplace=self.inplace))
            if self.inplace:
                branch += x
                x = branch
            else:
                x = x + branch
        return self.head(x)


class PlainMLP(nn.Sequential):
    def __init__(self, depth: int = 4, width: int = 6) -> None:
        layers: list[nn.Module] = [nn.Linear(5, width)]
        for _ in range(depth - 2):
            layers += [nn.ReLU(), nn.Linear(width, width)]
        super().__init__(*layers, nn.ReLU(), nn.Linear(width, 4))


class ConvResNet(nn.Module):
    """Post-activation blocks with an option A, B (projection with norm) or D (average pool, projection) shortcut."""

    def __init__(self, option: str) -> None:
        super().__init__()
        self.option = option
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.conv1, self.norm1 = nn.Conv2d(4, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)
        if option != "A":
            self.project, self.norm = nn.Conv2d(4, 8, 1, 2 if option == "B" else 1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def shortcut(self, x: Tensor) -> Tensor:
        if self.option == "A":
            return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return self.norm(self.project(F.avg_pool2d(x, 2) if self.option == "D" else x))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        branch = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return self.head(F.relu(branch + self.shortcut(x)).mean((2, 3)))


class Dense(nn.Module):
    """A dense block of three layers, as a list of features or as a running concatenation."""

    def __init__(self, running: bool) -> None:
        super().__init__()
        self.running = running
        self.stem = nn.Linear(5, 4)
        self.layers = nn.ModuleList(nn.Linear(4 + 2 * i, 2) for i in range(3))
        self.head = nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for layer in self.layers:
            new = layer(F.relu(torch.cat(features, 1)))
            features = [torch.cat([features[0], new], 1)] if self.running else [*features, new]
        return self.head(torch.tanh(torch.cat(features, 1)))


class Highway(nn.Module):
    """t · h + (1 − t) · x: no skip, but a gated one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.h, self.t, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.t(x))
        return self.head(gate * torch.tanh(self.h(x)) + (1 - gate) * x)


class Parallel(nn.Module):
    """x + attention(x) + mlp(x), as in GPT-J: two branches on one express lane."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + torch.tanh(self.a(x)) + torch.tanh(self.b(x)))


class Shared(nn.Module):
    """One linear layer called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = torch.tanh(self.cell(x))
        return self.head(x)


class Scaled(nn.Module):
    """0.5 · x + branch: a skip with a constant factor is still a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(0.5 * x + torch.tanh(self.a(x)))


class DictOutput(nn.Module):
    """Keyword inputs, a mapping with the loss as output."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ResidualMLP(2)

    def forward(self, *, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.body(images)
        return {"loss": F.cross_entropy(logits, labels), "logits": logits}


@dataclass(frozen=True)
class Problem:
    """A model and what a trace of it must find: (fork kind, merge, edge kinds sorted) for every fork."""

    make: Callable[[], nn.Module]
    forks: tuple[tuple[str, str, tuple[str, ...]], ...]
    branches: int
    """Branches of residual forks on the longest path."""
    image: bool = False
    keyword: bool = False

    def build(self) -> tuple[nn.Module, Any, Callable[..., Any] | None]:
        """Model, batch and criterion, seeded."""
        torch.manual_seed(0)
        model = self.make().double()
        shape = (7, 2, 8, 8) if self.image else (7, 5)
        inputs, labels = torch.randn(shape, dtype=torch.float64), torch.randint(4, (7,))
        if self.keyword:
            return model, {"images": inputs, "labels": labels}, None
        return model, (inputs, labels), F.cross_entropy


_RESIDUAL = ("residual", "add", ("branch", "skip"))
_PROJECTED = ("residual", "add", ("branch", "projection"))

PROBLEMS = {
    "plain": Problem(PlainMLP, (), 0),
    "residual": Problem(ResidualMLP, (_RESIDUAL,) * 3, 3),
    "residual in place": Problem(lambda: ResidualMLP(inplace=True), (_RESIDUAL,) * 3, 3),
    "shortcut A": Problem(lambda: ConvResNet("A"), (_RESIDUAL,), 1, image=True),
    "shortcut B": Problem(lambda: ConvResNet("B"), (_PROJECTED,), 1, image=True),
    "shortcut D": Problem(lambda: ConvResNet("D"), (_PROJECTED,), 1, image=True),
    "dense, list": Problem(
        lambda: Dense(False),
        (
            ("residual", "concat", ("branch", "branch", "branch", "skip")),
            ("residual", "concat", ("branch", "branch", "skip")),
            ("residual", "concat", ("branch", "skip")),
        ),
        3,
    ),
    "dense, running": Problem(lambda: Dense(True), (("residual", "concat", ("branch", "skip")),) * 3, 3),
    "highway": Problem(
        Highway, (("other", "add", ("branch", "branch", "gated")), ("inner", "add", ("gated", "gated"))), 0
    ),
    "parallel": Problem(Parallel, (("residual", "add", ("branch", "branch", "skip")),), 1),
    "shared": Problem(Shared, (("shared", "other", ("branch",) * 3),) * 2, 0),
    "scaled": Problem(Scaled, (_RESIDUAL,), 1),
    "keyword and mapping": Problem(DictOutput, (_RESIDUAL,) * 2, 2, keyword=True),
}

_TWO_SKIPS = (_RESIDUAL,) * 2
_CONCAT = ("residual", "concat", ("branch", "skip"))
_PACKED_ATTENTION = ("inner", "multiply", ("branch", "branch", "gated"))
"""Queries, keys and values are parts of one tensor; the values are gated by the softmax of the others."""
_ATTENTION = ("other", "multiply", ("branch", "branch", "projection"))
"""Queries, keys and values are layers of their own."""
_LSTM_STATE = ("other", "add", ("branch", "gated"))
_LLAMA = (
    ("residual", "add", ("branch", "branch", "skip")),  # RMSNorm takes the tensor twice
    ("other", "other", ("branch", "branch", "projection")),
    ("inner", "add", ("gated", "gated")),  # rotary embedding of the queries
    ("inner", "add", ("gated", "gated")),
    ("residual", "add", ("branch", "branch", "skip")),
    ("other", "multiply", ("branch", "projection")),  # SwiGLU
)


def _encoder(norm_first: bool) -> nn.Module:
    return nets.Sequence(nn.TransformerEncoderLayer(nets.WIDTH, 2, 8, batch_first=True, norm_first=norm_first))


def _residual(**parts: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nets.Blocks(lambda: nets.Residual(**{name: make() for name, make in parts.items()}))


ARCHITECTURES = {
    "pre-activation A": Problem(lambda: nets.PreActResNet("A"), (_RESIDUAL,), 1, image=True),
    "pre-activation B": Problem(lambda: nets.PreActResNet("B"), (_PROJECTED,), 1, image=True),
    "pre-activation D": Problem(lambda: nets.PreActResNet("D"), (_PROJECTED,), 1, image=True),
    "squeeze and excitation": Problem(
        lambda: nets.Images(nets.SEBlock()),
        (_RESIDUAL, ("inner", "multiply", ("branch", "gated"))),
        1,
        image=True,
    ),
    "u-net": Problem(lambda: nets.Images(nets.UNet()), (_CONCAT, _CONCAT), 2, image=True),
    "transformer, post-norm": Problem(lambda: _encoder(False), (_RESIDUAL, _PACKED_ATTENTION, _RESIDUAL), 2),
    "transformer, pre-norm": Problem(lambda: _encoder(True), (_RESIDUAL, _PACKED_ATTENTION, _RESIDUAL), 2),
    "vit": Problem(lambda: nets.Sequence(nets.ViTBlock(), nets.ViTBlock()), (_RESIDUAL, _ATTENTION, _RESIDUAL) * 2, 4),
    "llama": Problem(lambda: nets.Sequence(nets.LlamaBlock()), _LLAMA, 2),
    "lstm cell": Problem(nets.UnrolledLSTM, (_LSTM_STATE,) * 2, 0),
    "lstm, all outputs": Problem(
        nets.WholeLSTM, (_LSTM_STATE,) * 3 + (("other", "concat", ("branch", "skip")),) * 3, 0
    ),
    "revnet": Problem(nets.RevNet, (_RESIDUAL, _RESIDUAL, _CONCAT, _CONCAT), 4),
    "stochastic depth": Problem(_residual(scale=nets.DropPath), _TWO_SKIPS, 2),
    "dropout": Problem(_residual(scale=lambda: nn.Dropout(0.2)), _TWO_SKIPS, 2),
    "dropout on the skip": Problem(
        _residual(skip=lambda: nn.Dropout(0.2)), (("other", "add", ("branch", "gated")),) * 2, 0
    ),
    "layer scale": Problem(_residual(scale=lambda: nets.Factor(nets.WIDTH, 0.1)), _TWO_SKIPS, 2),
    "rezero": Problem(_residual(scale=lambda: nets.Factor(1, 0.0)), _TWO_SKIPS, 2),
    "scaled skip": Problem(_residual(skip=lambda: nets.Factor(nets.WIDTH, 1.0)), (_PROJECTED,) * 2, 2),
    "repvgg": Problem(lambda: nets.Blocks(nets.RepVGGBlock), (("residual", "add", ("projection",) * 3),) * 2, 0),
    "csp": Problem(lambda: nets.Blocks(nets.CSPBlock), (_CONCAT, _RESIDUAL) * 2, 4),
    "elan": Problem(
        lambda: nets.Blocks(nets.ELANBlock), (("other", "concat", ("branch", "branch")), _CONCAT, _CONCAT) * 2, 4
    ),
    "sum in place on a view": Problem(lambda: nets.Blocks(nets.InPlaceOnView), _TWO_SKIPS, 2),
    "parts written into a buffer": Problem(lambda: nets.Blocks(nets.WrittenInto), (_CONCAT,) * 2, 2),
    "relu in place on a view": Problem(
        lambda: nets.Blocks(nets.InPlaceReLUOnView), (("other", "add", ("branch", "branch")),) * 2, 0
    ),
    "router loss": Problem(
        lambda: nets.WithAuxiliaryLoss("router"),
        (_RESIDUAL, ("other", "add", ("branch", "branch"))) * 2,
        2,
        keyword=True,
    ),
    "deep supervision": Problem(
        lambda: nets.WithAuxiliaryLoss("heads"),
        (("residual", "add", ("branch", "exit", "skip")),) * 2,
        2,
        keyword=True,
    ),
}
"""How published architectures connect their layers. `shared` forks are left out: every weight of a loop is one."""
