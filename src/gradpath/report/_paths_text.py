"""Path lengths as plain text and Markdown: a bar for each length, effective depth first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradpath import units
from gradpath.record import PathLengths, PathsAt
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report._columns import Column
from gradpath.report._grid import shorten, table, wrap
from gradpath.report._markdown import markdown_table, plain
from gradpath.report._say import listed, say

ROWS = 24
"""Bars at most; more lengths than that are shown several to a bar."""
LEAST_MASS = 5e-4
"""Shorter and longer lengths that hold less of the norm mass than this are left out."""
DEPTHS = 20
"""Rows of the heat map at most."""
QUANTILES = (0.05, 0.5, 0.95)
_SHADES = " ░▒▓█"
_WIDEST_BAR = 40
_ROUNDING = 1e-5
"""Of float32, in a mean and a standard deviation of path lengths, relative to the longest."""
_SCOPE_WIDTH = 24


@dataclass(frozen=True)
class Bar:
    """One length, or several that follow each other."""

    first: int
    last: int
    mass: float
    """Part of the norm mass, 0 to 1."""
    share: float | None

    @property
    def name(self) -> str:
        first, last = self.first, self.last
        return str(first) if first == last else say(f"{first} to {last}", f"{first} 到 {last}")


def paths_text(record: PathLengths, width: int = 80) -> str:
    """Effective depth, a bar for each length with its signed share, quantiles, the error against autograd."""
    lines = [*wrap(paths_headline(record), width), ""]
    for line in paths_facts(record):
        lines += wrap(line, width, indent="  ")
    if _shows_lengths(record):
        lines += ["", *wrap(_title(record), width), *_bar_lines(record, width)]
    if record.by_depth and not _is_empty(record):
        lines += ["", *wrap(_depth_title(record), width), *_heat_lines(record.by_depth, width)]
    notes = [line for note in record.notes for line in wrap(_note(note), width, indent="  ")]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _note(note: str) -> str:
    note = facts.printable(note)
    return say(f"note: {note}", f"注：{note}")


def paths_markdown(record: PathLengths) -> str:
    """The same as Markdown."""
    parts = [f"### {plain(paths_headline(record))}"]
    parts.append("\n".join(f"- {plain(line)}" for line in (*paths_facts(record), *record.notes)))
    if _shows_lengths(record):
        parts += [plain(_title(record)), markdown_table(_bar_columns(record), bars(record))]
    return "\n\n".join(parts) + "\n"


def paths_headline(record: PathLengths) -> str:
    """'Network at stem.conv: 8.4 branches deep; …' in the words that fit the unit and the method."""
    model, at = facts.printable(record.model), facts.printable(record.at)
    return say(f"{model} at {at}: {_headline(record)}", f"{model}，在 {at} 处：{_headline(record)}")


def _headline(record: PathLengths) -> str:
    if record.method == "veit":
        return say(
            "path-norm mass by sampling (Veit et al. 2016); not additive, not to be compared with shares",
            "抽样得到的路径范数质量（Veit et al. 2016）；不可相加，不能与占比比较",
        )
    if _is_empty(record):
        return say(
            "no residual fork, so there is no branch to pass (unit layers counts layers)",
            "没有残差分叉，所以没有分支可经过（--unit layers 按层计数）",
        )
    if record.mean_length is None:
        return say("no mean path length: the gradient is 0", "没有平均路径长度：梯度为 0")
    slack = _ROUNDING * _longest(record)
    if not -slack <= record.mean_length <= _longest(record) + slack:
        return say(
            f"paths of opposite sign cancel, so their mean length ({_mean(record)}) says nothing",
            f"符号相反的路径相互抵消，所以它们的平均长度（{_mean(record)}）没有意义",
        )
    depth = record.effective_depth
    branches = units.number(depth, 3)
    tells_depth = depth is not None and record.unit != "branches"
    deep = say(f"; {branches} branches deep", f"；深 {branches} 个分支") if tells_depth else ""
    if record.unit == "branches":
        most = record.longest_path
        longest = "" if most is None else say(f"; its longest path has {most} layers", f"；最长的路径有 {most} 层")
        whole = facts.counted(record.branches, "branch", "branches")
        return say(
            f"the gradient passes {_mean(record)} of {whole} on average{longest}",
            f"梯度平均经过 {whole}中的 {_mean(record)} 个{longest}",
        )
    is_plain = record.unit == "layers" and not record.branches
    plain = say("no residual fork; ", "没有残差分叉；") if is_plain else ""
    if len(record.lengths) == 1:
        length = facts.counted(record.lengths[0], record.unit[:-1])
        return say(f"{plain}every path passes {length}{deep}", f"{plain}每条路径都经过 {length}{deep}")
    return say(
        f"{plain}the gradient passes {_mean(record)} {record.unit} on average{deep}",
        f"{plain}梯度平均经过 {_mean(record)} {_measure(record)}{deep}",
    )


def _measure(record: PathLengths) -> str:
    """'layers' or 'branches' behind a number."""
    return say(record.unit, "个分支" if record.unit == "branches" else "层")


def _unit(record: PathLengths) -> str:
    """'layers' or 'branches' as a name."""
    return say(record.unit, "分支" if record.unit == "branches" else "层")


def _is_empty(record: PathLengths) -> bool:
    """Whether branches were counted where there is none: each path has length 0, and nothing is split."""
    return record.unit == "branches" and not record.branches


def _shows_lengths(record: PathLengths) -> bool:
    """One bar of 100 % says no more than the headline, but where branches could have been passed and were not."""
    return len(record.lengths) > 1 or bool(record.lengths and record.branches and record.unit == "branches")


def _longest(record: PathLengths) -> float:
    known = [record.lengths[-1] if record.lengths else None, record.longest_path, record.branches]
    return max(value for value in known if value is not None)


def _mean(record: PathLengths) -> str:
    return units.number(record.mean_length, 3)


def paths_facts(record: PathLengths) -> Iterator[str]:
    """Quantiles, spread, shortest and longest path, the error of the sum."""
    if len(record.lengths) > 1 and any(record.norm_masses):
        found = listed([f"{100 * q:.0f} %: {record.quantile(q)}" for q in QUANTILES])
        yield say(
            f"quantiles of the norm mass, in {record.unit}: {found}",
            f"范数质量的分位数，单位为{_unit(record)}：{found}",
        )
    if record.deviation is not None and record.deviation > _ROUNDING * _longest(record):
        deviation = units.number(record.deviation, 3)
        yield say(f"standard deviation of the length: {deviation}", f"长度的标准差：{deviation}")
    if record.shortest_path is not None and record.longest_path is not None:
        shortest, longest = facts.counted(record.shortest_path, "layer"), record.longest_path
        yield say(
            f"shortest gradient path {shortest}, longest {longest}", f"最短的梯度路径 {shortest}，最长 {longest} 层"
        )
    norm = columns.log10_text(record.log10_gradient_norm)
    yield say(f"gradient norm {norm}", f"梯度范数 {norm}")
    if record.relative_error is not None:
        yield _sum(record, record.relative_error)
    if record.samples:
        samples = facts.counted(record.samples, "path")
        yield say(
            f"{samples} sampled for each length, seed {record.seed}",
            f"每种长度抽样 {samples}，随机种子 {record.seed}",
        )


def _sum(record: PathLengths, error: float) -> str:
    size = facts.ratio_text(error, 2)
    near = say(f"within {size}", f"，误差在 {size} 以内") if error else say("exactly", "，完全相等")
    return say(
        f"the parts sum to autograd's own gradient {near}{_left(record)}",
        f"各部分之和等于 autograd 自己的梯度{near}{_left(record)}",
    )


def _left(record: PathLengths) -> str:
    if not record.dropped:
        return ""
    tolerance, parts = units.number(record.tolerance), f"{record.dropped:,}"
    return say(f" (tolerance {tolerance} left out {parts} parts)", f"（容差 {tolerance} 略去了 {parts} 个部分）")


def _title(record: PathLengths) -> str:
    if record.method == "veit":
        return say(f"Path-norm mass by length in {record.unit}", f"按长度（单位：{_unit(record)}）的路径范数质量")
    hidden = len(record.lengths) - sum(1 for length in record.lengths if _shown(length, bars(record)))
    least = f"{100 * LEAST_MASS:.2g} %"
    left = say(
        f" ({hidden} lengths with less than {least} each left out)", f"（略去 {hidden} 种各不到 {least} 的长度）"
    )
    rest = left if hidden else ""
    return say(
        f"Norm mass (bar) and signed share of the gradient by path length, in {record.unit}{rest}",
        f"按路径长度（单位：{_unit(record)}）的范数质量（条）和带符号的梯度占比{rest}",
    )


def _shown(length: int, shown: Sequence[Bar]) -> bool:
    return shown[0].first <= length <= shown[-1].last


def bars(record: PathLengths) -> list[Bar]:
    """The lengths from the first to the last that holds something, several to a bar where they are more than fit."""
    masses = record.norm_masses
    shares: Sequence[float | None] = record.shares or (None,) * len(masses)
    seen = [i for i, mass in enumerate(masses) if mass >= LEAST_MASS] or [0]
    step = -(-(seen[-1] + 1 - seen[0]) // ROWS)
    found = []
    for start in range(seen[0], seen[-1] + 1, step):
        part = slice(start, min(start + step, seen[-1] + 1))
        known = [share for share in shares[part] if share is not None]
        lengths = record.lengths[part]
        found.append(Bar(lengths[0], lengths[-1], sum(masses[part]), sum(known) if known else None))
    return found


def _bar_columns(record: PathLengths, bar_width: int = 0) -> tuple[Column[Bar], ...]:
    most = max((bar.mass for bar in bars(record)), default=0.0) or 1.0
    drawn = Column[Bar]("", lambda bar: "█" * round(bar.mass / most * bar_width), left=True)
    share = Column[Bar]("share", lambda bar: facts.percent_text(bar.share), zh="占比")
    return (
        Column[Bar](record.unit, lambda bar: bar.name, left=True, zh=_unit(record)),
        Column[Bar]("norm mass", lambda bar: facts.percent_text(bar.mass), zh="范数 质量"),
        *([share] if record.shares is not None else []),
        *([drawn] if bar_width else []),
    )


def _bar_lines(record: PathLengths, width: int) -> list[str]:
    room = max(min(width - 40, _WIDEST_BAR), 8)
    return table(_bar_columns(record, room), bars(record), width)[0]


def _depth_title(record: PathLengths) -> str:
    return say(
        f"By depth: mean length and norm mass over the length in {record.unit} (darker: more), stem first",
        f"随深度：平均长度，以及范数质量在长度（单位：{_unit(record)}）上的分布（越深越多），从首层开始",
    )


def _heat_lines(places: Sequence[PathsAt], width: int) -> list[str]:
    """A row for each layer (evenly picked where there are many): where its norm mass lies, from 0 to the longest."""
    count = min(len(places), DEPTHS)
    picked = [places[i * (len(places) - 1) // max(count - 1, 1)] for i in range(count)]
    longest = max((max(place.lengths, default=0) for place in places), default=0)
    scope = min(max(len(facts.printable(place.scope)) for place in picked), _SCOPE_WIDTH)
    cells = max(min(width - scope - 12, longest + 1), 4)
    lines = []
    for place in picked:
        mean = units.number(place.mean_length, 3)
        name = shorten(facts.printable(place.scope), scope)
        lines.append(f"{name:<{scope}} {mean:>7}  |{_shaded(place, longest, cells)}|"[:width])
    return [*lines, f"{'':<{scope}} {'':>7}   0{longest:>{cells - 1}}"[:width]]


def _shaded(place: PathsAt, longest: int, cells: int) -> str:
    masses = [0.0] * cells
    for length, norm in zip(place.lengths, _scaled(place), strict=True):
        masses[length * cells // (longest + 1)] += norm
    most = max(masses, default=0.0) or 1.0
    return "".join(_SHADES[min(-(-int(1000 * mass / most) * (len(_SHADES) - 1) // 1000), 4)] for mass in masses)


def _scaled(place: PathsAt) -> list[float]:
    """Norms relative to the largest, which may itself lie below the smallest float."""
    largest = max(place.log10_norms, default=0.0)
    return [10.0 ** (value - largest) if value > float("-inf") else 0.0 for value in place.log10_norms]
