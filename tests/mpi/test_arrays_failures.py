"""Arrays of several ranks: mistakes of one rank are one error on all, and files are the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

import hpckit as hk

pytestmark = pytest.mark.mpi
A = hk.arrays


def on_last(context) -> bool:
    return context.rank == context.size - 1 and context.size > 1


def everywhere(context, match: str, action) -> None:
    """`action` raises the same UserError on every rank."""
    with pytest.raises(hk.UserError, match=match) as caught:
        action()
    assert len(set(context.allgather(str(caught.value)))) == 1


def test_parts_that_differ(context) -> None:
    if context.size == 1:
        pytest.skip("one rank cannot differ")
    last, rank = on_last(context), context.size - 1
    everywhere(
        context,
        rf"rank {rank} has dtype float32, rank 0 has float64.*astype",
        lambda: A.from_local(np.zeros(2, "f4" if last else "f8")),
    )
    everywhere(
        context,
        rf"rank {rank} has rows of shape \(4,\), rank 0 of shape \(3,\)",
        lambda: A.from_local(np.zeros((2, 4 if last else 3))),
    )
    everywhere(
        context,
        rf"part of rank {rank}: dtype object is not supported",
        lambda: A.from_local(np.array([None] if last else [1.0])),
    )
    everywhere(context, rf"rank {rank} passes shape \(3,\)", lambda: A.array(np.zeros(3 if last else 2)))
    everywhere(context, "gave shape|division", lambda: A.from_function(lambda i: np.zeros(2) if last else i, 100))


def test_what_fails_on_one_rank_fails_on_all(context) -> None:
    x = A.arange(100.0)
    last = on_last(context) or context.size == 1
    everywhere(context, "do not broadcast", lambda: x + np.zeros(7))
    everywhere(context, "index 100 is out of range", lambda: A.take(x, A.from_local(np.array([100 if last else 0]))))
    everywhere(context, r"does not fit int64", lambda: A.array([2**62] * 40).sum())
    everywhere(context, r"does not fit int64", lambda: A.array([[2**62] * 4] + [[1] * 4] * 9).sum(1))
    everywhere(context, r"running sum", lambda: A.array([2**62] * 40).cumsum())
    everywhere(context, "no such file", lambda: A.from_npy("/nowhere/x.npy"))
    everywhere(context, "no such file", lambda: A.from_hdf5("/nowhere/x.h5", "a"))
    everywhere(context, "does not exist", lambda: x.to_npy("/nowhere/x.npy"))
    everywhere(context, "not sorted", lambda: A.array([5, 4, 3, 2, 1, 0]).searchsorted(3))
    assert x.sum() == 4950, "all ranks go on together"


def test_gather_is_refused_by_the_smallest_budget(context, monkeypatch) -> None:
    monkeypatch.setattr(type(context), "memory_budget", lambda self: 100 if on_last(self) else 1000)
    x = A.zeros(100)
    if context.size > 1:
        for to in ("all", "root"):
            everywhere(context, "needs 800 B on a rank, whose memory budget is 100 B", lambda to=to: x.gather(to))
    else:
        assert len(x.gather()) == 100


def test_files_are_the_same_bytes_at_any_rank_count(context, shared_path, record) -> None:
    rng = np.random.default_rng(9)
    arrays = {
        "f": rng.normal(size=1001),
        "grid": rng.integers(0, 9, (37, 5)).astype("i2"),
        "deep/flags": rng.random(11) < 0.5,
        "none": np.zeros((0, 3), "f4"),
        "one": np.array([7], "u8"),
        "time": np.array(["2024-01-01", "2024-02-29"], "M8[us]"),
    }
    spread = {name: A.array(values)[:] for name, values in arrays.items()}
    spread["f"] = A.from_local(arrays["f"] if on_last(context) or context.size == 1 else np.zeros(0))
    hdf5, npy = shared_path / "x.h5", shared_path / "x.npy"
    A.to_hdf5(spread, hdf5)
    spread["grid"].to_npy(npy)
    for name, values in arrays.items():
        found = A.from_hdf5(hdf5, name)
        assert found.dtype == values.dtype and np.array_equal(found.gather(), values), name
    assert np.array_equal(A.from_npy(npy).gather(), arrays["grid"])
    everywhere(context, "exists already", lambda: spread["f"].to_npy(npy))
    spread["f"].to_npy(npy, overwrite=True)
    assert np.array_equal(np.load(npy), arrays["f"])
    context.allgather(0)  # nobody looks at the folder before all have read
    assert sorted(p.name for p in shared_path.iterdir()) == ["x.h5", "x.npy"]
    record(hdf5.read_bytes() + npy.read_bytes())


def test_arrow_parts(context) -> None:
    import pyarrow as pa

    part = pa.table({"a": pa.array(range(context.rank * 10, context.rank * 10 + 10))})
    assert A.from_arrow(part, "a").gather().tolist() == list(range(10 * context.size))
    last = on_last(context) or context.size == 1
    everywhere(context, "1 NULLs", lambda: A.from_arrow(pa.array([1, None if last else 2])))
    everywhere(context, "no column 'b'", lambda: A.from_arrow(part, "b"))


def test_printing_sends_nothing(context) -> None:
    x = A.arange(10)
    if context.is_root:
        assert "rank 0" in repr(x)
    assert x.sum() == 45
