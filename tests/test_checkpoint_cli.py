"""`hpckit checkpoint`: what it says and removes, in folders that real stores wrote."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faults.ranks import run

from hpckit.checkpoint import names
from hpckit.checkpoint.store import Part, Store
from hpckit.cli.main import main

JOB = {"version": "1", "plan": "SELECT 1", "inputs": []}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two ranks, three generations each (two are kept), then a life on one rank that has saved once."""
    path = tmp_path / "ck"
    stores = [Store(path, JOB) for _ in range(2)]
    run(2, lambda ctx: stores[ctx.rank].restore(ctx))
    for turn in range(3):
        for rank, store in enumerate(stores):
            store.commit(part(range(rank * 10, rank * 10 + turn + 1)))
    again = Store(path, JOB)
    restored = run(1, again.restore)[0]
    assert restored.covered == {0, 1, 2, 10, 11, 12}
    again.commit(part(sorted({*restored.covered, 5})))
    return path


def part(units) -> Part:
    units = list(units)
    return Part(covers=units, tables={"t": pa.table({"x": np.array(units)})})


def entries(folder: Path, kind: str = "part") -> list[names.Entry]:
    found = [names.parse(name) for name in sorted(os.listdir(folder))]
    return [entry for entry in found if entry is not None and entry.kind == kind]


def test_list_tells_lives_generations_rows_and_coverage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "list", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("life 1") and "2 ranks" in lines[0] and "SELECT 1" in lines[0]
    assert sum(line.startswith("  rank 0, generation") for line in lines) == 2
    assert any("rank 1, generation 3" in line and "3 rows" in line and "3 units (10-12)" in line for line in lines)
    assert any("7 rows" in line and "7 units (0-2 5 10-12)" in line for line in lines)
    assert lines[-1].startswith("7 units of work saved; 5 files")


def test_verify_finds_each_damage_and_names_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoint", "verify", str(folder)]) == 0
    assert "5 files, 0 damaged" in capsys.readouterr().out
    victim = folder / entries(folder)[-1].name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    assert main(["checkpoint", "verify", str(folder)]) == 2
    out = capsys.readouterr().out
    assert victim.name in out and "1 damaged" in out
    assert main(["checkpoint", "list", str(folder)]) == 0
    assert "DAMAGED" in capsys.readouterr().out


def test_prune_keeps_what_a_restart_may_need(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = entries(folder)
    assert main(["checkpoint", "prune", str(folder)]) == 0
    assert entries(folder) == before, "the second life has one generation only: those it contains must stay"
    assert main(["checkpoint", "prune", "--keep", "1", str(folder)]) == 0
    left = entries(folder)
    assert [entry.life for entry in left] == [2]
    assert run(1, Store(folder, JOB).restore)[0].covered == {0, 1, 2, 5, 10, 11, 12}
    assert "files removed" in capsys.readouterr().out


def test_prune_does_not_count_a_damaged_generation(folder: Path) -> None:
    newest = folder / entries(folder)[-1].name
    newest.write_bytes(b"")
    assert main(["checkpoint", "prune", "--keep", "1", str(folder)]) == 0
    assert run(1, Store(folder, JOB).restore)[0].covered == {0, 1, 2, 10, 11, 12}


def test_prune_all_frees_the_folder_for_another_job(folder: Path) -> None:
    assert main(["checkpoint", "prune", "--all", str(folder)]) == 0
    assert os.listdir(folder) == []
    assert run(1, Store(folder, {**JOB, "plan": "other"}).restore)[0].covered == frozenset()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["list", "nowhere"], "is no folder"),
        (["verify", "strange"], "holds 'photo.png'"),
        (["list", "newer"], "newer hpckit"),
        (["list", "--all", "nowhere"], "belong to `hpckit checkpoint prune`"),
        (["prune", "--keep", "0", "nowhere"], "at least 1"),
    ],
)
def test_mistakes(
    argv: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("strange/photo.png", "newer/part.v2.whatever.h5"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert main(["checkpoint", *argv]) == 2
    assert words in capsys.readouterr().err


def test_a_complete_job_is_said_to_be_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "ck", JOB)
    run(1, store.restore)
    store.commit(part([1]))
    run(1, store.finish)
    assert main(["checkpoint", "list", str(tmp_path / "ck")]) == 0
    out = capsys.readouterr().out
    assert "COMPLETE" in out and "nothing of this is needed" in out


def test_large_files_are_listed_by_their_heads(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpckit.checkpoint.report.WHOLE_BYTES", 0)
    before = {name: (folder / name).stat().st_mtime_ns for name in os.listdir(folder)}
    victim = folder / entries(folder)[0].name
    victim.write_bytes(victim.read_bytes()[:-1])
    assert main(["checkpoint", "list", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "7 rows, 7 units (0-2 5 10-12)" in out and out.count("DAMAGED") == 2
    assert set(before) == set(os.listdir(folder)), "looking leaves nothing behind"


def test_a_job_that_has_saved_nothing_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(1, Store(tmp_path / "ck", JOB).restore)
    assert main(["checkpoint", "list", str(tmp_path / "ck")]) == 0
    assert "0 units of work saved; 1 files" in capsys.readouterr().out
