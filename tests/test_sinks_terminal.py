"""What people see: the drawn table and its cuts, CSV for pipes, and silence when the reader is gone."""

from __future__ import annotations

import contextlib
import io
import os
import re

import pyarrow as pa
import pytest
from sink_tables import spool_of, wild_table

from hpckit.errors import OutputError
from hpckit.sinks import terminal
from hpckit.sinks.encode import TextEncoder
from hpckit.sinks.terminal import draw, fitting_columns, show
from hpckit.spmd import world


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drawn(table: pa.Table, width: int = 100, limit_rows: int = 100) -> list[str]:
    screen = Screen()
    os.environ["COLUMNS"] = str(width)
    try:
        assert show(world(), spool_of(table, 4), screen, limit_rows) == table.num_rows
    finally:
        del os.environ["COLUMNS"]
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())
    return [line.rstrip() for line in text.rstrip("\n").split("\n")]


def test_a_small_table() -> None:
    table = pa.table(
        {
            "node": ["R01-M0", None, "\x1b[31mred"],
            "errors": [10000, 2, None],
            "avg": [1.0, float("nan"), 1e30],
            "hour": pa.array([0, 1, 3_600_000_000], pa.timestamp("us")),
        }
    )
    assert drawn(table) == [
        "node         errors    avg  hour",
        "─" * 54,
        "R01-M0        10000    1.0  1970-01-01 00:00:00",
        "NULL              2    nan  1970-01-01 00:00:00.000001",
        "\\x1b[31mred    NULL  1e+30  1970-01-01 01:00:00",
        "3 rows",
    ]


def test_the_middle_of_many_rows_is_left_out() -> None:
    lines = drawn(pa.table({"n": range(1000), "s": ["x"] * 1000}), limit_rows=5)
    assert [line.split() for line in lines[2:]] == [
        ["0", "x"], ["1", "x"], ["2", "x"], ["…", "…"], ["998", "x"], ["999", "x"],
        ["1,000", "rows,", "…", "995", "more", "rows", "not", "shown"],
    ]  # fmt: skip


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 6])
def test_exactly_as_many_rows_as_fit(rows: int) -> None:
    lines = drawn(pa.table({"n": pa.array(range(rows), pa.int64())}), limit_rows=5)
    shown = [line.strip() for line in lines[2:-1]]
    assert shown == ([str(i) for i in range(rows)] if rows <= 5 else ["0", "1", "2", "…", "4", "5"])
    assert lines[-1].startswith("1 row" if rows == 1 else f"{rows} rows")


def test_no_line_is_wider_than_the_terminal_and_numbers_are_whole() -> None:
    table = pa.table({"path": ["/" + "very/long/" * 30, "b"], "bytes": [2**63 - 1, 1], "agent": ["m" * 90, "n"]})
    lines = drawn(table, 60)
    assert max(map(len, lines)) <= 60
    assert str(2**63 - 1) in lines[2] and "…" in lines[2]


def test_columns_beyond_the_width_are_left_out_from_the_middle() -> None:
    lines = drawn(pa.table({f"column_{i}": [i] for i in range(30)}), 80)
    assert lines[0].split()[0] == "column_0" and lines[0].split()[-1] == "column_29" and "…" in lines[0]
    assert max(map(len, lines)) <= 80
    assert lines[-1] == f"1 row, {30 - (len(lines[0].split()) - 1)} of 30 columns not shown"


@pytest.mark.parametrize("available", [1, 10, 20, 40, 79, 80, 200])
def test_fitting_columns_keep_the_first_and_fit(available: int) -> None:
    widths, can_shrink = [30, 8, 100, 19, 5, 60], [True, False, True, False, False, True]
    shown, fitted = fitting_columns(widths, can_shrink, available)
    columns = [i for i in shown if i is not None]
    assert columns[0] == 0 and columns == sorted(columns)
    total = sum(fitted[i] for i in columns) + 2 * (len(shown) - 1) + (None in shown)
    assert total <= available or columns == [0]
    assert [fitted[i] for i in (1, 3, 4)] == [8, 19, 5]
    assert (None in shown) == (len(columns) < len(widths))


def test_a_table_without_columns_or_rows() -> None:
    screen = Screen()
    draw(pa.table({}), pa.table({}), 0, screen, 80)
    assert "0 rows" in screen.getvalue()


def expected_csv(table: pa.Table) -> bytes:
    encoder = TextEncoder(table.schema, "csv")
    return encoder.header() + b"".join(bytes(p) for b in table.to_batches() for p in encoder.encode(b))


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_a_pipe_gets_all_rows_as_csv(rows: int, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "STREAM_ROWS", 700)
    table = wild_table(rows)
    with open(tmp_path / "out", "w") as stream:
        assert show(world(), spool_of(table, 4), stream, 10) == rows
    assert (tmp_path / "out").read_bytes() == expected_csv(table)
    text = io.StringIO()
    show(world(), spool_of(table, 4), text, 10)
    assert text.getvalue().encode() == expected_csv(table)


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_reader_that_goes_away_is_no_error(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_is_terminal", lambda _: is_terminal)
    monkeypatch.setattr(terminal, "STREAM_ROWS", 700)
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stream:
        assert show(world(), spool_of(wild_table(5000), 4), stream) == 5000
        stream.write("goes nowhere, and quietly")


def test_a_full_disk_behind_stdout_is_an_error() -> None:
    stream = open("/dev/full", "w")  # noqa: SIM115 - closing it fails once more
    with pytest.raises(OutputError, match="standard output: no space left on device; the result was cut off"):
        show(world(), spool_of(wild_table(5000), 4), stream)
    with contextlib.suppress(OSError):
        stream.close()
