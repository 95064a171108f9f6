"""The definitions that a page shows beside its numbers, in short. The normative ones: docs/definitions.md."""

from __future__ import annotations

DEFINITIONS: dict[str, dict[str, str]] = {
    "effective depth": {
        "en": (
            "The mean number of branches that the gradient passed on its way back, each path weighted by its "
            "signed share: Σₖ k · ⟨g⁽ᵏ⁾, g⟩ / ‖g‖². None where there is no residual fork."
        ),
        "zh": (
            "梯度传回途中平均穿过的分支数，各路径按带符号的占比加权：Σₖ k · ⟨g⁽ᵏ⁾, g⟩ / ‖g‖²。没有残差分叉时不定义。"
        ),
    },
    "stem over head": {
        "en": "Ratio of the gradient norms at the outputs of the first and the last weighted layer.",
        "zh": "第一个与最后一个加权层输出处梯度范数之比。",
    },
    "gain": {
        "en": (
            "Factor of gradient energy (mean square) per weighted layer, going backward, fitted within one "
            "resolution. Below 1 the gradient vanishes, above 1 it explodes. The factor of the RMS is its "
            "square root."
        ),
        "zh": (
            "反向每经过一个加权层，梯度能量（均方）乘以的倍数，在同一分辨率内拟合。小于 1 则消失，大于 1 则爆炸"
            "。均方根的倍数是它的平方根。"
        ),
    },
    "RMS": {
        "en": "Root mean square over all elements of a tensor: batch, channels and space.",
        "zh": "张量全部元素（批、通道、空间）的均方根。",
    },
    "weighted layer": {
        "en": (
            "A call of a module that owns a weight matrix (convolution, linear layer …) and is no norm. Depth "
            "counts them."
        ),
        "zh": "拥有权重矩阵（卷积、线性层等）且不是归一化层的模块的一次调用。深度数的就是它们。",
    },
    "fork": {
        "en": "A tensor with several consumers. Its gradient is the sum of what each of them sends back.",
        "zh": "有多个使用者的张量。它的梯度是各使用者传回部分之和。",
    },
    "residual fork": {
        "en": (
            "A fork whose routes meet again in an add or a concatenation, with at least one skip or projection "
            "and at least one route that holds a parameter."
        ),
        "zh": "各路线在加法或拼接处重新汇合的分叉，至少有一条跳跃或投影路线，且至少一条路线含参数。",
    },
    "merge": {
        "en": "Where all routes from a fork to the loss meet again for the first time.",
        "zh": "从分叉到损失的所有路线第一次重新汇合之处。",
    },
    "skip": {
        "en": (
            "A route that is linear and free of parameters: identity, view, slice, pad, average pool, a "
            "constant factor."
        ),
        "zh": "线性且不含参数的路线：恒等、视图、切片、填充、平均池化、常数倍。",
    },
    "gated": {
        "en": "A skip times data: highway, dropout, squeeze-and-excitation.",
        "zh": "乘以数据的跳跃：highway、dropout、SE 等。",
    },
    "projection": {
        "en": (
            "A route of pass-through operations and exactly one convolution or linear layer, without a nonlinearity."
        ),
        "zh": "只含直通运算和恰好一个卷积或线性层、没有非线性的路线。",
    },
    "branch": {
        "en": "Any other route of a residual fork: the layers that the skip goes around.",
        "zh": "残差分叉的其他路线：跳跃连接所绕过的那些层。",
    },
    "exit": {
        "en": (
            "A route that does not lead to the fork's merge, but to another loss or stream. Path lengths do "
            "not count it."
        ),
        "zh": "不通向该分叉的汇合处，而通向另一个损失或另一条流的路线。路径长度不计入它。",
    },
    "share": {
        "en": (
            "⟨gᵢ, g⟩ / ‖g‖²: the part of the whole gradient that came over this edge. Signed; the shares of a "
            "fork sum to 1. Read it together with the cancellation."
        ),
        "zh": "⟨gᵢ, g⟩ / ‖g‖²：整个梯度中经这条边传回的部分。带符号，一个分叉的占比之和为 1。须与抵消程度一起读。",
    },
    "norm mass": {
        "en": "‖gᵢ‖ / Σ‖gⱼ‖: never negative, blind to whether the edges agree.",
        "zh": "‖gᵢ‖ / Σ‖gⱼ‖：不为负，看不出各边方向是否一致。",
    },
    "cancellation": {
        "en": "1 − ‖g‖ / Σ‖gᵢ‖: 0 where all edges agree, 1 where they cancel. Above 0.99 shares say little.",
        "zh": "1 − ‖g‖ / Σ‖gᵢ‖：各边方向一致时为 0，完全抵消时为 1。大于 0.99 时占比没有多少意义。",
    },
    "skip share": {
        "en": "Mean over the residual forks of the sum of the shares of their skips and projections.",
        "zh": "各残差分叉中跳跃与投影占比之和的平均值。",
    },
    "path length": {
        "en": "Number of branches of residual forks that a path passes; projections and gates count 0.",
        "zh": "一条路径穿过的残差分叉的分支数；投影和门控计 0。",
    },
    "quantile": {
        "en": "The smallest length that, with all shorter ones, holds at least that part of the norm mass.",
        "zh": "与所有更短的长度合计，至少占到该比例范数质量的最小长度。",
    },
    "relative error": {
        "en": (
            "‖Σₖ g⁽ᵏ⁾ − g‖ / ‖g‖ against autograd's own gradient, taken at every call. Above 1e-3 nothing is shown."
        ),
        "zh": "‖Σₖ g⁽ᵏ⁾ − g‖ / ‖g‖，与 autograd 自己的梯度相比，每次调用都检查。大于 1e-3 时不显示任何结果。",
    },
    "shortest and longest gradient path": {
        "en": (
            "Fewest and most weighted layers on a path from the loss to the tensor, whatever gradient they "
            "carry (Wang et al. 2022)."
        ),
        "zh": "从损失到该张量的路径上加权层数的最小值与最大值，不论传回多少梯度（Wang 等，2022）。",
    },
    "reuse": {
        "en": (
            "At a concatenation the edges are slices of different tensors: their energies are compared, never "
            "shares. Entry (source, consumer): the gradient that came back from that consumer to that source."
        ),
        "zh": (
            "在拼接处，各边是不同张量的切片，所以比较能量而不比较占比。矩阵的（来源，使用者）一格：从该使用者传"
            "回该来源的梯度。"
        ),
    },
    "update ratio": {
        "en": (
            "‖∂loss/∂w‖ / ‖w‖: how far one plain SGD step moves the parameters, relative to them, per unit of "
            "learning rate."
        ),
        "zh": "‖∂loss/∂w‖ / ‖w‖：每单位学习率，一步普通 SGD 使参数移动的相对距离。",
    },
    "float16 underflow": {
        "en": "Share of the gradients other than 0 that lie at or below 2⁻²⁵, which float16 rounds to zero.",
        "zh": "非零梯度中不大于 2⁻²⁵、会被 float16 舍入为零的占比。",
    },
    "opaque": {
        "en": (
            "An operation whose inside autograd does not show: a fused recurrence, a compiled region, a user's "
            "own autograd Function."
        ),
        "zh": "autograd 看不到内部的运算：融合的循环单元、编译区域、用户自己的 autograd Function。",
    },
    "what-if": {
        "en": (
            "A change to the backward pass, or to a copy of the model, and its effect. The model itself stays as it is."
        ),
        "zh": "对反向传播或模型副本所做的一个改动及其效果。模型本身保持不变。",
    },
    "tape": {
        "en": (
            "What a block keeps from its forward for its backward, beside its input and its statistics. Its mode says "
            "how much: all that the backward reads (full) down to nothing (none), which runs the block forward again."
        ),
        "zh": (
            "除输入和统计量外，一个块从前向传播为反向传播保留的内容。模式决定保留多少：从反向所需的全部（full）到"
            "什么也不留（none），后者需要把该块的前向再算一遍。"
        ),
    },
}
"""Term → language → definition. The terms are those of docs/definitions.md; a test holds them together."""
