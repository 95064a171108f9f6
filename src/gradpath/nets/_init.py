"""Initialisation of convolutions, norms and linear layers."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn

from gradpath.nets._blocks import StageBlock
from gradpath.nets._options import Gate
from gradpath.record import NetSpec
from gradpath.record._net import Nonlinearity

SQUARED_GAINS: dict[Nonlinearity, float] = {
    "relu": 2.0,
    "leaky-relu": 2 / (1 + 0.01**2),
    "gelu": 2.351716,
    "silu": 2.810761,
    "tanh": 2.536175,
}
"""1 / E[φ(z)²] for z ~ N(0, 1): with it a wide layer keeps the mean square 1 of what enters its nonlinearity."""

CRITICAL_TANH = (1.05, 2.01e-5)
"""Variances σ_w² and σ_b² of a vanilla tanh net at the edge of chaos, where gradients neither grow nor shrink (Xiao et
al. 2018, section 4)."""


def initialise(net: nn.Module, spec: NetSpec) -> None:
    """Set the parameters of `net`, which is of `spec`, in place, by the global random state. Nothing on 'meta'.

    Biases begin at 0 and norms at weight 1, bias 0; the linear layer's weight is uniform in ±1/√fan_in (torch's own),
    and gain² is 2 for ReLU (SQUARED_GAINS for others). Convolutions, with fans of size²·channels:

    he: normal of variance gain² / fan_out (He et al. 2015, "Delving deep", equation 14; so in fb.resnet.torch and
        DenseNet's code). he-in: gain² / fan_in (equation 10; so in torchvision's and timm's DenseNets).
    xavier: uniform, variance 2 / (fan_in + fan_out), the linear layer too (Glorot and Bengio 2010).
    fixup: he; in branches of m convolutions times L^(−1/(2m−2)) for L branches, the last convolution of each branch
        and the linear layer 0 (Zhang et al. 2019). Norms are replaced by scalars.
    skipinit, rezero: he, and each branch times a learned scalar that begins at 0 (De and Smith 2020, without norm;
        Bachlechner et al. 2021, with or without).
    delta-orthogonal: 0 but at the centre, there orthogonal times the gain (Xiao et al. 2018); for tanh at criticality,
        which is variance 1.05 and random biases of variance 2.01e-5.
    default: PyTorch's own, left as it is.
    """
    if any(parameter.is_meta for parameter in net.parameters()):
        return
    if spec.init != "default":
        fill = _FILLS.get(spec.init, _he_out)
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                fill(module.weight, module, SQUARED_GAINS[spec.nonlinearity])
            if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                nn.init.zeros_(module.bias)
    blocks = [module for module in net.modules() if isinstance(module, StageBlock)]
    _LAST_TOUCH.get(spec.init, _nothing)(net, blocks, spec)
    for block in blocks if spec.zero_last_norm else []:
        nn.init.zeros_(block.last_norm.weight)  # type: ignore[arg-type]
    for module in net.modules():
        if isinstance(module, Gate):
            nn.init.constant_(module.conv.bias, module.first_bias)  # type: ignore[arg-type]


def _he_out(weight: Tensor, conv: nn.Conv2d, squared_gain: float) -> None:
    fan_out = math.prod(conv.kernel_size) * conv.out_channels  # of all groups, as in fb.resnet.torch
    nn.init.normal_(weight, std=math.sqrt(squared_gain / fan_out))


def _he_in(weight: Tensor, conv: nn.Conv2d, squared_gain: float) -> None:
    nn.init.normal_(weight, std=math.sqrt(squared_gain / weight[0].numel()))


def _xavier(weight: Tensor, _conv: nn.Conv2d, _gain: float) -> None:
    nn.init.xavier_uniform_(weight)


def _delta_orthogonal(weight: Tensor, conv: nn.Conv2d, squared_gain: float) -> None:
    """One orthogonal matrix in each group: of orthonormal columns where channels grow, of rows where they shrink."""
    nn.init.zeros_(weight)
    centre = weight[:, :, weight.shape[2] // 2, weight.shape[3] // 2]  # C_out C_in/groups
    for part in centre.detach().chunk(conv.groups):
        nn.init.orthogonal_(part, gain=math.sqrt(squared_gain))


_FILLS: dict[str, Callable[[Tensor, nn.Conv2d, float], None]] = {
    "he-in": _he_in,
    "xavier": _xavier,
    "delta-orthogonal": _delta_orthogonal,
}
"""Initialisation → what fills a convolution's weight; he of all others."""


def _nothing(_net: nn.Module, _blocks: list[StageBlock], _spec: NetSpec) -> None:
    pass


def _linear_xavier(net: nn.Module, _blocks: list[StageBlock], _spec: NetSpec) -> None:
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def _fixup(net: nn.Module, blocks: list[StageBlock], _spec: NetSpec) -> None:
    for block in blocks:
        *inner, last = block.branch_convs()
        for conv in inner:
            conv.weight.detach().mul_(len(blocks) ** (-1 / (2 * len(inner))))
        nn.init.zeros_(last.weight)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)


def _critical(net: nn.Module, _blocks: list[StageBlock], spec: NetSpec) -> None:
    if spec.nonlinearity != "tanh":
        return
    weight_variance, bias_variance = CRITICAL_TANH
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.detach().mul_(math.sqrt(weight_variance / SQUARED_GAINS["tanh"]))
            if module.bias is not None:
                nn.init.normal_(module.bias, std=math.sqrt(bias_variance))


_LAST_TOUCH: dict[str, Callable[[nn.Module, list[StageBlock], NetSpec], None]] = {
    "xavier": _linear_xavier,
    "fixup": _fixup,
    "delta-orthogonal": _critical,
}
