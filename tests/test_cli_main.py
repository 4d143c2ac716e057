"""The front door: help and version at once, without heavy imports; near misses; shared option types."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import launch

from hpckit import __version__
from hpckit.cli import main as main_module
from hpckit.cli.options import Parser, RejectLimit, UsageError, duration, reject_limit, size

HEAVY = ("mpi4py", "pyarrow", "h5py", "numpy", "typer", "sqlglot", "rich")
COMMANDS = [name for name, (module, _) in main_module.COMMANDS.items() if importlib.util.find_spec(module)]


def heavy_imports(argv: list[str]) -> tuple[str, int, str, float]:
    """(stdout, exit status, heavy modules imported, seconds) of an hpckit command in a process of its own."""
    code = (
        "import sys\nfrom hpckit.cli.main import main\n"
        f"try:\n    status = main({argv!r})\nexcept SystemExit as stop:\n    status = stop.code\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout, done.returncode, done.stderr.strip().splitlines()[-1], time.perf_counter() - start_s


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]], ids=str)
def test_help_lists_every_command_and_imports_nothing(argv: list[str]) -> None:
    text, status, heavy, _ = heavy_imports(argv)
    assert (status, heavy) == (0, "[]")
    assert text.startswith("usage: hpckit")
    assert all(f"\n  {name} " in text for name in main_module.COMMANDS)
    assert "examples:" in text
    assert max(map(len, text.splitlines())) <= 100


def test_version() -> None:
    assert heavy_imports(["--version"])[:3] == (f"hpckit {__version__}\n", 0, "[]")


def test_help_within_150_ms() -> None:
    assert min(heavy_imports(["--help"])[3] for _ in range(5)) < 0.15  # the best of five: the machine may be busy


UNUSED = (
    *("pandas", "h5py", "rich", "mpi4py", "unittest", "pydoc", "ssl", "hashlib", "email", "numpy.ma", "numpy.random"),
    *("importlib.metadata", "pyarrow._s3fs", "pyarrow.dataset", "pyarrow.vendored.docscrape"),
    *("sqlglot.diff", "sqlglot.generators.duckdb"),
    *("zoneinfo", "tempfile", "shutil", "gzip", "bz2", "lzma", "random", "hpckit.sinks.terminal"),
)
WATCHED = """
import atexit, sys
from hpckit.cli.main import script
from hpckit.spmd.launch import launcher_rank
unused = sys.argv.pop(1).split(",")
atexit.register(lambda: open(sys.argv[-1] + ".rank%d" % launcher_rank(), "w").write(
    " ".join(name for name in unused if name in sys.modules)))
script()
"""


@pytest.fixture(scope="module")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("small") / "access.log"
    assert main_module.main(["generate", "access", str(path), "--rows", "1000", "--seed", "1"]) == 0
    return str(path)


def query_of(log: str) -> str:
    return (
        "SELECT path, count(*) AS n, sum(bytes), avg(bytes), approx_count_distinct(host), max(date_trunc('hour', time))"
        f" FROM read_logs('{log}', 'combined') WHERE path LIKE '/%' GROUP BY path ORDER BY n DESC, path LIMIT 20"
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_query_imports_only_what_it_uses(small_log: str, tmp_path: Path, ending: str) -> None:
    output = str(tmp_path / f"out.{ending}")
    argv = [sys.executable, "-c", WATCHED, ",".join(UNUSED), "query", query_of(small_log), "--output", output]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(output + ".rank0").read_text() == ""


def test_only_root_imports_the_sql_parser(
    mpirun: Callable[..., subprocess.CompletedProcess[str]], small_log: str, tmp_path: Path
) -> None:
    output = str(tmp_path / "out.parquet")
    unused = ",".join(("sqlglot", *(name for name in UNUSED if name != "mpi4py")))
    done = mpirun(2, ["python", "-c", WATCHED, unused, "query", query_of(small_log), "--output", output])
    assert done.returncode == 0, done.stderr
    assert [Path(f"{output}.rank{rank}").read_text() for rank in (0, 1)] == ["sqlglot", ""]


def test_a_parser_that_cannot_be_imported_ends_all_ranks(
    mpirun: Callable[..., subprocess.CompletedProcess[str]], small_log: str, tmp_path: Path
) -> None:
    """Root imports it before MPI starts, where an error would leave the others waiting for ever."""
    (tmp_path / "sqlglot").mkdir()
    (tmp_path / "sqlglot/__init__.py").write_text("raise ImportError('no sqlglot on this node')\n")
    argv = ["python", "-m", "hpckit.cli.main", "query", query_of(small_log)]
    done = mpirun(2, argv, timeout=40, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "no sqlglot on this node" in done.stderr


def test_what_was_left_out_is_there_when_it_is_needed(small_log: str) -> None:
    """An error that shows SQL, and a function of pyarrow that no query so far has used."""
    code = (
        "import sys\nfrom hpckit.cli.startup import begin, start_quickly\nbegin(); start_quickly()\n"
        "from hpckit.cli.postponed import import_parser, import_parquet\nimport_parser(); import_parquet()\n"
        "import sqlglot, pyarrow as pa, pyarrow.compute as pc, numpy as np\n"
        "print(sqlglot.parse_one('SELECT a[1], x::INT64 FROM t', 'duckdb').sql('duckdb'))\n"
        "print(pc.sum(pa.array([1, 2])), pc.and_(True, False), pc.cast(pa.array(['7']), pa.int8())[0])\n"
        "print(pc.round(pa.array([1.25]), ndigits=1)[0], hasattr(pc, 'no_such_function'))\n"
        "print(pa.array(np.arange(3)).sum(), pa.parquet.ParquetWriter.__name__)\n"
        "print(np.unique([2, 1, 2]), 'numpy.ma' in sys.modules)\n"
        "masked = np.ma.masked_array([2, 1, 2], [False, False, True])\n"
        "print(np.ma.is_masked(masked), np.unique(masked), pa.array(masked).null_count)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == [
        "SELECT a[1], CAST(x AS BIGINT) FROM t", "3 False 7", "1.2 False", "3 ParquetWriter",
        "[1 2] False", "True [1 2 --] 1",
    ], done.stderr  # fmt: skip


def test_exit_functions_run_and_output_arrives(tmp_path: Path) -> None:
    code = (
        "import atexit, sys\nfrom hpckit.cli.startup import leave\natexit.register(print, 'last')\n"
        "sys.stdout.write('first '); leave(7)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("first last\n", "", 7)


def test_a_rank_that_leaves_early_does_not_end_the_others() -> None:
    """MPICH's launcher kills the other ranks, sometimes with status 0, when one goes without a word to it."""
    code = (
        "import time\nfrom hpckit.cli.startup import leave\nfrom hpckit.spmd.program import program, world\n"
        "rank = world().rank\nstatus = program(lambda: 0)\n"
        "if rank:\n    time.sleep(0.5)\n    print('late')\nleave(status)"
    )
    done = launch(2, ["python", "-c", code])
    assert (done.stdout, done.stderr, done.returncode) == ("late\n", "", 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_commands_is_light_and_has_examples(command: str) -> None:
    text, status, heavy, _ = heavy_imports([command, "--help"])
    assert (status, heavy) == (0, "[]")
    assert text.startswith(f"usage: hpckit {command}")
    assert "examples:" in text
    assert heavy_imports(["help", command])[0] == text


def test_under_a_launcher_one_rank_speaks() -> None:
    for argv in (["--help"], ["run", "--help"], ["nonsense"], ["run", "--nonsense"]):
        env = {**os.environ, "PMI_RANK": "1", "PMI_SIZE": "2"}
        command = [sys.executable, "-m", "hpckit.cli.main", *argv]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == ("", "")


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_module.main(["querry"]) == 2
    assert "unknown command 'querry'; did you mean `query`?" in capsys.readouterr().err


def test_usage_errors_name_the_command_and_give_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_module.main(["run", "--rank", "2", "--", "query"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("hpckit run: error: ")
    assert "see `hpckit run --help`" in error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--colour"], "unknown option --colour; did you mean --color?"),
        (["--color", "red", "--zzz=1"], "unknown option --zzz\n"),
        (["--color", "red", "more"], "unexpected argument 'more'; quote text that contains spaces"),
        (["--memory", "2Q"], "size '2Q': expected a number with an optional unit"),
        (["--every", "5 parsecs"], "duration '5 parsecs': expected"),
        (["--max-rejects", "101%"], "limit '101%': expected a count of lines or a percentage"),
        (["--col", "red"], "unknown option --col; did you mean --color?"),
    ],
)
def test_wrong_options_say_value_expectation_and_remedy(argv: list[str], message: str) -> None:
    parser = Parser("paint", "Paints.", examples=[("hpckit paint", "paints")])
    parser.add_argument("--color")
    parser.add_argument("--memory", type=size)
    parser.add_argument("--every", type=duration)
    parser.add_argument("--max-rejects", type=reject_limit)
    with pytest.raises(UsageError) as caught:
        parser.parse_args(argv)
    assert message in str(caught.value)
    assert caught.value.prog == "hpckit paint"


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("1.5", 1.5), ("5m", 300), ("1h30m", 5400), ("2d", 172800)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


def test_reject_limits() -> None:
    assert reject_limit("3") == RejectLimit(count=3)
    assert str(reject_limit("0.5%")) == "0.5%"
    assert [reject_limit("3").exceeded_by(n, 10) for n in (3, 4)] == [False, True]
    assert [reject_limit("10%").exceeded_by(n, 40) for n in (4, 5)] == [False, True]
    assert not reject_limit("0").exceeded_by(0, 0)
