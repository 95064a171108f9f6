"""A flow as tables of plain values: what data frames and CSV files hold. Pure: no pandas, no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

from gradpath.errors import MissingExtraError, UserError
from gradpath.record._base import Record
from gradpath.record._flow import Flow
from gradpath.record._layers import Numerics

Row = dict[str, Any]
"""Column → plain value: a number, a word, True or False, None where there is none."""


def table_rows(flow: Flow, table: str = "layers") -> list[Row]:
    """The rows of one table of a flow; all rows of a table have the same columns, in the same order.

    'layers': a row per call of a layer. 'forks': a row per edge of a fork. 'parameters', 'nonlinearities',
    'statistics': a row each. Shapes are words ('64x16x28x28'). Raises UserError for another name.
    """
    if table not in _TABLES:
        raise UserError(f"a flow has no table {table!r}: it has {', '.join(_TABLES)}")
    return list(_TABLES[table](flow))


def data_frame(flow: Flow, table: str = "layers") -> Any:
    """The same rows as a pandas DataFrame. Raises MissingExtraError without pandas."""
    rows = table_rows(flow, table)
    try:
        import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise MissingExtraError("pandas", "tables", "to_pandas") from error
    return pandas.DataFrame(rows)


def shape_text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _layers(flow: Flow) -> Iterator[Row]:
    numerics = [field.name for field in fields(Numerics)]
    for layer in flow.layers:
        yield {
            "layer": layer.scope,
            "call": layer.call,
            "module": layer.module,
            "weighted": layer.weighted,
            "shape": shape_text(layer.shape),
            "resolution": layer.resolution,
            "log10_activation_rms": layer.log10_activation_rms,
            "log10_gradient_rms": layer.log10_gradient_rms,
            "log10_gradient_norm": layer.log10_gradient_norm,
            "log10_parameter_gradient_norm": layer.log10_parameter_gradient_norm,
            "log10_parameter_norm": layer.log10_parameter_norm,
            "update_ratio": layer.update_ratio,
            **{name: None if layer.numerics is None else getattr(layer.numerics, name) for name in numerics},
        }


def _forks(flow: Flow) -> Iterator[Row]:
    for number, fork in enumerate(flow.forks):
        for edge in fork.edges:
            yield {
                "number": number,
                "fork": fork.name,
                "fork_kind": fork.kind,
                "merge": fork.merge,
                "shape": shape_text(fork.shape),
                "cancellation": fork.cancellation,
                "fork_log10_norm": fork.log10_norm,
                "consumer": edge.consumer,
                "kind": edge.kind,
                "share": edge.share,
                "norm_mass": edge.norm_mass,
                "log10_norm": edge.log10_norm,
                "line": edge.line,
            }


def plain_rows(records: tuple[Record, ...]) -> Iterator[Row]:
    """Records whose fields are plain values and shapes."""
    for record in records:
        values = {field.name: getattr(record, field.name) for field in fields(record)}
        yield {key: shape_text(value) if isinstance(value, tuple) else value for key, value in values.items()}


_TABLES: dict[str, Callable[[Flow], Iterator[Row]]] = {
    "layers": _layers,
    "forks": _forks,
    "parameters": lambda flow: plain_rows(flow.parameters),
    "nonlinearities": lambda flow: plain_rows(flow.nonlinearities),
    "statistics": lambda flow: plain_rows(flow.statistics),
}
