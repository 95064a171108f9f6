"""Triton kernels of a dense layer's 1×1 convolution: a matrix product that takes its norms along. Needs Triton.

    forward    out = relu(affine(x)) · weightᵀ           and the statistics of out
    backward   total += scale·g,  g = (grad · weight) where relu(affine(x)) > 0
               and Σ g, Σ g·(x − center), ∂weight = gradᵀ · relu(affine(x))

grad is finished on the way in (`finished`), so neither it nor the activation is ever written. x and total are the first
C columns of wider matrices. Rows, sums, rounding and UNIT (of
channels and strides): see _row_kernels.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads the bodies below; their arguments are pointers and numbers of its own, which Python has no types for.
from __future__ import annotations

import triton
import triton.language as tl

from gradpath.kernels._triton._row_kernels import affine, finished, relu, rounded


@triton.jit
def product_kernel(
    x, x_stride, weight, out, center, scale, bias, means, squares, rows, channels, outputs, rows_each,
    MOMENTS: tl.constexpr, PRECISION: tl.constexpr, UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):  # fmt: skip
    """x: M C, weight: K C, out: M K (K = `outputs`). With MOMENTS each program also gives mean and sum of squared
    deviations of its rows of out, as stored: means, squares, programs × K."""
    channels, x_stride = channels * UNIT, x_stride * UNIT
    output = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    wanted = output < outputs
    first = tl.program_id(1) * rows_each
    last = tl.minimum(first + rows_each, rows)
    mean = tl.zeros([BLOCK_N], dtype=tl.float32)
    square = tl.zeros([BLOCK_N], dtype=tl.float32)
    seen = 0.0
    row = tl.arange(0, BLOCK_M)[:, None]
    x += first.to(tl.int64) * x_stride  # 64 bits for the tile's beginning, 32 inside it: half the registers
    out += first.to(tl.int64) * outputs
    for start in range(first, last, BLOCK_M):
        real = row < last - start
        sums = tl.zeros([BLOCK_M, BLOCK_N], dtype=tl.float32)
        for begin in range(0, channels, BLOCK_K):
            channel = begin + tl.arange(0, BLOCK_K)
            known = channel < channels
            value = tl.load(x + row * x_stride + channel[None, :], mask=real & known[None, :], other=0.0)
            middle = tl.load(center + channel, mask=known, other=0.0)[None, :]
            factor = tl.load(scale + channel, mask=known, other=0.0)[None, :]
            shift = tl.load(bias + channel, mask=known, other=0.0)[None, :]
            active = relu(affine(value.to(tl.float32), middle, factor, shift)).to(weight.dtype.element_ty)
            at = output[None, :] * channels + channel[:, None]
            factors = tl.load(weight + at, mask=known[:, None] & wanted[None, :], other=0.0)
            sums = tl.dot(active, factors, sums, input_precision=PRECISION)
        result = sums.to(out.dtype.element_ty)
        tl.store(out + row * outputs + output[None, :], result, mask=real & wanted[None, :])
        x += BLOCK_M * x_stride
        out += BLOCK_M * outputs
        if MOMENTS:  # of this tile by two passes over it, then merged (Chan, Golub, LeVeque 1979)
            count = (tl.minimum(start + BLOCK_M, last) - start).to(tl.float32)
            stored = tl.where(real, result.to(tl.float32), 0.0)
            center_here = tl.sum(stored, axis=0) / count
            deviation = tl.where(real, stored - center_here[None, :], 0.0)
            delta = center_here - mean
            both = seen + count
            mean = tl.fma(delta, count / both, mean)
            square += tl.sum(deviation * deviation, axis=0) + delta * delta * (seen * count / both)
            seen = both
    if MOMENTS:
        here = tl.program_id(1) * outputs + output
        tl.store(means + here, mean, mask=wanted)
        tl.store(squares + here, square, mask=wanted)


@triton.jit
def product_backward_kernel(
    grad, product, grad_center, grad_offset, grad_slope, weight,
    x, x_stride, center, scale, bias, total, total_stride, plain, centered, weights, rows, channels, outputs, rows_each,
    NEEDS_WEIGHT: tl.constexpr, PRECISION: tl.constexpr, UNIT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):  # fmt: skip
    """grad, product: M K without gaps (BLOCK_K ≥ K); weight: K C; x, total: M C. plain, centered: programs × C;
    weights: programs × K × C, what each program's rows give of the weight's gradient."""
    channels, x_stride, total_stride = channels * UNIT, x_stride * UNIT, total_stride * UNIT
    channel = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    known = channel < channels
    output = tl.arange(0, BLOCK_K)
    wanted = output < outputs
    first = tl.program_id(1) * rows_each
    last = tl.minimum(first + rows_each, rows)
    place = output[:, None] * channels + channel[None, :]
    both = wanted[:, None] & known[None, :]
    factors = tl.load(weight + place, mask=both, other=0.0)
    middle = tl.load(center + channel, mask=known, other=0.0)[None, :]
    factor = tl.load(scale + channel, mask=known, other=0.0)[None, :]
    shift = tl.load(bias + channel, mask=known, other=0.0)[None, :]
    out_center = tl.load(grad_center + output, mask=wanted, other=0.0)[None, :]
    out_offset = tl.load(grad_offset + output, mask=wanted, other=0.0)[None, :]
    out_slope = tl.load(grad_slope + output, mask=wanted, other=0.0)[None, :]
    sum0 = tl.zeros([BLOCK_N], dtype=tl.float32)
    sum1 = tl.zeros([BLOCK_N], dtype=tl.float32)
    sums = tl.zeros([BLOCK_K, BLOCK_N], dtype=tl.float32)
    row = tl.arange(0, BLOCK_M)[:, None]
    x += first.to(tl.int64) * x_stride
    total += first.to(tl.int64) * total_stride
    grad += first.to(tl.int64) * outputs
    product += first.to(tl.int64) * outputs
    for start in range(first, last, BLOCK_M):
        real = row < last - start
        at = row * outputs + output[None, :]
        inner = real & wanted[None, :]
        upper = tl.load(grad + at, mask=inner, other=0.0).to(tl.float32)
        stored = tl.load(product + at, mask=inner, other=0.0).to(tl.float32)
        incoming = tl.where(inner, finished(upper, stored, out_center, out_offset, out_slope), 0.0)
        incoming = incoming.to(weight.dtype.element_ty)
        inside = real & known[None, :]
        value = tl.load(x + row * x_stride + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        active = relu(rounded(affine(value, middle, factor, shift), weight))
        g = tl.dot(incoming, factors, input_precision=PRECISION)
        g = tl.where(active <= 0, 0.0, g)
        sum0 += tl.sum(g, axis=0)
        sum1 += tl.sum(g * (value - middle), axis=0)
        to = total + row * total_stride + channel[None, :]
        added = tl.fma(factor, g, tl.load(to, mask=inside, other=0.0).to(tl.float32))
        tl.store(to, added.to(total.dtype.element_ty), mask=inside)
        x += BLOCK_M * x_stride
        total += BLOCK_M * total_stride
        grad += BLOCK_M * outputs
        product += BLOCK_M * outputs
        if NEEDS_WEIGHT:
            sums = tl.dot(tl.trans(incoming), active.to(incoming.dtype), sums, input_precision=PRECISION)
    here = tl.program_id(1) * channels + channel
    tl.store(plain + here, sum0, mask=known)
    tl.store(centered + here, sum1, mask=known)
    if NEEDS_WEIGHT:
        tl.store(weights + tl.program_id(1).to(tl.int64) * outputs * channels + place, sums, mask=both)
