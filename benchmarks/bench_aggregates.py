"""Nanoseconds a row of GROUP BY states on one core: `python benchmarks/bench_aggregates.py [ROWS]`.

Batches of 65,536 rows as a scan delivers them; each line is the best of three runs, result included.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from hpckit._kernels.group import GroupTable
from hpckit._kernels.intern import Interner
from hpckit.aggregates import AggSpec, GroupBy
from hpckit.tables.columns import Coded, Column

BATCH = 1 << 16
INT, FLOAT, STRING, TIME = pa.int64(), pa.float64(), pa.string(), pa.timestamp("us")


def best_ns(run: Callable[[], object], rows: int) -> float:
    """Best of three, nanoseconds of CPU time a row: a busy neighbour then counts for less."""
    times = []
    for _ in range(3):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times) / rows * 1e9


class Data:
    """Columns of an access log: skewed strings, a status, sizes, times that advance."""

    def __init__(self, rows: int) -> None:
        rng = np.random.default_rng(1)
        self.rows = rows
        self.columns: dict[str, np.ndarray | tuple[np.ndarray, Interner]] = {
            "status": rng.choice([200, 304, 404, 500], rows, p=[0.8, 0.1, 0.08, 0.02]),
            "bytes": rng.lognormal(8, 1.5, rows).astype(np.int64),
            "latency": rng.lognormal(-3, 1, rows),
            "hour": np.sort(rng.integers(0, 24 * 14, rows)) * 3_600_000_000,
            "method": self._strings(rng.integers(0, 8, rows)),
            "host": self._strings(rng.integers(0, 100_000, rows)),
            "path": self._strings(np.minimum(rng.zipf(1.3, rows), 50_000) - 1),
        }

    @staticmethod
    def _strings(codes: np.ndarray) -> tuple[np.ndarray, Interner]:
        dictionary = Interner()
        dictionary.intern(pa.array([f"value-{i:06d}" for i in range(int(codes.max()) + 1)]))
        return codes.astype(np.int32), dictionary

    def kind(self, name: str) -> pa.DataType:
        values = self.columns[name]
        if isinstance(values, tuple):
            return STRING
        return TIME if name == "hour" else pa.from_numpy_dtype(values.dtype)

    def batches(self, names: list[str]) -> list[dict[str, Column]]:
        """The columns `names`, cut into batches."""
        result = []
        for begin in range(0, self.rows, BATCH):
            batch: dict[str, Column] = {}
            for name in names:
                values = self.columns[name]
                if isinstance(values, tuple):
                    batch[name] = Coded(values[0][begin : begin + BATCH], values[1])
                else:
                    batch[name] = pa.array(values[begin : begin + BATCH]).view(self.kind(name))
            result.append(batch)
        return result


def group_by_ns(data: Data, keys: list[str], calls: list[tuple[str, str | None, float | None]]) -> float:
    """One GROUP BY over all batches, with its result."""
    specs = [AggSpec(n, () if c is None else (data.kind(c),), q, source=c) for n, c, q in calls]
    batches = data.batches([*keys, *(c for _, c, _ in calls if c)])
    positions = np.arange(data.rows)

    def run() -> pa.Table:
        state = GroupBy([data.kind(k) for k in keys], specs)
        for i, batch in enumerate(batches):
            rows = min(BATCH, data.rows - i * BATCH)
            state.update(
                [batch[k] for k in keys],
                [[batch[c]] if c else [] for _, c, _ in calls],
                [None] * len(calls),
                positions[i * BATCH : i * BATCH + rows],
                rows,
            )
        return state.finish()

    return best_ns(run, data.rows)


def group_table_ns(columns: list[np.ndarray]) -> float:
    """The group table alone."""

    def run() -> GroupTable:
        table = GroupTable(len(columns))
        for begin in range(0, len(columns[0]), BATCH):
            table.ids([c[begin : begin + BATCH] for c in columns])
        return table

    return best_ns(run, len(columns[0]))


CASES: list[tuple[list[str], list[tuple[str, str | None, float | None]]]] = [
    (["method"], [("count_star", None, None), ("sum", "bytes", None), ("avg", "bytes", None)]),
    (["status"], [("count_star", None, None), ("sum", "bytes", None), ("avg", "bytes", None)]),
    (["method"], [("sum", "latency", None), ("avg", "latency", None)]),
    (["method"], [("stddev", "latency", None)]),
    (["path"], [("count_star", None, None)]),
    (["hour"], [("count_star", None, None), ("quantile_cont", "bytes", 0.95)]),
    (["hour"], [("approx_quantile", "latency", 0.95)]),
    (["method", "hour"], [("count_star", None, None)]),
    ([], [("count_distinct", "host", None)]),
    (["status"], [("count_distinct", "host", None)]),
    (["status"], [("approx_count_distinct", "host", None)]),
    (["status"], [("min", "bytes", None), ("max", "bytes", None)]),
    (["status"], [("min", "path", None), ("max", "path", None)]),
    (["host"], [("first", "bytes", None), ("last", "path", None)]),
    ([], [("quantile_cont", "latency", 0.5)]),
]


def main() -> None:
    """Prints one line per case."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    rng = np.random.default_rng(0)
    few, many = rng.integers(0, 100, rows), rng.integers(0, 1 << 20, rows)
    print(f"{rows:,} rows, ns/row")
    for label, columns in {
        "group table: one key, 100 groups": [few],
        "group table: one key, 100 groups far apart": [few * 10**12],
        "group table: one key, 1 M groups far apart": [many * 10**12],
        "group table: two keys, 10 K groups": [few, rng.permutation(few)],
    }.items():
        print(f"{group_table_ns(columns):8.1f}  {label}")
    data = Data(rows)
    for keys, calls in CASES:
        label = ", ".join(f"{n}({c or ''})" for n, c, _ in calls) + (f" by {', '.join(keys)}" if keys else "")
        print(f"{group_by_ns(data, keys, calls):8.1f}  {label}")


if __name__ == "__main__":
    main()
