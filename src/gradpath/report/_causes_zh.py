"""Why a gradient vanishes or explodes and what to do, in Chinese; the English stands in flow."""

from __future__ import annotations

CAUSES = {
    "ReLU small": (
        "权重对 ReLU 来说太小，而 ReLU 在每一层都使能量减半",
        "用方差 2/n（He）初始化权重，或加入跳跃连接。",
    ),
    "ReLU large": ("权重对 ReLU 来说太大：方差超过 2/n", "用方差 2/n（He）初始化权重，或加入归一化和跳跃连接。"),
    "tanh small": (
        "tanh 处于有序相：权重太小，或者单元已饱和",
        "使用增益接近 1 的正交初始化，或 ReLU 配 He 初始化，或跳跃连接。",
    ),
    "tanh large": ("tanh 处于混沌相：权重太大", "使用增益接近 1 的正交初始化，或插入 LayerNorm。"),
    "sigmoid": (
        "sigmoid 的导数至多为 1/4，所以每层至多保留能量的 σ²/16",
        "把 sigmoid 换成 ReLU 并用 He 初始化，或加入跳跃连接。",
    ),
    "plain BatchNorm": (
        "没有跳跃连接时，BatchNorm 加 ReLU 在每一层都使能量乘以 π/(π−1)，与初始化和学习率无关",
        "加入跳跃连接；或者把 BatchNorm 换成 LayerNorm，或不用归一化而用 He 初始化。",
    ),
    "skips scaled": ("每个跳跃连接都乘了小于 1 的系数，而这些系数会连乘", "跳跃连接不要缩放（系数 1），改为缩放分支。"),
    "unknown": (
        "这里已知的规则都得不出这个增益",
        "试试 He 初始化、跳跃连接或归一化；`gp.whatif` 会显示每一项对这个模型的作用。",
    ),
    "unknown exploding": (
        "这里已知的规则都得不出这个增益",
        "试试 He 初始化、跳跃连接或 LayerNorm；`gp.whatif` 会显示每一项对这个模型的作用。",
    ),
    "trunk without norms": (
        "这个残差网络的分支里没有归一化，所以每个块都把自己分支的能量加到主干上",
        "让分支从零开始（Fixup、SkipInit、最后一层初始化为零），或在每个分支里加归一化。",
    ),
}
"""Cause → why, what to do."""

_STEPS = "；或者让注意力或每一步的损失直达前面的步"
CELLS = {
    "LSTM": "让遗忘门一开始就打开：偏置设为 1（Gers et al. 2000；Jozefowicz et al. 2015），{steps} 步时也可设为 "
    "ln {steps}（Tallec & Ollivier 2018）；在 PyTorch 中是 bias_ih 的第 H 到 2H 行" + _STEPS + "。",
    "GRU": "让更新门一开始就倾向于保留：偏置设为 1 到 ln {steps}（Tallec & Ollivier 2018）；在 PyTorch 中是 bias_ih 的"
    "第 H 到 2H 行" + _STEPS + "。",
    "gated": "让保持状态的门（LSTM 的遗忘门、GRU 的更新门）一开始就打开：偏置设为 1（Gers et al. 2000；"
    "Jozefowicz et al. 2015），{steps} 步时也可设为 ln {steps}（Tallec & Ollivier 2018）" + _STEPS + "。",
    "RNN": "使用门控单元（遗忘门偏置为 1 的 LSTM，或 GRU），或增益接近 1 的正交循环权重（对 weight_hh 用 "
    "nn.init.orthogonal_）" + _STEPS + "。",
    "": "使用增益接近 1 的正交循环权重、门控单元（遗忘门偏置为 1 的 LSTM，或 GRU），或每一步的跳跃连接（h + f(h)）"
    + _STEPS
    + "。",
}
EXPLODES_OVER_TIME = (
    "裁剪梯度（torch.nn.utils.clip_grad_norm_，Pascanu et al. 2013），从增益接近 1 的正交循环权重开始，或使用门控单元；"
    "也可以只在较少的步上反向传播（每隔若干步 detach 状态）。"
)
