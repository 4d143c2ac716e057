"""jobs/log_analysis.py as a scientist runs it: its tables against DuckDB's, the same report at any rank count."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import h5py
import numpy as np
import pyarrow as pa
import pytest
from conftest import RANKS, ROOT, launch, run

JOB = str(ROOT / "jobs" / "log_analysis.py")
BAD = ["FATAL", "SEVERE", "ERROR", "FAILURE"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("job") / "bgl.log"
    argv = [sys.executable, "-m", "hpckit.cli.main", "generate", "bgl", str(path), "--rows", "20000", "--seed", "9"]
    assert run(argv, 60).returncode == 0
    return path


@pytest.fixture(scope="module")
def report(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report, made on one to four ranks, which must agree."""
    folder = tmp_path_factory.mktemp("reports")
    printed = set()
    for ranks in RANKS:
        argv = ["python", "-m", "mpi4py", JOB, str(log), "--format", "bgl", "--output", str(folder / f"{ranks}.h5")]
        done = launch(ranks, argv)
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout)
        assert (folder / f"{ranks}.h5").read_bytes() == (folder / "1.h5").read_bytes(), f"{ranks} ranks"
    assert len(printed) == 1
    return folder / "1.h5"


def tables(path: Path) -> dict[str, dict[str, list]]:
    """The report as lists, read by hpckit itself from HDF5."""
    import hpckit as hk

    with h5py.File(path) as file:
        names = list(file)
    return {name: hk.scan_hdf5(path, dataset=f"/{name}").collect().to_pydict() for name in names}


def test_the_report_is_duckdbs(log: Path, report: Path) -> None:
    cut = [line.split(" ", 9) for line in log.read_text().splitlines()]
    e = pa.table(  # noqa: F841 - DuckDB finds it by name
        {
            "node": [c[3] for c in cut],
            "stamp": [c[4] for c in cut],
            "component": [c[7] for c in cut],
            "level": [c[8] for c in cut],
        }
    )
    duckdb.sql(
        "CREATE OR REPLACE TEMP VIEW ev AS "
        "SELECT * EXCLUDE stamp, strptime(stamp, '%Y-%m-%d-%H.%M.%S.%f') AS time FROM e"
    )
    duckdb.sql(f"CREATE OR REPLACE TEMP VIEW er AS SELECT * FROM ev WHERE level IN {tuple(BAD)}")
    statements = {
        "by_severity": "SELECT level, component, count(*) AS messages, min(time) AS first, max(time) AS last FROM ev "
        "GROUP BY ALL ORDER BY level, component",
        "worst_node_hours": "SELECT node, date_trunc('hour', time) AS hour, count(*) AS errors FROM er GROUP BY ALL "
        "ORDER BY errors DESC, node, hour LIMIT 20",
        "bursts": "SELECT node, date_trunc('minute', time) AS minute, count(*) AS errors FROM er GROUP BY ALL "
        "HAVING errors >= 100 ORDER BY minute, node",
        "spread": "SELECT level, component, count(*) AS errors, count(DISTINCT node) AS nodes FROM er GROUP BY ALL "
        "ORDER BY level, component",
    }
    found = tables(report)
    assert set(found) == {*statements, "seconds_between_errors"}
    for name, statement in statements.items():
        theirs = duckdb.sql(statement).to_arrow_table().to_pydict()
        ours = {column: found[name][column] for column in theirs}
        assert ours == theirs, name
    exact, near = np.array(found["spread"]["nodes"]), np.array(found["spread"]["nodes_approx"])
    assert (abs(near - exact) <= np.maximum(1, 0.03 * exact)).all()
    times = duckdb.sql("SELECT epoch_us(time) AS t FROM er ORDER BY t").to_arrow_table().column("t").to_numpy()
    shares = found["seconds_between_errors"]
    assert np.allclose(shares["seconds"], np.percentile(np.diff(times) / 1e6, shares["percentile"]))


def test_mistakes(log: Path, report: Path, tmp_path: Path) -> None:
    cases = {
        (str(log), "--format", "bgll"): "did you mean bgl",
        (str(tmp_path / "none.log"), "--format", "bgl"): "no such file",
        (str(log), "--format", "{line:rest}"): "is a column of this log",
        (str(log), "--format", "bgl", "--output", str(report)): "exists already",
    }
    for argv, message in cases.items():
        done = run([sys.executable, JOB, *argv], 60)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
        assert done.stdout == ""  # said before anything is read
    done = launch(3, ["python", "-m", "mpi4py", JOB, str(tmp_path / "none.log"), "--format", "bgl"])
    assert done.returncode == 2 and done.stderr.count("no such file") == 1


def test_a_log_without_errors(tmp_path: Path) -> None:
    path = tmp_path / "calm.log"
    path.write_text(
        "- 1117838570 2005.06.03 R02-M1-N0 2005-06-03-15.42.50.675872 R02-M1-N0 RAS KERNEL INFO all is well\n"
    )
    done = launch(2, ["python", JOB, str(path), "--format", "bgl", "--output", str(tmp_path / "o.h5")])
    assert done.returncode == 0, done.stderr
    assert tables(tmp_path / "o.h5")["by_severity"]["messages"] == [1]
