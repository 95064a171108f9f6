"""Compiles every Triton kernel, as it would be launched, for a GPU that need not be there: python triton_compile.py 90

Passes run on tensors without data (device 'meta'); where they would launch a kernel it is compiled. Prints a line for
each: name, bytes of shared memory, whether it holds instructions of the tensor cores.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
from torch import Tensor, nn
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gradpath.kernels._dense_passes import Affine
from gradpath.kernels._triton import _dense, _norm
from gradpath.kernels._triton._launch import WARPS

TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
DIVISIBLE = [["tt.divisibility", 16]]
OUTPUTS = {torch.bfloat16: (48, 128, 192), torch.float16: (48,), torch.float32: (48,)}
seen: set[Any] = set()


def compile_instead(kernel: Any, programs: Any, like: Tensor, *arguments: Any, **constants: Any) -> None:
    """Stands for `launch`. Arguments are specialised as Triton would: 1 and None, what 16 divides."""
    values = dict(zip(kernel.arg_names, arguments, strict=False)) | constants
    types, fixed, known = {}, {}, {}
    for index, name in enumerate(kernel.arg_names):
        value = values[name]
        if name in constants or value is None or (isinstance(value, int) and value == 1):
            types[name], fixed[(index,)] = "constexpr", value
            continue
        types[name] = TYPES[value.dtype] if isinstance(value, Tensor) else "i32" if isinstance(value, int) else "fp32"
        if isinstance(value, Tensor) or (isinstance(value, int) and value % 16 == 0):
            known[(index,)] = DIVISIBLE
    key = kernel.__name__, str((types, fixed, known))
    if key in seen:
        return
    seen.add(key)
    source = ASTSource(fn=kernel, signature=types, constexprs=fixed, attrs=known)
    target = GPUTarget("cuda", int(sys.argv[1]), 32)
    done = triton.compile(source, target=target, options={"num_warps": WARPS, "enable_fp_fusion": False})
    tensor_cores = any(word in done.asm["ptx"] for word in ("wgmma", "mma.sync"))
    print(kernel.__name__, done.metadata.shared, "mma" if tensor_cores else "-", flush=True)


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def norms(dtype: torch.dtype) -> None:
    passes, norm = _norm.TritonPasses(("meta",)), nn.BatchNorm2d(24, device="meta")
    x = empty(64, 24, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    stats = passes.stats(x, norm)
    assert isinstance(stats, _norm.TritonStats)
    passes.act(x, norm, stats, add=x)
    passes.act_backward(x, x, norm, stats, add=x)


def dense(dtype: torch.dtype, outputs: int) -> None:
    passes, channels = _dense.TritonDensePasses(("meta",)), 36
    x, total = (empty(65536, 204, dtype=dtype)[:, :channels] for _ in range(2))
    weight, product = empty(outputs, channels, dtype=dtype), empty(65536, outputs, dtype=dtype)
    affine = Affine(*(empty(channels) for _ in range(4)), True)
    vectors = empty(outputs), empty(outputs), empty(outputs)
    assert passes.takes(x, weight)
    passes.product(x, affine, weight, product, True)
    passes.product_backward(product, product, vectors, x, affine, weight, total, True)
    whole = Affine(*(empty(outputs) for _ in range(4)), True)
    passes.activate(product, whole, product)
    passes.mask(product, product, product, whole, product, False)
    passes.moments(product, torch.float32)
    passes.finish(product, product, *vectors, product)


if __name__ == "__main__":
    for module in (_norm, _dense):
        module.launch = compile_instead
    with torch.no_grad():
        for dtype, widths in OUTPUTS.items():
            norms(dtype)
            for outputs in widths:
                dense(dtype, outputs)
