"""What findings and simulated changes say, in the language of the block; in English where the record has no facts."""

from __future__ import annotations

import re

from gradpath.record import Finding, TriedChange, WhatIf
from gradpath.report._findings_zh import Told, in_chinese, layer
from gradpath.report._say import language, say

KINDS_ZH = {
    "not finite": "非有限值", "no gradient": "没有梯度", "vanishing": "梯度消失", "exploding": "梯度爆炸",
    "starving layer": "梯度匮乏的层", "dead units": "死亡单元", "saturated units": "饱和单元",
    "silent skip": "无声的跳跃连接", "silent branch": "无声的分支", "norm eats the signal": "归一化吞没信号",
    "float16 underflow": "float16 下溢", "float32 underflow": "float32 下溢", "shattered gradients": "破碎梯度",
}  # fmt: skip
"""As the page has them (web/src/report/kinds.ts)."""


def told(finding: Finding) -> Told:
    """Sentence, evidence and remedy."""
    chinese = in_chinese(finding) if language() == "zh" else None
    return chinese or Told(finding.sentence, finding.evidence, finding.remedy)


def kind(name: str) -> str:
    """'vanishing'; '梯度消失'."""
    return say(name, KINDS_ZH.get(name, name))


def change_told(what: TriedChange | WhatIf) -> str:
    """What a simulated change did."""
    if language() == "zh" and what.facts:
        return _change_zh(what.change, what.facts) or what.sentence
    return what.sentence


# ------------------------------------------------------------ simulated changes, in Chinese

_INITIALISATIONS = {
    "he": "He 初始化", "xavier": "Xavier 初始化", "lecun": "LeCun 初始化", "orthogonal": "正交初始化",
    "default": "PyTorch 的默认初始化", "zero-last-norm": "每个分支最后的归一化初始化为零",
}  # fmt: skip
_TERMS = {
    "detach": "反向传播中归一化的统计量视为常数", "mean": "反向传播中归一化的均值视为常数",
    "variance": "反向传播中归一化的方差视为常数",
}  # fmt: skip
_INSERTS = {"batchnorm": "BatchNorm", "layernorm": "LayerNorm"}
_ACTIVATIONS = {
    "relu": "ReLU", "elu": "ELU", "selu": "SELU", "gelu": "GELU", "silu": "SiLU", "leaky_relu": "leaky ReLU",
    "identity": "不用激活函数",
}  # fmt: skip


def _change_zh(change: str, facts: dict[str, str]) -> str | None:
    if "nothing" in facts:
        return f"什么都没有变（{facts['nothing']}）" if facts["nothing"] else "什么都没有变：没有可改动的地方"
    key, _, value = change.partition("=")
    lead = _lead_zh(key, value.split(":"))
    clauses = [clause for clause in (_gradient_zh(facts), _depth_zh(facts)) if clause]
    if not clauses:
        return f"什么都没有变：{lead}，没有一层的梯度变大或变小 {facts['smallest']} %"
    return f"{lead}，{'；'.join(clauses)}"


def _lead_zh(key: str, words: list[str]) -> str:
    if key in ("norm", "init"):
        return {"norm": _TERMS, "init": _INITIALISATIONS}[key].get(words[0], words[0])
    if key == "activation":
        return f"激活函数换成 {_ACTIVATIONS.get(words[0], words[0])}" if words[0] != "identity" else "不用激活函数"
    if key == "insert":
        return f"每层之后加 {_INSERTS.get(words[0], words[0])}"
    if key == "skip":
        where = words[0] if len(words) == 1 else "每层" if float(words[1]) == 1 else f"每 {words[1]} 层"
        return f"在 {where} 外加跳跃连接" if len(words) == 1 else f"{where}加一个跳跃连接"
    if key == "train":
        rate = f"（学习率 {words[1]}）" if len(words) > 1 else ""
        return f"经过 {words[0]} 步 SGD{rate}"
    return _edges_zh(key, words)


def _edges_zh(key: str, words: list[str]) -> str:
    factor = words[-1] if key == "scale" else ""
    words = words[:-1] if key == "scale" else words
    what = "分支" if words[:1] == ["branches"] else "跳跃连接"
    words = words[1:] if words[:1] in (["skips"], ["branches"]) else words
    whose = f"{words[0]} 的" if words else ""
    return f"{whose}{what}乘以 {factor}" if factor else f"去掉{whose}{what}"


def _gradient_zh(facts: dict[str, str]) -> str:
    if "place" not in facts:
        return ""
    place, before, after = layer(facts["place"]).replace(", call ", "，第 "), facts["before"], facts["after"]
    place += " 次调用" * ("call " in facts["place"])
    numbers = f"（{before} → {after}）"
    if "moved" in facts:
        return f"{place} 处的梯度{_moved_zh(facts['moved'])}{numbers}"
    if after == "not finite":
        return f"{place} 处的梯度不再有限（{before} → 非有限）"
    if before == "not finite":
        return f"{place} 处的梯度变为有限（非有限 → {after}）"
    if after == "0":
        return f"不再有梯度到达 {place}{numbers}"
    return f"{place} 得到 {after}，而原来什么也没有"


def _moved_zh(moved: str) -> str:
    """'falls by 4.1 decades', 'rises 2.3-fold', 'rises by 12 %'."""
    verb = "减小" if moved.startswith("falls") else "增大"
    number = re.search(r"[\d.]+", moved)
    size = number[0] if number else ""
    if "decades" in moved:
        return f"{verb} {size} 个数量级"
    return f"{verb} {size} %" if moved.endswith("%") else f"增大到 {size} 倍"


def _depth_zh(facts: dict[str, str]) -> str:
    if "depth_after" not in facts:
        return ""
    if "depth_before" not in facts:
        return f"有效深度 {facts['depth_after']}，而原来没有残差分叉"
    return f"有效深度 {facts['depth_before']} → {facts['depth_after']}"
