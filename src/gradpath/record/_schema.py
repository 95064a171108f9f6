"""The JSON Schema of the record files, derived from the dataclasses. Published as `schema-1.json` beside this file."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from gradpath.record._base import KINDS, SCHEMA_VERSION, field_hints

_FLOAT = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: _FLOAT,
    Any: {},
}


def json_schema() -> dict[str, Any]:
    """The schema of every kind of record file (JSON Schema 2020-12)."""
    parts: dict[str, Any] = {}
    kinds = [_file_rule(kind, cls, parts) for kind, cls in sorted(KINDS.items())]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"gradpath records, schema {SCHEMA_VERSION}",
        "oneOf": kinds,
        "$defs": dict(sorted(parts.items())),
    }


def _file_rule(kind: str, cls: type, parts: dict[str, Any]) -> dict[str, Any]:
    rule = _object_rule(cls, parts)
    header = {
        "schema": {"const": SCHEMA_VERSION},
        "kind": {"const": kind},
        "definitions": {"type": "string"},
        "gradpath": {"type": "string"},
    }
    rule["properties"] = header | rule["properties"]
    rule["required"] = [*header, *rule["required"]]
    return rule


def _object_rule(cls: Any, parts: dict[str, Any]) -> dict[str, Any]:
    required = [f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING]
    return {
        "type": "object",
        "properties": {name: _rule(hint, parts) for name, hint in field_hints(cls).items()},
        "required": required,
        "additionalProperties": False,
    }


def _rule(hint: Any, parts: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint]
    if origin in (types.UnionType, typing.Union):
        return {"anyOf": [{"type": "null"} if arg is type(None) else _rule(arg, parts) for arg in args]}
    if origin is typing.Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _rule(args[0], parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _rule(args[1], parts)}
    if hint.__name__ not in parts:
        parts[hint.__name__] = {}  # a placeholder, so that a part may hold itself
        parts[hint.__name__] = _object_rule(hint, parts)
    return {"$ref": f"#/$defs/{hint.__name__}"}
