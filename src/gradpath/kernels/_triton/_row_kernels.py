"""Triton kernels of norms over rows: statistics, affine map with ReLU, gradients. Importing this file needs Triton.

A matrix is M C: M = N·H·W pixels in channels-last order, each row in one piece, `stride` numbers from row to row.
Storage is float32, bfloat16 or float16, arithmetic float32. What is summed over rows is summed in two steps, without
atomics: a program sums `rows_each` rows, and a second kernel adds the programs' sums in their order. So results are
the same at every run.

Columns and strides come in units of UNIT numbers, the largest that divides them (`Grid.unit`): by that the compiler
knows how wide its loads may be where 16 does not divide them, as in most layers of a DenseNet with growth rate 12.

One expression, one rounding: `fma` is written where it is meant, and launches ask for no other fusion of products and
sums. The mask that a backward finds is then the one that the forward applied, bit for bit.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"
# Triton reads the bodies below; their arguments are pointers and numbers of its own, which Python has no types for.
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def relu(x):
    """NaN stays NaN, as torch has it."""
    return tl.where(x <= 0, 0.0, x)


@triton.jit
def rounded(x, like):
    """x as a tensor of `like`'s type stores it, float32."""
    return x.to(like.dtype.element_ty).to(tl.float32)


@triton.jit
def affine(x, center, scale, bias):
    """(x − center)·scale + bias, float32."""
    return tl.fma(x - center, scale, bias)


@triton.jit
def finished(total, x, center, offset, slope):
    """total − offset − slope·(x − center), float32: what the batch's statistics take from a gradient."""
    return total - tl.fma(x - center, slope, offset)


@triton.jit
def moments_kernel(
    x, x_stride, means, squares, rows, columns, rows_each,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """Mean and sum of squared deviations of each column over a program's rows: Welford, one state for each place of
    a tile; the states are then merged by Chan's formula. means, squares: programs × C."""
    columns, x_stride = columns * UNIT, x_stride * UNIT
    column = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    first = tl.program_id(1) * rows_each
    last = tl.minimum(first + rows_each, rows)
    mean = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    square = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    seen = 0.0
    for start in range(first, last, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        inside = (row < last)[:, None] & (column < columns)[None, :]
        at = row.to(tl.int64)[:, None] * x_stride + column[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        seen += 1.0
        delta = tl.where(inside, value - mean, 0.0)
        mean += delta / seen
        square += delta * (value - mean)
    place = tl.arange(0, BLOCK_M)
    count = tl.maximum((last - first - place + BLOCK_M - 1) // BLOCK_M, 0).to(tl.float32)[:, None]
    together = tl.sum(mean * count, axis=0) / (last - first).to(tl.float32)
    between = mean - together[None, :]
    spread = tl.sum(tl.fma(between * between, count, square), axis=0)
    out = tl.program_id(1) * columns + column
    tl.store(means + out, together, mask=column < columns)
    tl.store(squares + out, spread, mask=column < columns)


@triton.jit
def merge_moments_kernel(
    means, squares, out, weight, running_mean, running_var, rows, columns, rows_each, parts, eps, momentum, unbiased,
    NORM: tl.constexpr, RUNNING: tl.constexpr, UNIT: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """Moments of all rows from those of the programs. out: mean and sum of squared deviations, 2 × C; with NORM: mean,
    1/√(variance + eps) and weight times that, 3 × C. With RUNNING the running statistics move by `momentum`, the
    variance as variance·unbiased."""
    columns = columns * UNIT
    column = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    real = column < columns
    total = tl.zeros([BLOCK_P, BLOCK_C], dtype=tl.float32)
    for start in range(0, parts, BLOCK_P):
        part = start + tl.arange(0, BLOCK_P)
        inside = (part < parts)[:, None] & real[None, :]
        count = tl.minimum(rows - part * rows_each, rows_each).to(tl.float32)[:, None]
        mean = tl.load(means + part[:, None] * columns + column[None, :], mask=inside, other=0.0)
        total += tl.where(inside, mean * count, 0.0)
    size = 1.0 * rows
    center = tl.sum(total, axis=0) / size
    spread = tl.zeros([BLOCK_P, BLOCK_C], dtype=tl.float32)
    for start in range(0, parts, BLOCK_P):
        part = start + tl.arange(0, BLOCK_P)
        inside = (part < parts)[:, None] & real[None, :]
        count = tl.minimum(rows - part * rows_each, rows_each).to(tl.float32)[:, None]
        at = part[:, None] * columns + column[None, :]
        between = tl.load(means + at, mask=inside, other=0.0) - center[None, :]
        square = tl.load(squares + at, mask=inside, other=0.0)
        spread += tl.where(inside, tl.fma(between * between, count, square), 0.0)
    square = tl.sum(spread, axis=0)
    tl.store(out + column, center, mask=real)
    if NORM:
        variance = square / size
        inverse = 1.0 / tl.sqrt_rn(variance + eps)
        tl.store(out + columns + column, inverse, mask=real)
        tl.store(out + 2 * columns + column, tl.load(weight + column, mask=real, other=0.0) * inverse, mask=real)
        if RUNNING:
            old_mean = tl.load(running_mean + column, mask=real, other=0.0)
            old_var = tl.load(running_var + column, mask=real, other=0.0)
            tl.store(running_mean + column, tl.fma(center - old_mean, momentum, old_mean), mask=real)
            tl.store(running_var + column, tl.fma(variance * unbiased - old_var, momentum, old_var), mask=real)
    else:
        tl.store(out + columns + column, square, mask=real)


@triton.jit
def activate_kernel(
    x, x_stride, add, out, out_stride, center, scale, bias, rows, columns,
    RELU: tl.constexpr, ADD: tl.constexpr, UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """out = relu(affine(x) + add); the affine map is rounded to out's dtype before the sum. `add` has out's rows."""
    columns, x_stride, out_stride = columns * UNIT, x_stride * UNIT, out_stride * UNIT
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    real = column < columns
    inside = (row < rows)[:, None] & real[None, :]
    wide = row.to(tl.int64)[:, None]
    value = tl.load(x + wide * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    middle = tl.load(center + column, mask=real, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=real, other=0.0)[None, :]
    shift = tl.load(bias + column, mask=real, other=0.0)[None, :]
    at = wide * out_stride + column[None, :]
    result = rounded(affine(value, middle, factor, shift), out)
    if ADD:
        result += tl.load(add + at, mask=inside, other=0.0).to(tl.float32)
    if RELU:
        result = relu(result)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def norm_sums_kernel(
    grad, x, center, scale, bias, plain, centered, rows, columns, rows_each,
    RELU: tl.constexpr, UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """With g = grad where relu(affine(x)) > 0, else 0: Σ g and Σ g·(x − center) over a program's rows, programs × C.
    grad, x: M C without gaps."""
    columns = columns * UNIT
    column = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    real = column < columns
    first = tl.program_id(1) * rows_each
    last = tl.minimum(first + rows_each, rows)
    middle = tl.load(center + column, mask=real, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=real, other=0.0)[None, :]
    shift = tl.load(bias + column, mask=real, other=0.0)[None, :]
    sum0 = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    sum1 = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    for start in range(first, last, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        inside = (row < last)[:, None] & real[None, :]
        at = row.to(tl.int64)[:, None] * columns + column[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        if RELU:
            g = tl.where(rounded(affine(value, middle, factor, shift), x) <= 0, 0.0, g)
        sum0 += g
        sum1 = tl.fma(g, value - middle, sum1)
    out = tl.program_id(1) * columns + column
    tl.store(plain + out, tl.sum(sum0, axis=0), mask=real)
    tl.store(centered + out, tl.sum(sum1, axis=0), mask=real)


@triton.jit
def merge_sums_kernel(
    plain, centered, plain_out, centered_out, weight_out, inverse, columns, parts,
    UNIT: tl.constexpr, BLOCK_P: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """Σ g, Σ g·(x − center) and inverse times that (the gradient of a norm's weight), C each."""
    columns = columns * UNIT
    column = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    real = column < columns
    sum0 = tl.zeros([BLOCK_P, BLOCK_C], dtype=tl.float32)
    sum1 = tl.zeros([BLOCK_P, BLOCK_C], dtype=tl.float32)
    for start in range(0, parts, BLOCK_P):
        part = start + tl.arange(0, BLOCK_P)
        inside = (part < parts)[:, None] & real[None, :]
        at = part[:, None] * columns + column[None, :]
        sum0 += tl.load(plain + at, mask=inside, other=0.0)
        sum1 += tl.load(centered + at, mask=inside, other=0.0)
    product = tl.sum(sum1, axis=0)
    tl.store(plain_out + column, tl.sum(sum0, axis=0), mask=real)
    tl.store(centered_out + column, product, mask=real)
    tl.store(weight_out + column, product * tl.load(inverse + column, mask=real, other=0.0), mask=real)


@triton.jit
def norm_gradient_kernel(
    grad, x, add, out, center, scale, bias, inverse, plain, centered, rows, columns, share,
    RELU: tl.constexpr, ADD: tl.constexpr, BATCH: tl.constexpr,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """out = scale·(g − mean(g) − (x − center)·inverse²·mean(g·(x − center))) + add (Ioffe and Szegedy 2015, section 3);
    the means only with BATCH, of plain = Σ g and centered = Σ g·(x − center). share: 1/rows. out may be grad."""
    columns = columns * UNIT
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    real = column < columns
    inside = (row < rows)[:, None] & real[None, :]
    at = row.to(tl.int64)[:, None] * columns + column[None, :]
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
    middle = tl.load(center + column, mask=real, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=real, other=0.0)[None, :]
    if RELU:
        shift = tl.load(bias + column, mask=real, other=0.0)[None, :]
        g = tl.where(rounded(affine(value, middle, factor, shift), x) <= 0, 0.0, g)
    if BATCH:
        root = tl.load(inverse + column, mask=real, other=0.0)
        offset = tl.load(plain + column, mask=real, other=0.0) * share
        slope = root * root * tl.load(centered + column, mask=real, other=0.0) * share
        g = finished(g, value, middle, offset[None, :], slope[None, :])
    result = rounded(factor * g, out)
    if ADD:
        result += tl.load(add + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def mask_kernel(
    grad, activated, x, x_stride, out, out_stride, center, scale, plain, centered, rows, columns, rows_each,
    ACCUMULATE: tl.constexpr, UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """With g = grad where activated > 0, else 0: out = scale·g, or out += scale·g; and sums as `norm_sums_kernel`.
    grad, activated: M C without gaps."""
    columns, x_stride, out_stride = columns * UNIT, x_stride * UNIT, out_stride * UNIT
    column = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    real = column < columns
    first = tl.program_id(1) * rows_each
    last = tl.minimum(first + rows_each, rows)
    middle = tl.load(center + column, mask=real, other=0.0)[None, :]
    factor = tl.load(scale + column, mask=real, other=0.0)[None, :]
    sum0 = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    sum1 = tl.zeros([BLOCK_M, BLOCK_C], dtype=tl.float32)
    for start in range(first, last, BLOCK_M):
        row = start + tl.arange(0, BLOCK_M)
        inside = (row < last)[:, None] & real[None, :]
        wide = row.to(tl.int64)[:, None]
        at = wide * columns + column[None, :]
        g = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        g = tl.where(tl.load(activated + at, mask=inside, other=0.0).to(tl.float32) <= 0, 0.0, g)
        value = tl.load(x + wide * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
        sum0 += g
        sum1 = tl.fma(g, value - middle, sum1)
        to = out + wide * out_stride + column[None, :]
        result = factor * g
        if ACCUMULATE:
            result = tl.fma(factor, g, tl.load(to, mask=inside, other=0.0).to(tl.float32))
        tl.store(to, result.to(out.dtype.element_ty), mask=inside)
    here = tl.program_id(1) * columns + column
    tl.store(plain + here, tl.sum(sum0, axis=0), mask=real)
    tl.store(centered + here, tl.sum(sum1, axis=0), mask=real)


@triton.jit
def finish_kernel(
    total, total_stride, x, x_stride, center, offset, slope, out, out_stride, rows, columns,
    UNIT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr
):  # fmt: skip
    """out = total − offset − slope·(x − center)."""
    columns, x_stride, out_stride, total_stride = (
        columns * UNIT,
        x_stride * UNIT,
        out_stride * UNIT,
        total_stride * UNIT,
    )
    column = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    real = column < columns
    inside = (row < rows)[:, None] & real[None, :]
    wide = row.to(tl.int64)[:, None]
    value = tl.load(x + wide * x_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    g = tl.load(total + wide * total_stride + column[None, :], mask=inside, other=0.0).to(tl.float32)
    middle = tl.load(center + column, mask=real, other=0.0)[None, :]
    shift = tl.load(offset + column, mask=real, other=0.0)[None, :]
    rise = tl.load(slope + column, mask=real, other=0.0)[None, :]
    result = finished(g, value, middle, shift, rise).to(out.dtype.element_ty)
    tl.store(out + wide * out_stride + column[None, :], result, mask=inside)
