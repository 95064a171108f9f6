"""3×3 convolutions in Winograd's form in C++ (_winograd.cpp): channels-last float32 on the CPU; the rest goes to torch.

On AVX2 0.2 to 0.75 of the time of torch's. Rounding errors are 1 to 4e-7 of the largest number as a root mean square,
2 to 4 times those of the direct form, 5e-6 at most; of a weight's gradient they are torch's, twice them at 256 channels
(bench/convolutions.py). Whether one is taken depends on its sizes and the machine alone, not on a timing: a run does
not change its rounding from one start to the next. Results do not depend on the number of threads, bit for bit.
"""

from __future__ import annotations

from ctypes import c_int64, c_void_p
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gradpath.kernels._vectors import Vectors
from gradpath.nets import TorchConvs, compute_dtype

CHANNELS = 12, 256  # least, most: with fewer the transforms cost what they save; with more the weights leave the cache
PIXELS = 1024  # N·H·W at least: the weights are transformed at every call
SIDE = 4  # H and W at least: narrower images leave tiles empty
TILE, PLACES = 4, 36  # outputs of a tile are 4 × 4; its inputs, and its products, 6 × 6
BLOCK, GRADIENT_BLOCK = 24, 48  # tiles that stay in the cache together
SLICES, SLICE_BYTES = (4, 8), 2 << 20  # of the sums of a weight's gradient: least, most; most bytes, but for the least
_SIZES = [c_int64] * 5  # N, H, W, C, K


class Winograd(Vectors):
    """The three products of a convolution."""

    source = "_winograd.cpp"
    signatures: ClassVar[dict[str, list[Any]]] = {
        "weights": [c_void_p, c_void_p, c_int64, c_int64, c_void_p, c_int64],
        "convolve": [c_void_p, c_void_p, c_void_p, *_SIZES, c_int64, c_int64],
        "weight_gradient": [*[c_void_p] * 5, *_SIZES, c_int64, c_int64, c_int64],
    }

    def takes(self, x: Tensor, weight: Tensor) -> bool:
        """Whether x (N C H W) convolved with weight (K C 3 3), stride 1, padding 1, is one for these products."""
        least, most = CHANNELS
        return (
            x.dtype is weight.dtype is torch.float32
            and x.is_cpu
            and x.dim() == 4
            and weight.shape[1:] == (x.shape[1], 3, 3)
            and all(least <= count <= most and count % 4 == 0 for count in weight.shape[:2])
            and x.numel() >= PIXELS * x.shape[1]
            and min(x.shape[2:]) >= SIDE
            and x.is_contiguous(memory_format=torch.channels_last)
        )

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """N C H W → N K H W, channels-last."""
        return self._convolve(x, weight.data_ptr(), weight.stride(), len(weight))

    def input_gradient(self, grad: Tensor, weight: Tensor) -> Tensor:
        """From that of the output, N K H W channels-last, to that of the input, N C H W: convolved with the weight with
        its sides exchanged and its 3×3 turned by 180 degrees."""
        over_out, over_in, over_rows, over_columns = weight.stride()
        last = weight.data_ptr() + weight.element_size() * 2 * (over_rows + over_columns)
        return self._convolve(grad, last, (over_in, over_out, -over_rows, -over_columns), weight.shape[1])

    def _convolve(self, x: Tensor, weight: int, strides: tuple[int, ...], out: int) -> Tensor:
        """weight: where its number [0, 0, 0, 0] is; strides: over outputs, inputs, rows, columns."""
        count, channels, height, width = x.shape
        threads = torch.get_num_threads()
        transformed = x.new_empty(PLACES, channels, self._whole(out))
        y = x.new_empty(count, height, width, out).permute(0, 3, 1, 2)
        self._library.weights(weight, _four(strides), channels, out, transformed.data_ptr(), threads)
        self._library.convolve(
            x.data_ptr(), transformed.data_ptr(), y.data_ptr(), count, height, width, channels, out, BLOCK, threads
        )
        return y

    def weight_gradient(self, grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        """K C 3 3, laid out as the weight is, from N K H W and N C H W, both channels-last."""
        (count, channels, height, width), out = x.shape, grad.shape[1]
        blocks = -(-count * -(-height // TILE) * -(-width // TILE) // GRADIENT_BLOCK)
        least, most = SLICES
        slices = min(max(least, min(most, SLICE_BYTES // (4 * PLACES * channels * out))), -(-blocks // 4))
        sums, found = x.new_empty(slices, PLACES, channels, self._whole(out)), torch.empty_like(weight)
        self._library.weight_gradient(
            x.data_ptr(), grad.data_ptr(), sums.data_ptr(), found.data_ptr(), _four(found.stride()),
            count, height, width, channels, out, slices, GRADIENT_BLOCK, torch.get_num_threads(),
        )  # fmt: skip
        return found


class WinogradConvs(TorchConvs):
    """`ConvPasses` by these products where they take a convolution."""

    def __init__(self, products: Winograd) -> None:
        self._products = products

    def takes(self, x: Tensor, conv: nn.Conv2d) -> bool:
        """Whether conv(x), under the autocast that is on, is computed here."""
        return (
            conv.stride == conv.padding == conv.dilation == (1, 1)
            and conv.groups == 1
            and self._products.takes(x, conv.weight)
            and compute_dtype(x) is torch.float32
        )

    def convolve(self, x: Tensor, conv: nn.Conv2d) -> Tensor:
        """See ConvPasses."""
        return self._products.convolve(x, conv.weight) if self.takes(x, conv) else super().convolve(x, conv)

    def convolve_backward(
        self, grad: Tensor, x: Tensor, conv: nn.Conv2d, needs_input_grad: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """See ConvPasses."""
        fits = grad.dtype is torch.float32 and grad.shape == (x.shape[0], conv.weight.shape[0], *x.shape[2:])
        if not fits or not self.takes(x, conv):
            return super().convolve_backward(grad, x, conv, needs_input_grad)
        grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            self._products.input_gradient(grad, conv.weight) if needs_input_grad else None,
            self._products.weight_gradient(grad, x, conv.weight) if conv.weight.requires_grad else None,
        )


def _four(strides: tuple[int, ...]) -> Any:
    return (c_int64 * 4)(*strides)
