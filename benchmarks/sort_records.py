"""One competitor sorts a file of records into another: sort_records.py ENGINE IN OUT (numpy, polars or duckdb)."""

from __future__ import annotations

import os
import sys

os.environ["POLARS_MAX_THREADS"] = "2"
from sort_data import KEY_BYTES, RECORD_BYTES


def with_numpy(source: str, target: str) -> None:
    import numpy as np

    records = np.fromfile(source, np.dtype([("key", f"S{KEY_BYTES}"), ("rest", f"V{RECORD_BYTES - KEY_BYTES}")]))
    records[np.argsort(records["key"], kind="stable")].tofile(target)


def with_polars(source: str, target: str) -> None:
    import polars as pl

    lines = pl.read_csv(source, has_header=False, separator="\x01", quote_char=None, new_columns=["r"])
    key = pl.col("r").str.slice(0, KEY_BYTES)
    lines.sort(key).write_csv(target, include_header=False, quote_style="never")


def with_duckdb(source: str, target: str) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    read = f"read_csv('{source}', header=false, delim='\x01', quote='', escape='', columns={{'r': 'VARCHAR'}})"
    query = f"SELECT r FROM {read} ORDER BY r[1:{KEY_BYTES}]"
    connection.execute(
        f"COPY ({query}) TO '{target}' (FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE '')"
    )


if __name__ == "__main__":
    {"numpy": with_numpy, "polars": with_polars, "duckdb": with_duckdb}[sys.argv[1]](*sys.argv[2:])
