"""Sorting on one rank: order, stability, NULL and NaN as DuckDB has them, top-k, and exact places of bounds."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit.errors import QueryError
from hpckit.sorting.columns import Ordering, as_keys
from hpckit.tables.order import TopK, sort_table, top_k

ROWS = 3000


def random_table(seed: int, rows: int = ROWS) -> pa.Table:
    """Every type that can be a key, with NULLs, ties, extremes, NaN, both zeros, and a unique row number."""
    rng = np.random.default_rng(seed)

    def holes() -> np.ndarray:
        return rng.random(rows) < 0.1

    doubles = rng.choice([0.0, -0.0, np.nan, np.inf, -np.inf, 1.5, -1.5, 5e-324, -5e-324, 1e308], rows)
    extremes = np.array([0, 1, -1, 2**63 - 1, -(2**63), 42])
    texts = np.array(["", "a", "ab", "b", "B", "é", "z", "zz\0", "zz", "\U0001f600", "￿"], object)
    return pa.table(
        {
            "i": pa.array(rng.choice(extremes, rows), mask=holes()),
            "wide": pa.array(rng.integers(-(2**63), 2**63, rows)),
            "x": pa.array(doubles, mask=holes()),
            "s": pa.array(texts[rng.integers(0, len(texts), rows)], pa.string(), mask=holes()),
            "b": pa.array(rng.random(rows) < 0.5, mask=holes()),
            "t": pa.array(rng.integers(-(10**15), 10**15, rows), mask=holes()).cast(pa.timestamp("us")),
            "d": pa.array(rng.integers(-10, 10, rows).astype(np.int32), mask=holes()).cast(pa.date32()),
            "u": pa.array(rng.integers(-5, 5, rows), mask=holes()).cast(pa.duration("us")),
            "n": pa.nulls(rows),
            "row": pa.array(np.arange(rows)),
        }
    )


def duckdb_rows(table: pa.Table, keys: list[tuple[str, bool, bool]]) -> list[int]:
    """Row numbers in DuckDB's order, ties by row number."""
    order = ", ".join(f"{n} {'DESC' if d else 'ASC'} NULLS {'FIRST' if f else 'LAST'}" for n, d, f in keys)
    rows = table.drop_columns(["n"])
    con = duckdb.connect()
    con.register("rows_in", rows)
    return [r[0] for r in con.execute(f"SELECT row FROM rows_in ORDER BY {order}, row").fetchall()]


@pytest.mark.parametrize("name", ["i", "wide", "x", "s", "b", "t", "d", "u"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("nulls_first", [False, True])
def test_one_key_as_duckdb(name: str, descending: bool, nulls_first: bool) -> None:
    table = random_table(1)
    keys = [(name, descending, nulls_first)]
    assert sort_table(table, keys).column("row").to_pylist() == duckdb_rows(table, keys)


@pytest.mark.parametrize("seed", range(12))
def test_many_keys_as_duckdb(seed: int) -> None:
    table = random_table(seed)
    rng = np.random.default_rng(seed)
    names = rng.permutation(["i", "x", "s", "b", "t", "d", "u"])[: rng.integers(2, 6)]
    keys = [(str(name), bool(rng.random() < 0.5), bool(rng.random() < 0.5)) for name in names]
    expected = duckdb_rows(table, keys)
    assert sort_table(table, keys).column("row").to_pylist() == expected
    for k in (0, 1, 7, 500, ROWS, ROWS + 5):
        assert top_k(table, keys, k).column("row").to_pylist() == expected[:k]


def test_chunks_slices_and_dictionaries_sort_as_plain_columns() -> None:
    table = random_table(3)
    pieces = pa.concat_tables([table.slice(a, b - a) for a, b in [(0, 1), (1, 1), (1, 1700), (1700, ROWS)]])
    coded = pieces.set_column(3, "s", pieces.column("s").dictionary_encode())
    keys = [("s", True, False), ("x", False, True)]
    expected = duckdb_rows(table, keys)
    assert sort_table(pieces, keys).column("row").to_pylist() == expected
    assert sort_table(coded, keys).column("row").to_pylist() == expected


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(rows: int) -> None:
    table = random_table(4, rows)
    keys = [("s", True, False), ("x", False, False), ("n", False, True)]
    assert sort_table(table, keys).column("row").to_pylist() == duckdb_rows(table, keys[:2])
    assert top_k(table, keys, 1).num_rows == min(rows, 1)


def test_all_null_and_constant_keys_keep_the_order() -> None:
    table = random_table(5)
    assert sort_table(table, [("n", True, True)]).column("row").to_pylist() == list(range(ROWS))
    assert sort_table(table, []).column("row").to_pylist() == list(range(ROWS))


def test_zeros_of_both_signs_are_equal() -> None:
    table = pa.table({"x": [0.0, -0.0, 0.0, -0.0], "row": [0, 1, 2, 3]})
    assert sort_table(table, [("x", False, False)]).column("row").to_pylist() == [0, 1, 2, 3]
    assert sort_table(table, [("x", True, False)]).column("row").to_pylist() == [0, 1, 2, 3]


def test_unknown_column_is_named() -> None:
    with pytest.raises(QueryError, match=r"nodes.*one of the columns a, b"):
        sort_table(pa.table({"a": [1], "b": [2]}), [("nodes", False, False)])
    with pytest.raises(QueryError, match=r"ORDER BY l: rows cannot be ordered by it.*list"):
        sort_table(pa.table({"l": [[1]]}), [("l", False, False)])


@pytest.mark.parametrize("keys", [[("s", False, True)], [("x", True, False)], [("i", True, True), ("s", False, False)]])
@pytest.mark.parametrize("k", [1, 20, 5000])
def test_streaming_top_k(keys: list[tuple[str, bool, bool]], k: int) -> None:
    table = random_table(6, 200_000)
    keys = [*keys, ("row", False, False)]
    states = [TopK(table.schema, keys, k) for _ in range(2)]
    for i, start in enumerate(range(0, table.num_rows, 9_001)):
        states[i % 2].update(table.slice(start, 9_001))
    states[0].merge(states[1])
    assert states[0].finish().column("row").to_pylist() == duckdb_rows(table, keys)[:k]


def test_streaming_top_k_of_nothing() -> None:
    schema = random_table(7, 1).schema
    state = TopK(schema, [("row", False, False)], 5)
    assert state.finish().schema.equals(schema)
    state.update(random_table(7, 0))
    assert state.finish().num_rows == 0
    nothing = TopK(schema, [("row", False, False)], 0)
    nothing.update(random_table(7))
    assert nothing.finish().num_rows == 0


@pytest.mark.parametrize("seed", range(6))
def test_places_count_what_a_merged_sort_says(seed: int) -> None:
    table = random_table(seed, 900)
    rng = np.random.default_rng(seed)
    names = [str(n) for n in rng.permutation(["i", "x", "s", "t", "b"])[:3]]
    keys = [(n, bool(rng.random() < 0.5), bool(rng.random() < 0.5)) for n in names] + [("row", False, False)]
    chosen = rng.random(900) < 0.3
    bounds, rest = table.filter(pa.array(chosen)), table.filter(pa.array(~chosen))
    bounds, rest = sort_table(bounds, keys), sort_table(rest, keys)
    merged = sort_table(table, keys).column("row").to_pylist()
    inside = set(rest.column("row").to_pylist())
    expected, seen = {}, 0
    for row in merged:
        expected[row] = seen
        seen += row in inside
    ordering = Ordering.of(table, as_keys(keys, table.schema))
    places = ordering.rows(rest).places(ordering.rows(bounds))
    assert places.tolist() == [expected[row] for row in bounds.column("row").to_pylist()]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.text(max_size=4)),
            st.one_of(st.none(), st.floats()),
        ),
        max_size=40,
    ),
    st.lists(st.tuples(st.sampled_from(["i", "s", "x"]), st.booleans(), st.booleans()), max_size=4),
)
def test_any_rows_as_python_sorts_them(rows: list[tuple], keys: list[tuple[str, bool, bool]]) -> None:
    columns = {"i": pa.int64(), "s": pa.string(), "x": pa.float64()}
    table = pa.table({n: pa.array([r[j] for r in rows], t) for j, (n, t) in enumerate(columns.items())})
    table = table.append_column("row", pa.array(np.arange(len(rows))))
    order = list(range(len(rows)))
    for name, descending, nulls_first in reversed(keys):
        values = table.column(name).to_pylist()

        def place(row: int, values: list = values) -> tuple:
            value = values[row]
            is_nan = value != value
            if isinstance(value, str):
                value = value.encode()
            return (False, 0) if value is None else (is_nan, 0 if is_nan else value)

        some = sorted((r for r in order if values[r] is not None), key=place, reverse=descending)
        nulls = [r for r in order if values[r] is None]
        order = nulls + some if nulls_first else some + nulls
    assert sort_table(table, keys).column("row").to_pylist() == order
