"""3×3 convolutions of fused blocks, in Winograd's form in C++, against torch's own: CPU seconds and rounding errors.

    python bench/convolutions.py [pairs]

Shapes: what a convolution sees in ResNet-20 to ResNet-1202 at batch 128 (32 × 32 images), in ResNet-50 at batch 8
        (224 × 224) and in DenseNet-BC-100-12 at batch 64. Channels-last, float32.
Time:   CPU seconds of ours over torch's, the two in turns, one thread; below 1 ours is faster.
Errors: against float64: root mean square and largest, over the largest number of what is computed; torch's beside ours.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from _common import keep, ratios
from torch import Tensor

from gradpath.kernels._winograd import Winograd

Shape = tuple[int, int, int, int]  # N, C, K, side
SHAPES: dict[str, list[Shape]] = {
    "ResNet-110, batch 128": [(128, 16, 16, 32), (128, 32, 32, 16), (128, 64, 64, 8)],
    "ResNet-50, batch 8": [(8, 64, 64, 56), (8, 128, 128, 28), (8, 256, 256, 14)],
    "DenseNet-BC-100-12, batch 64": [(64, 48, 12, 32), (64, 48, 12, 16), (64, 48, 12, 8)],
}
Product = Callable[[], Tensor]


def products_of(own: Winograd, shape: Shape) -> dict[str, tuple[Product, Product, Product]]:
    """Of each product: ours, torch's, and float64's."""
    count, channels, out, side = shape
    torch.manual_seed(0)
    x, grad, weight = (
        torch.randn(size).contiguous(memory_format=torch.channels_last)
        for size in ((count, channels, side, side), (count, out, side, side), (out, channels, 3, 3))
    )
    assert own.takes(x, weight)

    def torchs(index: int, dtype: torch.dtype) -> Tensor:
        g, a, w = (t.to(dtype) for t in (grad, x, weight))
        if index == 0:
            return torch.nn.functional.conv2d(a, w, padding=1)
        wanted = [index == 1, index == 2, False]
        gradients = torch.ops.aten.convolution_backward(g, a, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)
        found: Tensor = gradients[index - 1]
        return found

    ours: list[Product] = [
        lambda: own.convolve(x, weight),
        lambda: own.input_gradient(grad, weight),
        lambda: own.weight_gradient(grad, x, weight),
    ]
    return {
        name: (ours[i], lambda i=i: torchs(i, torch.float32), lambda i=i: torchs(i, torch.float64))  # type: ignore[misc]
        for i, name in enumerate(("output", "gradient of the input", "gradient of the weight"))
    }


def errors(found: Tensor, exact: Tensor) -> dict[str, float]:
    off = (found.double() - exact) / exact.abs().max()
    return {"root_mean_square": float(f"{off.square().mean().sqrt():.2g}"), "largest": float(f"{off.abs().max():.2g}")}


def row(own: Winograd, shape: Shape, pairs: int) -> dict[str, Any]:
    found: dict[str, Any] = {"images": shape[0], "channels": shape[1], "outputs": shape[2], "side": shape[3]}
    for name, (ours, torchs, exact) in products_of(own, shape).items():
        right = exact()
        found[name] = {
            "time": ratios(ours, torchs, pairs, time.process_time),
            "error": errors(ours(), right),
            "error_of_torch": errors(torchs(), right),
        }
        print(shape, name, found[name]["time"]["median_ratio"], file=sys.stderr, flush=True)
    return found


def main(pairs: int = 11) -> None:
    torch.set_num_threads(1)
    own = Winograd()
    with torch.no_grad():
        nets = {net: [row(own, shape, pairs) for shape in shapes] for net, shapes in SHAPES.items()}
    keep("convolutions", {"dtype": "float32", "nets": nets})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
