"""A rank runs out of memory or disk in the middle of a sort: one error on all ranks, no message is left behind."""

from __future__ import annotations

import errno
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from record_cases import records

import hpckit as hk
from hpckit.sorting import buckets, delivery, external, layout, numbers, pairs, tables
from hpckit.sorting import records as in_memory
from hpckit.sorting.records import sort_records
from hpckit.tables.plan import Source
from hpckit.tables.sort_files import sort_source

pytestmark = pytest.mark.mpi
ROWS = 1500
SECONDS_MAX = 10

# what fails on the last rank, and at its how manieth call; the sort that calls it
FAULTS: list[tuple[object, str, int, str]] = [
    (buckets.partition, "classify", 1, "numbers"),
    (buckets, "room", 1, "numbers"),
    (delivery, "room", 2, "numbers"),
    (numbers, "_sorted", 1, "numbers"),
    (numbers, "_place", 1, "numbers"),
    (numbers, "_place", 2, "numbers"),
    (pairs._Sorter, "take", 1, "pairs"),
    (pairs._Sorter, "take", 3, "pairs"),
    (pairs._Sorter, "_grow", 1, "rows"),
    (tables.Ordering, "rows", 1, "table"),
    (tables.Ordering, "order", 1, "table"),
    (tables, "take", 1, "table"),
    (external.Runs, "write", 2, "table out of core"),
    (external, "_gathered", 1, "table out of core"),
    (external, "order_of", 1, "table out of core"),
    (in_memory, "_assign", 1, "records"),
    (in_memory, "_write_buckets", 1, "records"),
]


def failing(wanted: int, function: Callable) -> Callable:
    calls = 0

    def fails(*args, **options):
        nonlocal calls
        calls += 1
        if calls == wanted:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*args, **options)

    return fails


def sorts(context, folder: Path) -> dict[str, Callable]:
    """A sort of each kind, small, in many pieces and rounds."""
    rng = np.random.default_rng(context.rank)
    x = hk.arrays.from_local(rng.integers(0, 1 << 40, ROWS), context)
    y = hk.arrays.from_local(rng.normal(size=ROWS), context)
    table = pa.table({"k": x.local, "s": [f"row {v % 97}" for v in x.local]})
    whole = folder / "in.parquet"
    if context.is_root:
        pq.write_table(table, whole, row_group_size=300)
        (folder / "in.dat").write_bytes(records("random", 4000, 30, 5).tobytes())
    context.bcast(None)
    return {
        "numbers": lambda: hk.arrays.sort(x),
        "pairs": lambda: hk.arrays.sort_by(x, y),
        "rows": lambda: hk.arrays.sort_by([y, x], x),
        "table": lambda: tables.sort_everywhere(context, table, [("s", False, False), ("k", True, False)]),
        "table out of core": lambda: sort_source(
            context, Source("parquet", (str(whole),)), ["s"], folder / "out.csv", memory_bytes=20_000, scratch=folder
        ),
        "records": lambda: sort_records(context, [str(folder / "in.dat")], str(folder / "out.dat"), 30, 5),
    }


@pytest.mark.parametrize(("place", "name", "call", "kind"), FAULTS, ids=[f"{f[1]}-{f[2]}-{f[3]}" for f in FAULTS])
def test_one_rank_fails(context, shared_path, monkeypatch, place, name: str, call: int, kind: str) -> None:
    if context.size == 1:
        pytest.skip("nobody waits for the only rank")
    monkeypatch.setattr(layout, "ROUND_BYTES", 1 << 12)
    monkeypatch.setattr(numbers, "PIECE_BYTES", 1 << 9)
    monkeypatch.setattr(pairs, "PIECE_BYTES", 1 << 10)
    monkeypatch.setattr(external, "resident_bytes", lambda: 0)
    run = sorts(context, shared_path)[kind]
    with monkeypatch.context() as patch:
        if context.rank == context.size - 1:
            patch.setattr(place, name, failing(call, getattr(place, name)))
        start_s = time.monotonic()
        with pytest.raises(OSError, match="No space left on device") as caught:
            run()
        assert time.monotonic() - start_s < SECONDS_MAX
    assert len(set(context.allgather(str(caught.value).partition(" (rank")[0]))) == 1
    assert run() is not None, "the next one finds no message that is not its own"
