"""What the GroupBy tests aggregate: a table of every type, calls of every aggregate, and a feeder of batches."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hpckit._kernels.intern import Interner
from hpckit.aggregates import AggSpec, GroupBy
from hpckit.tables.columns import Coded

ROWS = 1500
CALLS = [
    ("count_star", None, None),
    *[("count", c, None) for c in "sifdtb"],
    *[(name, c, None) for name in ("sum", "avg", "stddev", "stddev_pop", "variance", "var_pop") for c in "if"],
    ("avg", "t", None),
    ("avg", "d", None),
    *[(name, c, None) for name in ("min", "max", "first", "last", "count_distinct") for c in "sifdtb"],
    ("bool_and", "b", None),
    ("bool_or", "b", None),
    *[("quantile_cont", c, q) for c in "ifdt" for q in (0.0, 0.3, 0.5, 0.95, 1.0)],
    *[("quantile_disc", c, q) for c in "sifdt" for q in (0.0, 0.3, 0.5, 0.95, 1.0)],
    *[("approx_count_distinct", c, None) for c in "sif"],
    *[("approx_quantile", c, q) for c in "if" for q in (0.0, 0.5, 1.0)],
]
KEYS = [[], ["s"], ["i"], ["f"], ["b"], ["d"], ["s", "b"], ["t", "s"], ["b", "f", "s"], ["k"], ["k", "s"]]


def _nullable(rng: np.random.Generator, values: np.ndarray, share: float = 0.1) -> pa.Array:
    return pa.array(values, mask=rng.random(len(values)) < share)


def everything() -> pa.Table:
    """Columns of every type with NULLs, repeated and awkward values; `p` is the position, `keep` a filter."""
    rng = np.random.default_rng(7)
    words = np.array(["", "a", "ab", "b", "é", "zz", "a much longer string than the others", "aa\x00b"])
    floats = rng.choice([0.0, -0.0, 1.5, -2.25, 1e300, -1e-300, 3.0, 0.1], ROWS)
    floats[: ROWS // 2] = rng.normal(size=ROWS // 2)
    return pa.table(
        {
            "s": _nullable(rng, words[rng.integers(0, len(words), ROWS)]),
            "i": _nullable(rng, rng.integers(-1000, 1000, ROWS) ** 3),
            "f": _nullable(rng, floats),
            "d": _nullable(rng, rng.integers(-400, 20000, ROWS).astype(np.int32)).cast(pa.date32()),
            "t": _nullable(rng, rng.integers(-(10**15), 2 * 10**15, ROWS)).cast(pa.timestamp("us")),
            "b": _nullable(rng, rng.random(ROWS) < 0.5),
            "k": _nullable(rng, rng.integers(0, 40, ROWS)),
            "p": pa.array(np.arange(ROWS)),
            "keep": pa.array(rng.random(ROWS) < 0.6),
        }
    )


def _specs(table: pa.Table) -> list[AggSpec]:
    return [AggSpec(n, () if c is None else (table.schema.field(c).type,), q, source=c) for n, c, q in CALLS]


class Alone:
    """The peers of the only rank."""

    def exchange(self, table: pa.Table, by: list[str]) -> pa.Table:
        return table

    def everyone(self, table: pa.Table) -> pa.Table:
        return table

    def reduce(self, values: np.ndarray, operation: str) -> np.ndarray:
        return values


class Feeder:
    """Gives slices of a table to a GroupBy, strings as Arrow arrays or as codes of a dictionary of its own."""

    def __init__(self, table: pa.Table, keys: list[str], filtered: bool, coded: bool) -> None:
        self.table, self.keys, self.filtered = table, keys, filtered
        self.dictionary = Interner() if coded else None

    def _column(self, batch: pa.Table, name: str) -> pa.Array | Coded:
        column = batch.column(name).combine_chunks()
        if self.dictionary is not None and pa.types.is_string(column.type):
            return Coded(self.dictionary.intern(column), self.dictionary)
        return column

    def state(self, splits: list[tuple[int, int]]) -> GroupBy:
        group_by = GroupBy([self.table.schema.field(k).type for k in self.keys], _specs(self.table))
        for begin, end in splits:
            batch = self.table.slice(begin, end - begin)
            mask = np.asarray(batch.column("keep")) if self.filtered else None
            group_by.update(
                [self._column(batch, k) for k in self.keys],
                [[] if c is None else [self._column(batch, c)] for _, c, _ in CALLS],
                [mask] * len(CALLS),
                np.arange(begin, end),
                end - begin,
            )
        return group_by


def ipc_bytes(table: pa.Table) -> bytes:
    """The table as an Arrow stream of one batch: equal tables give equal bytes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()
