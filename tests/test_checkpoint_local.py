"""The local level: fast commits, a background flush, and restarts that find what only a node's own disk had."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from conftest import launch
from faults.ranks import run

from hpckit.checkpoint import content, files, names
from hpckit.checkpoint.local import Background
from hpckit.checkpoint.store import Part, Store
from hpckit.errors import OutputError

JOB = {"version": "1", "plan": "local", "inputs": []}


def stores(tmp_path: Path, size: int) -> list[Store]:
    """One store a rank; ranks 0 and 1 share a node, rank 2 has its own."""
    return [Store(tmp_path / "ck", JOB, local=tmp_path / f"node{rank // 2}") for rank in range(size)]


def parts_in(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.startswith("part"))


def covered(tmp_path: Path, size: int) -> frozenset[int]:
    again = stores(tmp_path, size)
    restored = run(size, lambda ctx: again[ctx.rank].restore(ctx))
    dealt = [unit for r in restored for part in r.parts for unit in part.covers]
    assert sorted(dealt) == sorted(restored[0].covered)
    return restored[0].covered


def test_parts_reach_the_shared_folder_in_the_background(tmp_path: Path) -> None:
    three = stores(tmp_path, 3)
    run(3, lambda ctx: three[ctx.rank].restore(ctx))
    for turn in range(4):
        for rank, store in enumerate(three):
            store.commit(Part(covers=range(rank * 10, rank * 10 + turn + 1)))
    for store in three:
        store.flush()
    found = [names.parse(name) for name in parts_in(tmp_path / "ck")]
    assert {(e.rank, e.generation) for e in found if e} >= {(0, 4), (1, 4), (2, 4)}
    assert len(parts_in(tmp_path / "node0")) == 2 and len(parts_in(tmp_path / "node1")) == 1
    assert covered(tmp_path, 2) == {r * 10 + i for r in range(3) for i in range(4)}


def test_what_only_a_node_has_is_found_at_the_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before anything was flushed: the shared folder has no part."""
    three = stores(tmp_path, 3)
    run(3, lambda ctx: three[ctx.rank].restore(ctx))
    with monkeypatch.context() as patch:
        patch.setattr(Background, "put", lambda self, item: None)
        for rank, store in enumerate(three):
            store.commit(Part(covers=[rank]))
    assert parts_in(tmp_path / "ck") == []
    assert covered(tmp_path, 3) == {0, 1, 2}
    assert len(parts_in(tmp_path / "ck")) == 3
    assert covered(tmp_path, 1) == {0, 1, 2}


def test_a_damaged_part_is_read_from_the_node(tmp_path: Path) -> None:
    three = stores(tmp_path, 3)
    run(3, lambda ctx: three[ctx.rank].restore(ctx))
    for rank, store in enumerate(three):
        store.commit(Part(covers=[rank]))
        store.flush()
    for name in parts_in(tmp_path / "ck")[1:]:
        (tmp_path / "ck" / name).write_bytes(b"damaged")
    again = stores(tmp_path, 3)
    restored = run(3, lambda ctx: again[ctx.rank].restore(ctx))
    assert restored[0].covered == {0, 1, 2} and restored[0].warnings == []
    assert sorted(unit for r in restored for part in r.parts for unit in part.covers) == [0, 1, 2]


def test_a_flush_that_fails_is_told_at_the_next_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "ck", JOB, local=tmp_path / "node0")
    run(1, store.restore)

    def full(source: str, folder: str, entry: names.Entry) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(content, "copy", full)
        store.commit(Part(covers=[1]))
        with pytest.raises(OutputError, match="no space left"):
            store.flush()
    store.commit(Part(covers=[1, 2]))
    store.flush()
    assert covered(tmp_path, 1) == {1, 2}


def test_a_copy_that_went_bad_on_the_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "ck", JOB, local=tmp_path / "node0")
    run(1, store.restore)
    real = content.copy

    def spoil(source: str, folder: str, entry: names.Entry) -> None:
        (Path(source) / entry.name).write_bytes(b"spoiled")
        real(source, folder, entry)

    monkeypatch.setattr(content, "copy", spoil)
    store.commit(Part(covers=[1]))
    with pytest.raises(OutputError, match=r"the copy in .*node0 is 7 bytes long"):
        store.flush()
    assert parts_in(tmp_path / "ck") == [] and covered(tmp_path, 1) == frozenset()


def test_finish_leaves_nothing_on_the_nodes(tmp_path: Path) -> None:
    three = stores(tmp_path, 3)
    run(3, lambda ctx: three[ctx.rank].restore(ctx))
    for rank, store in enumerate(three):
        store.commit(Part(covers=[rank]))
    run(3, lambda ctx: three[ctx.rank].finish(ctx))
    assert parts_in(tmp_path / "ck") == parts_in(tmp_path / "node0") == parts_in(tmp_path / "node1") == []
    assert covered(tmp_path, 2) == frozenset()


def test_background_passes_over_what_is_outdated() -> None:
    begun, go_on, handled = threading.Event(), threading.Event(), []

    def handle(item: int) -> None:
        begun.set()
        go_on.wait(10)
        handled.append(item)

    background = Background(handle)
    background.put(1)
    begun.wait(10)
    for item in (2, 3, 4):
        background.put(item)
    threading.Thread(target=lambda: (time.sleep(0.05), go_on.set())).start()
    background.wait()
    assert handled == [1, 4]
    background.wait()


def test_a_full_local_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "ck", JOB, local=tmp_path / "node0")
    run(1, store.restore)
    store.commit(Part(covers=[1]))
    real = files.create

    def create(path: str) -> int:
        if "node0" in path:
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(files, "create", create)
    store.commit(Part(covers=[1, 2]))
    assert [names.parse(name).generation for name in parts_in(tmp_path / "ck")] == [1, 2]
    assert len(parts_in(tmp_path / "node0")) == 1 and covered(tmp_path, 1) == {1, 2}


def test_the_local_folder_may_be_unwritable_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise OSError(13, "Permission denied") if "node" in path else None

    real = files.make_folder
    monkeypatch.setattr(files, "make_folder", lambda path: refuse(path) if "node" in path else real(path))
    with pytest.raises(OutputError, match=r"node0.*permission denied"):
        run(1, stores(tmp_path, 1)[0].restore)


def local_query(folder: Path, *more: str) -> list[str]:
    """A query that saves on the node first."""
    sql = f"SELECT node, count(*) AS n FROM read_logs('{folder}/b.log', 'bgl') GROUP BY node ORDER BY n DESC, node"
    saving = ["--checkpoint", f"{folder}/ck", "--checkpoint-local", f"{folder}/node", "--checkpoint-every", "0s"]
    return ["hpckit", "query", sql, "-o", f"{folder}/out.csv", "--overwrite", "--split-size", "20000", *saving, *more]


@pytest.mark.mpirun
@pytest.mark.parametrize("lost", [False, True], ids=["the node is there", "the node is lost"])
def test_a_query_that_saves_on_the_node_first(tmp_path: Path, lost: bool) -> None:
    """Killed: what only the node has is found, or, where the node is gone, what had reached the shared folder."""
    assert launch(1, ["hpckit", "generate", "bgl", f"{tmp_path}/b.log", "--rows", "20000"]).returncode == 0
    assert launch(2, local_query(tmp_path)).returncode == 0
    expected = (tmp_path / "out.csv").read_bytes()
    assert not parts_in(tmp_path / "node") and not parts_in(tmp_path / "ck")
    assert launch(2, local_query(tmp_path), HPCKIT_FAIL_AT="scan.end:0:1").returncode != 0
    assert parts_in(tmp_path / "node")
    if lost:
        shutil.rmtree(tmp_path / "node")
    done = launch(3, local_query(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "going on from" in done.stderr or (lost and not parts_in(tmp_path / "ck"))
    assert (tmp_path / "out.csv").read_bytes() == expected
    assert not parts_in(tmp_path / "node") and not parts_in(tmp_path / "ck")


@pytest.mark.mpirun
def test_a_job_that_stops_leaves_its_work_in_the_shared_folder(tmp_path: Path) -> None:
    assert launch(1, ["hpckit", "generate", "bgl", f"{tmp_path}/b.log", "--rows", "20000"]).returncode == 0
    argv = local_query(tmp_path, "--checkpoint-every", "1h")
    assert launch(2, argv, HPCKIT_FAIL_AT="scan.end:1:1:USR1").returncode == 75
    assert {n.split(".")[3] for n in parts_in(tmp_path / "ck")} == {"00000", "00001"}
    shutil.rmtree(tmp_path / "node")
    done = launch(1, argv)
    assert done.returncode == 0 and "going on from" in done.stderr, done.stderr
    refused = launch(1, [*argv[:3], "--checkpoint-local", f"{tmp_path}/node"])
    assert refused.returncode == 2 and "--checkpoint-local needs --checkpoint" in refused.stderr
