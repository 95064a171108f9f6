"""Records without what would tell whose model it is: names of modules, classes, nets and files, lines of source.

Structure stays: 'backbone.3.conv1' becomes 'a.3.b', the same name the same letters everywhere, also in sentences.
Names that torch gave stay. Text that others wrote (notes, events of a watch) is left out, as nothing tells what it
quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gradpath.record import Record, WatchEvent, WatchHeader, WatchLog, WatchReport
from gradpath.record._base import decode
from gradpath.report._definitions import DEFINITIONS
from gradpath.report._torch_names import MODULES, OPERATIONS, PARAMETERS

_SCOPES = frozenset(
    "scope scope_a scope_b at where only_a only_b modules_not_called layers_without_gradient "
    "parameters_without_gradient calls.name parameters.name plan.blocks layers.name".split()
)
"""Fields that hold modules' dotted names, alone or in lists; with a table's name where the field's alone says less."""
_CLASSES = frozenset({"module", "block", "layers.kind"})
_OPERATIONS = frozenset({"operation", "operations"})
_BLOCKS = frozenset({"costs.label"})
"""'Class+Class shapes → shapes'."""
_MADE_BY = frozenset({"forks.name", "nonlinearities.name", "consumer", "sources", "consumers", "opaque"})
"""'scope: Operation'."""
_NETS = frozenset({"model", "name_a", "name_b", "run.name", "data.name", "plan.name", "weights", "file"})
_LEFT_OUT = frozenset({"notes", "line", "text", "left_alone"})
_SAID = frozenset({"sentence", "evidence", "remedy", "change", "statistics.name", "cures", "reason"})
"""Our own sentences: names in them are replaced."""
_PATH = re.compile(r"""[^\s'"(]*[/\\][^\s'"(]*\.\w+(?::\d+)?|[\w.-]+\.py(?::\d+)?""")
_OURS = frozenset(
    {word for both in DEFINITIONS.values() for word in re.findall(r"[a-z]+", both["en"])}
    | set("stem head gradient layer layers norm branch skip block loss weights init first last net model".split())
)
"""Words of the page itself: a module called 'head' gives nothing away, and our sentences keep the word."""


class Redaction:
    """One dictionary of letters for several records, so that what is the same stays the same. `of(record)` redacts."""

    def __init__(self, records: Sequence[Record | WatchLog]) -> None:
        self._parts: dict[str, str] = {}
        self._classes: dict[str, str] = {}
        self._operations: dict[str, str] = {}
        self._nets: dict[str, str] = {}
        self._scopes: set[str] = set()
        """Whole dotted names: 'head.linear' gives something away where the word 'head' does not."""
        for record in records:
            for field, text in _strings(_data(record)):
                self._note(field, text)
        names = {**self._nets, **self._classes, **self._operations, **self._parts}
        self._words = {name: new for name, new in names.items() if name and name not in _OURS}
        self._words |= {scope: self._scope(scope) for scope in self._scopes}
        longest = sorted(self._words, key=len, reverse=True)
        self._pattern = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest) or r"(?!)")

    def of(self, record: Record | WatchLog) -> Any:
        """The record redacted: of the same class."""
        if isinstance(record, WatchLog):
            return self._log(record)
        return decode(type(record), self._walk(record.to_dict(), _top(record)), "redacted")

    def _log(self, log: WatchLog) -> WatchLog:
        clean = WatchLog(log.path.with_name("watch.jsonl"))
        if log.header is not None:
            clean.header = decode(WatchHeader, self._walk(log.header.to_dict(), "watch"), "redacted")
        clean.reports = list[WatchReport](log.reports)
        clean.events = [WatchEvent(step=event.step, what=event.what, text="") for event in log.events]
        return clean

    def _note(self, field: str, text: str) -> None:
        """Give every name in a string its letters, in the order in which they are met."""
        kind = _kind(field)
        scopes, operation = _made_by(text) if kind == "made by" else (text, "")
        if kind in ("scope", "made by"):
            if "." in scopes and _DOTTED.match(scopes):
                self._scopes.add(scopes)
            for part in _parts(scopes):
                if not part.isdigit() and part not in PARAMETERS:
                    self._parts.setdefault(part, _letters(len(self._parts)))
        if kind == "class" and text not in MODULES:
            self._classes.setdefault(text, f"Module{_letters(len(self._classes)).upper()}")
        for name in text.partition(" ")[0].split("+") if kind == "blocks" else ():
            self._note("module", name)
        if kind == "operation" or operation:
            name = operation or text
            if name not in OPERATIONS:
                self._operations.setdefault(name, f"Operation{_letters(len(self._operations)).upper()}")
        if kind == "net" and text:
            self._nets.setdefault(text, f"net {_letters(len(self._nets)).upper()}" if text not in MODULES else text)

    def _walk(self, value: Any, field: str) -> Any:
        if isinstance(value, dict):
            table = field.rpartition(".")[2]
            return {key: self._walk(item, f"{table}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            if _kind(field) == "left out":
                return []
            if field.endswith(".classes"):
                return [f"class {i}" for i in range(1, len(value) + 1)]
            return [self._walk(item, field) for item in value]
        return self._string(value, field) if isinstance(value, str) else value

    def _string(self, text: str, field: str) -> str | None:
        kind = _kind(field)
        if kind == "left out":
            return None if field.endswith("line") else ""
        if kind == "scope":
            return self._scope(text)
        if kind == "blocks":
            made, space, shapes = text.partition(" ")
            return "+".join(self._classes.get(name, name) for name in made.split("+")) + space + shapes
        if kind == "made by":
            scope, operation = _made_by(text)
            new = self._operations.get(operation, operation)
            return f"{self._scope(scope)}: {new}" if operation else self._scope(scope)
        if kind == "said":
            return _PATH.sub("…", self._pattern.sub(lambda found: self._words[found[0]], text))
        table = {"class": self._classes, "operation": self._operations, "net": self._nets}.get(kind, {})
        return table.get(text, text)

    def _scope(self, text: str) -> str:
        """Every part by its letters; what joins them ('.', ' to ', ' (call 2)') stays."""
        return _NAMES.sub(lambda found: self._parts.get(found[0], found[0]), text) if _plain(text) else self._odd(text)

    def _odd(self, text: str) -> str:
        return ".".join(self._parts.get(part, part) for part in text.split("."))


_NAMES = re.compile(r"\w+")
_DOTTED = re.compile(r"\w+(?:\.\w+)+\Z")
_JOINED = re.compile(r"\w*(?:\.\w+)*(?: \(call \d+\))?(?:(?:, | and | to |\+)\w+(?:\.\w+)*(?: \(call \d+\))?)*\Z")


def _plain(text: str) -> bool:
    return _JOINED.match(text) is not None


def _parts(text: str) -> list[str]:
    """The parts of a dotted name, or of several that are joined ('a.conv to b.conv')."""
    if not _plain(text):
        return [part for part in text.split(".") if part]
    return [word for word in _NAMES.findall(text) if word not in ("call", "to", "and")]


def _made_by(text: str) -> tuple[str, str]:
    scope, _, operation = text.rpartition(": ")
    return (scope, operation) if scope or ": " in text else ("", text)


def _letters(i: int) -> str:
    """a … z, aa, ab …"""
    text = ""
    i += 1
    while i:
        i, digit = divmod(i - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


_FACTS_KEPT = ("cause", "format", "kind", "unit", "what")
"""Facts that are a choice of ours, not a name of the model's."""
_KINDS = (
    ("scope", _SCOPES),
    ("class", _CLASSES),
    ("blocks", _BLOCKS),
    ("operation", _OPERATIONS),
    ("made by", _MADE_BY),
    ("net", _NETS),
    ("left out", _LEFT_OUT),
    ("said", _SAID),
)


def _kind(field: str) -> str:
    """What a field holds, by its own name or by 'table.name'; '' for what is kept (kinds, shapes, devices)."""
    table, _, name = field.rpartition(".")
    if table == "facts":
        return "" if name in _FACTS_KEPT else "said"
    return next((kind for kind, fields in _KINDS if name in fields or field in fields), "")


def _top(record: Record | WatchLog) -> str:
    return "watch" if isinstance(record, WatchLog) else type(record).__name__.removesuffix("Record").lower()


def _data(record: Record | WatchLog) -> Any:
    if isinstance(record, WatchLog):
        return record.header.to_dict() if record.header else {}
    return {_top(record): record.to_dict()}


def _strings(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """(field, string) of every string in a record, field as 'table.name'."""
    items: Iterable[tuple[str, Any]]
    if isinstance(value, dict):
        table = field.rpartition(".")[2]
        items = ((f"{table}.{key}", item) for key, item in value.items())
    elif isinstance(value, list):
        items = ((field, item) for item in value)
    else:
        items = ()
        if isinstance(value, str):
            yield field, value
    for name, item in items:
        yield from _strings(item, name)
