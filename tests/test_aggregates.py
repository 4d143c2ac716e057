"""GroupBy: keys of every type at their extremes, sketches within their bounds, errors, empty input."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from aggregate_data import Alone

from hpckit._kernels.intern import Interner
from hpckit.aggregates import AggSpec, GroupBy, buckets, result_type
from hpckit.errors import InternalError, QueryError, UnsupportedError
from hpckit.tables.columns import Coded

INT, FLOAT, STRING, TIME = pa.int64(), pa.float64(), pa.string(), pa.timestamp("us")
LOW, HIGH = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def _grouped(keys: list, calls: list[tuple], masks: list | None = None, rows: int | None = None) -> GroupBy:
    """One batch; a call is (name, Arrow array or Coded or None[, fraction])."""
    types = [STRING if isinstance(k, Coded) else k.type for k in keys]
    specs = [AggSpec(c[0], () if c[1] is None else (c[1].type,), *c[2:]) for c in calls]
    state = GroupBy(types, specs)
    n = rows if rows is not None else len(keys[0] if keys else calls[0][1])
    args = [[] if c[1] is None else [c[1]] for c in calls]
    state.update(keys, args, masks or [None] * len(calls), np.arange(n), n)
    return state


def _column(state: GroupBy, name: str) -> list:
    return state.finish().column(name).to_pylist()


@pytest.mark.parametrize("kind", [INT, TIME, pa.duration("us")])
def test_the_smallest_integer_is_not_null(kind: pa.DataType) -> None:
    first = pa.array([5, None, 5, HIGH]).view(INT).view(kind)
    second = pa.array([LOW, None, LOW, 5, LOW + 1]).view(kind)
    state = GroupBy([kind, STRING], [AggSpec("count_star")])
    for keys in (first, second):
        state.update([keys, pa.array(["x"] * len(keys))], [[]], [None], np.arange(len(keys)), len(keys))
    result = GroupBy.from_tables(state.key_types, state.aggs, state.to_tables()).finish()
    assert result.column("k0").cast(INT).to_pylist() == [LOW, LOW + 1, 5, HIGH, None]
    assert result.column("a0").to_pylist() == [2, 1, 3, 1, 2]


def test_float_keys_are_equal_as_sql_has_it() -> None:
    nans = [math.nan, -math.nan, float(np.uint64(0x7FF8000000000001).view(np.float64))]
    keys = pa.array([0.0, -0.0, math.inf, None, -math.inf, *nans, 1.0], FLOAT)
    result = _grouped([keys], [("count_star", None)]).finish()
    assert repr(result.column("k0").to_pylist()) == repr([-math.inf, 0.0, 1.0, math.inf, math.nan, None])
    assert result.column("a0").to_pylist() == [1, 2, 1, 1, 3, 1]


def test_string_keys_sort_bytewise_over_several_dictionaries() -> None:
    state = GroupBy([STRING], [AggSpec("count_star")])
    words = ["b", "é", "a", "", "z", "B", "aa"]
    for shift in range(6):  # more dictionaries than are remembered
        dictionary = Interner()
        texts = pa.array([*words[shift:], None, *words[:shift]])
        keys = Coded(dictionary.intern(texts), dictionary)
        state.update([keys], [[]], [None], np.arange(len(keys)), len(keys))
    expected = sorted(words, key=str.encode)
    assert state.finish().to_pydict() == {"k0": [*expected, None], "a0": [6] * 8}


def test_a_dictionary_may_grow_between_batches() -> None:
    dictionary, state = Interner(), GroupBy([STRING], [AggSpec("count_distinct", (STRING,))])
    for texts in (["a", "b"], ["c", "a"], ["d", "b"]):
        column = Coded(dictionary.intern(pa.array(texts)), dictionary)
        state.update([column], [[column]], [None], np.arange(2), 2)
    assert state.finish().to_pydict() == {"k0": ["a", "b", "c", "d"], "a0": [1, 1, 1, 1]}


def test_distinct_values_of_one_group_beside_a_group_without_values() -> None:
    texts = pa.array(["a", "b", "a"])
    state = _grouped([pa.array([7, 7, 7])], [("count_distinct", texts)])
    state.merge(_grouped([pa.array([9])], [("count_distinct", pa.array([None], STRING))]))
    assert state.finish().to_pydict() == {"k0": [7, 9], "a0": [2, 0]}
    state.merge(_grouped([pa.array([9, 7])], [("count_distinct", pa.array(["b", "c"]))]))
    assert state.finish().to_pydict() == {"k0": [7, 9], "a0": [3, 1]}


def test_distinct_without_aggregates() -> None:
    keys = pa.array([3, 1, None, 3])
    assert GroupBy([INT], []).finish().num_rows == 0
    assert _grouped([keys], []).finish().to_pydict() == {"k0": [1, 3, None]}


def test_no_rows() -> None:
    calls = [("count_star", ()), ("sum", (INT,)), ("avg", (FLOAT,)), ("min", (STRING,)), ("first", (TIME,))]
    calls += [("count_distinct", (STRING,)), ("quantile_cont", (INT,), 0.5), ("approx_quantile", (FLOAT,), 0.5)]
    calls += [("quantile_disc", (STRING,), 0.5), ("approx_count_distinct", (INT,)), ("stddev", (INT,))]
    specs = [AggSpec(*call) for call in calls]
    for state in (GroupBy([], specs), GroupBy.from_tables([], specs, GroupBy([], specs).to_tables())):
        (row,) = state.finish().to_pylist()
        assert list(row.values()) == [0, None, None, None, None, 0, None, None, None, 0, None]
    assert GroupBy([], specs).finish(emit_empty_global=False).num_rows == 0
    assert GroupBy([INT, STRING], specs).finish().num_rows == 0
    types = [s.result_type for s in specs]
    assert GroupBy([STRING], specs).finish().schema.types == [STRING, *types]


def test_all_null_arguments_of_type_null() -> None:
    calls = [
        ("count", INT),
        ("sum", INT),
        ("min", STRING),
        ("count_distinct", STRING),
        ("first", STRING),
    ]
    state = GroupBy([], [AggSpec(n, (t,)) for n, t in calls])
    state.update([], [[pa.nulls(3)] for _ in calls], [None] * len(calls), np.arange(3), 3)
    assert list(state.finish().to_pylist()[0].values()) == [0, None, None, 0, None]


def test_integer_sums_overflow_at_the_end_only() -> None:
    inside = _grouped([], [("sum", pa.array([HIGH, HIGH, -HIGH])), ("avg", pa.array([HIGH, HIGH, HIGH]))])
    assert _column(inside, "a0") == [HIGH] and _column(inside, "a1") == [float(HIGH)]
    for values in ([HIGH, 1], [LOW, -1]):
        with pytest.raises(QueryError, match=r"integer overflow in sum\(int64\).*AS DOUBLE"):
            _grouped([], [("sum", pa.array(values))]).finish()


def test_float_sums_do_not_depend_on_the_order() -> None:
    values = [1e308, 1e308, -1e308, -1e308, 1e-300, 1.0, 1e16, -1e16]
    forward = _grouped([], [("sum", pa.array(values)), ("avg", pa.array(values))])
    backward = _grouped([], [("sum", pa.array(values[::-1])), ("avg", pa.array(values[::-1]))])
    assert forward.finish().equals(backward.finish())
    assert _column(forward, "a0") == [1.0] and _column(forward, "a1") == [0.125]


def test_extremes_of_floats_put_nan_above_all() -> None:
    values = pa.array([math.nan, 2.0, -0.0, 0.0, -math.inf])
    state = _grouped([pa.array([1, 1, 2, 2, 3])], [("min", values), ("max", values)])
    assert repr(_column(state, "a0")) == "[2.0, -0.0, -inf]"
    assert repr(_column(state, "a1")) == "[nan, 0.0, -inf]"


def test_first_and_last_go_by_position_and_keep_null() -> None:
    spec = [AggSpec("first", (STRING,)), AggSpec("last", (STRING,))]
    state, other = GroupBy([], spec), GroupBy([], spec)
    state.update([], [[pa.array(["late", None])]] * 2, [None] * 2, np.array([70, 90]), 2)
    other.update([], [[pa.array(["b", "early"])]] * 2, [None] * 2, np.array([8, 3]), 2)
    state.merge(other)
    assert state.finish().to_pylist() == [{"a0": "early", "a1": None}]


def test_strings_given_up_are_forgotten() -> None:
    state = GroupBy([], [AggSpec("last", (STRING,)), AggSpec("max", (STRING,))])
    for k in range(40):
        texts = pa.array([f"{k * 1000 + i:07d}" * 20 for i in range(1000)])
        for i in range(0, 1000, 50):
            part = texts.slice(i, 50)
            state.update([], [[part], [part]], [None] * 2, np.arange(50) + k * 1000 + i, 50)
    assert state.finish().to_pylist() == [{"a0": "0039999" * 20, "a1": "0039999" * 20}]
    assert state.nbytes < 40 * 1000 * 140


@pytest.mark.parametrize("distinct", [1, 100, 3000, 60_000])
@pytest.mark.parametrize("kind", ["int", "float", "string", "coded"])
def test_approx_count_distinct_is_within_three_standard_errors(distinct: int, kind: str) -> None:
    numbers = np.arange(distinct) * 7919
    column: pa.Array | Coded = pa.array(numbers)
    if kind == "float":
        column = pa.array(numbers / 3)
    elif kind != "int":
        column = pa.array([f"10.0.{n}" for n in numbers])
    if kind == "coded":
        dictionary = Interner()
        column = Coded(dictionary.intern(column), dictionary)
    state = _grouped([], [("approx_count_distinct", column)])
    state.merge(_grouped([], [("approx_count_distinct", column)]))
    (found,) = _column(state, "a0")
    assert abs(found - distinct) <= 3 * 0.0058 * distinct


def test_sketches_of_many_groups_pass_from_sparse_to_dense_unnoticed() -> None:
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 20, 60_000)
    ids[:20_000] = 3
    values = rng.integers(0, 1 << 40, len(ids))
    whole = _grouped([pa.array(ids)], [("approx_count_distinct", pa.array(values))])
    parts = [
        _grouped([pa.array(ids[k::7])], [("approx_count_distinct", pa.array(values[k::7]))]) for k in rng.permutation(7)
    ]
    for part in parts[1:]:
        parts[0].merge(part)
    assert parts[0].finish().equals(whole.finish())
    exact = [len(set(values[ids == g].tolist())) for g in range(20)]
    assert all(abs(f - e) <= 0.03 * e for f, e in zip(_column(whole, "a0"), exact, strict=True))


def test_every_bucket_answers_within_one_percent() -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 0x7FF0000000000000, 200_000)
    doubles = np.concatenate([bits.view(np.float64), rng.integers(0, 1 << 53, 50_000).view(np.float64)])
    doubles = np.concatenate([doubles, -doubles, [0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf]])
    answers = buckets.values(buckets.numbers(doubles))
    finite = np.isfinite(doubles)
    with np.errstate(over="ignore"):
        assert np.all(np.abs(answers[finite] - doubles[finite]) <= 0.01 * np.abs(doubles[finite]))
    assert answers[-2:].tolist() == [math.inf, -math.inf]
    assert np.isnan(buckets.values(buckets.numbers(np.array([math.nan]))))[0]
    order = np.argsort(doubles, kind="stable")
    assert np.all(np.diff(buckets.numbers(doubles[order])) >= 0)


def test_integer_buckets_answer_within_one_percent() -> None:
    rng = np.random.default_rng(1)
    numbers = np.concatenate([np.arange(70_000), rng.integers(0, HIGH, 100_000), 1 << np.arange(63), [HIGH]])
    numbers = np.concatenate([numbers, -numbers, [LOW]])
    answers = buckets.integers(buckets.numbers(numbers.astype(np.float64)))
    errors = [abs(a - n) for a, n in zip(answers.tolist(), numbers.tolist(), strict=True)]
    assert all(e <= 0.01 * abs(n) for e, n in zip(errors, numbers.tolist(), strict=True))
    assert answers[:128].tolist() == list(range(128))


def test_aggregates_over_one_source_share_their_states() -> None:
    shared = [AggSpec(n, (FLOAT,), source="x") for n in ("sum", "avg", "count")]
    assert len(GroupBy([], shared).to_tables()["groups"].column_names) == 3
    apart = [AggSpec(n, (FLOAT,)) for n in ("sum", "avg", "count")]
    assert len(GroupBy([], apart).to_tables()["groups"].column_names) == 6


def test_exact_quantiles_of_many_values_leave_the_table_for_runs() -> None:
    rng = np.random.default_rng(2)
    values, ids = rng.integers(0, 1 << 50, 150_000), rng.integers(0, 3, 150_000)
    values[::2] //= 1 << 35
    calls = [("quantile_disc", pa.array(values), 0.9)]
    whole, parts = _grouped([pa.array(ids)], calls), GroupBy([INT], [AggSpec("quantile_disc", (INT,), 0.9)])
    for begin in (100_000, 0, 50_000):
        rows = slice(begin, begin + 50_000)
        parts.update([pa.array(ids[rows])], [[pa.array(values[rows])]], [None], np.arange(50_000), 50_000)
    restored = GroupBy.from_tables(parts.key_types, parts.aggs, parts.to_tables())
    expected = [int(np.sort(values[ids == g])[math.ceil(0.9 * np.sum(ids == g)) - 1]) for g in range(3)]
    for state in (whole, parts, restored):
        assert _column(state, "a0") == expected


def test_a_state_whose_distinct_values_were_counted_elsewhere_cannot_be_merged() -> None:
    state = _grouped([], [("count_distinct", pa.array(["a", "b", None]))])
    owned = state.shuffle(Alone())
    assert _column(owned, "a0") == [2]
    with pytest.raises(InternalError, match="take the state before it"):
        owned.to_tables()


def test_a_state_that_holds_only_the_values_searched_for_cannot_be_merged() -> None:
    state = _grouped([], [("quantile_disc", pa.array(range(1000)), 0.5)])
    owned = state.shuffle(Alone())
    assert _column(owned, "a0") == [499]
    with pytest.raises(InternalError, match="take the state before it"):
        owned.to_tables()
    assert _column(GroupBy.from_tables(state.key_types, state.aggs, state.to_tables()), "a0") == [499]


@pytest.mark.parametrize(
    ("name", "types", "fraction", "error", "text"),
    [
        ("mode", (INT,), None, UnsupportedError, "'mode' is not supported"),
        ("sum", (STRING,), None, QueryError, "sum of string: expected"),
        ("sum", (), None, QueryError, "sum takes one argument, got 0"),
        ("count_star", (INT,), None, QueryError, "takes no argument"),
        ("approx_quantile", (TIME,), 0.5, QueryError, "relative to the value"),
        ("quantile_cont", (INT,), 1.5, QueryError, "fraction 1.5, expected a number from 0 to 1"),
        ("quantile_disc", (INT,), None, QueryError, "fraction None"),
    ],
)
def test_calls_that_make_no_sense_are_refused(name: str, types: tuple, fraction: float, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        AggSpec(name, types, fraction)


def test_result_types_are_duckdbs() -> None:
    assert result_type("quantile_cont", (pa.date32(),)) == TIME
    assert result_type("avg", (INT,)) == FLOAT and result_type("sum", (INT,)) == INT
    assert result_type("max", (STRING,)) == STRING
