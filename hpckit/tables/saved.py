"""What a statement has taken in so far, as tables and back: the form in which checkpoints keep it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from hpckit.tables.pipeline import AggregateSink, LimitSink, Sink, SortSink, SpoolSink, TopKSink
from hpckit.tables.spool import Spool

ORDINAL = "\x1fordinal"  # hidden column: the chunk of a spool that a row belongs to


def tables_of(sink: Sink) -> dict[str, pa.Table]:
    """Everything `sink` holds; nothing if it has seen no row. Local."""
    if isinstance(sink, AggregateSink):
        held = sink.state.to_tables() if sink.state.touched else {}
        return {**held, **(sink.spilled.saved() if sink.spilled else {})}
    if isinstance(sink, TopKSink):
        return {"rows": sink.state.finish()}
    if isinstance(sink, SortSink):
        return {"rows": pa.concat_tables([sink.sorter.schema.empty_table(), *sink.sorter.everything()])}
    return {"rows": table_of_spool(sink.inner.spool if isinstance(sink, LimitSink) else sink.spool)}


def absorb(sink: Sink, tables: Mapping[str, pa.Table]) -> None:
    """Take in what `tables_of` gave, here or on another rank: rows of other splits than `sink` has seen. Local."""
    if not tables:
        return
    if isinstance(sink, AggregateSink):
        if "groups" in tables:
            sink.state.merge_tables(dict(tables))
        if sink.spilled is not None:
            sink.spilled.restore(tables)
        sink.bound()
    elif isinstance(sink, TopKSink):
        sink.state.update(tables["rows"])
    elif isinstance(sink, SortSink):
        for batch in tables["rows"].to_batches(max_chunksize=1 << 16):
            sink.sorter.add(pa.Table.from_batches([batch]))
    elif isinstance(sink, SpoolSink):
        fill_spool(sink.spool, tables["rows"])
    else:
        for ordinal, rows in fill_spool(sink.inner.spool, tables["rows"]).items():
            sink.rows[ordinal] = rows


def table_of_spool(spool: Spool) -> pa.Table:
    """All rows of a spool with the ordinals of their chunks. Local."""
    held = list(spool.batches())
    rows = [batch.num_rows for _, batch in held]
    numbers = np.repeat(np.array([ordinal for ordinal, _ in held], np.int64), np.array(rows, np.int64))
    table = pa.Table.from_batches([batch for _, batch in held], spool.schema)
    return table.append_column(ORDINAL, pa.array(numbers, pa.int64()))


def fill_spool(spool: Spool, table: pa.Table) -> dict[int, int]:
    """Append the rows of `table_of_spool` to their chunks; returns the rows of each. Local."""
    numbers = table.column(ORDINAL).to_numpy()
    rows = table.drop_columns([ORDINAL])
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    counts = np.diff(np.append(starts, len(numbers)))
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        spool.append(int(numbers[start]), rows.slice(start, count))
    return dict(zip(numbers[starts].tolist(), counts.tolist(), strict=True))
