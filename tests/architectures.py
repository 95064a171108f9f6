"""Small nets, one for each way in which published architectures connect their layers. `problems.py` has the answers.

Inputs are (7, 5) or images (7, 2, 8, 8); outputs are four logits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, TOKENS = 6, 4


class Blocks(nn.Module):
    """A stem, n times a block on vectors, a head."""

    def __init__(self, block: Callable[[], nn.Module], count: int = 2, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = nn.Linear(5, width)
        self.blocks = nn.ModuleList(block() for _ in range(count))
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Sequence(nn.Module):
    """A stem that makes tokens, blocks on them, a norm, the mean of the tokens, a head."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Linear(5, TOKENS * WIDTH)
        self.blocks = nn.ModuleList(blocks)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).view(len(x), TOKENS, WIDTH)  # N T C
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def mlp(width: int = WIDTH) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width))


class PreActResNet(nn.Module):
    """One pre-activation block that halves the resolution; the shortcut starts behind the block's first activation."""

    def __init__(self, option: str) -> None:
        super().__init__()
        self.option = option
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm1, self.conv1 = nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, 2, 1)
        self.norm2, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 1, 1)
        if option != "A":
            self.project = nn.Conv2d(4, 8, 1, 2 if option == "B" else 1)
        self.head = nn.Linear(8, 4)

    def shortcut(self, x: Tensor, active: Tensor) -> Tensor:
        if self.option == "A":
            return F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 2, 2))
        return self.project(F.avg_pool2d(active, 2) if self.option == "D" else active)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        active = F.relu(self.norm1(x))
        branch = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return self.head((branch + self.shortcut(x, active)).mean((2, 3)))


class SEBlock(nn.Module):
    """x + y · σ(W₂ relu(W₁ mean(y))) with y = conv(relu(conv(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.squeeze, self.excite = nn.Conv2d(4, 2, 1), nn.Conv2d(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))))
        return F.relu(x + y * gate)


class Images(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Conv2d(2, 4, 3, padding=1), body, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(F.relu(self.stem(x))).mean((2, 3)))


class UNet(nn.Module):
    """Two levels; what goes down and comes up again is concatenated to what stayed."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.up2, self.up1 = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        half = F.relu(self.down1(x))
        quarter = F.relu(self.down2(half))
        half = F.relu(self.up2(torch.cat([half, F.interpolate(quarter, scale_factor=2)], 1)))
        return F.relu(self.up1(torch.cat([x, F.interpolate(half, scale_factor=2)], 1)))


class ViTBlock(nn.Module):
    """x + attention(norm(x)), x + mlp(norm(x)), the attention written out."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out, self.mlp = nn.Linear(WIDTH, WIDTH), mlp()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        weights = torch.softmax(self.q(y) @ self.k(y).mT / WIDTH**0.5, -1)
        x = x + self.out(weights @ self.v(y))
        return x + self.mlp(self.norm2(x))


class RMSNorm(nn.Module):
    """x / rms(x) · weight, written out as Llama has it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def rotary(x: Tensor) -> Tensor:
    angle = torch.arange(x.shape[-2], dtype=x.dtype)[:, None] * torch.ones(x.shape[-1], dtype=x.dtype)
    first, second = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()


class LlamaBlock(nn.Module):
    """RMSNorm, rotary embedding, SwiGLU, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = RMSNorm(), RMSNorm()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up, self.down = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        q, k, v = (t[:, None] for t in (rotary(self.q(y)), rotary(self.k(y)), self.v(y)))  # N 1 T C
        x = x + self.o(F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0])
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class UnrolledLSTM(nn.Module):
    def __init__(self, steps: int = 3) -> None:
        super().__init__()
        self.steps, self.cell, self.head = steps, nn.LSTMCell(5, WIDTH), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for _ in range(self.steps):
            state = self.cell(x, state)
        return self.head(state[0])


class WholeLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lstm, self.head = nn.Linear(5, TOKENS * WIDTH), nn.LSTM(WIDTH, WIDTH), nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(self.stem(x).view(TOKENS, len(x), WIDTH))  # T N C
        return self.head(out[-1])


class RevNet(nn.Module):
    """Two streams: a ← a + F(b), b ← b + G(a)."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, 2 * WIDTH), nn.Linear(2 * WIDTH, 4)
        self.f, self.g = (nn.ModuleList(mlp() for _ in range(blocks)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.stem(x).chunk(2, 1)
        for f, g in zip(self.f, self.g, strict=True):
            a = a + f(b)
            b = b + g(a)
        return self.head(torch.cat([a, b], 1))


class Residual(nn.Module):
    """skip(x) + scale(mlp(x)), both functions of a tensor."""

    def __init__(self, skip: nn.Module | None = None, scale: nn.Module | None = None) -> None:
        super().__init__()
        self.skip, self.mlp, self.scale = skip or nn.Identity(), mlp(), scale or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.scale(self.mlp(x))


class Factor(nn.Module):
    """A learned factor: one number (ReZero) or one for each channel (LayerScale, MetaFormer's scaled skip)."""

    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class DropPath(nn.Module):
    """Stochastic depth: whole samples of the branch are dropped, as timm does it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.new_empty(len(x), 1).bernoulli_(0.8).div_(0.8)


class RepVGGBlock(nn.Module):
    """norm(W₁ x) + norm(W₂ x) + norm(x): in training, three ways that later become one."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norms = nn.ModuleList(nn.BatchNorm1d(WIDTH) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        large, small, identity = self.norms
        return torch.relu(large(self.large(x)) + small(self.small(x)) + identity(x))


class CSPBlock(nn.Module):
    """Half of the channels go round the residual blocks and are concatenated behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Residual()
        self.inner.mlp = mlp(WIDTH // 2)
        self.last = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        around, through = x[:, : WIDTH // 2], x[:, WIDTH // 2 :]
        return torch.tanh(self.last(torch.cat([around, self.inner(through)], 1)))


class ELANBlock(nn.Module):
    """Two pointwise layers, two more behind the second, all four concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.last = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.tanh(self.a(x)), torch.tanh(self.b(x))
        c = torch.tanh(self.c(b))
        d = torch.tanh(self.d(c))
        return torch.tanh(self.last(torch.cat([a, b, c, d], 1)))


class InPlaceOnView(nn.Module):
    """`y += x` where y is a view: autograd hides the sum in a node of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = mlp()

    def forward(self, x: Tensor) -> Tensor:
        y = self.mlp(x).view(len(x), 2, WIDTH // 2).flatten(1)
        y = y[:, :]
        y += x
        return torch.tanh(y)


class WrittenInto(nn.Module):
    """A buffer whose parts are written one by one: a concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.last = mlp(), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        both = x.new_zeros(len(x), 2 * WIDTH)
        both[:, :WIDTH] = x
        both[:, WIDTH:] = self.mlp(x)
        return self.last(torch.tanh(both))


class InPlaceReLUOnView(nn.Module):
    """A route with a ReLU that works in place on a view is no skip."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp = mlp()

    def forward(self, x: Tensor) -> Tensor:
        y = x.clone()
        y[:, :3].relu_()
        return y + self.mlp(x)


class WithAuxiliaryLoss(nn.Module):
    """Keyword inputs; each branch has a router whose logits enter the loss (as in a mixture of experts), or each block
    has a head of its own (deep supervision). No fork's routes meet before the loss."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem, self.head = nn.Linear(5, WIDTH), nn.Linear(WIDTH, 4)
        self.blocks = nn.ModuleList(mlp() for _ in range(2))
        self.more = nn.ModuleList(nn.Linear(WIDTH, 4) for _ in range(2))

    def forward(self, *, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        x, loss = self.stem(images), torch.zeros((), dtype=images.dtype)
        for block, more in zip(self.blocks, self.more, strict=True):
            if self.kind == "router":
                inner = block[1](block[0](x))
                loss = loss + torch.logsumexp(more(inner), -1).square().mean()
                x = x + block[2](inner)
            else:
                loss = loss + F.cross_entropy(more(x), labels)
                x = x + block(x)
        return {"loss": loss + F.cross_entropy(self.head(x), labels)}
