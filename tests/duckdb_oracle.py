"""DuckDB as the oracle: its answers as plain Python values that ours can be compared with."""

from __future__ import annotations

import math
from decimal import Decimal

import duckdb
import pyarrow as pa


def connect(table: pa.Table) -> duckdb.DuckDBPyConnection:
    """A connection with the table t, one thread, and NULL for division by zero (as in every DuckDB before 2.0)."""
    connection = duckdb.connect()
    for setting in ("threads = 1", "timezone = 'UTC'", "error_on_division_by_zero = false"):
        try:
            connection.execute(f"SET {setting}")
        except duckdb.Error:  # an older DuckDB without that setting behaves like that anyway
            continue
    connection.register("arrow_t", table)
    connection.execute("CREATE TABLE t AS SELECT * FROM arrow_t")
    return connection


def answer(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return connection.sql(query).to_arrow_table()


def plain(column: pa.ChunkedArray | pa.Array) -> list:
    """Values as int, float, str, bool or None: times in microseconds, dates in days, intervals in microseconds."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()).to_pylist()
    if pa.types.is_date32(kind):
        return column.cast(pa.int32()).to_pylist()
    if pa.types.is_duration(kind):
        return column.cast(pa.int64()).to_pylist()
    if kind == pa.month_day_nano_interval():
        parts = column.to_pylist()
        return [None if v is None else (v.months * 30 + v.days) * 86_400_000_000 + v.nanoseconds // 1000 for v in parts]
    values = column.to_pylist()
    if pa.types.is_decimal(kind):
        whole = kind.scale == 0
        return [None if v is None else int(v) if whole else float(v) for v in values]
    return [float(v) if isinstance(v, Decimal) else v for v in values]


def same(ours: object, theirs: object, tolerance: float = 0.0) -> bool:
    """Equality with NaN = NaN, and -0.0 told from 0.0; floats within a relative tolerance."""
    if isinstance(ours, float) or isinstance(theirs, float):
        if ours is None or theirs is None or isinstance(ours, str) or isinstance(theirs, str):
            return ours is theirs
        a, b = float(ours), float(theirs)
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        if a == b:
            return a != 0 or math.copysign(1, a) == math.copysign(1, b)
        return math.isclose(a, b, rel_tol=tolerance)
    return ours == theirs


def differences(ours: list, theirs: list, tolerance: float = 0.0) -> list[tuple[int, object, object]]:
    """(row, ours, theirs) where the two differ; lengths must agree."""
    assert len(ours) == len(theirs), f"{len(ours)} rows, DuckDB has {len(theirs)}"
    return [(i, a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if not same(a, b, tolerance)]
