"""`hpckit sort --records --checkpoint`: killed, stopped, damaged, taken up on other ranks; a quiet run's bytes."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import begin, launch
from record_cases import leave_room, records, twin
from test_query_restart import end

from hpckit.checkpoint import files
from hpckit.errors import MemoryBudgetError, OutputError
from hpckit.sorting import record_merge
from hpckit.sorting.records import sort_records
from hpckit.spmd import world

RANKS = (1, 2, 3, 4, 8)
ROWS, LENGTH, KEY = 40_000, 24, 2  # many equal keys: their order must survive, too


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two input files, and in `sorted` what sorting them must give."""
    path = tmp_path_factory.mktemp("records")
    rows = records("random", ROWS, LENGTH, KEY)
    (path / "a.dat").write_bytes(rows[:15_001].tobytes())
    (path / "b.dat").write_bytes(rows[15_001:].tobytes())
    (path / "sorted").write_bytes(twin(rows, KEY).tobytes())
    return path


def sort(data: Path, folder: Path, *more: object) -> list[str]:
    """The command; 320 units of the input, 16 in a run, and saved as often as is cheap."""
    argv = ["hpckit", "sort", data / "a.dat", data / "b.dat", folder / "out", "--records", LENGTH, "--key", KEY]
    save = ["--checkpoint", folder / "ck", "--checkpoint-every", "0s", "--split-size", "3000"]
    return [str(word) for word in (*argv, *save, *more)]


def check(data: Path, folder: Path) -> None:
    """The output has the right bytes, and nothing else is left."""
    assert (folder / "out").read_bytes() == (data / "sorted").read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["ck", "out"]
    assert {path.name.split(".")[0] for path in (folder / "ck").iterdir()} == {"complete"}


def covered(stderr: str) -> int:
    """How many pieces a start went on from."""
    found = re.search(r"going on from .*: ([\d,]+) of ([\d,]+) pieces of the input are done", stderr)
    return int(found[1].replace(",", "")) if found else 0


@pytest.mark.parametrize("before", RANKS)
def test_killed_at_fail_points_and_taken_up_on_every_number_of_ranks(data: Path, tmp_path: Path, before: int) -> None:
    places = ["run:0:2", "checkpoint.unnamed:0:1", "saved:0:1", "merge:0:1", "output.whole:0:1"]
    for after, place in zip(RANKS, places, strict=True):
        folder = tmp_path / f"{before}-{after}"
        folder.mkdir()
        assert launch(before, sort(data, folder), HPCKIT_FAIL_AT=place).returncode != 0, "the kill came too late"
        saved = {path.name: path.stat().st_mtime_ns for path in (folder / "ck").glob("run.*")}
        done = launch(after, sort(data, folder))
        assert done.returncode == 0, done.stderr
        assert bool(covered(done.stderr)) == bool(saved), "what is saved is used"
        check(data, folder)


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment(data: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(5):
        process = begin(rng.choice(RANKS), sort(data, tmp_path))
        time.sleep(rng.uniform(0.4, 1.4))
        end(process)
        if (tmp_path / "out").exists():
            break
    done = launch(rng.choice(RANKS), sort(data, tmp_path, "--overwrite"))
    assert done.returncode == 0, done.stderr
    check(data, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_75(data: Path, tmp_path: Path, number: signal.Signals) -> None:
    """One rank stops itself at its second run: all save what they have, and the rest is done by the next start."""
    place = f"run:1:2:{number.name.removeprefix('SIG')}"
    done = launch(2, sort(data, tmp_path, "--checkpoint-every", "1h"), HPCKIT_FAIL_AT=place)
    assert done.returncode == 75, done.stderr
    assert done.stderr.count("the same command goes on from there") == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ck"], "an interrupted sort leaves no output"
    done = launch(3, sort(data, tmp_path))
    assert done.returncode == 0 and covered(done.stderr) > 30, done.stderr
    check(data, tmp_path)


def interrupted(data: Path, folder: Path) -> list[Path]:
    """The runs of a sort that was stopped in its merge: all of them."""
    assert launch(2, sort(data, folder), HPCKIT_FAIL_AT="merge:0:1:USR1").returncode == 75
    return sorted((folder / "ck").glob("run.*"))


def test_runs_are_written_once_and_a_restart_writes_none(data: Path, tmp_path: Path) -> None:
    runs = interrupted(data, tmp_path)
    done = launch(3, sort(data, tmp_path), HPCKIT_FAIL_AT="merge:1:1")
    assert done.returncode != 0 and covered(done.stderr) == 320, done.stderr
    assert sorted((tmp_path / "ck").glob("run.*")) == runs
    with h5py.File(runs[0]) as file:
        rows = file["arrays/records"][:]
        assert file.attrs["kind"] == "run" and len(file["covers"]) == 16 and rows.shape == (16 * 125, LENGTH)
    assert np.array_equal(rows, twin(rows, KEY))
    said = launch(1, ["hpckit", "checkpoint", "list", str(tmp_path / "ck")]).stdout
    assert "320 units of work saved" in said and "rank 1, run 1: " in said, said
    assert launch(1, ["hpckit", "checkpoint", "prune", str(tmp_path / "ck")]).returncode == 0
    assert sorted((tmp_path / "ck").glob("run.*")) == runs, "runs are not generations of one another"
    assert launch(1, sort(data, tmp_path)).returncode == 0
    check(data, tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_run_is_sorted_again(data: Path, tmp_path: Path, damage: str) -> None:
    victim = interrupted(data, tmp_path)[1]
    content = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 4
        victim.write_bytes(content if damage == "flip" else content[:-100])
        said = launch(1, ["hpckit", "checkpoint", "verify", str(tmp_path / "ck")])
        assert said.returncode == 2 and victim.name in said.stdout
    done = launch(2, sort(data, tmp_path))
    assert done.returncode == 0 and 0 < covered(done.stderr) < 320, done.stderr
    assert ("its work is done again" in done.stderr) == (damage != "gone")
    check(data, tmp_path)


def test_another_sort_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "input"
    copy.mkdir()
    for name in ("a.dat", "b.dat"):
        (copy / name).write_bytes((data / name).read_bytes())
    interrupted(copy, tmp_path)
    for more, what in ((("--key", "3"), "first 3"), (("--split-size", "6000"), "unit_rows was 125, now it is 250")):
        done = launch(2, sort(copy, tmp_path, *more))
        assert done.returncode == 2 and what in done.stderr and "prune --all" in done.stderr, done.stderr
        assert done.stderr.count("hpckit: error") == 1
    with open(copy / "a.dat", "r+b") as file:
        file.write(b"changed")
    done = launch(2, sort(copy, tmp_path))
    assert done.returncode == 2 and "a.dat has changed" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


def test_memory_that_holds_no_unit_is_one_error(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_room(monkeypatch, 100 * (LENGTH + record_merge.REFERENCE_BYTES))
    given = [world(), [str(data / "a.dat")], str(tmp_path / "out"), LENGTH, KEY]
    with pytest.raises(MemoryBudgetError, match="give more --memory or a smaller --split-size"):
        sort_records(*given, checkpoint=str(tmp_path / "ck"), split_bytes=3000)
    sort_records(*given, checkpoint=str(tmp_path / "other"), split_bytes=2000)
    rows = np.fromfile(data / "a.dat", np.uint8).reshape(-1, LENGTH)
    assert (tmp_path / "out").read_bytes() == twin(rows, KEY).tobytes()


@pytest.mark.parametrize("function", ["create", "write", "sync", "rename", "sync_folder"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_refuses_is_one_error_and_loses_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    """At every call of a kind in turn; at last the sort is done, from what the starts before have left."""
    given = [world(), [str(data / "a.dat")], str(tmp_path / "out"), LENGTH, KEY]
    options = {"checkpoint": str(tmp_path / "ck"), "checkpoint_every_s": 0.0, "split_bytes": 3000, "overwrite": True}

    def refusing(good: Callable, wanted: int) -> Callable:
        calls = 0

        def call(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls == wanted:
                raise OSError(number, os.strerror(number))
            return good(*args)

        return call

    told = 0
    for wanted in (2, 5, 3):
        with monkeypatch.context() as patch:
            patch.setattr(files, function, refusing(getattr(files, function), wanted))
            try:
                sort_records(*given, **options)
            except OutputError as error:
                assert "cannot be written" in str(error) and "what was saved before is as it was" in str(error)
                told += 1
    assert told >= 1
    sort_records(*given, **options)
    rows = np.fromfile(data / "a.dat", np.uint8).reshape(-1, LENGTH)
    assert (tmp_path / "out").read_bytes() == twin(rows, KEY).tobytes()
    assert {path.name.split(".")[0] for path in (tmp_path / "ck").iterdir()} == {"complete"}
