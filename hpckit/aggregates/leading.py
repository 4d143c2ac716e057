"""Which groups can be among the first k by a count or a sum, so that only their states need to meet.

After Cao & Wang, "Efficient top-k query calculation in distributed networks" (TPUT, PODC 2004): the k-th largest sum of
what the ranks' own first k groups come to is at most the k-th largest total, and a group with that total has at least
its n-th part on one of n ranks. All other groups stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from hpckit.aggregates.keys import KeyTable
from hpckit.aggregates.spec import DURATION, INT

if TYPE_CHECKING:
    from hpckit.aggregates.groupby import GroupBy
    from hpckit.aggregates.peers import Peers
    from hpckit.aggregates.spec import AggSpec

GROUPS_MIN = 1 << 16  # of all ranks: fewer are exchanged as fast as they are chosen
K_SHARE = 16  # a k above this part of the groups leaves little to spare
LOW_BITS = (1 << 16) - 1


def applies(aggs: list[AggSpec], number: int) -> bool:
    """Whether groups may be left out where rows go by aggregate `number`, the largest first.

    It has to be a count, or a sum of integers. No other one may be able to fail for a group that is left out: which
    are left out depends on the ranks.
    """
    if aggs[number].name not in ("count", "count_star") and (aggs[number].name, aggs[number].arg_type) != ("sum", INT):
        return False
    return all(i == number or spec.name != "sum" or spec.arg_type not in (INT, DURATION) for i, spec in enumerate(aggs))


def leading_groups(state: GroupBy, number: int, k: int, peers: Peers, ranks: int) -> np.ndarray | None:
    """Ids of the groups of this rank whose states must be exchanged for the first `k` by aggregate `number`; None: all.

    Collective; None on all ranks or on none. The ids chosen are those of the same groups on every rank.
    """
    weights = state.weights(number)
    facts = np.array([len(state), 0 if weights is None else len(state)], np.int64)
    groups, weighed = peers.reduce(facts, "sum").tolist()
    if weighed < groups or groups < max(GROUPS_MIN, k * K_SHARE) or weights is None:
        return None
    bound = _lower_bound(state, weights, k, peers)
    threshold = -(-bound // ranks)
    if threshold <= 1:  # nearly every group of a log reaches that
        return None
    chosen = np.flatnonzero(weights >= threshold)
    if int(peers.reduce(np.array([len(chosen)], np.int64), "sum")[0]) * 2 > groups:
        return None
    hashes = peers.hashes(state.key_table(), state.key_names)
    everyone = peers.everyone(pa.table({"hash": hashes[chosen].view(np.int64)}))
    return _members(hashes, np.unique(everyone.column(0).to_numpy().view(np.uint64)))


def _lower_bound(state: GroupBy, weights: np.ndarray, k: int, peers: Peers) -> int:
    """A number that the k-th largest total reaches; 0 if there may be fewer than k groups. Collective."""
    mine = (
        np.argpartition(weights, len(weights) - k)[len(weights) - k :] if len(weights) > k else np.arange(len(weights))
    )
    here = state.key_table(mine).append_column("weight", pa.array(weights[mine]))
    here = peers.exchange(here, state.key_names)
    keys, totals = KeyTable(state.key_types), np.zeros(len(here), np.int64)
    for batch in here.to_batches():
        ids = keys.ids([batch.column(name) for name in state.key_names], batch.num_rows)
        np.add.at(totals, ids, batch.column("weight").to_numpy())
    best = np.sort(totals[: len(keys)])[::-1][:k]
    all_best = np.sort(peers.everyone(pa.table({"total": best})).column(0).to_numpy())[::-1]
    return int(all_best[k - 1]) if len(all_best) >= k else 0


def _members(hashes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Ids whose hash is one of the sorted `wanted`. Most are told apart by their low bits alone."""
    seen = np.zeros(LOW_BITS + 1, bool)
    seen[(wanted & np.uint64(LOW_BITS)).astype(np.int64)] = True
    maybe = np.flatnonzero(seen[(hashes & np.uint64(LOW_BITS)).astype(np.int64)])
    places = np.minimum(np.searchsorted(wanted, hashes[maybe]), len(wanted) - 1)
    return maybe[wanted[places] == hashes[maybe]] if len(wanted) else maybe
