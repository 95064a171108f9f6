"""The record seam: frozen dataclasses that save themselves as versioned JSON and come back equal.

JSON has no NaN and no infinity: they are written as the strings "NaN", "Infinity" and "-Infinity", which
`Number(text)` of JavaScript and `float(text)` of Python both understand. A file is one object with the header
`schema` (a whole number that grows when a reader of the old files would misread the new), `kind`, `definitions`
(the page that defines the quantities) and `gradpath` (the version that wrote it), followed by the record's fields.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
import types
import typing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from gradpath.errors import RecordError, UserError

SCHEMA_VERSION = 1
DEFINITIONS = "v1"
_HEADER = ("schema", "kind", "definitions", "gradpath")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

KINDS: dict[str, type[Record]] = {}
R = TypeVar("R", bound="Record")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What was seen. Subclasses that are files of their own name their `kind`; the others are parts of them."""

    def __init_subclass__(cls, kind: str | None = None) -> None:
        if kind is not None:
            KINDS[kind] = cls

    @classmethod
    def from_fields(cls: type[R], fields: dict[str, Any]) -> R:
        """The record of a file's fields; overridden where older files hold what is refused today."""
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values, without the file's header."""
        return {f.name: encode(getattr(self, f.name)) for f in dataclasses.fields(self)}

    def to_json(self) -> str:
        """The whole file as text (what `save` writes)."""
        from gradpath import __version__

        kind = next((k for k, cls in KINDS.items() if cls is type(self)), None)
        if kind is None:
            raise TypeError(f"{type(self).__name__} is a part of a record, not a file: save the record that holds it")
        header = {"schema": SCHEMA_VERSION, "kind": kind, "definitions": DEFINITIONS, "gradpath": __version__}
        return json.dumps(header | self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the record to `path` as JSON, in one piece or not at all. Returns the path."""
        return write_whole(Path(path), self.to_json().encode())


def encode(value: Any) -> Any:
    """A record's value as a JSON value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value


def decode(hint: Any, value: Any, where: str) -> Any:
    """A JSON value as the type that `hint` asks for. Raises RecordError naming the place that does not fit."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        return _decode_union(args, value, where)
    if origin is typing.Literal:
        return value if value in args else _refuse(hint, value, where)
    if origin is tuple:
        return _decode_tuple(args, value, where) if isinstance(value, list) else _refuse(hint, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            _refuse(hint, value, where)
        return {key: decode(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return _decode_record(typing.cast("type[Record]", hint), value, where)
    return _decode_scalar(hint, value, where)


def _decode_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in options:
        return None
    *firsts, last = (option for option in options if option is not type(None))
    for option in firsts:
        try:
            return decode(option, value, where)
        except RecordError:
            continue
    return decode(last, value, where)


def _decode_tuple(args: tuple[Any, ...], value: list[Any], where: str) -> tuple[Any, ...]:
    hints = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
    if len(hints) != len(value):
        _refuse(f"{len(hints)} items", value, where)
    return tuple(decode(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(hints, value, strict=True)))


@cache
def field_hints(cls: Any) -> dict[str, Any]:
    """Field name → resolved type of a record class."""
    hints = typing.get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _decode_record(cls: type[R], value: Any, where: str) -> R:
    if not isinstance(value, dict):
        _refuse(cls, value, where)
    hints = field_hints(typing.cast(Any, cls))
    required = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    if missing := required - set(value):
        raise RecordError(f"{where}: the field {sorted(missing)[0]!r} is missing")
    if unknown := set(value) - set(hints):
        raise RecordError(f"{where}: unknown field {sorted(unknown)[0]!r}")
    fields = {name: decode(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return cls.from_fields(fields)
    except RecordError:
        raise
    except UserError as error:  # a record that checks itself
        raise RecordError(f"{where}: {error}") from error


def _decode_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float:
        if isinstance(value, str) and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif type(value) is hint:
        return value
    return _refuse(hint, value, where)


def _refuse(hint: Any, value: Any, where: str) -> typing.NoReturn:
    raise RecordError(f"{where}: expected {_expected(hint)}, found {str(value)[:40]!r}")


def _expected(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    return str(getattr(hint, "__name__", hint))


def read(path: str | os.PathLike[str]) -> Record:
    """The record in a JSON file, or in the run folder that holds exactly one.

    Raises RecordError when the file is missing, is not a record, or was written by a newer schema.
    """
    file = _record_file(Path(path))
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror}): {_NAME_IT}") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{file}: cannot be read as a record ({error}): {_MAKE_IT_AGAIN}") from error
    if not isinstance(data, dict) or type(data.get("schema")) is not int or not isinstance(data.get("kind"), str):
        raise RecordError(f"{file}: is JSON, but not a gradpath record (no 'schema' and 'kind'): {_NAME_IT}")
    if data["schema"] > SCHEMA_VERSION:
        raise RecordError(
            f"{file}: is of schema {data['schema']} (gradpath {data.get('gradpath', '?')}), newer than schema "
            f"{SCHEMA_VERSION}, the last one known here: upgrade gradpath to read it"
        )
    if data["kind"] not in KINDS:
        raise RecordError(f"{file}: unknown kind {data['kind']!r}; known: {', '.join(sorted(KINDS))}")
    fields = {key: value for key, value in data.items() if key not in _HEADER}
    try:
        return _decode_record(KINDS[data["kind"]], fields, file.name)
    except (RecursionError, OverflowError) as error:
        raise RecordError(f"{file}: holds what no record holds ({error}): {_MAKE_IT_AGAIN}") from error
    except RecordError as error:
        raise RecordError(f"{error}: {_MAKE_IT_AGAIN}") from error


_NAME_IT = "name a file that record.save() or --output wrote, or its folder"
_MAKE_IT_AGAIN = "it was cut short, edited or written by another version; make it again, or read it with that version"


def _record_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = [path / name for name in ("compare.json", "run.json", "flow.json") if (path / name).is_file()]
    if len(files) != 1:
        raise RecordError(
            f"{path}: holds {len(files)} records (compare.json, run.json, flow.json), expected one: name the file"
        )
    return files[0]


def write_whole(path: Path, content: bytes, *, durable: bool = False) -> Path:
    """Write bytes under a temporary name in the same folder, then rename: readers see all of it or nothing.

    durable: it is on the disk when this returns, so that a power cut loses nothing of it. Raises UserError naming the
    path where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}): name a file in a folder you may write to"
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written ({reason}): make room, or name another folder") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _sync_folder(folder: Path) -> None:
    """Put a rename on the disk; Windows has no such call, and needs none."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
