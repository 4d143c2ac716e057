"""Every public operation of hpckit as something to call on all ranks, and the public names that must be there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent.parent))
from record_cases import records

import hpckit as hk
from hpckit.checkpoint.session import Checkpoint
from hpckit.cli.main import COMMANDS
from hpckit.tables.table import Grouped

Operation = Callable[[], Any]
ROWS = 900
SKIPPED = {  # what talks to no rank, so that an exception in it is one of the program around it
    "hk": {"Context", "HpckitError", "UserError", "__version__", "arrays", "col", "len", "lit", "when", "Table"},
    "Table": {"bound", "columns", "operators", "schema", "plan"},
    "DistArray": {"dtype", "shape", "ndim", "size", "nbytes", "itemsize", "row_size", "start", "stop", "local"},
    "Context": {
        "is_root", "abort", "close", "meet", "check", "count", "phase", "progress", "memory_budget", "hash_rows",
        "destinations", "recover",
    },
    "Grouped": {"keys", "table"},
    "command": {"run", "submit", "status", "logs", "cancel", "resume", "doctor", "formats", "checkpoint"},
}  # fmt: skip


def public_names() -> set[str]:
    """All public operations: `hk.sql`, `arrays.sort`, `Table.write`, `Context.bcast`, `command query`, …"""
    rooms = {
        "hk": dir(hk), "arrays": dir(hk.arrays), "Table": dir(hk.Table), "Grouped": dir(Grouped),
        "DistArray": dir(hk.arrays.DistArray), "Checkpoint": dir(Checkpoint), "Context": dir(hk.Context),
    }  # fmt: skip
    found = {
        f"{room}.{name}"
        for room, names in rooms.items()
        for name in names
        if not (name.startswith("_") or name in SKIPPED.get(room, ()))
    }
    return found | {f"command {name}" for name in COMMANDS if name not in SKIPPED["command"]}


def operations(ctx: hk.Context, folder: Path) -> dict[str, Operation]:
    """name -> call; the name begins with the public name that it covers. Collective: root makes the inputs."""
    ctx.on_root(_make_inputs, folder)
    return {**_scans(folder), **_tables(folder), **_arrays(ctx, folder), **_context(ctx, folder), **_commands(folder)}


def _make_inputs(folder: Path) -> None:
    rng = np.random.default_rng(1)
    table = pa.table({"k": [f"key {v}" for v in rng.integers(0, 40, ROWS)], "n": rng.integers(0, 99, ROWS),
                      "x": rng.normal(size=ROWS)})  # fmt: skip
    pq.write_table(table, folder / "t.parquet", row_group_size=100)
    pa.feather.write_feather(table, folder / "t.arrow", "uncompressed", chunksize=100)
    pa.csv.write_csv(table, folder / "t.csv")
    pa.csv.write_csv(table.sort_by("n"), folder / "sorted.csv")
    pairs = list(zip(table["k"].to_pylist(), table["n"].to_pylist(), strict=True))
    (folder / "t.jsonl").write_text("".join(f'{{"k": "{k}", "n": {n}}}\n' for k, n in pairs))
    lines = [f"2024-01-01 00:{i // 60:02}:{i % 60:02} {k} {n}" for i, (k, n) in enumerate(pairs)]
    (folder / "t.log").write_text("\n".join(lines) + "\nodd\n")
    (folder / "t.dat").write_bytes(records("random", 4000, 30, 5).tobytes())
    np.save(folder / "x.npy", table["x"].to_numpy())
    import h5py

    with h5py.File(folder / "t.h5", "w") as file:
        file["x"], file["n"] = table["x"].to_numpy(), table["n"].to_numpy()


REDUCTIONS = "mean std sum var all any argmax argmin max min cumprod cumsum prod median"
OF_ONE = (
    "diff count_nonzero flatnonzero nonzero ravel gather redistribute argsort sort unique round zeros_like ones_like "
    "empty_like"
)
OF_A_SIZE = "zeros ones empty arange"
LOG = "{ts:%Y-%m-%d %H:%M:%S} {k} {k2} {n:int}"


def _scans(folder: Path) -> dict[str, Operation]:
    how = {"split_bytes": 2000}
    return {
        "hk.scan_logs": lambda: hk.scan_logs(folder / "t.log", LOG, **how).collect(),
        "hk.scan_csv": lambda: hk.scan_csv(folder / "t.csv", **how).collect(),
        "hk.scan_jsonl": lambda: hk.scan_jsonl(folder / "t.jsonl", **how).collect(),
        "hk.scan_parquet": lambda: hk.scan_parquet(folder / "t.parquet").collect(),
        "hk.scan_arrow": lambda: hk.scan_arrow(folder / "t.arrow").collect(),
        "hk.scan_hdf5": lambda: hk.scan_hdf5(folder / "t.h5").collect(),
        "hk.sql": lambda: hk.sql(f"SELECT k, sum(n) AS s FROM '{folder}/t.parquet' GROUP BY k ORDER BY s"),
        "hk.check_output": lambda: hk.check_output(folder / "free.csv"),
        "hk.show": lambda: hk.show(pa.table({"a": [1]})),
        "hk.write_tables": lambda: hk.write_tables({"a": pa.table({"a": [1, 2]})}, folder / "w.h5", overwrite=True),
        "hk.program": lambda: hk.scan_parquet(folder / "t.parquet").top_k(3, "x").collect(),
        "hk.world": lambda: hk.world().bcast(1),
    }


def _tables(folder: Path) -> dict[str, Operation]:
    def table() -> hk.Table:
        return hk.scan_parquet(folder / "t.parquet")

    def verb(name: str, make: Callable[[hk.Table], hk.Table]) -> dict[str, Operation]:
        return {f"Table.{name}": lambda: make(table()).collect()}

    c = hk.col
    return {
        **verb("filter", lambda t: t.filter(c("n") > 7)),
        **verb("select", lambda t: t.select("k", y=c("x") * 2)),
        **verb("with_columns", lambda t: t.with_columns(y=c("x") * 2)),
        **verb("drop", lambda t: t.drop("x")),
        **verb("rename", lambda t: t.rename({"x": "y"})),
        **verb("unique", lambda t: t.unique("k")),
        **verb("sort", lambda t: t.sort("x")),
        **verb("top_k", lambda t: t.top_k(5, "n")),
        **verb("head", lambda t: t.head(7)),
        **verb("limit", lambda t: t.limit(7)),
        **verb("slice", lambda t: t.slice(70, 7)),
        **verb("group_by", lambda t: t.group_by("k").agg(m=c("x").mean(), q=c("x").median(), d=c("n").n_unique())),
        "Grouped.agg": lambda: table().group_by("k", "n").agg(c("x").sum()).collect(),
        "Grouped.len": lambda: table().group_by("n").len().collect(),
        "Table.explain": lambda: table().filter(c("n") > 7).explain(),
        "Table.collect": lambda: table().collect(to="local"),
        "Table.collect to root": lambda: table().sort("k").collect(to="root"),
        "hk.collect_all": lambda: hk.collect_all([table().group_by("k").len(), table().sort("x").head(500)]),
        "Table.write": lambda: table().sort("n").write(folder / "o.csv", overwrite=True),
        "Table.write_csv": lambda: table().write_csv(folder / "o2.csv", overwrite=True),
        "Table.write_jsonl": lambda: table().write_jsonl(folder / "o.jsonl", overwrite=True),
        "Table.write_parquet": lambda: table().write_parquet(folder / "o.parquet", overwrite=True),
        "Table.write_arrow": lambda: table().write_arrow(folder / "o.arrow", overwrite=True),
        "Table.write_hdf5": lambda: table().write_hdf5(folder / "o.h5", overwrite=True),
    }


def _arrays(ctx: hk.Context, folder: Path) -> dict[str, Operation]:
    A = hk.arrays
    x, n = A.from_npy(folder / "x.npy"), A.from_hdf5(folder / "t.h5", "n")
    grid = A.reshape(x, (-1, 3))
    ordered = A.sort(n)
    makers: dict[str, Operation] = {}
    for words, given in ((REDUCTIONS, (x * 0.5,)), (OF_ONE, (x,)), (OF_A_SIZE, (300,))):
        makers |= {f"arrays.{name}": partial(getattr(A, name), *given) for name in words.split()}
    makers |= {
        "arrays.DistArray": lambda: np.exp(x) + n * 2 - x[5:20].sum(),
        "arrays.array": lambda: A.array(np.arange(77)),
        "arrays.full": lambda: A.full(70, 3.5),
        "arrays.full_like": lambda: A.full_like(x, 2),
        "arrays.linspace": lambda: A.linspace(0, 1, 99),
        "arrays.from_function": lambda: A.from_function(lambda i: i * 2, 300),
        "arrays.from_local": lambda: A.from_local(np.arange(ctx.rank + 3)),
        "arrays.from_arrow": lambda: A.from_arrow(pa.table({"a": np.arange(9)}), "a"),
        "arrays.from_hdf5": lambda: A.from_hdf5(folder / "t.h5", "x"),
        "arrays.from_npy": lambda: A.from_npy(folder / "x.npy"),
        "arrays.to_npy": lambda: A.to_npy(x, folder / "y.npy", overwrite=True),
        "arrays.to_hdf5": lambda: A.to_hdf5({"x": x, "n": n}, folder / "y.h5", overwrite=True),
        "arrays.allclose": lambda: A.allclose(x, x + 1e-12),
        "arrays.array_equal": lambda: A.array_equal(x, x),
        "arrays.bincount": lambda: A.bincount(n),
        "arrays.histogram": lambda: A.histogram(x, 12),
        "arrays.percentile": lambda: A.percentile(x, [5, 50]),
        "arrays.quantile": lambda: A.quantile(x, [0.1, 0.9]),
        "arrays.searchsorted": lambda: A.searchsorted(ordered, [3, 50]),
        "arrays.clip": lambda: A.clip(x, -1, 1),
        "arrays.where": lambda: A.where(x > 0, x, 0.0),
        "arrays.reshape": lambda: A.reshape(x, (-1, 9)),
        "arrays.take": lambda: A.take(x, A.array([5, 800, 3, 3])),
        "arrays.concatenate": lambda: A.concatenate([x, x]),
        "arrays.sort_by": lambda: A.sort_by([n, x], x),
    }
    methods = {
        "astype": ("i8",), "copy": (), "clip": (-1, 1), "fill": (1.5,), "take": (A.array([5, 800]),), "item": (5,),
        "quantile": (0.5,), "searchsorted": (3,), "reshape": ((-1, 3),), "to_npy": (folder / "m.npy", True),
        "to_hdf5": (folder / "m.h5", "x", True), "with_local": (x.local * 2,), "from_local": None, "conj": (),
        "real": None, "imag": None,
    }  # fmt: skip
    for name in dir(A.DistArray):
        if not name.startswith("_") and name not in SKIPPED["DistArray"]:
            makers[f"DistArray.{name}"] = _method(A, x, grid, ordered, name, methods.get(name, ()))
    return makers


def _method(A: Any, x: Any, grid: Any, ordered: Any, name: str, given: tuple | None) -> Operation:
    """A call of method `name` of an array, or a look at a property."""
    target = ordered if name == "searchsorted" else grid if name in ("ravel", "flatten") else x
    if name == "fill":
        return lambda: x.copy().fill(*given)
    if name == "from_local":
        return lambda: A.DistArray.from_local(x.local, hk.world())
    if given is None:
        return lambda: getattr(target, name).sum()
    if name == "sort":
        return lambda: x.copy().sort()
    if name == "item":
        return x[:1].item
    return lambda: getattr(target, name)(*given)


def _context(ctx: hk.Context, folder: Path) -> dict[str, Operation]:
    table = pa.table({"a": np.arange(50) + ctx.rank, "s": [f"t{i % 7}" for i in range(50)]})
    there = (np.arange(50) % ctx.size).astype(np.int32)

    def agreed() -> None:
        with ctx.agreed("work"):
            _local_work()

    def in_a_ring() -> None:
        """Even ranks send first."""
        after, before = (ctx.rank + 1) % ctx.size, (ctx.rank - 1) % ctx.size
        if ctx.rank % 2:
            ctx.recv_table(before)
        ctx.send_table(table, after)
        if not ctx.rank % 2:
            ctx.recv_table(before)

    def checkpointed(finish: bool = True) -> None:
        x = hk.arrays.arange(200)
        with hk.checkpoint(folder / "ck", every_s=None, job="campaign") as ck:
            ck.restore()
            ck.due()
            ck.save(force=True, x=x, step=3, table=ck.parts(table))
            if finish:
                ck.finish()

    return {
        "Context.agreed": agreed,
        "Context.on_root": lambda: ctx.on_root(_local_work),
        "Context.bcast": lambda: ctx.bcast(1),
        "Context.gather": lambda: ctx.gather(ctx.rank),
        "Context.allgather": lambda: ctx.allgather(ctx.rank),
        "Context.allreduce": lambda: ctx.allreduce(1),
        "Context.exscan_sum": lambda: ctx.exscan_sum(1),
        "Context.exchange": lambda: ctx.exchange(table, there),
        "Context.exchange_array": lambda: ctx.exchange_array(np.arange(ctx.size * 3), np.full(ctx.size, 3)),
        "Context.gather_table": lambda: ctx.gather_table(table),
        "Context.bcast_table": lambda: ctx.bcast_table(table if ctx.is_root else None),
        "Context.send_table": in_a_ring,
        "Context.recv_table": in_a_ring,
        "Context.write_profile": lambda: ctx.write_profile(str(folder / "profile.json")),
        "Context.settle": ctx.settle,
        "hk.checkpoint": checkpointed,
        "Checkpoint.save": checkpointed,
        "Checkpoint.finish": checkpointed,
        "Checkpoint.parts": checkpointed,
        "Checkpoint.due": checkpointed,
        "Checkpoint.restore": lambda: checkpointed(finish=False),
    }


def _local_work() -> int:
    return 1


def _commands(folder: Path) -> dict[str, Operation]:
    from hpckit.cli import convert, generate, query, sort

    def command(module: Any, *words: object) -> Operation:
        return lambda: module.main([str(word) for word in words])

    def saving(name: str) -> tuple[object, ...]:
        return ("--checkpoint", folder / f"ck-{name}", "--checkpoint-every", "0s")

    quiet = ("--overwrite", "-q")
    split = ("--split-size", "2000")
    sql = f"SELECT k, count(*) AS n, median(n) AS m FROM read_logs('{folder}/t.log', '{LOG}') GROUP BY k ORDER BY k"
    rejects = ("--rejects", folder / "rejects.jsonl")
    return {
        "command query": command(query, sql, "-o", folder / "q.parquet", *rejects, *quiet, *split),
        "command query --checkpoint": command(query, sql, "-o", folder / "q.csv", *quiet, *saving("query"), *split),
        "command sort": command(sort, folder / "t.csv", folder / "s.parquet", "--by", "x", *quiet, *split),
        "command sort --check": command(sort, folder / "t.csv", folder / "sorted.csv", "--by", "n", "--check", "-q"),
        "command sort --records": command(sort, folder / "t.dat", folder / "s.dat", "--records", 30, *quiet),
        "command sort --records --checkpoint": command(
            sort, folder / "t.dat", folder / "s2.dat", "--records", 30, *quiet, *saving("sort"), *split
        ),
        "command convert": command(convert, folder / "t.csv", folder / "c.arrow", *quiet, *split),
        "command generate": command(generate, "syslog", folder / "g.log", "--rows", 20000, "--overwrite"),
        "command generate --checkpoint": command(
            generate, "syslog", folder / "g2.log", "--rows", 20000, "--overwrite", *saving("generate")
        ),
    }
