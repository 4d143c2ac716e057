"""A program that outlives the loss of ranks: counts by key over splits, exchanged, merged, written by root.

`survive_program.py OUT [SPLITS [ROWS]]`. The answer does not depend on the number of ranks nor on who died when. It
prints one line, "ranks N epoch E". Every step has a fail point of its name.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from hpckit.errors import RankLost
from hpckit.spmd import Context, program, world
from hpckit.spmd.failpoints import fail_point

KEYS = 5000
POINTS = ("start", "accumulate", "exchange", "arrays", "merge", "output", "settle", "commit", "end")


def accumulate(ctx: Context, splits: int, rows: int, state: dict[int, np.ndarray]) -> None:
    """Counts per key of this rank's splits. What it has stays; the splits of the lost are dealt out anew."""
    covered = ctx.allgather(sorted(state))
    left = sorted(set(range(splits)).difference(*covered))
    for split in left[ctx.rank :: ctx.size]:
        ctx.check()
        fail_point("accumulate")
        state[split] = np.bincount(np.random.default_rng(split).integers(0, KEYS, rows), minlength=KEYS)


def merge(ctx: Context, state: dict[int, np.ndarray]) -> pa.Table:
    """This rank's share of all keys, with their counts over all ranks."""
    counts = sum(state.values(), np.zeros(KEYS, np.int64))
    keys = np.flatnonzero(counts)
    fail_point("exchange")
    table = pa.table({"key": keys, "n": counts[keys], "name": pa.array([f"key {k}" for k in keys.tolist()])})
    here = ctx.exchange(table, ctx.destinations(ctx.hash_rows(table, ["key"])))
    fail_point("arrays")
    block = np.arange(ctx.size * 4000)
    arrived, _ = ctx.exchange_array(block, np.full(ctx.size, 4000))
    assert arrived.tolist() == block[ctx.rank * 4000 : (ctx.rank + 1) * 4000].tolist() * ctx.size
    fail_point("merge")
    return here.group_by(["key", "name"]).aggregate([("n", "sum")])


def write(ctx: Context, table: pa.Table, out: Path) -> None:
    """The whole answer at `out`, whoever dies: written beside it, renamed once all agree that it is whole."""
    temporary = out.with_name(out.name + ".tmp")
    whole = ctx.gather_table(table)
    if whole is not None:
        fail_point("output")
        rows = whole.sort_by("key").to_pylist()
        temporary.write_text("".join(f"{row['key']},{row['name']},{row['n_sum']}\n" for row in rows))
    fail_point("settle")
    ctx.settle()


def commit(ctx: Context, out: Path) -> None:
    """What is whole gets its name; the second one to do so finds it done."""
    fail_point("commit")
    if ctx.is_root and not out.exists():
        os.replace(out.with_name(out.name + ".tmp"), out)
    fail_point("end")
    ctx.settle()


def main() -> int:
    out, splits, rows = Path(sys.argv[1]), *(int(a) for a in (*sys.argv[2:], "24", "20000")[:2])
    ctx = world()
    state: dict[int, np.ndarray] = {}
    written = False
    ctx.allreduce(1)
    fail_point("start")
    while True:
        try:
            if not written:
                accumulate(ctx, splits, rows, state)
                write(ctx, merge(ctx, state), out)
                written = True
            commit(ctx, out)
            break
        except RankLost:
            while True:
                try:
                    ctx.recover()
                    written = ctx.allreduce(int(written), "min") > 0
                    break
                except RankLost:
                    continue
    if ctx.is_root:
        print(f"ranks {ctx.size} epoch {ctx.epoch}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(program(main))
