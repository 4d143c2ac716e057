"""Dealing things out: blocks cover every item once, weights come out even."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpckit.partition import block_owner, block_range, deal_by_weight


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_blocks_cover_the_range_in_order_and_differ_by_one_at_most(count: int, parts: int) -> None:
    blocks = [block_range(count, parts, part) for part in range(parts)]
    assert blocks[0][0] == 0
    assert blocks[-1][1] == count
    assert all(left[1] == right[0] for left, right in itertools.pairwise(blocks))
    lengths = [stop - start for start, stop in blocks]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1


@given(st.integers(1, 10_000), st.integers(1, 64), st.data())
def test_owner_is_the_inverse(count: int, parts: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    start, stop = block_range(count, parts, block_owner(count, parts, index))
    assert start <= index < stop


@pytest.mark.parametrize(("count", "parts", "part"), [(5, 2, 2), (5, 2, -1), (5, 0, 0), (-1, 2, 0)])
def test_impossible_blocks_are_refused(count: int, parts: int, part: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        block_range(count, parts, part)


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 8))
def test_dealing_gives_every_item_once_within_graham_s_bound(weights: list[int], parts: int) -> None:
    dealt = deal_by_weight(weights, parts)
    assert sorted(item for items in dealt for item in items) == list(range(len(weights)))
    assert all(items == sorted(items) for items in dealt)
    loads = [sum(weights[item] for item in items) for items in dealt]
    # List scheduling: the last item put on the fullest part found it no fuller than the average.
    assert max(loads) <= sum(weights) / parts + max(weights, default=0)


def test_equal_weights_go_round_robin() -> None:
    assert deal_by_weight([64] * 7, 3) == [[0, 3, 6], [1, 4], [2, 5]]
