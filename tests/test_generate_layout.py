"""What generators draw from, which rows go to which file, and the command: options, targets, errors, files."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpckit.cli.generate import main, percent, rows, time_us
from hpckit.cli.options import UsageError
from hpckit.errors import OutputError
from hpckit.generate.layout import layout_of, pieces
from hpckit.generate.tables import WEEK_S, WeekClock, alias, exponential, zipf


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_alias_table_gives_back_its_weights(weights: list[float]) -> None:
    table = alias("x", weights)
    cut, other = table["x.cut"], table["x.other"]
    kept = np.where(other == np.arange(len(cut)), 1.0, cut / 2**32)
    shares = kept.copy()
    np.add.at(shares, other, 1 - kept)
    np.testing.assert_allclose(shares / len(cut), np.array(weights) / sum(weights), rtol=1e-4, atol=1e-8)


def test_quantiles_have_their_means() -> None:
    assert abs(exponential().mean() - 1024) < 5
    assert abs(zipf(1000, 0.9).sum() - 1) < 1e-12


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("start_us", [0, 1_740_960_123_456_789])
def test_week_clock_ascends_and_keeps_its_mean(even: bool, start_us: int) -> None:
    clock = WeekClock(start_us, 3.0, even)
    times = [clock.time_us(row) for row in range(0, 3 * WEEK_S, 9_973)]
    assert times[0] == start_us
    assert all(a < b for a, b in pairwise(times))
    assert clock.time_us(5 * 3 * WEEK_S) - start_us == 5 * WEEK_S * 1_000_000
    if even:
        np.testing.assert_allclose(np.diff(times), 9_973 / 3 * 1e6, rtol=1e-6)


@given(rows=st.integers(0, 5_000), files=st.none() | st.integers(1, 12), block=st.integers(1, 700))
def test_pieces_cover_every_row_once_in_order(rows: int, files: int | None, block: int) -> None:
    layout = layout_of("x.log" if files is None else "x", "bgl", rows, files, False)
    seen: list[tuple[int, int]] = []
    firsts = []
    for piece in pieces(layout, block):
        assert 0 <= piece.skip <= piece.rows <= block
        seen += [(piece.file, piece.block * block + i) for i in range(piece.skip, piece.rows)]
        firsts += [piece.file] * piece.is_first
    assert [row for _, row in seen] == list(range(rows))
    assert firsts == list(range(files or 1))
    per_file = [sum(file == f for file, _ in seen) for f in range(files or 1)]
    assert max(per_file) - min(per_file) <= 1


def test_option_values() -> None:
    assert [rows(text) for text in ("0", "1_000", "5k", "10M", "2G")] == [0, 1000, 5000, 10**7, 2 * 10**9]
    assert [percent(text) for text in ("2%", "0.5", "100 %")] == [2.0, 0.5, 100.0]
    moment = datetime(2025, 3, 3, 12, tzinfo=timezone.utc)
    for text in ("2025-03-03 12:00:00", "2025-03-03T12:00:00Z", "2025-03-03T13:00:00+01:00"):
        assert time_us(text) == moment.timestamp() * 1e6


@pytest.mark.parametrize(
    "argv, text",
    [
        (["nginx", "x.log", "--rows", "1"], "invalid choice: 'nginx'"),
        (["bgl", "x.log"], "--rows"),
        (["bgl", "x.log", "--rows", "-1"], "-1"),
        (["bgl", "x.log", "--rows", "ten"], "'ten': expected a number of lines"),
        (["bgl", "x.log", "--rows", "1", "--seed", "x"], "'x': expected a whole number"),
        (["bgl", "x.log", "--rows", "1", "--malformed", "101%"], "'101%': expected a percentage"),
        (["bgl", "x.log", "--rows", "1", "--start", "noon"], "'noon': expected a time"),
        (["bgl", "x/", "--rows", "1", "--files", "0"], "'0': expected a whole number"),
        (["bgl", "x.log", "--rows", "1", "--sed", "1"], "--seed"),
    ],
)
def test_wrong_options(argv: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        main(argv)
    assert text in str(caught.value)


def generated(path: Path, *options: str, kind: str = "bgl") -> Path:
    assert main([kind, str(path), *options]) == 0
    return path


def test_targets_that_are_refused(tmp_path: Path) -> None:
    path = generated(tmp_path / "x.log", "--rows", "10")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
        main(["bgl", str(path), "--rows", "20"])
    with pytest.raises(OutputError, match="is a file, not a folder"):
        main(["bgl", f"{path}/", "--rows", "20", "--overwrite"])
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="is a folder; end PATH in /"):
        main(["bgl", str(tmp_path), "--rows", "20", "--overwrite"])
    with pytest.raises(OutputError, match="does not exist; make it first"):
        main(["bgl", str(tmp_path / "no" / "x.log"), "--rows", "20"])
    generated(path, "--rows", "20", "--overwrite")
    assert path.read_bytes().startswith(before) and path.read_bytes().count(b"\n") == 20


def test_a_folder_of_something_else_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    generated(folder, "--rows", "100", "--files", "3")
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"holds 'thesis\.tex'"):
        main(["bgl", f"{folder}/", "--rows", "100", "--overwrite"])
    (folder / "thesis.tex").unlink()
    generated(folder, "--rows", "50", "--files", "2", "--overwrite")
    assert sorted(os.listdir(folder)) == ["bgl-0000.log", "bgl-0001.log"]


@pytest.mark.parametrize("kind", ["bgl", "sensors"])
def test_files_and_compression_hold_the_same_lines(tmp_path: Path, kind: str) -> None:
    options = ["--rows", "70_000", "--seed", "5", "--malformed", "1%"]
    whole = generated(tmp_path / "x.log", *options, kind=kind).read_bytes()
    packed = generated(tmp_path / "x.log.gz", *options, kind=kind).read_bytes()
    assert gzip.decompress(packed) == whole
    folder = generated(tmp_path / "x", *options, "--files", "3", "--gzip", kind=kind)
    ending = "csv" if kind == "sensors" else "log"
    names = sorted(os.listdir(folder))
    assert names == [f"{kind}-000{i}.{ending}.gz" for i in range(3)]
    parts = [gzip.decompress((folder / name).read_bytes()) for name in names]
    header = b"time,node,sensor,value,unit\n" if kind == "sensors" else b""
    assert all(part.startswith(header) for part in parts)
    assert header + b"".join(part[len(header) :] for part in parts) == whole
    assert whole.count(b"\n") == 70_000 + bool(header)


@pytest.mark.parametrize("name", ["x.log", "x.log.gz"])
def test_no_rows_and_one_row(tmp_path: Path, name: str) -> None:
    def lines(rows: str, kind: str) -> list[bytes]:
        data = generated(tmp_path / name, "--rows", rows, "--overwrite", kind=kind).read_bytes()
        return (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()

    assert lines("0", "bgl") == []
    assert lines("0", "sensors") == [b"time,node,sensor,value,unit"]
    assert len(lines("1", "access")) == 1


def test_a_log_is_as_old_as_its_last_line(tmp_path: Path) -> None:
    """Readers of logs without a year go by the file's time, or by that in the gzip header."""
    start = ["--rows", "10", "--start", "1999-12-30"]
    plain = generated(tmp_path / "x.log", *start, kind="syslog")
    packed = generated(tmp_path / "x.log.gz", *start, kind="syslog")
    modified = datetime.fromtimestamp(plain.stat().st_mtime, timezone.utc)
    assert datetime(1999, 12, 30, tzinfo=timezone.utc) < modified < datetime(2000, 1, 1, tzinfo=timezone.utc)
    assert int.from_bytes(packed.read_bytes()[4:8], "little") == int(plain.stat().st_mtime)


def test_help_has_examples_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom hpckit.cli.main import main\n"
        "try:\n    main(['generate', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numpy', 'mpi4py', 'pyarrow') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr.strip() == "[]"
    assert "examples:" in done.stdout and "--malformed P%" in done.stdout


@pytest.mark.parametrize(
    "kind, source", [("access", "'combined'"), ("bgl", "'bgl'"), ("syslog", "'syslog'"), ("sensors", "")]
)
def test_hpckit_reads_what_it_generates(tmp_path: Path, kind: str, source: str) -> None:
    """The formats accept every line, and reject exactly those that are broken."""
    good = generated(tmp_path / "x.log", "--rows", "3000", kind=kind).read_bytes().splitlines()
    path = generated(tmp_path / "x.log", "--rows", "3000", "--malformed", "4%", "--overwrite", kind=kind)
    broken = sum(a != b for a, b in zip(good, path.read_bytes().splitlines(), strict=True))
    call = f"read_logs('{path}', {source})" if source else f"read_csv('{path}')"
    sql = f"SELECT count(time) AS n FROM {call}"  # the time is asked for, so it is converted
    done = subprocess.run(
        [sys.executable, "-m", "hpckit.cli.main", "query", sql, "--validate", "all"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["n", str(3000 - broken)]
    assert broken > 50
