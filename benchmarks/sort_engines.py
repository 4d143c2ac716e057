"""One competitor sorts in memory, several times: sort_engines.py ENGINE QUESTION ROWS REPEATS RESULT.json [FILE].

Seconds are those of the sort alone, of the first one too: numbers are in the engine's own memory before and after;
strings come from Parquet.
hpckit is started under mpirun. RESULT.json has the seconds, a checksum of the sorted rows and the peak memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["POLARS_MAX_THREADS"] = "2"
import numpy as np
from sort_data import digest, numbers

Sorted = Callable[[], Any]
Columns = Callable[[Any], list[np.ndarray]]


def numpy_engine(question: str, columns: list[np.ndarray], path: str) -> tuple[Sorted, Columns]:
    if question == "strings":
        import pyarrow.parquet as pq

        return lambda: np.sort(pq.read_table(path).column(0).to_numpy()), lambda found: [hashed(found)]
    if question == "pairs":

        def sort_pairs() -> list[np.ndarray]:
            order = np.argsort(columns[0], kind="stable")
            return [column[order] for column in columns]

        return sort_pairs, lambda found: found
    kept = np.empty_like(columns[0])

    def sort_kept() -> np.ndarray:  # np.sort, without the price of a new array each time
        np.copyto(kept, columns[0])
        kept.sort()
        return kept

    return sort_kept, lambda found: [found]


def polars_engine(question: str, columns: list[np.ndarray], path: str) -> tuple[Sorted, Columns]:
    import polars as pl

    if question == "strings":
        return lambda: pl.scan_parquet(path).sort("s").collect(), lambda found: [hashed(found["s"].to_arrow())]
    frame = pl.DataFrame({f"c{i}": column for i, column in enumerate(columns)})
    return lambda: frame.sort("c0"), lambda found: [found[name].to_numpy() for name in found.columns]


def duckdb_engine(question: str, columns: list[np.ndarray], path: str) -> tuple[Sorted, Columns]:
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    if question == "strings":
        query = f"SELECT s FROM '{path}' ORDER BY s"
        return lambda: connection.sql(query).to_arrow_table(), lambda found: [hashed(found.column(0))]
    whole = pa.table({f"c{i}": column for i, column in enumerate(columns)})  # noqa: F841 - DuckDB finds it by name
    connection.execute("CREATE TABLE t AS SELECT * FROM whole")
    return (
        lambda: connection.sql("SELECT * FROM t ORDER BY c0").to_arrow_table(),
        lambda found: [found.column(name).to_numpy() for name in found.column_names],
    )


def hashed(strings: Any) -> np.ndarray:
    """A number for each string."""
    import pyarrow as pa

    from hpckit.spmd import route

    return route.hash_rows(
        pa.table({"s": pa.chunked_array([pa.array(strings)]) if not _arrow(strings) else strings}), ["s"]
    )


def _arrow(strings: Any) -> bool:
    return type(strings).__module__.startswith("pyarrow")


def peak_bytes() -> int:
    """Of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def run_hpckit(question: str, rows: int, repeats: int, path: str) -> dict[str, Any] | None:
    """The result on rank 0, None elsewhere."""
    import hpckit as hk
    from hpckit.partition import block_range
    from hpckit.spmd import world

    context = world()
    begin, end = block_range(rows, context.size, context.rank)
    if question == "strings":
        sort = lambda: hk.scan_parquet(path).sort("s").collect("local")  # noqa: E731
    else:
        key = hk.arrays.from_local(numbers(question, begin, end), context)
        if question == "pairs":
            payload = hk.arrays.from_local(np.arange(begin, end), context)
            sort = lambda: hk.arrays.sort_by(key, payload)  # noqa: E731
        else:
            sort = lambda: hk.arrays.sort(key)  # noqa: E731
    times_s = []
    for _ in range(repeats):
        found = None
        context.allreduce(0)  # all begin together
        start_s = time.perf_counter()
        found = sort()
        context.allreduce(0)  # and the last one ends it
        times_s.append(time.perf_counter() - start_s)
    peak = sum(context.allgather(peak_bytes()))
    if question == "strings":
        found = getattr(found, "table", found)
        begin = context.exscan_sum(len(found))
        parts = [hashed(found.column("s"))]
    else:
        parts = [x.local for x in (found if isinstance(found, tuple) else (found,))]
    sums = [context.allgather(digest(part, begin)) for part in parts]
    answer = [sum(of_ranks) % (1 << 64) for of_ranks in sums]
    return {"seconds": times_s, "digest": answer, "memory_bytes": peak} if context.is_root else None


def run_peer(engine: str, question: str, rows: int, repeats: int, path: str) -> dict[str, Any]:
    columns = [] if question == "strings" else [numbers(question, 0, rows)]
    if question == "pairs":
        columns.append(np.arange(rows))
    make = {"numpy": numpy_engine, "polars": polars_engine, "duckdb": duckdb_engine}[engine]
    sort, answer = make(question, columns, path)
    times_s = []
    found = None
    for _ in range(repeats):
        found = None  # the memory of the run before is free
        start_s = time.perf_counter()
        found = sort()
        times_s.append(time.perf_counter() - start_s)
    peak = peak_bytes()
    return {"seconds": times_s, "digest": [digest(part, 0) for part in answer(found)], "memory_bytes": peak}


def main() -> None:
    engine, question, rows, repeats, result, *rest = sys.argv[1:]
    path = rest[0] if rest else ""
    if engine == "hpckit":
        found = run_hpckit(question, int(rows), int(repeats), path)
    else:
        found = run_peer(engine, question, int(rows), int(repeats), path)
    if found is not None:
        Path(result).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
