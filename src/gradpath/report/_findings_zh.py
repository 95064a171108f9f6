"""What a finding says, in Chinese: from its facts, never from its English. `flow` writes the English beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gradpath.record import Finding
from gradpath.report._causes_zh import CAUSES, CELLS, EXPLODES_OVER_TIME

Facts = dict[str, str]


class Told(NamedTuple):
    """The three texts of a finding."""

    sentence: str
    evidence: str
    remedy: str


def in_chinese(finding: Finding) -> Told | None:
    """None where the record has no facts (it is old), or none that are known here."""
    tell = _KINDS.get(finding.kind)
    if tell is None or not finding.facts:
        return None
    try:
        return tell(finding.facts)
    except KeyError:  # written by another version
        return None


def layer(name: str) -> str:
    """'blocks.3.fc' as it is; 'layer 36 (Linear)' as '层 36 (Linear)'."""
    return f"层 {name.removeprefix('layer ')}" if name.startswith("layer ") else name


# ------------------------------------------------------------ over depth and over time


def _vanishing(facts: Facts) -> Told:
    return _over_time(facts, True) if facts["cause"] == "time" else _over_depth(facts, True)


def _exploding(facts: Facts) -> Told:
    return _over_time(facts, False) if facts["cause"] == "time" else _over_depth(facts, False)


def _over_depth(facts: Facts, vanishes: bool) -> Told:
    why, remedy = CAUSES[facts["cause"]]
    times = f"缩小到原来的 {facts['factor']}" if vanishes else f"增大到 {facts['factor']} 倍"
    length = facts["half-length" if vanishes else "doubling length"]
    ends = "下溢" if vanishes else "上溢"
    broken = f"；斜率在 {facts['breaks']} 处中断" if "breaks" in facts else ""
    return Told(
        f"梯度{'消失' if vanishes else '爆炸'}：从 {layer(facts['from'])} 往回到 {layer(facts['to'])}，经过 "
        f"{facts['layers']} 层，{times}；{why}。",
        f"梯度能量每层 × {facts['energy']}（均方根 × {facts['rms']}）；{'减半' if vanishes else '加倍'}需要 {length} 层"
        f"；大小为 1 的梯度在 float16 中 {facts['float16']} 层后{ends}，在 float32 中 {facts['float32']} 层后{ends}"
        f"{broken}{_theory(facts)}",
        remedy,
    )


def _theory(facts: Facts) -> str:
    if "rule" not in facts:
        return ""
    unit = "每块" if facts["unit"] == "block" else "每层"
    return f"；理论预期{unit} × {facts['expected']}，实测 × {facts['measured']}（{facts['rule']}；{facts['source']}）"


def _over_time(facts: Facts, vanishes: bool) -> Told:
    cells = " 到 ".join(layer(cell) for cell in facts["cells"].split(" to "))
    times = f"缩小到原来的 {facts['factor']}" if vanishes else f"增大到 {facts['factor']} 倍"
    memory = (
        f"{facts['memory']} 步以前的内容，只能感受到不到千分之一"
        if vanishes
        else f"{facts['memory']} 步以前的内容，比最后一步重一千倍"
    )
    remedy = CELLS[facts["kind"]].format(steps=facts["steps"]) if vanishes else EXPLODES_OVER_TIME
    return Told(
        f"梯度随时间{'消失' if vanishes else '爆炸'}：往回经过 {cells} 的 {facts['steps']} 个时间步，{times}"
        f"；{memory}。",
        f"梯度能量每个时间步 × {facts['energy']}（均方根 × {facts['rms']}）；{'减半' if vanishes else '加倍'}需要 "
        f"{facts['length']} 个时间步",
        remedy,
    )


def _starving(facts: Facts) -> Told:
    others = "" if facts["others"] == "0" else f"及其前面的 {facts['others']} 层"
    passes = "没有一点能传到它们" if facts["passes"] == "nothing" else f"只有 {facts['passes']} 能传到它们"
    behind = facts["behind_scope"]
    return Told(
        f"{layer(facts['layer'])} {others}梯度匮乏：到达 {layer(facts['behind'])} 的梯度，{passes}。",
        f"梯度范数在 {behind} 处为 {facts['norm']}，在它前面至多 {facts['level']}",
        f"检查 {behind} 以及它与 {facts['layer_scope']} 之间的部分：过小的权重或系数、detach、关闭的单元。"
        "像相邻的层那样初始化它。",
    )


# ------------------------------------------------------------ numbers

_NOT_FINITE_WHY = {
    "output": "上溢、对 0 或负数取对数、除以 0，或数据有误",
    "loss": "损失函数中对 0 或负数取对数、上溢，或目标有误",
    "gradient": "斜率无穷大：在 0 处开平方或取范数，或 x / x；在里面加一个很小的数",
}


def _not_finite(facts: Facts) -> Told:
    begins = f"起点是 {_origin(facts['origin'])}。" if "origin" in facts else ""
    what, name = facts["what"], facts["name"]
    if what == "parameter":
        return Told(
            f"出现非有限值：参数 {name} 本身含有 NaN 或无穷大，其后的一切都失效了。{begins}",
            f"损失 {facts['loss']}；非有限的参数：{facts['of']} 个中的 {facts['count']} 个",
            "加载损坏之前的检查点。它是被早先的一次更新写坏的：降低学习率、裁剪梯度，或跳过梯度非有限的步；gp.watch "
            "会指出哪一层先动。",
        )
    place = {
        "output": f"{name} 的输出",
        "loss": "损失",
        "gradient": f"{name} 处的梯度" if name else "梯度",
    }[what]
    before = ""
    if what == "output":
        before = f"；到 {facts['before']} 为止都有限" if facts["before"] else "；它是第一层：检查输入"
    return Told(
        f"出现非有限值：{place}含有 NaN 或无穷大，其后的一切都失效了。{begins}",
        f"损失 {facts['loss']}{before}；{facts['of']} 层中有 {facts['count']} 层的梯度非有限",
        f"常见原因：{_NOT_FINITE_WHY[what]}。使用 16 位时：放大损失，或用 bfloat16。",
    )


def _origin(origin: str) -> str:
    """'the input of log in blocks.3 (model.py:41)' → 'blocks.3 中 log 的输入 (model.py:41)'."""
    whose = next((words for words in ("the input of ", "the gradient of ") if origin.startswith(words)), "")
    rest, _, line = origin.removeprefix(whose).partition(" (")
    operation, _, scope = rest.partition(" in ")
    part = {"the input of ": " 的输入", "the gradient of ": " 的梯度"}.get(whose, "")
    return f"{scope + ' 中的 ' if scope else ''}{operation}{part}{f'（{line[:-1]}）' if line else ''}"


def _float16(facts: Facts) -> Told:
    return Told(
        f"float16 丢失了梯度：在 {facts['layer']} 处，{facts['zeros']} 的元素变成了零，因为 float16 没有小于 "
        "6e-8 的数。",
        f"{facts['layer']} 处的梯度均方根为 {facts['rms']}；{facts['of']} 层中有 {facts['count']} 层低于 1e-6",
        f"在反向传播前把损失乘以约 {facts['scale']}，之后把梯度除以它（torch.amp.GradScaler 两者都做），或用 "
        "bfloat16。",
    )


def _float32(facts: Facts) -> Told:
    is_loss = facts["what"] == "loss"
    what = f"损失为 {facts['value']}" if is_loss else f"它在头部的梯度为 {facts['value']}"
    head = "没有" if facts["head"] == "none" else facts["head"]
    return Told(
        f"损失对 {facts['format']} 来说太小：{what}，低于它最小的正规数（{facts['limit']}），所以数字位数立即丢失，"
        "往前几乎什么都传不到。",
        f"损失 {facts['loss']}；最后一个加权层的梯度均方根：{head}；{facts['of']} 层中有 {facts['zeros']} 层恰好为 0",
        f"把损失放大约 {facts['scale']} 倍，或去掉使它变小的系数；似然用对数计算（log_softmax、logsumexp），不要用"
        "连乘。",
    )


def _no_gradient(facts: Facts) -> Told:
    first, last, behind = facts["first"], facts["last"], facts["behind"]
    who = first if first == last else f"{first} 到 {last}"
    return Told(
        f"{who} 永远学不到东西：其参数需要梯度，但没有任何梯度从 {behind} 传来。",
        f"前面 {facts['in_front']} 个加权层没有梯度，后面有 {facts['after']} 个",
        f"检查 {last} 与 {behind} 之间的 detach()、torch.no_grad()、.item() 或 .data；如果是有意为之，用 "
        "requires_grad_(False) 冻结它们。",
    )


# ------------------------------------------------------------ units, norms, skips


def _dead_units(facts: Facts) -> Told:
    names = f"：{facts['names'].replace(', ', '、')}" if facts["names"] else ""
    return Told(
        f"{facts['name']} 的 {facts['units']} 个单元中有 {facts['share']} 已死亡：对批次中的每个样本都关闭，"
        "所以不传梯度，也不学习。",
        f"{facts['count']} 个激活函数的死亡单元超过 {facts['limit']}{names}",
        "检查它前面的偏置（很负的偏置会关闭 ReLU）和学习率（一次过大的更新也会如此）；重新初始化，或用负半轴有斜率的"
        "激活函数（GELU、leaky ReLU）。",
    )


def _saturated(facts: Facts) -> Told:
    return Told(
        f"{facts['name']} 的输出有 {facts['share']} 已饱和：那里曲线平坦，梯度几乎全部丢失。",
        f"{facts['of']} 个 tanh 或 sigmoid 激活函数中有 {facts['count']} 个，超过 {facts['limit']} "
        "的元素处的导数低于其最大值的 1 %",
        "减小它前面的权重（增益接近 1 的正交初始化），把输入缩放到单位方差，或插入归一化。",
    )


def _norm_eats(facts: Facts) -> Told:
    return Told(
        f"归一化 {facts['norm']} 吞没了信号：它前面的 {facts['layer']} 送来的信号和往回的梯度，只有 {facts['passes']} "
        "通过。",
        f"{facts['count']} 个这样的归一化共丢失 {facts['decades']} 个数量级；{facts['norm']} 的输出形状为 "
        f"{facts['shape']}，均方根 {facts['rms']}；正常的归一化几乎全部保留",
        "它归一化的数值太少，或信号远低于它的 eps：用更大的批次、LayerNorm、每组有多个通道的 GroupNorm，或此处不用"
        "归一化。",
    )


def _silent_skip(facts: Facts) -> Told:
    return Told(
        f"绕过 {facts['name']} 的跳跃连接什么也没有传：只有 {facts['passes']} 的梯度经它返回，所以网络在那里与普通网络"
        "一样深。",
        f"{facts['of']} 个残差分叉中有 {facts['count']} 个，经过跳跃连接的不到 1 %",
        "让跳跃连接保持恒等：不乘小于 1 的系数，上面不放归一化或激活函数。",
    )


def _silent_branch(facts: Facts) -> Told:
    branch = facts["branch"]
    return Told(
        f"分支 {branch} 是无声的：梯度从跳跃连接绕过，它的参数都得不到梯度。",
        f"{branch} 的所有参数的梯度恰好为 0，而分叉 {facts['fork']} 的梯度不是；这样的分支有 {facts['count']} 个",
        f"检查什么乘在了 {branch} 的输出上（固定的系数 0），以及里面的死亡单元。",
    )


def _shattered(facts: Facts) -> Told:
    return Told(
        f"梯度破碎了：两个样本的梯度像噪声一样互不相似（余弦 {facts['cosine']}），所以一个样本教给前面各层的，下一个"
        "样本又抹掉了。",
        f"各样本梯度的平均余弦为 {facts['cosine']}；每经过一个普通 ReLU 层减半，每经过一个残差块降到 3/4",
        "加入跳跃连接。",
    )


_KINDS: dict[str, Callable[[Facts], Told]] = {
    "not finite": _not_finite,
    "no gradient": _no_gradient,
    "vanishing": _vanishing,
    "exploding": _exploding,
    "starving layer": _starving,
    "dead units": _dead_units,
    "saturated units": _saturated,
    "silent skip": _silent_skip,
    "silent branch": _silent_branch,
    "norm eats the signal": _norm_eats,
    "float16 underflow": _float16,
    "float32 underflow": _float32,
    "shattered gradients": _shattered,
}
