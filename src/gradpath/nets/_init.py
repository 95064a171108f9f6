"""Initialisation of convolutions, norms and linear layers."""

from __future__ import annotations

import math

from torch import nn

from gradpath.record._net import Init


def initialise(net: nn.Module, init: Init) -> None:
    """Set the parameters of `net` in place, by the global random state.

    'he': convolutions normal with mean 0 and variance 2 / fan_out, fan_out = size²·channels out (He et al. 2015,
    "Delving deep", equation 14; so in fb.resnet.torch and DenseNet's code), biases 0, norms weight 1 and bias 0, the
    linear layer's weight uniform in ±1/√fan_in (its default). 'default': PyTorch's own, left as it is.
    """
    if init == "default":
        return
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = math.prod(module.kernel_size) * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
