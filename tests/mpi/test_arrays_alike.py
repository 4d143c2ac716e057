"""Collective functions of arrays called with other arguments on one rank: one error on all ranks, and no rank waits."""

from __future__ import annotations

import numpy as np
import pytest

import hpckit as hk

pytestmark = pytest.mark.mpi
A = hk.arrays


def setitem(x, key, value) -> None:
    x[key] = value


# name: call(x, m, other), where x holds floats, m is a matrix, and `other` is true on the last rank
CALLS = {
    "sum axis": lambda x, m, o: A.sum(m, axis=1 if o else 0),
    "sum axis wrong": lambda x, m, o: m.sum(axis=7 if o else 0),
    "sum of another array": lambda x, m, o: (m if o else x).sum(),
    "sum dtype": lambda x, m, o: x.sum(dtype="f4" if o else "f8"),
    "mean keepdims": lambda x, m, o: m.mean(axis=0, keepdims=o),
    "var ddof": lambda x, m, o: x.var(ddof=int(o)),
    "std ddof": lambda x, m, o: x.std(ddof=-1 if o else 0),
    "min axis": lambda x, m, o: m.min(axis=int(o)),
    "max axis": lambda x, m, o: m.max(axis=None if o else 0),
    "argmin axis": lambda x, m, o: m.argmin(axis=int(o)),
    "argmax axis": lambda x, m, o: m.argmax(axis="x" if o else 0),
    "any axis": lambda x, m, o: (m > 0).any(axis=int(o)),
    "all axis": lambda x, m, o: (m > 0).all(axis=int(o)),
    "cumsum axis": lambda x, m, o: m.cumsum(axis=int(o)),
    "cumprod dtype": lambda x, m, o: x.cumprod(dtype=object if o else None),
    "prod axis": lambda x, m, o: m.prod(axis=int(o)),
    "count_nonzero axis": lambda x, m, o: A.count_nonzero(m, axis=int(o)),
    "array_equal with another shape": lambda x, m, o: A.array_equal(x, m if o else x),
    "allclose rtol": lambda x, m, o: A.allclose(x, x, rtol=0.1 if o else 0.2),
    "diff n": lambda x, m, o: A.diff(x, n=-1 if o else 1),
    "bincount minlength": lambda x, m, o: A.bincount(x.astype(int), minlength=10_000 if o else 0),
    "bincount weights": lambda x, m, o: A.bincount(x.astype(int), weights=x if o else None),
    "histogram bins": lambda x, m, o: A.histogram(x, bins=7 if o else 8),
    "histogram bins wrong": lambda x, m, o: A.histogram(x, bins=-1 if o else 8),
    "histogram edges": lambda x, m, o: A.histogram(x, bins=np.array([0.0, 1.0, 2.0 + o])),
    "histogram range": lambda x, m, o: A.histogram(x, range=(0, 1 + o)),
    "unique counts": lambda x, m, o: A.unique(x, return_counts=o),
    "quantile q": lambda x, m, o: A.quantile(x, 0.5 if o else 0.25),
    "quantile several q": lambda x, m, o: A.quantile(x, [0.5] * (20 + o)),
    "quantile method": lambda x, m, o: A.quantile(x, 0.5, method="none" if o else "linear"),
    "median axis": lambda x, m, o: A.median(m, axis=int(o)),
    "percentile q": lambda x, m, o: A.percentile(x, 101 if o else 50),
    "searchsorted values": lambda x, m, o: x.searchsorted(np.array([1.0, 2.0 + o])),
    "searchsorted side": lambda x, m, o: x.searchsorted(3.0, side="middle" if o else "left"),
    "flatnonzero": lambda x, m, o: A.flatnonzero(m if o else x),
    "where": lambda x, m, o: A.where(x > 1, x, 2.0 if o else 3.0),
    "clip": lambda x, m, o: x.clip(0, 5 + o),
    "round": lambda x, m, o: x.round(int(o)),
    "astype": lambda x, m, o: x.astype("f4" if o else "i4"),
    "take indices": lambda x, m, o: x.take([0, 5 if o else 4]),
    "take indices out of range": lambda x, m, o: x.take([0, 5_000 if o else 4]),
    "take more indices": lambda x, m, o: x.take(np.arange(30 + o)),
    "take axis": lambda x, m, o: m.take([0, 1], axis=int(o)),
    "take one or many": lambda x, m, o: x.take(3 if o else [3]),
    "row": lambda x, m, o: x[10_000 if o else 3],
    "other row": lambda x, m, o: x[4 if o else 3],
    "slice": lambda x, m, o: x[: 40 + o],
    "slice step": lambda x, m, o: x[:: -1 if o else 1],
    "column": lambda x, m, o: m[:, 17 if o else 0],
    "mask": lambda x, m, o: x[np.ones(len(x) + o, bool)],
    "number of indices": lambda x, m, o: m[(0, 0) if o else 0],
    "set a slice": lambda x, m, o: setitem(x.copy(), slice(0, 5 + o), 1.0),
    "set other values": lambda x, m, o: setitem(x.copy(), slice(0, 5), np.zeros(5 + o)),
    "reshape": lambda x, m, o: x.reshape(2, -1) if o else x.reshape(-1, 2),
    "reshape wrong": lambda x, m, o: x.reshape(7 if o else -1),
    "item": lambda x, m, o: (x if o else x[:1]).item(),
    "redistribute counts": lambda x, m, o: x.redistribute(counts=[1] if o else None),
    "redistribute like": lambda x, m, o: x.redistribute(like=m if o else x),
    "gather to": lambda x, m, o: x.gather("root" if o else "all"),
    "concatenate": lambda x, m, o: A.concatenate([x] * (2 + o)),
    "sort descending": lambda x, m, o: A.sort(x, descending=o),
    "sort axis": lambda x, m, o: x.sort(axis=3 if o else 0),
    "argsort nulls": lambda x, m, o: x.argsort(nulls_first=o),
    "sort_by columns": lambda x, m, o: A.sort_by([x, x] if o else [x], x),
    "sort_by payload": lambda x, m, o: A.sort_by(x, *[x] * (1 + o)),
    "sort_by flags": lambda x, m, o: A.sort_by([x, x], descending=[True, o]),
    "operand": lambda x, m, o: x + (1 if o else 1.5),
    "operand of another shape": lambda x, m, o: m + np.zeros(3 + o),
    "operator": lambda x, m, o: x + 1 if o else x * 1,
    "out": lambda x, m, o: np.add(x, x, out=x.copy() if o else None),
    "NumPy's function": lambda x, m, o: np.isclose(x, x) if o else np.nan_to_num(x),
    "function": lambda x, m, o: x.sum() if o else x.cumsum(),
    "no distributed array": lambda x, m, o: A.sort(np.zeros(3) if o else x),
    "from_function shape": lambda x, m, o: A.from_function(lambda i: i, 10 + o),
    "from_npy path": lambda x, m, o: A.from_npy("/nowhere/a" if o else "/nowhere/b"),
    "from_hdf5 dataset": lambda x, m, o: A.from_hdf5("/nowhere/a", "a" if o else "b"),
    "to_npy path": lambda x, m, o: x.to_npy("/nowhere/a.npy" if o else "/nowhere/b.npy"),
    "to_hdf5 names": lambda x, m, o: A.to_hdf5({"a" if o else "b": x}, "/nowhere/x.h5"),
}


@pytest.mark.parametrize("name", CALLS)
def test_other_arguments_on_one_rank(context, name) -> None:
    if context.size == 1:
        pytest.skip("one rank cannot differ")
    x, m = A.arange(60.0), A.from_function(lambda i, j: i * 3.0 + j, (20, 3))
    other = context.rank == context.size - 1
    with pytest.raises(hk.UserError) as caught:
        CALLS[name](x, m, other)
    texts = set(context.allgather(str(caught.value)))
    assert len(texts) == 1, texts
    assert f"rank {context.size - 1} " in texts.pop()
    assert x.sum() == 1770, "all ranks go on together"


def test_arrays_that_differ_are_found_by_the_next_function(context) -> None:
    if context.size == 1:
        pytest.skip("one rank cannot differ")
    with pytest.raises(hk.UserError, match=r"rank \d passes x = a distributed array of shape \(5,\)"):
        A.sort(A.zeros(5 if context.rank else 4))


def test_equal_calls_that_are_written_differently(context) -> None:
    x = A.arange(60.0)
    odd = context.rank % 2 == 1
    found = x.sum(0) if odd else x.sum(axis=0, dtype=None)
    assert found == 1770
    assert x[np.int64(3) : 9 if odd else np.int8(9)].sum() == 33
    assert np.array_equal(
        A.from_local(np.arange(context.rank)).sort().gather(),
        np.sort(np.concatenate([np.arange(r) for r in range(context.size)])),
    )


def test_one_error_after_another(context) -> None:
    """An error of arguments that all ranks share leaves the next call to be compared again."""
    x = A.arange(6.0)
    for _ in range(2):
        with pytest.raises(hk.UserError, match="axis 4"):
            x.sum(axis=4)
    if context.size > 1:
        with pytest.raises(hk.UserError, match="expected the same on all ranks"):
            x.sum(axis=context.rank)
