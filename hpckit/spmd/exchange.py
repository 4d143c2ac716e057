"""Tables between ranks: the all-to-all exchange by destination in bounded rounds, broadcast, and point to point.

A row that leaves is a row that arrives: every message carries its row count and the hash of its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.errors import InternalError
from hpckit.spmd import transport, wire
from hpckit.spmd.route import scatter

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

ROUND_BYTES = 16 << 20  # what a rank sends in one round, about, if no message becomes shorter than
MESSAGE_BYTES = 64 << 10
RECEIVE_BYTES = 512 << 20  # what a rank receives in one round, about
ROW_MAX = 1 << 32
STREAM_TAG = 71


def exchange(
    context: Context,
    table: pa.Table,
    destinations: np.ndarray,
    round_bytes: int | None = None,
    keep_coded: bool = False,
) -> pa.Table:
    """See Context.exchange. Collective.

    Rows are sorted by destination; round k sends the k-th part of every destination's rows, so that a round is
    bounded at the sender and at the receiver even if all rows go to one rank.
    """
    with context.agreed("preparing an exchange"):
        if len(destinations) != table.num_rows:
            raise InternalError(f"{len(destinations)} destinations for {table.num_rows} rows")
        table = wire.plain(table, keep_coded).replace_schema_metadata(None)
        schema, row_bytes = table.schema, wire.row_bytes(table)
        order, counts = scatter(destinations, context.size)
        del destinations
        if table.num_rows <= ROW_MAX:
            order = order.astype(np.uint32)  # it stays until the last round: half the memory
        if context.size > 1:
            table = wire.wide(table)
    if context.size == 1:
        return table
    rounds = _plan(context, counts, row_bytes, round_bytes or max(ROUND_BYTES, MESSAGE_BYTES * context.size), schema)
    starts = np.cumsum(counts) - counts
    arrived: list[list[pa.RecordBatch]] = [[] for _ in range(context.size)]
    for k in range(rounds):
        begin, end = starts + counts * k // rounds, starts + counts * (k + 1) // rounds
        for source, batch in enumerate(_round(context, table, schema, order, begin, end)):
            if batch is not None:
                arrived[source].append(batch)
    received = pa.Table.from_batches([batch for batches in arrived for batch in batches], schema)
    _check_total(context, table.num_rows, received.num_rows)
    return received


def _plan(context: Context, counts: np.ndarray, row_bytes: int, round_bytes: int, schema: pa.Schema) -> int:
    """The number of rounds that keeps every rank within its limits, the same on all ranks. Collective."""
    fingerprint = wire.content_hash(np.frombuffer(schema.serialize(), np.uint8)) >> 1
    facts = np.column_stack([counts * row_bytes, np.full(context.size, fingerprint)]).astype(np.int64)
    incoming = transport.alltoall(context, facts)
    needed = max(int(facts[:, 0].sum()) // round_bytes, int(incoming[:, 0].sum()) // RECEIVE_BYTES) + 1
    rounds = context.allreduce(needed, "max")
    with context.agreed("comparing the schemas of an exchange"):
        for source, theirs in enumerate(incoming[:, 1].tolist()):
            if theirs != fingerprint:
                raise InternalError(f"rank {source} sends rank {context.rank} another schema than {schema}")
    return rounds


def _round(
    context: Context, table: pa.Table, schema: pa.Schema, order: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> list[pa.RecordBatch | None]:
    """Send rows order[begin[r]:end[r]] to each rank r; returns what came from each, None for nothing. Collective.

    What stays on this rank is taken out of the table and neither packed nor sent.
    """
    counts = end - begin
    kept = order[begin[context.rank] : end[context.rank]]
    counts[context.rank] = 0
    with context.agreed("packing rows for an exchange"):
        # One by one, so that a dictionary holds what its message needs and no more.
        leaving = [order[b : b + n] for b, n in zip(begin.tolist(), counts.tolist(), strict=True)]
        data, sizes = wire.pack([wire.take(table, rows, schema) if len(rows) else None for rows in leaving])
        envelopes = _envelopes(data, sizes, counts)
        own = wire.take(table, kept, schema) if len(kept) else None
    incoming = transport.alltoall(context, envelopes)
    received = transport.alltoallv(context, data, sizes, np.ascontiguousarray(incoming[:, 0]))
    context.count(bytes=len(data), rows=int(counts.sum()), messages=int(np.count_nonzero(sizes)))
    with context.agreed("unpacking rows of an exchange"):
        batches = _unpack_all(context.rank, received, incoming, schema)
    batches[context.rank] = own
    return batches


def _envelopes(data: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each message (bytes, rows, content hash), int64."""
    ends = np.cumsum(sizes)
    hashes = [wire.content_hash(data[e - n : e]) for e, n in zip(ends.tolist(), sizes.tolist(), strict=True)]
    return np.column_stack([sizes, counts, np.array(hashes, np.uint64).view(np.int64)])


def _unpack_all(
    rank: int, received: np.ndarray, incoming: np.ndarray, schema: pa.Schema
) -> list[pa.RecordBatch | None]:
    batches: list[pa.RecordBatch | None] = []
    start = 0
    for source, (size, rows, content) in enumerate(incoming.tolist()):
        message = received[start : start + size]
        batches.append(_open(message, rows, content, schema, source, rank) if size or rows else None)
        start += size
    return batches


def _open(message: np.ndarray, rows: int, content: int, schema: pa.Schema, source: int, dest: int) -> pa.RecordBatch:
    """The batch in a received message, after checking that it is what was sent."""
    found = wire.content_hash(message)
    if found != content & ((1 << 64) - 1):
        raise InternalError(
            f"message from rank {source} to rank {dest} ({len(message)} bytes, {rows} rows) arrived changed: "
            f"content hash {found:016x}, expected {content & ((1 << 64) - 1):016x}"
        )
    batch = wire.unpack(message, schema)
    if batch.num_rows != rows:
        raise InternalError(f"rank {source} sent {rows} rows to rank {dest}, where {batch.num_rows} arrived")
    return batch


def _check_total(context: Context, sent: int, received: int) -> None:
    """Every row of every rank is somewhere. Collective."""
    total_sent, total_received = context.allreduce(np.array([sent, received], np.int64), "sum").tolist()
    if total_sent != total_received:
        raise InternalError(f"exchange of {total_sent} rows delivered {total_received}")


def bcast_table(context: Context, table: pa.Table | None, root: int) -> pa.Table:
    """See Context.bcast_table. Collective."""
    data: np.ndarray | None = None
    with context.agreed("packing a table for all ranks"):
        if context.rank == root:
            if table is None:
                raise InternalError(f"rank {root} broadcasts None: expected a table")
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            data = np.frombuffer(sink.getvalue(), np.uint8)
    if context.size == 1 and table is not None:
        return table
    data = transport.bcast(context, data, root)
    if table is not None and context.rank == root:
        return table
    context.count(bytes=len(data), messages=1)
    return pa.ipc.open_stream(pa.py_buffer(data)).read_all()


def send_table(context: Context, table: pa.Table, dest: int) -> None:
    """See Context.send_table: a header (bytes of the schema, messages), then each batch with its envelope."""
    table = wire.plain(table).replace_schema_metadata(None)
    schema = table.schema
    packed_schema = np.frombuffer(schema.serialize(), np.uint8)
    step = max(1, ROUND_BYTES // max(1, wire.row_bytes(table)))
    table = wire.wide(table)
    starts = range(0, table.num_rows, step)
    comm = context._comm
    comm.Send(np.array([len(packed_schema), len(starts), 0], np.int64), dest=dest, tag=STREAM_TAG)
    transport.send(context, packed_schema, dest, STREAM_TAG)
    for start in starts:
        rows = np.arange(start, min(start + step, table.num_rows))
        data, sizes = wire.pack([wire.take(table, rows, schema)])
        comm.Send(_envelopes(data, sizes, np.array([len(rows)]))[0], dest=dest, tag=STREAM_TAG)
        transport.send(context, data, dest, STREAM_TAG)
        context.count(bytes=len(data), rows=len(rows), messages=1)


def recv_table(context: Context, source: int) -> pa.Table:
    """See Context.recv_table."""
    header, comm = np.empty(3, np.int64), context._comm
    comm.Recv(header, source=source, tag=STREAM_TAG)
    schema_bytes, messages, _ = header.tolist()
    schema = pa.ipc.read_schema(pa.py_buffer(transport.recv(context, schema_bytes, source, STREAM_TAG)))
    batches = []
    for _ in range(messages):
        comm.Recv(header, source=source, tag=STREAM_TAG)
        size, rows, content = header.tolist()
        message = transport.recv(context, size, source, STREAM_TAG)
        batches.append(_open(message, rows, content, schema, source, context.rank))
    return pa.Table.from_batches(batches, schema)
