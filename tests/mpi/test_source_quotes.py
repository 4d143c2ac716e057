"""Quotes of CSV splits are counted by all ranks, and every rank learns where splits begin inside quotes."""

from __future__ import annotations

import pytest

from hpckit.sources.base import ReadOptions
from hpckit.sources.open import open_source
from hpckit.sources.program import WantedColumn
from hpckit.tables.plan import Source

pytestmark = pytest.mark.mpi

DATA = "id,text\n" + "".join(f'{i},"{i}\n""two""\n{"x" * (i % 13)}"\n{i},plain\n' for i in range(200))


def test_parity_and_rows(context, shared_path, record) -> None:
    path = shared_path / "x.csv"
    context.on_root(path.write_text, DATA)
    for split_bytes in (7, 100, 1 << 20):
        options = ReadOptions(split_bytes=split_bytes)
        source = context.on_root(open_source, Source("csv", (str(path),)), options)
        reader = source.reader([WantedColumn("id"), WantedColumn("text")], [], options)
        source.prepare(context)
        wanted = {s.ordinal: DATA.count('"', 0, s.begin) % 2 == 1 for s in source.splits if s.begin}
        assert source.quote_parity == wanted
        mine = source.splits[context.rank :: context.size]
        rows = [(s.ordinal, row) for s in mine for batch in reader.read(s) for row in batch.to_arrow().to_pylist()]
        everything = [
            row for _, row in sorted((r for part in context.allgather(rows) for r in part), key=lambda r: r[0])
        ]
        assert [row["id"] for row in everything] == [i // 2 for i in range(400)]
        assert everything[0]["text"] == '0\n"two"\n'
        assert context.allreduce(reader.counts.lines, "sum") == DATA.count("\n") - 1
        record(repr(everything).encode())
