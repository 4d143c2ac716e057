"""Dictionary-coded columns: computed once per entry, right when the dictionary grows, is replaced, or is too large."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from hpckit._kernels.intern import Interner
from hpckit.errors import QueryError
from hpckit.sql import bind, parse_script
from hpckit.tables import evaluate_coded
from hpckit.tables.columns import Batch, Coded, to_arrow
from hpckit.tables.evaluate import Evaluator, infer_type, mask
from hpckit.tables.expr import Call, Cast, Column, Literal

SCHEMA = pa.schema([("s", pa.string()), ("j", pa.int64())])


def expression(text: str):
    return bind(parse_script(f"SELECT {text} AS x FROM t")[0], lambda source: SCHEMA).operators[-1].columns[0][1]


def batch(dictionary: Interner, texts: list) -> Batch:
    codes = dictionary.intern(pa.array(texts, pa.string()))
    return Batch({"s": Coded(codes, dictionary), "j": pa.array(range(len(texts)))}, np.arange(len(texts)))


def test_bare_column_comes_back_as_it_is() -> None:
    rows = batch(Interner(), ["a", None])
    assert Evaluator([Column("s")], SCHEMA).evaluate(rows)[0] is rows.columns["s"]


def test_results_stay_coded_and_keep_their_dictionary() -> None:
    dictionary, evaluator = Interner(), Evaluator([expression("upper(s)")], SCHEMA)
    first = evaluator.evaluate(batch(dictionary, ["a", "b", None, "a"]))[0]
    second = evaluator.evaluate(batch(dictionary, ["c", "b"]))[0]
    assert isinstance(first, Coded)
    assert isinstance(second, Coded)
    assert second.dictionary is first.dictionary
    assert to_arrow(first).to_pylist() == ["A", "B", None, "A"]
    assert to_arrow(second).to_pylist() == ["C", "B"]


def test_each_entry_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    evaluator = Evaluator([expression("s LIKE '%1%'")], SCHEMA)
    original = evaluator._on_entries
    monkeypatch.setattr(evaluator, "_on_entries", lambda n, c, e: (seen.append(len(e)), original(n, c, e))[1])
    dictionary = Interner()
    for start in (0, 50, 100):
        texts = [str(k) for k in range(start, start + 100)]
        got = evaluator.evaluate(batch(dictionary, texts))[0].to_pylist()
        assert got == ["1" in t for t in texts]
    assert sum(seen) == 200 + 1  # the entries 0..199, and NULL


def test_many_new_entries_are_looked_up_not_computed_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    evaluator = Evaluator([expression("length(s)")], SCHEMA)
    original = evaluator._on_entries
    monkeypatch.setattr(evaluator, "_on_entries", lambda n, c, e: (seen.append(len(e)), original(n, c, e))[1])
    dictionary = Interner()
    dictionary.intern(pa.array([f"entry {k}" for k in range(10_000)]))
    rows = batch(dictionary, ["entry 7", None, "entry 7", "entry 123"])
    assert evaluator.evaluate(rows)[0].to_pylist() == [7, None, 7, 9]
    assert max(seen) <= 4


def test_replaced_dictionary() -> None:
    evaluator = Evaluator([expression("s || '!'"), expression("s = 'b'"), expression("coalesce(s, '?')")], SCHEMA)
    for texts in (["a", "b"], ["b", "a", None], ["x"] * 3):
        joined, equal, filled = evaluator.evaluate(batch(Interner(), texts))
        assert to_arrow(joined).to_pylist() == [None if t is None else t + "!" for t in texts]
        assert equal.to_pylist() == [None if t is None else t == "b" for t in texts]
        assert to_arrow(filled).to_pylist() == ["?" if t is None else t for t in texts]


def test_own_dictionary_is_renewed_when_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_coded, "_OWN_ENTRIES_MAX", 100)
    dictionary, evaluator = Interner(), Evaluator([expression("upper(s)")], SCHEMA)
    dictionaries = []
    for start in range(0, 400, 80):
        texts = [f"e{k}" for k in range(start, start + 80)]
        result = evaluator.evaluate(batch(dictionary, texts))[0]
        assert to_arrow(result).to_pylist() == [t.upper() for t in texts]
        dictionaries.append(result.dictionary if isinstance(result, Coded) else None)
    assert len({id(d) for d in dictionaries}) > 1


def test_entries_outside_the_batch_may_not_raise() -> None:
    dictionary, evaluator = Interner(), Evaluator([expression("s::int + 1")], SCHEMA)
    dictionary.intern(pa.array(["not a number"]))
    assert evaluator.evaluate(batch(dictionary, ["1", None, "2"]))[0].to_pylist() == [2, None, 3]
    with pytest.raises(QueryError, match="not a number"):
        evaluator.evaluate(batch(dictionary, ["1", "not a number"]))
    assert evaluator.evaluate(batch(dictionary, ["5"]))[0].to_pylist() == [6]


@pytest.mark.parametrize("coded", [False, True])
def test_conditions_guard_what_can_fail(coded: bool) -> None:
    rows = batch(Interner(), ["1", "x", None, "7"])
    rows = rows if coded else Batch({k: to_arrow(v) for k, v in rows.columns.items()}, rows.positions)
    texts = [
        "CASE WHEN s <> 'x' THEN s::int ELSE 0 END",
        "s <> 'x' AND s::int > 3",
        "s = 'x' OR s::int > 3",
        "j <> 1 AND s::int > 3",
        "CASE WHEN j = 1 THEN -1 ELSE s::int END",
        "coalesce(nullif(j, 1), s::int)",
    ]
    expected = [
        [1, 0, 0, 7],
        [False, False, None, True],
        [False, True, None, True],
        [False, False, None, True],
        [1, -1, None, 7],
    ]
    results = [Evaluator([expression(text)], SCHEMA).evaluate(rows)[0].to_pylist() for text in texts[:-1]]
    assert results == expected
    with pytest.raises(QueryError, match="'x'"):
        Evaluator([expression(texts[-1])], SCHEMA).evaluate(rows)


def test_mask_takes_null_as_false() -> None:
    assert mask(pa.array([True, None, False, True])).tolist() == [True, False, False, True]
    assert mask(pa.array([True, False, True])[1:]).tolist() == [False, True]
    assert mask(pa.array([], pa.bool_())).tolist() == []


def test_overflow_names_the_expression() -> None:
    rows = Batch({"s": pa.array(["a"]), "j": pa.array([2**63 - 1])}, np.arange(1))
    for text in ("j + 1", "j * 2", "-j - 2", "abs(j - 1 - j - j)"):
        with pytest.raises(QueryError, match=r"j.*overflow"):
            Evaluator([expression(text)], SCHEMA).evaluate(rows)
    lowest = Batch({"s": pa.array(["a"]), "j": pa.array([-(2**63)])}, np.arange(1))
    for text in ("-j", "abs(j)", "j // -1"):
        with pytest.raises(QueryError, match="overflow"):
            Evaluator([expression(text)], SCHEMA).evaluate(lowest)


def test_python_built_expressions_are_typed_too() -> None:
    call = Call("=", (Column("j"), Literal("2", pa.string())))
    assert infer_type(call, SCHEMA) == pa.bool_()
    rows = Batch({"s": pa.array(["a", "b", "c"]), "j": pa.array([1, 2, None])}, np.arange(3))
    assert Evaluator([call], SCHEMA).evaluate(rows)[0].to_pylist() == [False, True, None]
    assert infer_type(Cast(Column("j"), pa.float64()), SCHEMA) == pa.float64()
    with pytest.raises(QueryError, match="nearest: j"):
        infer_type(Column("jj"), SCHEMA)


def test_other_arrow_types_are_read_as_ours() -> None:
    table = {
        "s": pa.array(["a", None], pa.large_string()),
        "j": pa.array([1, None], pa.int16()),
        "f": pa.array([0.5, None], pa.float32()),
        "ts": pa.array([1, None], pa.timestamp("ms")),
        "k": pa.array(["x", None]).dictionary_encode(),
    }
    schema = pa.schema([(name, column.type) for name, column in table.items()])
    exprs = [Call("upper", (Column("s"),)), Call("+", (Column("j"), Literal(1, pa.int64()))), Column("f")]
    exprs += [Call("epoch", (Column("ts"),)), Call("||", (Column("k"), Literal("!", pa.string())))]
    evaluator = Evaluator(exprs, schema)
    got = [to_arrow(c).to_pylist() for c in evaluator.evaluate(Batch(table, np.arange(2)))]
    assert got == [["A", None], [2, None], [0.5, None], [0.001, None], ["x!", None]]
    assert [str(t) for t in evaluator.types] == ["string", "int64", "double", "double", "string"]


def test_floats_as_text_are_the_shortest_that_read_back() -> None:
    numbers = [0.0, -0.0, 1.0, 1e9, 1e10, 762939453125.0, 1e15, 1e16, 0.1, 1e-4, 1e-5, 123456.789, 5e-324, 1.5e300]
    numbers += [float("nan"), float("inf"), float("-inf"), 1 / 3, 2**53 + 2.0, -99.5]
    schema = pa.schema([("f", pa.float64())])
    rows = Batch({"f": pa.array([*numbers, None])}, np.arange(len(numbers) + 1))
    texts = Evaluator([Cast(Column("f"), pa.string())], schema).evaluate(rows)[0].to_pylist()
    assert texts == [*map(repr, numbers), None]


@pytest.mark.parametrize("text", ["upper(s)", "s LIKE '%1%'", "length(s)", "coalesce(s, 'none')", "s IS NULL"])
@pytest.mark.parametrize("step", [1, 2, 7, 63])
def test_growing_entry_by_entry_never_takes_the_place_of_null(text: str, step: int) -> None:
    expected = {
        "upper(s)": lambda t: t and t.upper(),
        "s LIKE '%1%'": lambda t: None if t is None else "1" in t,
        "length(s)": lambda t: None if t is None else len(t),
        "coalesce(s, 'none')": lambda t: "none" if t is None else t,
        "s IS NULL": lambda t: t is None,
    }[text]
    dictionary, evaluator = Interner(), Evaluator([expression(text)], SCHEMA)
    for start in range(0, 300, step):
        texts = [None, *(f"k{k}" for k in range(start, start + step)), "k0", None]
        got = to_arrow(evaluator.evaluate(batch(dictionary, texts))[0]).to_pylist()
        assert got == [expected(t) for t in texts], f"from {start} entries on"
