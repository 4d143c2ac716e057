"""GroupBy over real ranks: every group gets one owner, and its row the same bytes at any rank count."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
import pytest
from aggregate_data import ROWS, Feeder, everything, ipc_bytes

from hpckit.aggregates import selection
from hpckit.tables import rows

pytestmark = pytest.mark.mpi


class _Peers(rows.Peers):
    """As the executor's, but with owners that a hash function of this file chooses."""

    def exchange(self, table: pa.Table, by: list[str]) -> pa.Table:
        keys = zip(*(table.column(name).to_pylist() for name in by), strict=True)
        owners = [zlib.crc32(repr(row).encode()) % self._ctx.size for row in keys] if by else [0] * table.num_rows
        return self._ctx.exchange(table, np.array(owners, np.int32), keep_coded=True)


@pytest.mark.parametrize(
    ("coded", "pairs_per_group"), [(False, 1 << 40), (True, 0)], ids=["arrow-exchanged", "coded-searched"]
)
@pytest.mark.parametrize("keys", [[], ["s"], ["k", "f"], ["t", "s"]], ids="-".join)
def test_shuffled_groups(context, record, monkeypatch, keys: list[str], coded: bool, pairs_per_group: int) -> None:
    monkeypatch.setattr(selection, "PAIRS_PER_GROUP", pairs_per_group)
    table = everything()
    begin, end = ROWS * context.rank // context.size, ROWS * (context.rank + 1) // context.size
    state = Feeder(table, keys, True, coded).state([(begin, end)])
    owned = state.shuffle(_Peers(context)).finish(emit_empty_global=context.is_root)
    whole = context.gather_table(owned, root=0)
    if context.is_root:
        expected = Feeder(table, keys, True, coded).state([(0, ROWS)]).finish()
        order = [(f"k{j}", "ascending") for j in range(len(keys))]
        if keys:
            whole, expected = whole.sort_by(order), expected.sort_by(order)
        assert ipc_bytes(whole) == ipc_bytes(expected)
    record(ipc_bytes(whole) if context.is_root else b"")
