"""Tables between ranks against a plain Python oracle: exchange, gather, broadcast, point to point."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hpckit.errors import InternalError
from hpckit.spmd import coded, transport, wire
from hpckit.spmd import exchange as exchange_module

pytestmark = pytest.mark.mpi

STRUCT = pa.struct([("x", pa.int64()), ("y", pa.string())])


def table_of(rank: int, rows: int) -> pa.Table:
    """A table with a column of every type, NULLs in each, whose contents depend on rank and row."""
    ids = [rank * 1_000_000 + i for i in range(rows)]

    def column(values: list, kind: pa.DataType) -> pa.Array:
        return pa.array([None if i % 7 == 3 else v for i, v in enumerate(values)], kind)

    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "f64": column([i / 3 for i in ids], pa.float64()),
            "i32": column([i % 1000 for i in ids], pa.int32()),
            "u8": column([i % 256 for i in ids], pa.uint8()),
            "flag": column([i % 3 == 0 for i in ids], pa.bool_()),
            "s": column([f"zeile {i} ä" * (i % 4) for i in ids], pa.string()),
            "ls": column([f"{i}" for i in ids], pa.large_string()),
            "b": column([bytes([i % 256]) * (i % 5) for i in ids], pa.binary()),
            "t": column(ids, pa.timestamp("us")),
            "d": column([i % 20_000 for i in ids], pa.date32()),
            "iv": column(ids, pa.duration("us")),
            "lf": column([[float(i)] * (i % 3) for i in ids], pa.list_(pa.float64())),
            "li": column([[i, None] * (i % 2) for i in ids], pa.list_(pa.int64())),
            "st": column([{"x": i, "y": str(i)} for i in ids], STRUCT),
            "dict": pa.array([None if i % 5 == 0 else f"k{i % 3}" for i in ids], pa.string()).dictionary_encode(),
            "null": pa.nulls(rows),
        }
    )


def rows_of(rank: int, size: int) -> int:
    """Uneven: the first of several ranks has none."""
    return 0 if rank == 0 and size > 1 else 200 + 37 * rank


def expected(context, targets) -> list[dict]:
    """The rows that arrive here: all ranks' rows that go here, by (source, row)."""
    rows = []
    for source in range(context.size):
        table = table_of(source, rows_of(source, context.size)).to_pylist()
        rows += [row for row, target in zip(table, targets(source, len(table)), strict=True) if target == context.rank]
    return rows


@pytest.mark.parametrize("round_bytes", [1 << 26, 2000])
def test_exchange_delivers_every_row_in_source_order(context, round_bytes: int) -> None:
    def targets(source: int, rows: int) -> np.ndarray:
        return np.random.default_rng(source).integers(0, context.size, rows).astype(np.int32)

    table = table_of(context.rank, rows_of(context.rank, context.size))
    received = exchange_module.exchange(context, table, targets(context.rank, table.num_rows), round_bytes)
    received.validate(full=True)
    assert received.to_pylist() == expected(context, targets)


def test_exchange_with_all_rows_to_one_rank(context) -> None:
    table = table_of(context.rank, rows_of(context.rank, context.size))
    last = context.size - 1
    received = exchange_module.exchange(context, table, np.full(table.num_rows, last, np.int32), 3000)
    assert received.to_pylist() == expected(context, lambda source, rows: [last] * rows)


def test_exchange_of_sliced_chunked_rows(context) -> None:
    whole = table_of(context.rank, 300)
    table = pa.concat_tables([whole.slice(13, 90), whole.slice(200, 5), whole.slice(0, 0)])
    received = context.exchange(table, np.full(table.num_rows, context.rank, np.int32))
    assert received.to_pylist() == table.to_pylist()


def test_exchange_without_rows_or_columns(context) -> None:
    empty = table_of(context.rank, 0)
    received = context.exchange(empty, np.zeros(0, np.int32))
    assert received.num_rows == 0
    assert received.column_names == empty.column_names


def test_every_type_keeps_its_type(context) -> None:
    table = table_of(context.rank, 50)
    received = context.exchange(table, np.full(50, context.rank, np.int32))
    plain = table.schema.set(table.schema.get_field_index("dict"), pa.field("dict", pa.string()))
    assert received.schema == plain


@pytest.mark.parametrize("round_bytes", [1 << 26, 2000])
def test_coded_columns_stay_coded_and_bring_only_what_they_need(context, round_bytes: int) -> None:
    def strings(source: int) -> list[str | None]:
        return [None if i % 11 == 4 else f"s{(source + i) % 90}" * (i % 3) for i in range(400 * (source != 1))]

    def targets(source: int, rows: int) -> np.ndarray:
        return (np.arange(rows) * 7 // 10 % context.size).astype(np.int32)

    mine = strings(context.rank)
    array = pa.array([*mine, "unused"], pa.large_string()).dictionary_encode().slice(0, len(mine))
    half = len(mine) // 2  # in two chunks, each with a dictionary of its own
    chunks = [array.slice(0, half), pa.array(mine[half:], pa.large_string()).dictionary_encode()]
    table = pa.table({"k": pa.chunked_array(chunks, coded.KIND), "row": np.arange(len(mine))})
    to = targets(context.rank, len(mine))
    received = exchange_module.exchange(context, table, to, round_bytes, keep_coded=True)
    received.validate(full=True)
    assert received.schema.field("k").type == coded.KIND
    wanted = [
        (s, i)
        for source in range(context.size)
        for i, (s, t) in enumerate(zip(strings(source), targets(source, len(strings(source))), strict=True))
        if t == context.rank
    ]
    assert [(row["k"], row["row"]) for row in received.to_pylist()] == wanted
    if context.size > 1:
        for chunk in received.column("k").chunks:
            assert set(chunk.dictionary.to_pylist()) == set(chunk.to_pylist()) - {None}


def test_gather_is_in_rank_order_and_only_on_root(context, record) -> None:
    rows = range(context.rank, 1000, context.size)
    table = pa.table({"i": pa.array(rows, pa.int64()), "s": pa.array([str(i) for i in rows], pa.string())})
    for root in {0, context.size - 1}:
        gathered = context.gather_table(table, root=root)
        assert (gathered is not None) == (context.rank == root)
        if gathered is not None:
            assert gathered["i"].to_pylist() == [i for r in range(context.size) for i in range(r, 1000, context.size)]
    gathered = context.gather_table(table)
    record(b"" if gathered is None else str(gathered.sort_by("i").to_pylist()).encode())


@pytest.mark.parametrize("rows", [0, 500])
def test_broadcast_from_any_rank(context, rows: int) -> None:
    for root in range(context.size):
        table = table_of(root, rows)
        received = context.bcast_table(table if context.rank == root else None, root=root)
        assert received.to_pylist() == table.to_pylist()


@pytest.mark.parametrize("rows", [0, 700])
def test_send_and_receive_between_neighbours(context, rows: int, monkeypatch) -> None:
    monkeypatch.setattr(exchange_module, "ROUND_BYTES", 10_000)  # several messages
    monkeypatch.setattr(transport, "SLICE_BYTES", 999)  # in several slices
    for source in range(context.size - 1):
        if context.rank == source:
            context.send_table(table_of(source, rows), source + 1)
        elif context.rank == source + 1:
            assert context.recv_table(source).to_pylist() == table_of(source, rows).to_pylist()


@pytest.mark.parametrize("slice_bytes", [64, 1000])
def test_bytes_beyond_the_count_limit_travel_in_slices(context, slice_bytes: int) -> None:
    def message(source: int, dest: int) -> np.ndarray:
        return np.random.default_rng([source, dest]).integers(0, 256, 331 * (source + 2 * dest), dtype=np.uint8)

    outgoing = [message(context.rank, dest) for dest in range(context.size)]
    incoming = [message(source, context.rank) for source in range(context.size)]
    sizes = [np.array([len(m) for m in messages], np.int64) for messages in (outgoing, incoming)]
    received = transport.alltoallv(context, np.concatenate(outgoing), *sizes, count_max=100, slice_bytes=slice_bytes)
    assert received.tobytes() == b"".join(m.tobytes() for m in incoming)


def test_a_changed_message_is_noticed_everywhere(context, monkeypatch) -> None:
    if context.size == 1:
        pytest.skip("one rank sends nothing")
    original = transport.alltoallv

    def damage(ctx, *arguments):
        received = original(ctx, *arguments)
        if ctx.rank == 1:
            received[len(received) // 2] ^= 1
        return received

    monkeypatch.setattr(transport, "alltoallv", damage)
    table = table_of(context.rank, 100)
    targets = np.arange(100, dtype=np.int32) % context.size
    with pytest.raises(InternalError, match=r"from rank \d to rank 1 .* arrived changed"):
        context.exchange(table, targets)


def test_lost_rows_are_noticed_everywhere(context, monkeypatch) -> None:
    if context.size == 1:
        pytest.skip("one rank sends nothing")
    original = wire.unpack
    monkeypatch.setattr(wire, "unpack", lambda message, schema: original(message, schema).slice(1))
    table = table_of(context.rank, 100)
    with pytest.raises(InternalError, match=r"rank \d sent 100 rows to rank \d, where 99 arrived"):
        context.exchange(table, np.full(100, (context.rank + 1) % context.size, np.int32))


def test_different_schemas_are_refused_everywhere(context) -> None:
    if context.size == 1:
        pytest.skip("one rank has one schema")
    name = "a" if context.rank else "b"
    with pytest.raises(InternalError, match="another schema"):
        context.exchange(pa.table({name: [1]}), np.zeros(1, np.int32))


def test_a_bad_destination_on_one_rank_is_raised_everywhere(context) -> None:
    targets = np.full(3, context.size if context.is_root else 0, np.int32)
    with pytest.raises(
        InternalError, match=f"row 0 is sent to rank {context.size}: expected 0 <= rank < {context.size}"
    ):
        context.exchange(pa.table({"a": [1, 2, 3]}), targets)


def test_equal_keys_meet_on_one_rank(context) -> None:
    keys = [f"node{i % 50}" for i in range(context.rank, 2000, context.size)]
    table = pa.table({"node": keys})
    received = context.exchange(table, context.destinations(context.hash_rows(table, ["node"])))
    here = set(received["node"].to_pylist())
    everywhere = context.allgather(sorted(here))
    assert sum(len(keys) for keys in everywhere) == 50
    assert context.allreduce(received.num_rows) == 2000
