"""Records as Markdown: tables and text that nothing in a record can break out of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeVar

from gradpath.record import Flow
from gradpath.report import _columns as columns
from gradpath.report import _facts as facts
from gradpath.report import _flow_text as words
from gradpath.report._columns import Column
from gradpath.report._headline import flow_headline
from gradpath.report._say import say
from gradpath.report._sparkline import sparkline

T = TypeVar("T")
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~@!])")
_SPARKLINE_WIDTH = 80


def plain(text: str) -> str:
    """Untrusted text as Markdown that shows it as it is."""
    return _SPECIAL.sub(r"\\\1", facts.printable(text))


def markdown_table(heads: Sequence[Column[T]], rows: Iterable[T]) -> str:
    """A pipe table; numbers stand right."""
    titles = [column.title.replace("/ ", "/").replace("- ", "") for column in heads]
    lines = [titles, ["---" if column.left else "---:" for column in heads]]
    lines += [[plain(column.cell(row)) for column in heads] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def flow_markdown(flow: Flow) -> str:
    """The verdict with its details, the other findings, the numbers, the least-fed layers."""
    parts = [f"### {plain(words.verdict(flow))}"]
    if flow.findings:
        tried = (("tried", line) for line in words.tried_lines(flow))
        told = ((words.label(what), text) for what, text in (*words.details(flow), *tried))
        parts.append(_bullets(f"**{label}** {plain(text)}" for label, text in told))
        parts.append(_bullets(f"{say('also', '另外')} {plain(words.finding_title(one))}" for one in flow.findings[1:]))
        parts.append(plain(flow_headline(flow)))
    else:
        parts.append(_bullets(f"**{words.label('tried')}** {plain(line)}" for line in words.tried_lines(flow)))
    if profile := sparkline(flow.layers, _SPARKLINE_WIDTH):
        parts.append("```text\n" + "\n".join(facts.printable(line) for line in profile) + "\n```")
    parts.append(_bullets(plain(line) for line in words.flow_facts(flow)))
    if worst_fed := words.worst_layers(flow.layers):
        parts += [words.least_title() + ":", markdown_table(columns.LAYER_COLUMNS, worst_fed)]
    if flow.residual_forks:
        parts += [say("Residual forks, stem first:", "残差分叉，从首层开始："), _forks_table(flow)]
    rest = [line for line in words.statistics_lines(flow.statistics) if line]
    rest += [
        *words.unseen_lines(flow.unseen),
        *(f"{say('note: ', '注：')}{note}" for note in words.note_lines(flow.unseen)),
    ]
    parts.append(_bullets(plain(line) for line in rest))
    return "\n\n".join(part for part in parts if part) + "\n"


def _forks_table(flow: Flow) -> str:
    """As many forks as on the screen: the first and the last."""
    first, hidden, last = words.folded(flow.residual_forks)
    table = markdown_table(columns.FORK_COLUMNS, [*first, *last])
    if not hidden:
        return table
    more = say(
        f"({hidden} more between fork {len(first)} and the last {len(last)})",
        f"（第 {len(first)} 个分叉与最后 {len(last)} 个之间还有 {hidden} 个）",
    )
    return f"{table}\n\n{more}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
