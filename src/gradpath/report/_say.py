"""What is said, in English or in Chinese: both stand side by side in the code, as the page's do in its own.

The language is that of the block around it, as are the signs of the console (`_signs.replacing`): whoever shows a
record chooses once, and no sentence hands it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

Language = Literal["en", "zh"]
_LANGUAGE: ContextVar[Language] = ContextVar("language", default="en")

MEASURED = {
    "activation": "个激活函数", "batch": "个批次", "block": "个块", "branch": "个分支", "channel": "个通道",
    "epoch": "轮", "finding": "个问题", "image": "张图像", "kind": "种", "layer": "层", "line": "行",
    "more finding": "个其他问题",
    "more layer": "个其他层", "net": "个网络", "new finding": "个新问题", "norm": "个归一化层",
    "other layer": "个其他层",
    "path": "条路径", "report": "份报告", "residual fork": "个残差分叉", "seed": "个随机种子", "segment": "段",
    "step": "步", "thread": "个线程", "time": "次", "test image": "张测试图像", "training image": "张训练图像",
    "validation image": "张验证图像",
}  # fmt: skip
"""What is counted → its Chinese measure word and noun."""


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Everything said inside the block is in this language."""
    token = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(token)


def language() -> Language:
    """The language of this block; English outside of all."""
    return _LANGUAGE.get()


def chosen() -> Language | None:
    """The language of this block where one was chosen; None: as the reader prefers."""
    return _LANGUAGE.get() if _LANGUAGE.get() != "en" else None


def say(en: str, zh: str) -> str:
    """The one of the two that is spoken here."""
    return zh if _LANGUAGE.get() == "zh" else en


def listed(items: list[str]) -> str:
    """'a, b, c'; 'a、b、c'."""
    return say(", ", "、").join(items)


def in_both(tell: Callable[[], Any]) -> tuple[Any, dict[str, str]]:
    """What `tell` gives in English, and English → Chinese of every string in it that differs."""
    with speaking("en"):
        english = tell()
    with speaking("zh"):
        chinese = tell()
    return english, dict(_pairs(english, chinese))


def _pairs(a: Any, b: Any) -> Iterator[tuple[str, str]]:
    if isinstance(a, str):
        if a != b:
            yield a, b
    elif isinstance(a, dict):
        for key in a:
            yield from _pairs(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        for one, other in zip(a, b, strict=True):
            yield from _pairs(one, other)
