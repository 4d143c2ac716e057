"""GroupBy over real ranks: every group gets one owner, and its row the same bytes at any rank count."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pytest
from aggregate_data import ROWS, Feeder, everything, ipc_bytes

pytestmark = pytest.mark.mpi


def _exchange(context):
    """The collective an executor passes in: rows go by a hash of the columns `by`, without columns to the root."""

    def run(table: pa.Table, by: list[str]) -> pa.Table:
        rows = zip(*(table.column(name).to_pylist() for name in by), strict=True)
        owners = [zlib.crc32(repr(row).encode()) % context.size for row in rows] if by else [0] * table.num_rows
        return context.exchange(table, np.array(owners, np.int32), keep_coded=True)

    return run


@pytest.mark.parametrize("coded", [False, True], ids=["arrow", "coded"])
@pytest.mark.parametrize("keys", [[], ["s"], ["k", "f"], ["t", "s"]], ids="-".join)
def test_shuffled_groups(context, record, keys: list[str], coded: bool) -> None:
    table = everything()
    begin, end = ROWS * context.rank // context.size, ROWS * (context.rank + 1) // context.size
    state = Feeder(table, keys, True, coded).state([(begin, end)])
    owned = state.shuffle(_exchange(context)).finish(emit_empty_global=context.is_root)
    whole = context.gather_table(owned, root=0)
    if context.is_root:
        expected = Feeder(table, keys, True, coded).state([(0, ROWS)]).finish()
        order = [(f"k{j}", "ascending") for j in range(len(keys))]
        if keys:
            whole, expected = whole.sort_by(order), expected.sort_by(order)
        assert ipc_bytes(whole) == ipc_bytes(expected)
    record(ipc_bytes(whole) if context.is_root else b"")
