"""Rows to write, for the tests of the sinks: every type, NULLs, extremes, unicode and text that needs care."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.tables.spool import Spool

TEXTS = [
    "plain", "", " ", "a,b", 'say "hi"', '"', "line\nbreak", "\r", "a\tb", "#hash", "NULL", "é", "日本語", "\U0001f600",
    "back\\slash", "nul\0byte", "\x1b[31m", "\x7f", "x" * 300, "a" * 7 + ",", "b" * 8 + '"', "c" * 15 + "#", "'", "1",
]  # fmt: skip
INTEGERS = [0, 1, -1, 9, 10, 99, 100, -100, 2**63 - 1, -(2**63), 10**18, 1234567890123456789]
DOUBLES = [
    0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e16, 123456789012345.6, 9007199254740993.0, 1e22, 1e23, 1e-4, 1e-5, 5e-324,
    2.2250738585072014e-308, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf"), 1 / 3, 0.3,
]  # fmt: skip
MOMENTS = [0, 1, -1, 999_999, 1_000_000, 1117813370675872, -62135596800000000, 253402300800000000, 10**15 + 500_000]
DAYS = [0, -1, 1, 11016, -719162, 2932897, 19782]
SPANS = [0, 1, -1, 93784_000_000, -1_500_000, 1_000_000_000_000, 3_600_000_000]


def wild_table(rows: int, seed: int = 0, nulls: float = 0.15) -> pa.Table:
    """`rows` rows drawn from the lists above, with that share of NULLs."""
    rng = np.random.default_rng(seed)

    def column(values: list, kind: pa.DataType) -> pa.Array:
        picked = [values[i] for i in rng.integers(0, len(values), rows)]
        return pa.array(picked, kind, mask=rng.random(rows) < nulls)

    return pa.table(
        {
            "text": column(TEXTS, pa.string()),
            "whole": column(INTEGERS, pa.int64()),
            'real, "quoted"': column(DOUBLES, pa.float64()),
            "yes": column([True, False], pa.bool_()),
            "time": column(MOMENTS, pa.int64()).cast(pa.timestamp("us")),
            "day": column(DAYS, pa.int32()).cast(pa.date32()),
            "span": column(SPANS, pa.int64()).cast(pa.duration("us")),
            "é/%.valid": column(TEXTS, pa.string()),
        }
    )


def spool_of(table: pa.Table, pieces: int = 1, budget_bytes: int = 1 << 26, scratch: Path | None = None) -> Spool:
    """All of `table` on one rank, cut into so many ordinals, some of them empty."""
    spool = Spool(table.schema, scratch, budget_bytes)
    ends = np.linspace(0, table.num_rows, pieces + 1).astype(int)
    for i, (begin, end) in enumerate(itertools.pairwise(ends)):
        spool.append(3 * i, table.slice(begin, end - begin))
        spool.append(3 * i + 1, table.slice(0, 0))
    return spool


def rows_of(table: pa.Table) -> list[tuple]:
    """The rows as tuples that compare equal for NaN too: repr of each value."""
    columns = []
    for column in table.columns:
        values = column
        if pa.types.is_temporal(column.type):
            values = column.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64())
        columns.append([repr(value) for value in values.to_pylist()])
    return list(zip(*columns, strict=True))
