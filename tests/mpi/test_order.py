"""The global order of all ranks' rows: the same rows at any rank count, balanced, with LIMIT and OFFSET."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hpckit.errors import QueryError
from hpckit.tables import order
from hpckit.tables.order import sort_distributed, sort_table

pytestmark = pytest.mark.mpi

KEY_SETS = {
    "ties": [("count", True, False), ("node", False, False), ("row", False, False)],
    "strings": [("node", True, True), ("x", False, True), ("row", True, False)],
    "floats": [("x", True, False), ("row", False, False)],
    "position": [("row", False, False)],
}


def everything(rows: int) -> pa.Table:
    """Skewed keys, NULLs and NaN; `row` makes every order total."""
    rng = np.random.default_rng(11)
    nodes = np.array([f"R{i:02d}-é{i % 3}" for i in range(50)], object)
    x = np.where(rng.random(rows) < 0.05, np.nan, np.round(rng.normal(size=rows), 1))
    return pa.table(
        {
            "node": pa.array(nodes[np.minimum(rng.zipf(1.3, rows) - 1, 49)], pa.string(), mask=rng.random(rows) < 0.1),
            "count": pa.array(rng.integers(0, 4, rows)),
            "x": pa.array(x, mask=rng.random(rows) < 0.1),
            "row": pa.array(rng.permutation(rows)),
        }
    )


def share(context, table: pa.Table, how: str) -> pa.Table:
    """This rank's rows of `table`: even, all on the last rank, or uneven with an empty rank."""
    size, rank, rows = context.size, context.rank, table.num_rows
    if how == "last":
        return table if rank == size - 1 else table.slice(0, 0)
    weights = np.ones(size) if how == "even" else np.arange(size, dtype=float)
    weights = weights if weights.sum() else np.ones(size)
    ends = np.floor(np.cumsum(weights) / weights.sum() * rows).astype(int)
    begin = ends[rank - 1] if rank else 0
    return table.slice(begin, ends[rank] - begin)


@pytest.mark.parametrize("keys", KEY_SETS.values(), ids=KEY_SETS)
@pytest.mark.parametrize("how", ["even", "uneven", "last"])
@pytest.mark.parametrize("gathered", [True, False], ids=["gathered", "exchanged"])
def test_global_order(context, monkeypatch, keys, how, gathered) -> None:
    if not gathered:
        monkeypatch.setattr(order, "ROOT_ROWS_MAX", 100)
    table = everything(6_000)
    result = sort_distributed(context, share(context, table, how), keys)
    whole = context.gather_table(result)
    if context.is_root:
        assert whole.column("row").to_pylist() == sort_table(table, keys).column("row").to_pylist()
    largest = context.allreduce(result.num_rows, "max")
    if not gathered and context.size > 1:
        assert largest <= 1.2 * table.num_rows / context.size
    elif context.size > 1:
        assert context.is_root or result.num_rows == 0


@pytest.mark.parametrize("limit,offset", [(20, 0), (20, 5), (0, 0), (1, 5_999), (10, 6_000), (9_999, 0), (None, 3_000)])
@pytest.mark.parametrize("gathered", [True, False], ids=["gathered", "exchanged"])
def test_limit_and_offset(context, monkeypatch, limit, offset, gathered) -> None:
    if not gathered:
        monkeypatch.setattr(order, "ROOT_ROWS_MAX", 0)
    table = everything(6_000)
    keys = KEY_SETS["ties"]
    result = sort_distributed(context, share(context, table, "uneven"), keys, limit, offset)
    whole = context.gather_table(result)
    if context.is_root:
        expected = sort_table(table, keys).slice(offset, limit)
        assert whole.column("row").to_pylist() == expected.column("row").to_pylist()


def test_rows_are_cut_before_they_travel(context, monkeypatch) -> None:
    sent = []
    gather = context.gather_table
    monkeypatch.setattr(context, "gather_table", lambda table, root: sent.append(table.num_rows) or gather(table, root))
    sort_distributed(context, share(context, everything(6_000), "even"), KEY_SETS["ties"], limit=7, offset=3)
    assert sent == [min(10, 6_000)]


def test_no_rows_at_all(context, monkeypatch) -> None:
    table = everything(0)
    for bound in (1 << 16, 0):
        monkeypatch.setattr(order, "ROOT_ROWS_MAX", bound)
        result = sort_distributed(context, table, KEY_SETS["strings"], limit=5)
        assert result.num_rows == 0 and result.schema.equals(table.schema)


def test_one_value_everywhere(context, monkeypatch) -> None:
    monkeypatch.setattr(order, "ROOT_ROWS_MAX", 0)
    table = pa.table({"k": pa.nulls(1_000, pa.string()), "row": np.arange(1_000)[::-1]})
    result = sort_distributed(context, share(context, table, "even"), [("k", True, False), ("row", False, False)])
    whole = context.gather_table(result)
    if context.is_root:
        assert whole.column("row").to_pylist() == list(range(1_000))
    assert context.allreduce(result.num_rows, "max") <= 1.2 * 1_000 / context.size + 1


def test_error_on_every_rank(context) -> None:
    with pytest.raises(QueryError, match="missing"):
        sort_distributed(context, everything(10), [("missing", False, False)])


def test_the_same_bytes_at_any_rank_count(context, monkeypatch, record) -> None:
    monkeypatch.setattr(order, "ROOT_ROWS_MAX", 100)
    result = sort_distributed(context, share(context, everything(5_000), "uneven"), KEY_SETS["floats"])
    whole = context.gather_table(result)
    record(repr(whole.to_pylist()).encode() if context.is_root else b"")
