"""The lean tape: a block's two moves written out, so that norms and ReLUs are redone instead of kept.

Numbering, for a block of n convolutions: norm k reads raw output k and gives activation k, k = 0 … n − 1. A
post-activation block begins with a convolution (raw 0 = c₁(x); its last activation is the output), a pre-activation
block with a norm (raw 0 = x, which the caller keeps).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from gradpath.nets._conv_passes import ConvPasses, add, cast, pool_backward
from gradpath.nets._form import Form, Shortcut
from gradpath.nets._lean_tape import KEEPS, LeanTape
from gradpath.nets._norm_passes import NormPasses, TorchPasses

Gradients = dict[Tensor, Tensor | None]
"""Of each parameter, the parameter as the key."""


class LeanMoves:
    """The two moves of a block that has a form (gradpath.nets.Moves).

    Values, gradients and buffers are autograd's, whatever the modes; with TorchPasses on the CPU bit for bit. Both
    moves are called without grad mode and under the autocast of the step's forward. Float64, float32, half precision;
    contiguous or channels-last. Frozen parameters, and all that only they would need, cost nothing.
    """

    modes = tuple(KEEPS)

    def __init__(self, form: Form, passes: NormPasses | None = None) -> None:
        self.form = form
        self.passes: NormPasses = TorchPasses() if passes is None else passes
        self._convs = self.passes.convs
        self.ends_in_relu = not form.pre
        count, shift = len(form.norms), 0 if form.pre else 1
        self._top = count - 1
        self._readers = form.convs[shift:]
        """Convolution k reads activation k."""
        self._below = [[*form.convs[: k + shift], *form.norms[:k]] for k in range(count)]
        """What lies between the input and raw output k."""

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """All of the block's, in the order of block.parameters()."""
        return self.form.parameters()

    def new_tape(self) -> LeanTape:
        """See Moves."""
        return LeanTape(len(self.form.norms))

    # ---- forward

    def advance(self, x: Tensor, tape: LeanTape, mode: str) -> Tensor:
        """The block's output, N C H W; see Moves."""
        side, shortcut = None, self.form.shortcut
        inner, _, activations = KEEPS[mode]
        if shortcut is not None and shortcut.from_activated:  # first, while the activation is at hand
            source = self._activation(x, tape, 0)
            side = self._add_of(source, tape, shortcut, mode)
            tape.activations[0] = source if activations or tape.raw[self._top] is None else None
            del source
        self._reach(x, tape, self._top, inner, activations)
        if shortcut is not None and side is None:
            side = self._add_of(x, tape, shortcut, mode)
        out = self._last_conv(x, tape, mode, side) if self.form.pre else self._last_norm(tape, side)
        tape.keep(mode)
        return out

    def _reach(self, x: Tensor, tape: LeanTape, last: int, keep_raw: bool, keep_activations: bool) -> Tensor | None:
        """Redo from the nearest raw output held up to raw output `last`; what its convolution read, if it was redone.

        With keep_activations from the beginning, so that the tape has them all.
        """
        lowest, start, source = int(self.form.pre), last + 1, None
        while start > lowest and (keep_activations or tape.raw[start - 1] is None):
            start -= 1
        for k in range(start, last + 1):
            source = None  # freed before the next one is made
            source = x if k == 0 else self._activation(x, tape, k - 1)
            if k > 0:
                tape.activations[k - 1] = source if keep_activations else None
                tape.raw[k - 1] = tape.raw[k - 1] if keep_raw else None
            if tape.raw[k] is None:
                tape.raw[k] = self._convs.convolve(source, self.form.convs[k - lowest])
        return source

    def _activation(self, x: Tensor, tape: LeanTape, k: int) -> Tensor:
        """relu(norm k (raw k)); the first time with its statistics."""
        held = tape.activations[k]
        return self._act(self._raw(x, tape, k), tape, k) if held is None else held

    def _raw(self, x: Tensor, tape: LeanTape, k: int) -> Tensor:
        raw = x if self.form.pre and k == 0 else tape.raw[k]
        assert raw is not None  # _reach comes first
        return raw

    def _act(self, raw: Tensor, tape: LeanTape, k: int, relu: bool = True, other: Tensor | None = None) -> Tensor:
        norm, stats = self.form.norms[k], tape.stats[k]
        if stats is None:
            stats = tape.stats[k] = self.passes.stats(raw, norm)
        return self.passes.act(raw, norm, stats, relu=relu, add=other)

    def _last_conv(self, x: Tensor, tape: LeanTape, mode: str, side: Tensor | None) -> Tensor:
        """Pre-activation: the last convolution and the sum."""
        _, last, activations = KEEPS[mode]
        source = self._activation(x, tape, self._top)
        tape.activations[self._top] = source if activations else None
        tape.raw[self._top] = tape.raw[self._top] if last else None
        out = self._convs.convolve(source, self.form.convs[-1])
        return out if side is None else add(out, side, self.form.adds_in_place)

    def _last_norm(self, tape: LeanTape, side: Tensor | None) -> Tensor:
        """Post-activation: the last norm, the sum and the ReLU."""
        raw = tape.raw[self._top]
        assert raw is not None
        if side is None or side.dtype == raw.dtype or not self.form.adds_in_place:
            return self._act(raw, tape, self._top, other=side)
        return add(self._act(raw, tape, self._top, relu=False), side, in_place=True).relu_()

    def _add_of(self, source: Tensor, tape: LeanTape, shortcut: Shortcut, mode: str) -> Tensor:
        """What the shortcut adds to the branch."""
        _, last, activations = KEEPS[mode]
        if shortcut.padding is not None:
            stride, before, after = shortcut.padding
            return F.pad(source[:, :, ::stride, ::stride], (0, 0, 0, 0, before, after))
        if shortcut.conv is None:
            return source
        if activations and shortcut.pool is not None:
            tape.pooled = _pooled(source, tape, shortcut)
        raw = tape.shortcut_raw
        if raw is None:
            raw = self._convs.convolve(_pooled(source, tape, shortcut), shortcut.conv)
        if shortcut.norm is None:
            return raw
        tape.shortcut_raw = raw if last else None
        if tape.shortcut_stats is None:
            tape.shortcut_stats = self.passes.stats(raw, shortcut.norm)
        return self.passes.act(raw, shortcut.norm, tape.shortcut_stats, relu=False)

    # ---- backward

    def backward(
        self, grad: Tensor, x: Tensor, tape: LeanTape, needs_input_grad: bool = True
    ) -> tuple[Tensor | None, list[Tensor | None]]:
        """(gradient of x, gradients of `parameters`); see Moves."""
        form, grads = self.form, Gradients()
        shortcut = form.shortcut or Shortcut()
        below = [needs_input_grad or any(map(_trains, parts)) for parts in self._below]
        skip = grad if form.pre and _is_identity(form.shortcut) else None  # added by the first norm's own pass
        d: Tensor | None = grad if form.pre else self._through_last_norm(grad, x, tape, below[-1], grads)
        for k in range(len(self._readers) - 1, -1, -1):
            early = k == 0 and shortcut.from_activated
            if d is None and not early:
                continue
            self._reach(x, tape, k, True, False)
            source, tape.activations[k] = self._activation(x, tape, k), None
            wanted = below[k] or _trains(form.norms[k])
            d = _through_conv(self._convs, d, source, self._readers[k], wanted, grads)
            if early:
                d = self._through_shortcut(grad, source, d, tape, wanted, grads)
            out = source if self.passes.wants_out else None
            del source
            d = self._through_norm(d, x, tape, k, out, skip if k == 0 else None, below[k], grads)
            del out
        if not form.pre:
            d = _through_conv(self._convs, d, x, form.convs[0], needs_input_grad, grads)
        if form.shortcut is not None and skip is None and not shortcut.from_activated:
            d = self._through_shortcut(grad, x, d, tape, needs_input_grad, grads)
        return d, [grads.get(parameter) for parameter in self.parameters]

    def _through_last_norm(self, grad: Tensor, x: Tensor, tape: LeanTape, wanted: bool, grads: Gradients) -> Any:
        """Post-activation: from the gradient before the last ReLU to the last raw output's."""
        norm = self.form.norms[-1]
        if not (wanted or _trains(norm)):
            return None
        source = self._reach(x, tape, self._top, True, False)
        if self._top and source is not None:  # the next convolution's gradient reads it
            tape.activations[self._top - 1] = source
        raw, stats = self._raw(x, tape, self._top), tape.stats[self._top]
        found = self.passes.act_backward(cast(grad, raw.dtype), raw, norm, stats, relu=False, needs_input_grad=wanted)
        tape.raw[self._top] = None
        d, grads[norm.weight], grads[norm.bias] = found
        return d

    def _through_norm(
        self,
        d: Tensor | None,
        x: Tensor,
        tape: LeanTape,
        k: int,
        out: Tensor | None,
        skip: Tensor | None,
        wanted: bool,
        grads: Gradients,
    ) -> Tensor | None:
        """From the gradient of activation k, which is overwritten, to that of raw output k, plus `skip`."""
        if d is None:
            return None
        norm, raw = self.form.norms[k], self._raw(x, tape, k)
        skip = None if skip is None else cast(skip, raw.dtype)
        d, grads[norm.weight], grads[norm.bias] = self.passes.act_backward(
            d, raw, norm, tape.stats[k], out=out, add=skip, own=True, needs_input_grad=wanted
        )
        tape.raw[k] = None
        return d

    def _through_shortcut(
        self, grad: Tensor, source: Tensor, d: Tensor | None, tape: LeanTape, wanted: bool, grads: Gradients
    ) -> Tensor | None:
        """d plus what the shortcut sends back to its source, in place. `grad` is of the block's sum."""
        shortcut = self.form.shortcut
        assert shortcut is not None
        if shortcut.conv is not None:
            more = self._through_projection(grad, source, shortcut, tape, wanted, grads)
            return d if d is None or more is None else d.add_(more)
        if d is None or not wanted:
            return d
        if shortcut.padding is None:
            return d.add_(cast(grad, d.dtype))
        stride, before, _ = shortcut.padding
        d[:, :, ::stride, ::stride].add_(cast(grad[:, before : before + d.shape[1]], d.dtype))
        return d

    def _through_projection(
        self, grad: Tensor, source: Tensor, shortcut: Shortcut, tape: LeanTape, wanted: bool, grads: Gradients
    ) -> Tensor | None:
        """The gradient of the source, through norm, convolution and pooling."""
        conv, norm = shortcut.conv, shortcut.norm
        assert conv is not None
        if not (wanted or _trains(conv) or (norm is not None and _trains(norm))):
            return None
        d: Tensor | None = grad
        pooled = _pooled(source, tape, shortcut)
        if norm is not None:
            raw, tape.shortcut_raw = tape.shortcut_raw, None
            raw = self._convs.convolve(pooled, conv) if raw is None else raw
            needed = wanted or _trains(conv)
            found = self.passes.act_backward(
                cast(grad, raw.dtype), raw, norm, tape.shortcut_stats, relu=False, needs_input_grad=needed
            )
            del raw
            d, grads[norm.weight], grads[norm.bias] = found
        tape.pooled = None
        d = _through_conv(self._convs, d, pooled, conv, wanted, grads)
        return d if d is None or shortcut.pool is None else pool_backward(d, source, shortcut.pool)


def _through_conv(
    convs: ConvPasses, d: Tensor | None, source: Tensor, conv: nn.Conv2d, wanted: bool, grads: Gradients
) -> Tensor | None:
    """From the gradient of conv(source) to that of the source."""
    if d is None:
        return None
    found, grads[conv.weight] = convs.convolve_backward(d, source, conv, wanted)
    return found


def _pooled(source: Tensor, tape: LeanTape, shortcut: Shortcut) -> Tensor:
    """What the shortcut's convolution reads."""
    if tape.pooled is not None:
        return tape.pooled
    pooled: Tensor = source if shortcut.pool is None else shortcut.pool(source)
    return pooled


def _is_identity(shortcut: Shortcut | None) -> bool:
    """Of the block's input, as it is."""
    return shortcut is not None and not (shortcut.conv or shortcut.padding or shortcut.from_activated)


def _trains(part: nn.Module) -> bool:
    return any(p is not None and p.requires_grad for p in part._parameters.values())
