"""Distinct-count sketches: exact while small, within their error when not, whatever the order of values and merges."""

from __future__ import annotations

import numpy as np
import pytest

from hpckit._kernels.sketch import HyperLogLogs

EXACT_MAX = 512


def filled(groups: int, ids: np.ndarray, hashes: np.ndarray) -> HyperLogLogs:
    made = HyperLogLogs()
    made.resize(groups)
    made.add(ids.astype(np.int32), hashes.astype(np.uint64))
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 511, 512])
@pytest.mark.parametrize("kind", ["small", "random", "high bits"])
def test_small_counts_are_exact(count: int, kind: str) -> None:
    values = np.arange(count, dtype=np.uint64)
    if kind == "random":
        values = np.random.default_rng(count).integers(0, 2**63, count).astype(np.uint64)
    elif kind == "high bits":
        values = values << np.uint64(50)
    hashes = np.tile(values, 3)
    assert filled(1, np.zeros(len(hashes)), hashes).estimates().tolist() == [float(len(set(values.tolist())))]


@pytest.mark.parametrize("count", [513, 2_000, 50_000, 400_000])
def test_large_counts_are_within_the_error(count: int) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**63, count).astype(np.uint64)
    (estimate,) = filled(1, np.zeros(count), hashes).estimates()
    assert abs(estimate / count - 1) < 5 * 0.0058


def test_many_groups_at_once() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.integers(0, 700, 300)
    ids = np.repeat(np.arange(300), sizes)
    hashes = rng.integers(0, 2**20, len(ids)).astype(np.uint64)  # groups share values
    order = rng.permutation(len(ids))
    estimates = filled(300, ids[order], hashes[order]).estimates()
    for group in range(300):
        true = len(np.unique(hashes[ids == group]))
        if true <= EXACT_MAX:
            assert estimates[group] == true
        else:
            assert abs(estimates[group] / true - 1) < 0.05


def merged(parts: list[HyperLogLogs], groups: int) -> HyperLogLogs:
    total = HyperLogLogs()
    total.resize(groups)
    for part in parts:
        total.add_bytes(np.arange(groups, dtype=np.int32), *part.to_bytes())
    return total


@pytest.mark.parametrize("count", [0, 5, 512, 513, 5000])
def test_neither_order_nor_dealing_shows(count: int) -> None:
    """Parts that are all small, all large, or mixed give what one sketch of everything gives."""
    rng = np.random.default_rng(count)
    values = rng.integers(0, 2**63, count).astype(np.uint64)
    whole = filled(2, np.arange(count) % 2, values).estimates().tolist()
    for cuts in ([], [count // 2], [1, 2, 3], [count - 2], list(range(0, count, 97))):
        pieces = np.split(rng.permutation(count), [c for c in cuts if 0 <= c <= count])
        parts = [filled(2, piece % 2, values[piece]) for piece in pieces]
        assert merged(parts, 2).estimates().tolist() == whole
        assert merged(parts[::-1], 2).estimates().tolist() == whole
        assert merged([merged(parts, 2), *parts], 2).estimates().tolist() == whole


def test_values_after_a_merge_count_too() -> None:
    values = np.arange(1000, dtype=np.uint64)
    total = merged([filled(1, np.zeros(600), values[:600])], 1)
    total.add(np.zeros(400, np.int32), values[600:])
    assert total.estimates().tolist() == filled(1, np.zeros(1000), values).estimates().tolist()


def test_damaged_bytes_are_refused() -> None:
    total = HyperLogLogs()
    total.resize(1)
    for ids, size in ((0, 7), (1, 8), (-1, 8)):
        with pytest.raises(ValueError, match="row 0 is damaged"):
            total.add_bytes(np.array([ids], np.int32), np.array([0, size], np.int64), np.zeros(size, np.uint8))
