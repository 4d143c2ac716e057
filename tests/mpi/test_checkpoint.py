"""Checkpoints on real ranks: every value comes back, on any number of ranks, and mistakes are one error on all."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import hpckit as hk
from hpckit.checkpoint import names
from hpckit.checkpoint.store import Part, Store
from hpckit.errors import Interrupted, OutputError, UserError

JOB = {"version": "1", "plan": "test", "inputs": []}


class Some:
    """The context of fewer ranks: the first ones of `context`, by a communicator of their own."""

    def __new__(cls, context, size: int):
        from hpckit.spmd.context import Context

        group = context._comm.Split(0 if context.rank < size else 1, context.rank)
        made = Context(group)
        group.Free()
        return made if context.rank < size else None


def test_parts_of_other_rank_counts(context, shared_path: Path) -> None:
    """Saved on k ranks, restored on n, for all k up to n and back."""
    rows = np.arange(40)
    for k in range(1, context.size + 1):
        folder = shared_path / f"from{k}"
        some = Some(context, k)
        if some is not None:
            store = Store(folder, JOB)
            assert store.restore(some).covered == frozenset()
            units = list(range(40))[some.rank :: some.size][:-1]
            store.commit(Part(covers=units, tables={"t": pa.table({"x": rows[units]})}), some.rank)
        context.allgather(None)  # all parts are written before anyone looks
        restored = Store(folder, JOB).restore(context)
        mine = sorted(x for part in restored.parts for x in part.tables["t"]["x"].to_pylist())
        everyone = sorted(x for theirs in context.allgather(mine) for x in theirs)
        assert everyone == sorted(restored.covered) and len(everyone) == 40 - k
        if some is not None:
            some._comm.Free()


def test_survivors_take_up_what_a_lost_rank_saved(context, shared_path: Path) -> None:
    if context.size == 1:
        pytest.skip("a rank must be left")
    store = Store(shared_path / "ck", JOB)
    store.restore(context)
    mine = {context.rank, context.rank + 10}
    store.commit(Part(covers=mine))
    mine.add(context.rank + 20)  # worked on since: only the living still have it
    survivors = Some(context, context.size - 1)
    context.allgather(None)
    if survivors is not None:
        restored = store.restore(survivors, held=mine)
        lost = context.size - 1
        assert {u for parts in survivors.allgather([p.covers for p in restored.parts]) for p in parts for u in p} == {
            lost,
            lost + 10,
        }
        assert lost + 20 not in restored.covered and restored.covered >= mine and restored.life == 1
        everything = mine | {u for part in restored.parts for u in part.covers}
        store.commit(Part(covers=everything), survivors.rank)
        survivors.allgather(None)
        again = Store(shared_path / "ck", JOB).restore(survivors)
        assert again.covered == restored.covered and not again.warnings
        survivors._comm.Free()
    context.allgather(None)


def test_session_gives_back_every_value(context, shared_path: Path, record) -> None:
    x = hk.arrays.arange(1001, dtype=np.int64, context=context) * 3
    y = hk.arrays.DistArray.from_local(np.full((context.rank, 2), context.rank, np.float32), context)
    own = pa.table({"rank": [context.rank] * (context.rank + 1), "text": ["é"] * (context.rank + 1)})
    same = {
        "step": 17, "rate": 0.1, "name": "näme", "nothing": None, "flag": True, "raw": b"\0\xff",
        "matrix": np.arange(6.0).reshape(2, 3), "empty": np.zeros((0, 4), "i2"), "scalar": np.float32(1.5),
        "dates": np.array(["2024-01-01"], "M8[D]"), "table": pa.table({"a": [1, None], "b": ["x", None]}),
        "history": [1, [2.5, None], {"k": "v"}], "rng": np.random.default_rng(1).bit_generator.state,
    }  # fmt: skip
    folder = shared_path / "ck"
    with hk.checkpoint(folder, every_s=None, job="all values", context=context) as ck:
        assert ck.restore() is None
        assert not ck.save(step=1)
        assert ck.save(force=True, x=x, y=y, own=ck.parts(own), **same)
    for size in range(context.size, 0, -1):
        some = Some(context, size)
        if some is None:
            continue
        with hk.checkpoint(folder, job="all values", context=some) as ck:
            state = ck.restore()
        assert state is not None and list(state) == ["x", "y", "own", *same]
        blocks = np.diff(state["x"].starts)
        assert blocks.max() - blocks.min() <= 1
        np.testing.assert_array_equal(state["x"].gather(), np.arange(1001) * 3)
        expected = np.concatenate([np.full((r, 2), r, np.float32) for r in range(context.size)])
        np.testing.assert_array_equal(state["y"].gather(), expected)
        ranks = [r for theirs in some.allgather(state["own"]["rank"].to_pylist()) for r in theirs]
        assert ranks == [r for r in range(context.size) for _ in range(r + 1)]
        state["matrix"][0, 0] = 5  # may be changed
        state["matrix"][0, 0] = 0
        for name, value in same.items():
            if isinstance(value, np.ndarray):
                assert state[name].dtype == value.dtype and state[name].shape == value.shape
                np.testing.assert_array_equal(state[name], value)
            else:
                assert state[name] == value and type(state[name]) is type(value), name
        some._comm.Free()
    record(repr(same["step"]).encode())


def test_a_loop_that_is_stopped_goes_on_where_it_was(context, shared_path: Path, record) -> None:
    def loop(stop_at: int | None) -> np.ndarray:
        with hk.checkpoint(shared_path / "ck", every_s=None, context=context) as ck:
            state = ck.restore() or {"step": 0, "x": hk.arrays.zeros(10, context=context)}
            step, x = state["step"], state["x"]
            while step < 6:
                step, x = step + 1, x * 2 + 1
                if step == stop_at and context.rank == context.size - 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                ck.save(step=step, x=x)
            ck.finish()
            return x.gather()

    for stop in (2, 4):
        with pytest.raises(Interrupted, match="SIGTERM") as stopped:
            loop(stop)
        assert stopped.value.exit_status == 75
    np.testing.assert_array_equal(loop(None), np.full(10, 63.0))
    with hk.checkpoint(shared_path / "ck", context=context) as ck:
        assert ck.restore() is None, "a finished loop begins anew"
    record(b"63")


def test_mistakes_are_one_error_on_all_ranks(context, shared_path: Path) -> None:
    with hk.checkpoint(shared_path / "ck", every_s=0, job={"n": 1}, context=context) as ck:
        ck.save(step=1)
        with pytest.raises(UserError, match="Thread cannot be saved"):
            import threading

            ck.save(x=threading.Thread())
        if context.size > 1:
            with pytest.raises(UserError, match=r"step on rank 1 is not what it is on rank 0"):
                ck.save(step=context.rank)
            with pytest.raises(UserError, match="rank 1 saves a1, rank 0 saves a0"):
                ck.save(**{f"a{context.rank}": 1})
    with pytest.raises(UserError, match="holds saved work of another job"):
        hk.checkpoint(shared_path / "ck", job={"n": 2}, context=context).restore()
    with pytest.raises(UserError, match="every_s"):
        hk.checkpoint(shared_path / "ck", every_s=-1, context=context)


def test_a_rank_that_cannot_write_is_one_error_and_the_phase_before_stays(
    context, shared_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpckit.checkpoint import files

    store = Store(shared_path / "ck", JOB)
    store.restore(context)
    store.commit_phase(context, "one", Part(covers=[context.rank]))
    if context.rank == context.size - 1:

        def full(fd: int, data: memoryview) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "write", full)
    with pytest.raises(OutputError, match="no space left on device"):
        store.commit_phase(context, "two", Part(covers=[context.rank, context.rank + 100]))
    monkeypatch.undo()
    context.allgather(None)
    restored = Store(shared_path / "ck", JOB).restore(context)
    assert restored.phase == "one" and restored.covered == frozenset(range(context.size))
    assert not any(names.temporary_life(name) for name in os.listdir(shared_path / "ck"))
