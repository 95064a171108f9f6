"""Healthy nets, benign patterns that look sick, and sick nets with what ails them: the tables for the findings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradpath as gp
from gradpath.record import Flow

Case = tuple[nn.Module, Any, Callable[..., Any]]


@dataclass(frozen=True)
class Patient:
    """A model with a batch; `kinds` are the findings it must have, the first of them first; empty for a healthy one."""

    make: Callable[[], nn.Module]
    batch: Callable[[], Any]
    kinds: tuple[str, ...] = ()
    criterion: Callable[..., Any] = F.cross_entropy
    steps: int = 0
    """SGD steps before the trace."""
    rate: float = 0.05
    slow: bool = False
    autocast: torch.dtype | None = None

    def build(self) -> Case:
        """Seeded model, batch and criterion, trained for some steps where asked for."""
        torch.manual_seed(0)
        model, batch = self.make(), self.batch()
        self._train(model, batch)
        return model, batch, self.criterion

    def flow(self) -> Flow:
        """The trace with its findings."""
        model, batch, criterion = self.build()
        casts = contextlib.nullcontext() if self.autocast is None else torch.autocast("cpu", dtype=self.autocast)
        with casts:
            return gp.trace(model, batch, criterion)

    def _train(self, model: nn.Module, batch: Any) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(parameters, lr=self.rate, momentum=0.9)
        for _ in range(self.steps):
            optimizer.zero_grad()
            self.criterion(model(batch[0]), batch[1]).backward()
            optimizer.step()


def images(count: int = 8, size: int = 32, classes: int = 10) -> Callable[[], tuple[Tensor, Tensor]]:
    return lambda: (torch.randn(count, 3, size, size), torch.randint(classes, (count,)))


def vectors(count: int = 32, width: int = 32) -> Callable[[], tuple[Tensor, Tensor]]:
    return lambda: (torch.randn(count, width), torch.randint(10, (count,)))


def tokens(count: int = 4, length: int = 24, vocabulary: int = 50) -> Callable[[], tuple[Tensor, Tensor]]:
    def batch() -> tuple[Tensor, Tensor]:
        words = torch.randint(1, vocabulary, (count, length + 1))
        return words[:, :-1], words[:, 1:]

    return batch


def language_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


def positive() -> tuple[Tensor, Tensor]:
    return torch.rand(32, 32), torch.randint(10, (32,))


def pixels_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, torch.zeros_like(output) + target.view(-1, 1, 1, 1) / 10)


# ------------------------------------------------------------------------------------------------ architectures


def mlp(
    depth: int = 10,
    width: int = 32,
    variance: float | None = 2.0,
    activation: Callable[[], nn.Module] = nn.ReLU,
    norm: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """`depth` hidden layers of weight variance variance/n (None: PyTorch's default), then a head."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Linear(width, width))
        if variance is not None:
            nn.init.normal_(layers[-1].weight, std=math.sqrt(variance / width))
            nn.init.zeros_(layers[-1].bias)
        layers += [norm(width)] if norm else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.Linear(width, 10))


class Block(nn.Module):
    """x + scale · branch(x)."""

    def __init__(self, branch: nn.Module, scale: Any = 1.0, skip: float = 1.0) -> None:
        super().__init__()
        self.branch, self.skip = branch, skip
        self.scale = nn.Parameter(scale) if isinstance(scale, Tensor) else scale

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.skip == 1.0 else x * self.skip) + self.branch(x) * self.scale


def residual_mlp(
    blocks: int = 8, width: int = 32, scale: Any = 1.0, norm: bool = True, skip: float = 1.0
) -> nn.Sequential:
    def branch() -> nn.Sequential:
        parts = [nn.LayerNorm(width)] * norm + [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
        return nn.Sequential(*parts)

    return nn.Sequential(
        nn.Linear(width, width),
        *(Block(branch(), scale.clone() if isinstance(scale, Tensor) else scale, skip) for _ in range(blocks)),
        nn.LayerNorm(width),
        nn.Linear(width, 10),
    )


class Attention(nn.Module):
    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.qkv, self.project, self.causal = nn.Linear(width, 3 * width), nn.Linear(width, width), causal

    def forward(self, x: Tensor) -> Tensor:  # N T C
        q, k, v = self.qkv(x).unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)  # N heads T C
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.project(y.transpose(1, 2).flatten(2))


def transformer(width: int = 32, blocks: int = 6, causal: bool = True, scale: Any = 1.0) -> list[nn.Module]:
    found: list[nn.Module] = []
    for _ in range(blocks):
        own = [scale.clone() if isinstance(scale, Tensor) else scale for _ in range(2)]
        hidden = [nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)]
        found += [
            Block(nn.Sequential(nn.LayerNorm(width), Attention(width, causal)), own[0]),
            Block(nn.Sequential(nn.LayerNorm(width), *hidden), own[1]),
        ]
    return found


class GPT(nn.Module):
    def __init__(self, width: int = 32, blocks: int = 6, padding: int | None = None, scale: Any = 1.0) -> None:
        super().__init__()
        self.words = nn.Embedding(50, width, padding_idx=padding)
        self.places = nn.Parameter(torch.randn(24, width) * 0.02)
        self.blocks = nn.Sequential(*transformer(width, blocks, scale=scale))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 50, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.words(x) + self.places)))


class ViT(nn.Module):
    def __init__(self, width: int = 32, blocks: int = 6, scale: Any = 1.0) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, 8)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 17, width) * 0.02)
        self.blocks = nn.Sequential(*transformer(width, blocks, causal=False, scale=scale))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)  # N T C
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class LSTM(nn.Module):
    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(50, 32), nn.Linear(32, 50)
        self.lstm = nn.LSTM(32, 32, layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.words(x))[0])


class UnrolledGRU(nn.Module):
    """A cell called once for each of 24 words; the loss is at all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell, self.head = nn.Embedding(50, 32), nn.GRUCell(32, 32), nn.Linear(32, 50)

    def forward(self, x: Tensor) -> Tensor:
        state, out = torch.zeros(len(x), 32), []
        for word in self.words(x).unbind(1):
            state = self.cell(word, state)
            out.append(self.head(state))
        return torch.stack(out, 1)


class OverTime(nn.Module):
    """A cell called once for each of 60 vectors; the loss is at the last one. `change` sets the cell's weights."""

    def __init__(self, cell: nn.Module, change: Callable[[Any], Any] = lambda cell: None) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(32, 10)
        with torch.no_grad():
            change(cell)

    def forward(self, x: Tensor) -> Tensor:  # N T C
        state: Any = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class PlainCell(nn.Module):
    """tanh(W x + U h) from linear layers, U orthogonal times a gain."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.inward, self.recurrent = nn.Linear(32, 32), nn.Linear(32, 32)
        nn.init.orthogonal_(self.recurrent.weight, gain)

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        return torch.tanh(self.inward(x) + (0 if state is None else self.recurrent(state)))


def open_gate(bias: float) -> Callable[[Any], Any]:
    """Rows H to 2H: the forget gate of an LSTMCell, the update gate of a GRUCell."""

    def change(cell: Any) -> None:
        cell.bias_ih[32:64] = bias
        cell.bias_hh[32:64] = 0

    return change


def orthogonal(gain: float = 1.0) -> Callable[[Any], Any]:
    return lambda cell: nn.init.orthogonal_(cell.weight_hh, gain)


def sequences() -> tuple[Tensor, Tensor]:
    return torch.randn(8, 60, 32), torch.randint(10, (8,))


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class UNet(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(*conv_norm(inputs, outputs), nn.ReLU(), *conv_norm(outputs, outputs), nn.ReLU())

        self.down = nn.ModuleList(stage(*s) for s in [(3, width), (width, 2 * width), (2 * width, 4 * width)])
        self.lift = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, 2) for a, b in [(4 * width, 2 * width), (2 * width, width)]
        )
        self.up = nn.ModuleList(stage(2 * b, b) for b in (2 * width, width))
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for i, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for lift, stage, skip in zip(self.lift, self.up, kept[-2::-1], strict=True):
            x = stage(torch.cat([lift(x), skip], 1))
        return self.head(x)


class Squeeze(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, max(width // 4, 4), 1), nn.Conv2d(max(width // 4, 4), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.second(F.relu(self.first(x.mean((2, 3), keepdim=True)))))


class Pooled(nn.Module):
    """A body, global average pooling, a head."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


def se_resnet(blocks: int = 6, width: int = 16) -> nn.Module:
    def branch() -> nn.Module:
        return nn.Sequential(*conv_norm(width, width), nn.ReLU(), *conv_norm(width, width), Squeeze(width))

    body = [nn.Sequential(Block(branch()), nn.ReLU()) for _ in range(blocks)]
    return Pooled(nn.Sequential(*conv_norm(3, width), nn.ReLU(), *body), width)


def mobilenet(width: int = 16, blocks: int = 6) -> nn.Module:
    """Inverted residuals: expand, depthwise, project, with ReLU6; a stride of 2 after every second block."""

    def branch(stride: int) -> nn.Sequential:
        wide = 4 * width
        expand = [*conv_norm(width, wide, 1), nn.ReLU6(), *conv_norm(wide, wide, 3, stride, wide), nn.ReLU6()]
        return nn.Sequential(*expand, *conv_norm(wide, width, 1))

    body = [branch(2) if i % 3 == 2 else Block(branch(1)) for i in range(blocks)]
    return Pooled(nn.Sequential(*conv_norm(3, width), nn.ReLU6(), *body), width)


def small_cnn() -> nn.Module:
    """The tutorial's net, in PyTorch's own initialisation."""
    return nn.Sequential(
        *[nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)],
        *[nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)],
    )


def vgg(width: int = 8) -> nn.Module:
    """Two or three convolutions in each of five resolutions, in PyTorch's own initialisation."""
    layers: list[nn.Module] = []
    inputs = 3
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width << min(stage, 3), 3, padding=1), nn.ReLU()]
            inputs = width << min(stage, 3)
        layers.append(nn.MaxPool2d(2))
    return Pooled(nn.Sequential(*layers), inputs)


HEALTHY = {
    "ResNet-20": Patient(lambda: gp.build("resnet-20"), images()),
    "ResNet-20 trained": Patient(lambda: gp.build("resnet-20"), images(), steps=8),
    "ResNet-56": Patient(lambda: gp.build("resnet-56"), images(), slow=True),
    "pre-activation ResNet-56": Patient(lambda: gp.build("preresnet-56"), images(), slow=True),
    "plain-20 with BatchNorm": Patient(lambda: gp.build("plain-20"), images()),
    "plain-20 with BatchNorm trained": Patient(lambda: gp.build("plain-20"), images(), steps=8),
    "pre-activation ResNet-164": Patient(lambda: gp.build("preresnet-164"), images(4), slow=True),
    "DenseNet-40": Patient(lambda: gp.build("densenet-40-12"), images(), slow=True),
    "DenseNet-22": Patient(lambda: gp.build("densenet-22-8"), images()),
    "ViT": Patient(ViT, images()),
    "ViT trained": Patient(ViT, images(), steps=10, rate=0.01),
    "GPT": Patient(GPT, tokens(), criterion=language_loss),
    "GPT trained": Patient(GPT, tokens(), criterion=language_loss, steps=10),
    "LSTM": Patient(LSTM, tokens(), criterion=language_loss),
    "GRU cell unrolled": Patient(UnrolledGRU, tokens(), criterion=language_loss),
    "LSTM cell, forget bias 1, 60 steps": Patient(lambda: OverTime(nn.LSTMCell(32, 32), open_gate(1)), sequences),
    "LSTM cell, forget bias ln 60": Patient(lambda: OverTime(nn.LSTMCell(32, 32), open_gate(math.log(60))), sequences),
    "GRU cell, update bias 1, 60 steps": Patient(lambda: OverTime(nn.GRUCell(32, 32), open_gate(1)), sequences),
    "RNN cell, orthogonal, 60 steps": Patient(lambda: OverTime(nn.RNNCell(32, 32), orthogonal()), sequences),
    "U-Net": Patient(UNet, images(4), criterion=pixels_loss),
    "U-Net trained": Patient(UNet, images(4), criterion=pixels_loss, steps=8, rate=0.01),
    "SE-ResNet": Patient(se_resnet, images()),
    "MobileNet": Patient(mobilenet, images()),
    "MobileNet trained": Patient(mobilenet, images(), steps=8),
    "tutorial CNN": Patient(small_cnn, images()),
    "He MLP of 10 layers": Patient(mlp, vectors()),
    "He MLP trained": Patient(mlp, vectors(), steps=20, rate=0.01),
    "LayerNorm MLP of 20 layers": Patient(lambda: mlp(20, norm=nn.LayerNorm), vectors()),
    "default MLP of 4 layers": Patient(lambda: mlp(4, variance=None), vectors()),
    "tanh MLP, Xavier": Patient(lambda: mlp(10, variance=1.0, activation=nn.Tanh), vectors()),
    "residual MLP of 30 blocks": Patient(lambda: residual_mlp(30), vectors()),
    "autoencoder": Patient(lambda: mlp(6), vectors(), criterion=lambda y, t: F.mse_loss(y, torch.zeros_like(y))),
}
"""No finding for any of them."""


# ---------------------------------------------------------------------------------------------- benign patterns


def zero_last_norm(name: str) -> nn.Module:
    net = gp.build(name)
    for module in net.modules():
        if hasattr(module, "bn2"):
            nn.init.zeros_(module.bn2.weight)
        elif hasattr(module, "norm2"):
            nn.init.zeros_(module.norm2.weight)
    return net


def fixup(blocks: int = 8, width: int = 32) -> nn.Module:
    """The last layer of every branch and the head start at zero."""
    net = residual_mlp(blocks, width, norm=False)
    for module in net:
        if isinstance(module, Block):
            nn.init.zeros_(module.branch[-1].weight)
            nn.init.zeros_(module.branch[-1].bias)
    nn.init.zeros_(net[-1].weight)
    nn.init.zeros_(net[-1].bias)
    return net


class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A, self.B = nn.Linear(base.in_features, rank, bias=False), nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.B.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.B(self.A(x))


def lora() -> nn.Module:
    net = GPT()
    net.requires_grad_(False)
    for module in net.modules():
        if isinstance(module, Attention):
            module.qkv = LoRA(module.qkv)
    return net


class AdaLNZero(nn.Module):
    """A DiT block: shift, scale and gate come from a condition through a layer that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.condition, self.mlp = nn.Linear(width, 3 * width), nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.condition(F.silu(c)).chunk(3, 1)
        return x + gate * self.out(self.mlp(self.norm(x) * (1 + scale) + shift))


class DiT(nn.Module):
    def __init__(self, width: int = 32, blocks: int = 6) -> None:
        super().__init__()
        self.stem, self.time = nn.Linear(width, width), nn.Linear(width, width)
        self.blocks = nn.ModuleList(AdaLNZero(width) for _ in range(blocks))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        c, x = self.time(x), self.stem(x)
        for block in self.blocks:
            x = block(x, c)
        return self.head(x)


class UnusedHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.other = mlp(4), nn.Linear(10, 10), nn.Linear(10, 10)
        self.never = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        self.other(x)
        return self.head(x)


class Experts(nn.Module):
    """A block of eight experts of which the router picks one for each sample; some get none."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem, self.router, self.head = nn.Linear(width, width), nn.Linear(width, 8), nn.Linear(width, 10)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        gate, choice = self.router(x).softmax(1).max(1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            rows = choice == i
            out = out.index_add(0, rows.nonzero()[:, 0], gate[rows, None] * expert(x[rows]))
        return self.head(x + out)


def frozen_front() -> nn.Module:
    net = gp.build("resnet-20")
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith(("stages.2", "stages.1")) or "head" in name)
    return net


def padded() -> tuple[Tensor, Tensor]:
    words, target = tokens()()
    words[:, 12:] = 0
    return words, target


def overfit(batch: Any) -> nn.Module:
    """A net that knows its batch: the loss is nearly zero, and so are all gradients."""
    torch.manual_seed(0)
    net = residual_mlp(4)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(net(batch[0]), batch[1]).backward()
        optimizer.step()
    return net


_BATCH = (torch.randn(16, 32, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 10)

BENIGN = {
    "zero-initialised last norm": Patient(lambda: zero_last_norm("resnet-20"), images()),
    "zero-initialised last norm, ResNet-56": Patient(lambda: zero_last_norm("resnet-56"), images(), slow=True),
    "ReZero": Patient(lambda: residual_mlp(12, scale=torch.zeros(()), norm=False), vectors()),
    "Fixup": Patient(fixup, vectors()),
    "LoRA, B = 0": Patient(lora, tokens(), criterion=language_loss),
    "AdaLN-zero": Patient(DiT, vectors()),
    "LayerScale 1e-6": Patient(lambda: ViT(scale=torch.full((32,), 1e-6)), images()),
    "LayerScale 1e-6 trained": Patient(lambda: ViT(scale=torch.full((32,), 1e-6)), images(), steps=5, rate=0.01),
    "frozen front": Patient(frozen_front, images()),
    "everything frozen but the head": Patient(
        lambda: nn.Sequential(mlp().requires_grad_(False), nn.Linear(10, 10)), vectors()
    ),
    "unused heads": Patient(UnusedHead, vectors()),
    "unrouted experts": Patient(Experts, vectors(6)),
    "padding rows": Patient(lambda: GPT(padding=0), padded, criterion=language_loss),
    "loss near zero": Patient(lambda: overfit(_BATCH), lambda: _BATCH),
    "sum instead of mean": Patient(mlp, vectors(), criterion=lambda y, t: F.cross_entropy(y, t, reduction="sum")),
    "loss times 1e-12": Patient(mlp, vectors(), criterion=lambda y, t: 1e-12 * F.cross_entropy(y, t)),
    "loss times 1e12": Patient(mlp, vectors(), criterion=lambda y, t: 1e12 * F.cross_entropy(y, t)),
    "loss times 1e-30": Patient(mlp, vectors(), criterion=lambda y, t: 1e-30 * F.cross_entropy(y, t)),
    "loss of exactly 0": Patient(mlp, vectors(), criterion=lambda y, t: F.relu(-F.cross_entropy(y, t))),
    "evaluation mode": Patient(lambda: gp.build("resnet-20").eval(), images()),
    "bfloat16 autocast": Patient(ViT, images(), autocast=torch.bfloat16),
    "float16 autocast": Patient(residual_mlp, vectors(), autocast=torch.float16),
}
"""They look sick to a rule that only looks for zeros and small numbers; no finding for any of them."""


# -------------------------------------------------------------------------------------------------- sick nets


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def distances(x: Tensor) -> Tensor:
    """Of each feature to the others: 0 to itself, where the square root has an infinite slope."""
    return torch.sqrt((x[:, :, None] - x[:, None, :]) ** 2).sum(2)


def changed(net: nn.Module, change: Callable[[nn.Module], Any]) -> nn.Module:
    with torch.no_grad():
        change(net)
    return net


def _starve(net: nn.Module) -> None:
    net[6].weight.mul_(1e-6)


def _kill(net: nn.Module) -> None:
    net[4].bias.fill_(-10.0)


def _spoil(net: nn.Module) -> None:
    net[2].weight[0, 0] = math.inf


SICK = {
    "plain-56, no norm, default init": Patient(
        lambda: gp.build("plain-56", norm="none", init="default"), images(2), ("vanishing",), slow=True
    ),
    "plain-20, no norm, default init": Patient(
        lambda: gp.build("plain-20", norm="none", init="default"), images(2), ("vanishing",)
    ),
    "plain-56 with BatchNorm": Patient(lambda: gp.build("plain-56"), images(), ("exploding",)),
    "MLP, too small": Patient(lambda: mlp(15, variance=0.3), vectors(), ("vanishing",)),
    "MLP, default init, 20 layers": Patient(lambda: mlp(20, variance=None), vectors(), ("vanishing",)),
    "MLP, too large": Patient(lambda: mlp(15, variance=8.0), vectors(), ("exploding",)),
    "sigmoid, 8 layers": Patient(lambda: mlp(8, variance=1.0, activation=nn.Sigmoid), vectors(), ("vanishing",)),
    "tanh, too small": Patient(lambda: mlp(20, variance=0.3, activation=nn.Tanh), vectors(), ("vanishing",)),
    "tanh, saturated": Patient(lambda: mlp(6, variance=200.0, activation=nn.Tanh), vectors(), ("saturated units",)),
    "dead ReLUs by bias": Patient(lambda: changed(mlp(6), _kill), vectors(), ("dead units",)),
    "dead ReLUs by learning rate": Patient(
        lambda: changed(mlp(1), lambda net: net[2].weight.abs_()),
        positive,
        ("dead units",),
        criterion=lambda y, t: y.mean(),
        steps=1,
        rate=100.0,
    ),
    "starving layer": Patient(lambda: changed(mlp(6), _starve), vectors(), ("starving layer",)),
    "detached front": Patient(
        lambda: nn.Sequential(mlp(3), Apply(lambda x: x.detach()), mlp(2, 10)), vectors(), ("no gradient",)
    ),
    "logarithm of a negative": Patient(
        lambda: nn.Sequential(mlp(3), Apply(torch.log), nn.Linear(10, 10)), vectors(), ("not finite",)
    ),
    "infinite weight": Patient(lambda: changed(mlp(3), _spoil), vectors(), ("not finite",)),
    "square root at zero": Patient(
        lambda: nn.Sequential(mlp(3), Apply(distances), nn.Linear(10, 10)), vectors(), ("not finite",)
    ),
    "logarithm in the loss": Patient(
        mlp, vectors(), ("not finite",), criterion=lambda y, t: -torch.log(y[:, 0]).mean()
    ),
    "skips of 1e-4": Patient(lambda: residual_mlp(8, norm=True, skip=1e-4), vectors(), ("silent skip",)),
    "branch times 0": Patient(lambda: residual_mlp(6, scale=0.0), vectors(), ("silent branch",)),
    "residual without norm": Patient(lambda: gp.build("resnet-56", norm="none"), images(2), ("exploding",), slow=True),
    "residual branches too large": Patient(lambda: residual_mlp(8, norm=False, scale=100.0), vectors(), ("exploding",)),
    "skips of 0.5, 20 blocks": Patient(
        lambda: residual_mlp(20, norm=False, scale=0.05, skip=0.5), vectors(), ("vanishing",)
    ),
    "BatchNorm of one image, then its mean": Patient(
        lambda: Pooled(nn.Sequential(*conv_norm(3, 16), nn.ReLU(), *conv_norm(16, 16)), 16),
        images(1),
        ("norm eats the signal",),
    ),
    "LayerNorm over two features": Patient(
        lambda: mlp(6, 2, norm=nn.LayerNorm), vectors(32, 2), ("norm eats the signal",)
    ),
    "VGG of 13 layers, default init": Patient(vgg, images(4), ("vanishing",)),
    "GroupNorm with a channel per group": Patient(
        lambda: Pooled(
            nn.Sequential(
                nn.Conv2d(3, 16, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 16, 1), nn.GroupNorm(16, 16), nn.ReLU()
            ),
            16,
        ),
        images(),
        ("norm eats the signal",),
    ),
    "RNN cell, 60 steps": Patient(lambda: OverTime(nn.RNNCell(32, 32)), sequences, ("vanishing",)),
    "LSTM cell, 60 steps": Patient(lambda: OverTime(nn.LSTMCell(32, 32)), sequences, ("vanishing",)),
    "GRU cell, 60 steps": Patient(lambda: OverTime(nn.GRUCell(32, 32)), sequences, ("vanishing",)),
    "cell of linear layers, 60 steps": Patient(lambda: OverTime(PlainCell(0.5)), sequences, ("vanishing",)),
    "RNN cell, weights too large": Patient(
        lambda: OverTime(nn.RNNCell(32, 32), orthogonal(3.0)), sequences, ("exploding",)
    ),
    "denormal loss": Patient(
        mlp, vectors(), ("float32 underflow",), criterion=lambda y, t: 1e-44 * F.cross_entropy(y, t)
    ),
    "denormal gradient": Patient(
        mlp, vectors(), ("float32 underflow",), criterion=lambda y, t: 1 + 1e-39 * F.cross_entropy(y, t)
    ),
    "float16 underflow": Patient(
        mlp,
        vectors(),
        ("float16 underflow",),
        criterion=lambda y, t: 1e-5 * F.cross_entropy(y.float(), t),
        autocast=torch.float16,
    ),
}
"""Each with the kinds it must have."""
