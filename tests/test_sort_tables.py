"""Sorting tables: the string kernel against Python, orders of every type against Python, runs on disk, bad input."""

from __future__ import annotations

import datetime
import functools
import math
import random
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hpckit as hk
from hpckit._kernels import strsort
from hpckit.errors import MemoryBudgetError, OutputError, QueryError
from hpckit.sorting import external, runs
from hpckit.sorting.columns import ORIGIN, Key, Ordering, as_keys
from hpckit.sorting.external import TableSorter
from hpckit.sorting.tables import sort_everywhere, sort_here, take
from hpckit.spmd import world
from hpckit.spmd.texts import take_text
from hpckit.tables.plan import Source
from hpckit.tables.sort_files import sort_source

ALPHABETS = {"two": b"ab", "zeros": b"\0a", "all": bytes(range(256)), "one": b"x"}


def kernel_rows(strings: list[bytes], dtype: type = np.int32, descending: bool = False) -> strsort.Rows:
    offsets = np.zeros(len(strings) + 1, dtype)
    offsets[1:] = np.cumsum([len(s) for s in strings])
    rows = strsort.Rows(len(strings))
    rows.add_strings(offsets, np.frombuffer(b"".join(strings), np.uint8), descending)
    return rows


def random_strings(rng: random.Random, alphabet: bytes, count: int) -> list[bytes]:
    """Many ties, prefixes of one another, and a common beginning longer than two words."""
    shared = rng.choice([b"", b"x" * 17, b"\0" * 8])
    longest = rng.choice([2, 5, 9, 30])
    return [
        shared[: rng.choice([len(shared), len(shared), 3])] + bytes(rng.choices(alphabet, k=rng.randrange(longest)))
        for _ in range(count)
    ]


def stable(strings: list[bytes], descending: bool) -> list[int]:
    return sorted(range(len(strings)), key=strings.__getitem__, reverse=descending)


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 33, 700, 5000])
def test_kernel_orders_as_python(alphabet: bytes, descending: bool, count: int) -> None:
    rng = random.Random(count)
    for dtype in (np.int32, np.int64):
        strings = random_strings(rng, alphabet, count)
        assert kernel_rows(strings, dtype, descending).order().tolist() == stable(strings, descending)


def test_kernel_orders_large_ranges_of_long_strings() -> None:
    rng = random.Random(1)
    strings = [b"/var/log/node%d/" % rng.randrange(50) + b"a" * rng.choice([0, 7, 8, 4000]) for _ in range(20_000)]
    assert kernel_rows(strings).order().tolist() == stable(strings, False)


def names(rng: random.Random, count: int) -> list[bytes]:
    """Few different bytes behind a common beginning: what the kernel sorts by coded words."""
    return [b"/scratch/n%d/%x" % (rng.randrange(500), rng.randrange(10**9)) for _ in range(count)]


CODED_ROWS = 9000
SPOILED = {  # name: what row 4321, which no sample holds, is instead
    "nothing": None,
    "another byte": b"/scratch/n12/zz",
    "a byte before all others": b"/scratch/n12/\0",
    "another beginning": b"/scrutch/n12/7",
    "ends in the beginning": b"/scr",
    "ends with the beginning": b"/scratch/n",
    "empty": b"",
    "goes on for long": b"/scratch/n12/ab" * 100,
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("descending", [False, True])
def test_kernel_orders_coded_words(spoiled: bytes | None, descending: bool) -> None:
    rng = random.Random(5)
    strings = names(rng, CODED_ROWS)
    if spoiled is not None:
        strings[4321] = spoiled
    for dtype in (np.int32, np.int64):
        assert kernel_rows(strings, dtype, descending).order().tolist() == stable(strings, descending)


@pytest.mark.parametrize("symbols", [1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 127, 128, 254, 255, 256])
@pytest.mark.parametrize("descending", [False, True])
def test_kernel_orders_alphabets_of_any_size(symbols: int, descending: bool) -> None:
    rng = random.Random(symbols)
    alphabet = sorted(rng.sample(range(256), symbols))
    strings = [bytes(rng.choices(alphabet, k=rng.randrange(40))) for _ in range(CODED_ROWS)]
    assert kernel_rows(strings, np.int32, descending).order().tolist() == stable(strings, descending)


def test_kernel_orders_coded_ties_by_further_levels() -> None:
    rng = random.Random(6)
    strings = [b"node%d" % rng.randrange(3000) for _ in range(CODED_ROWS)]
    others = [rng.choice([b"", b"a", b"b" * 20]) for _ in range(CODED_ROWS)]
    rows = kernel_rows(strings)
    offsets = np.cumsum([0, *(len(s) for s in others)]).astype(np.int32)
    rows.add_strings(offsets, np.frombuffer(b"".join(others), np.uint8), False)
    assert rows.order().tolist() == sorted(range(CODED_ROWS), key=lambda i: (strings[i], others[i]))


def test_kernel_sorts_long_equal_strings_in_linear_time() -> None:
    strings = [b"ab" * 2000] * CODED_ROWS
    start_s = time.process_time()
    assert kernel_rows(strings).order().tolist() == list(range(CODED_ROWS))
    assert time.process_time() - start_s < 10


def test_kernel_has_no_recursion_per_byte() -> None:
    strings = [b"a" * (7 * n) for n in range(1500)] * 2 + [b"z" * 500_000] * 40
    assert kernel_rows(strings).order().tolist() == stable(strings, False)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_kernel_parts_and_places_as_counted(alphabet: bytes, descending: bool) -> None:
    rng = random.Random(7)
    for bounds_count in (1, 2, 9):
        strings = random_strings(rng, alphabet, 300)
        bounds = sorted(rng.choices(strings + [b"", b"xxxxxxxxxxx"], k=bounds_count), reverse=descending)
        limits = kernel_rows(bounds, np.int64, descending)
        not_after = [sum((b >= s) if descending else (b <= s) for b in bounds) for s in strings]
        assert kernel_rows(strings, np.int32, descending).parts(limits).tolist() == not_after
        ordered = sorted(strings, reverse=descending)
        before = [sum((s > b) if descending else (s < b) for s in strings) for b in bounds]
        assert kernel_rows(ordered, np.int32, descending).places(limits).tolist() == before


@pytest.mark.parametrize("descending", [False, True])
def test_words_may_be_signed(descending: bool) -> None:
    values = np.array([3, -1, np.iinfo(np.int64).min, 0, -1, np.iinfo(np.int64).max, 3])
    rows = strsort.Rows(len(values))
    rows.add_words(values.view(np.uint64), descending, True)
    expected = sorted(range(len(values)), key=lambda i: -int(values[i]) if descending else int(values[i]))
    assert rows.order().tolist() == expected


def test_kernel_levels_and_numbers() -> None:
    rng = np.random.default_rng(3)
    words = rng.integers(0, 3, 400).astype(np.uint64)
    strings = random_strings(random.Random(3), b"ab", 400)
    rows = kernel_rows(strings)
    rows.add_words(words, True)
    assert rows.order().tolist() == sorted(range(400), key=lambda i: (strings[i], -int(words[i])))
    bounds = strsort.Rows(2)
    bounds.add_words(np.array([1, 1], np.uint64))
    bounds.add_words(np.array([10, 250], np.uint64))
    table = strsort.Rows(400)
    table.add_words(words)
    table.add_numbers(0)
    expected = [((int(w), i) >= (1, 10)) + ((int(w), i) >= (1, 250)) for i, w in enumerate(words)]
    assert table.parts(bounds).tolist() == expected


def test_kernel_checks_its_arguments() -> None:
    rows = strsort.Rows(2)
    with pytest.raises(ValueError, match="1 words for 2 rows"):
        rows.add_words(np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match=r"offsets 0\.\.9 leave 3 bytes"):
        rows.add_strings(np.array([0, 3, 9], np.int32), np.zeros(3, np.uint8))
    rows.add_words(np.zeros(2, np.uint64))
    with pytest.raises(ValueError, match="level 0 of two tables differs"):
        rows.parts(kernel_rows([b"a"]))
    with pytest.raises(ValueError, match="1 levels cannot be compared with 0"):
        rows.places(strsort.Rows(1))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()], ids=str)
def test_taking_strings_as_arrow_does(kind: pa.DataType) -> None:
    values = ["", "é", None, "abc" * 50, "\0", None, "z"]
    whole = pa.array([v.encode() if v is not None and "binary" in str(kind) else v for v in values], kind)
    for array in (whole, whole.slice(2, 4), whole.slice(0, 2), whole.slice(7)):
        rows = np.random.default_rng(0).integers(0, max(len(array), 1), 100 if len(array) else 0)
        taken = take_text(array, rows)
        taken.validate(full=True)
        assert taken.equals(array.take(pa.array(rows)))


DAY = datetime.date(1969, 12, 31)
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int8": (pa.int8(), [-128, 127, 0, -1]),
    "int64": (pa.int64(), [-(2**63), 2**63 - 1, 0, -1]),
    "uint64": (pa.uint64(), [0, 2**63, 2**64 - 1, 1]),
    "float32": (pa.float32(), [math.inf, -math.inf, math.nan, 1.5, -1.5, 0.0]),
    "float64": (pa.float64(), [math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1e308]),
    "bool": (pa.bool_(), [True, False]),
    "date32": (pa.date32(), [DAY, datetime.date(2024, 2, 29), datetime.date(1, 1, 1)]),
    "timestamp": (pa.timestamp("us"), [datetime.datetime(1969, 1, 1), datetime.datetime(2024, 2, 29, 1)]),
    "time32": (pa.time32("s"), [datetime.time(0), datetime.time(23, 59, 59)]),
    "duration": (pa.duration("us"), [datetime.timedelta(-1), datetime.timedelta(0), datetime.timedelta(5)]),
    "string": (pa.string(), ["", "a", "ab", "é", "\U0001f600", "a\0", "longer than a word"]),
    "large_string": (pa.large_string(), ["b", "a", "é"]),
    "string_view": (pa.string_view(), ["b", "a", "longer than what a view holds inside"]),
    "binary": (pa.binary(), [b"\xff", b"\0", b"", b"\x80"]),
    "fixed_binary": (pa.binary(2), [b"\xff\0", b"\0\0", b"ab"]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["b", "a", "c"]),
}


def compare(x: Any, y: Any, nulls_first: bool, descending: bool) -> int:
    if x is None or y is None:
        return ((x is not None) - (y is not None)) * (1 if nulls_first else -1)
    if isinstance(x, float):
        x, y = (math.isnan(x), 0.0 if math.isnan(x) else x), (math.isnan(y), 0.0 if math.isnan(y) else y)
    if isinstance(x, str):
        x, y = x.encode(), y.encode()
    return ((x > y) - (x < y)) * (-1 if descending else 1)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("count", [0, 1, 60])
def test_every_type_as_python_orders_it(name: str, nulls: bool, count: int) -> None:
    kind, values = VALUES[name]
    rng = random.Random(count)
    chosen = [None if nulls and rng.random() < 0.3 else rng.choice(values) for _ in range(count)]
    table = pa.table({"k": pa.array(chosen, kind), "row": np.arange(count)})
    for descending in (False, True):
        for nulls_first in (False, True):
            key = functools.cmp_to_key(
                lambda a, b, f=nulls_first, d=descending: compare(chosen[a], chosen[b], f, d)  # type: ignore[misc]
            )
            expected = sorted(range(count), key=key)
            found = sort_here(table, [("k", descending, nulls_first)])
            assert found.column("row").to_pylist() == expected
            assert found.schema.equals(table.schema)
            assert sort_everywhere(world(), table, [("k", descending, nulls_first)]).column("row") == found.column(
                "row"
            )


def test_floats_by_their_bits() -> None:
    values = [0.0, -0.0, math.nan, 1.0, -1.0, 0.0, -0.0]
    table = pa.table({"x": values, "row": range(7)})
    assert sort_here(table, [("x", False, False)]).column("row").to_pylist() == [4, 0, 1, 5, 6, 3, 2]
    assert sort_here(table, [Key("x", by_bits=True)]).column("row").to_pylist() == [4, 1, 6, 0, 5, 3, 2]


def test_many_keys_chunks_and_payload() -> None:
    rng = np.random.default_rng(5)
    rows = 4000
    table = pa.table(
        {
            "s": pa.array([f"R{i}" for i in rng.integers(0, 20, rows)], pa.string(), mask=rng.random(rows) < 0.1),
            "i": rng.integers(0, 5, rows),
            "t": pa.array([f"line {i}" * (i % 7) for i in range(rows)]),
            "row": np.arange(rows),
        }
    )
    chunked = pa.concat_tables([table.slice(0, 1500), table.slice(1500, 0), table.slice(1500)])
    with duckdb.connect() as con:
        con.register("rows_in", table)
        expected = con.sql("SELECT * FROM rows_in ORDER BY i DESC, s NULLS FIRST, row").to_arrow_table()
    assert sort_here(chunked, [("i", True, False), ("s", False, True)]).to_pydict() == expected.to_pydict()
    assert take(table, np.arange(rows)).equals(table)


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets count from zero, so that small inputs spill in several runs and rounds."""
    monkeypatch.setattr(external, "resident_bytes", lambda: 0)
    monkeypatch.setattr(runs, "BLOCK_BYTES", 2000)


def sorter_table(rows: int) -> pa.Table:
    rng = np.random.default_rng(rows)
    return pa.table(
        {
            "s": pa.array([f"x{i}" for i in rng.integers(0, 300, rows)], pa.string(), mask=rng.random(rows) < 0.1),
            "x": pa.array(rng.normal(size=rows).round(1)),
            ORIGIN: pa.array(np.arange(rows)),
        }
    )


@pytest.mark.parametrize("rows", [0, 1, 3000])
@pytest.mark.parametrize("keys", [["s"], ["x", "s"]], ids=str)
def test_runs_merge_to_the_order_in_memory(rows: int, keys: list[str], tmp_path: Path, small_memory: None) -> None:
    table = sorter_table(rows)
    wanted = as_keys([(name, True, False) for name in keys], table.schema)
    sorter = TableSorter(table.schema, wanted, 100_000, tmp_path)
    for start in range(0, rows, 100):
        sorter.add(table.slice(start, 100))
    assert sorter.fits(world()) == (rows < 3000)
    pieces = [list(tables) for tables in sorter.merged(world())]
    found = pa.concat_tables([table.slice(0, 0), *(t for some in pieces for t in some)])
    assert found.to_pydict() == sort_here(table, wanted).to_pydict()
    assert len(pieces) > 3 or rows < 3000
    assert not list(tmp_path.iterdir())


def test_rows_that_come_out_of_order_tie_by_their_place(tmp_path: Path, small_memory: None) -> None:
    table = sorter_table(2000)
    wanted = as_keys([("s", False, False)], table.schema)
    sorter = TableSorter(table.schema, wanted, 100_000, tmp_path)
    for start in range(1900, -1, -100):
        sorter.add(table.slice(start, 100))
    found = pa.concat_tables([t for tables in sorter.merged(world()) for t in tables])
    assert found.to_pydict() == sort_here(table, wanted).to_pydict()


def test_samples_stay_few(tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "SAMPLES_MAX", 500)
    table = sorter_table(4000)
    ordering = Ordering(tuple(as_keys([("x", False, False)], table.schema)), (False,), ORIGIN)
    made = runs.Runs(table.schema, tmp_path)
    for start in range(0, 4000, 500):
        made.write(table.slice(start, 500), ordering)
    assert made.samples(ordering).num_rows <= 500 and made.rows == 4000
    made.close()


def test_no_scratch_and_full_disk(tmp_path: Path, small_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    table = sorter_table(3000)
    wanted = as_keys([("x", False, False)], table.schema)
    with pytest.raises(MemoryBudgetError, match="--scratch"):
        TableSorter(table.schema, wanted, 10_000, None).add(table)

    def full(fd: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "in.parquet"
    pq.write_table(table.select(["s", "x"]), path)
    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OutputError, match=r"disk full while spilling the rows to sort.*--scratch"):
        sort_source(
            world(), Source("parquet", (str(path),)), ["x"], tmp_path / "out.csv", memory_bytes=20_000, scratch=tmp_path
        )
    assert [p.name for p in tmp_path.iterdir()] == ["in.parquet"]


@pytest.mark.parametrize("memory", [None, 60_000], ids=["memory", "runs"])
def test_sort_source_as_duckdb(memory: int | None, tmp_path: Path, small_memory: None) -> None:
    rng = np.random.default_rng(9)
    rows = 5000
    table = pa.table(
        {
            "node": [f"R{i:02d}" for i in rng.integers(0, 40, rows)],
            "x": pa.array(rng.normal(size=rows).round(1) + 0.0, mask=rng.random(rows) < 0.05),
            "row": np.arange(rows),
        }
    )
    source, target = tmp_path / "in.parquet", tmp_path / "out.arrow"
    pq.write_table(table, source, row_group_size=700)
    done = sort_source(
        world(), Source("parquet", (str(source),)), ["node", ("x", True, False)], target,
        memory_bytes=memory, scratch=tmp_path / "scratch",
    )  # fmt: skip
    expected = duckdb.sql(f"SELECT * FROM '{source}' ORDER BY node, x DESC NULLS LAST, row").to_arrow_table()
    found = pa.ipc.open_file(target).read_all()
    assert found.to_pydict() == expected.to_pydict()
    assert done.rows == rows
    with pytest.raises(OutputError, match="exists"):
        sort_source(world(), Source("parquet", (str(source),)), ["node"], target)
    with pytest.raises(QueryError, match=r"nodes.*one of the columns node, x, row"):
        sort_source(world(), Source("parquet", (str(source),)), ["nodes"], target, overwrite=True)
    with pytest.raises(QueryError, match="no column to sort by"):
        sort_source(world(), Source("parquet", (str(source),)), [], target, overwrite=True)


@pytest.mark.parametrize("memory", [1 << 30, 60_000], ids=["memory", "runs"])
def test_order_by_with_what_may_follow_it(memory: int, tmp_path: Path, small_memory: None) -> None:
    rows = 6000
    rng = np.random.default_rng(2)
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"a": rng.integers(0, 50, rows), "row": np.arange(rows)}), source, row_group_size=1000)
    table = hk.scan_parquet(source, memory=memory, scratch=str(tmp_path)).sort(hk.col("a") * -1)
    ordered = np.argsort(-pq.read_table(source).column("a").to_numpy(), kind="stable")
    cases = {
        "all": (table, ordered),
        "filtered": (table.filter(hk.col("row") % 2 == 0).select("row"), ordered[ordered % 2 == 0]),
        "offset": (table.slice(1000), ordered[1000:]),
        "offset, filtered": (table.slice(4000).filter(hk.col("row") < 500), ordered[4000:][ordered[4000:] < 500]),
        "sliced twice": (table.slice(1000).slice(10), ordered[1010:]),
    }
    for name, (case, expected) in cases.items():
        path = tmp_path / "out.arrow"
        case.write(path, overwrite=True)
        assert pa.ipc.open_file(path).read_all().column("row").to_pylist() == expected.tolist(), name
    counted = table.group_by("a").agg(n=hk.len(), first=hk.col("row").first())
    assert sum(counted.collect().column("n").to_pylist()) == rows
