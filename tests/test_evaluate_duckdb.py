"""Every kind of expression against DuckDB on the same awkward values, on plain and on dictionary-coded columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from duckdb_oracle import answer, connect, differences, plain
from expression_cases import EXPRESSIONS
from sql_data import table

from hpckit._kernels.intern import Interner
from hpckit.sql import bind, parse_script
from hpckit.tables.columns import Batch, Coded, to_arrow
from hpckit.tables.evaluate import Evaluator
from hpckit.tables.plan import Project

TABLE = table()
TOLERANT = ("exp", "ln", "log", "pow", "power", "cbrt", "sin", "cos", "**", "^", "atan2", "radians", "degrees")


@pytest.fixture(scope="module")
def oracle():
    connection = connect(TABLE)
    yield connection
    connection.close()


def batch(coded: bool) -> Batch:
    """The table as one batch, its texts coded or not."""
    columns = {}
    for name in TABLE.column_names:
        column = TABLE.column(name).combine_chunks()
        if coded and column.type == pa.string():
            dictionary = Interner()
            columns[name] = Coded(dictionary.intern(column), dictionary)
        else:
            columns[name] = column
    return Batch(columns, np.arange(len(TABLE)))


BATCHES = {False: batch(False), True: batch(True)}


def bound(expression: str):
    """The expression as a bound plan has it."""
    plan = bind(parse_script(f"SELECT {expression} AS x FROM t")[0], lambda source: TABLE.schema)
    project = plan.operators[-1]
    assert isinstance(project, Project)
    return project.columns[0][1], plan.schema.field(0).type


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression_equals_duckdb(oracle, expression: str) -> None:
    # DuckDB's own optimiser folds nothing wrong, but it does reorder; one expression per query keeps errors apart
    ieee = any(word in expression for word in ("sqrt", "ln(", "log", "pow", "exp", "**", "^"))
    oracle.execute(f"SET ieee_floating_point_ops = {'true' if ieee else 'false'}")
    theirs = plain(answer(oracle, f"SELECT {expression} FROM t").column(0))
    expr, kind = bound(expression)
    tolerance = 1e-14 if any(word in expression for word in TOLERANT) else 0.0
    for coded in (False, True):
        evaluator = Evaluator([expr], TABLE.schema)
        result = evaluator.evaluate(BATCHES[coded])[0]
        assert evaluator.types == [kind]
        array = to_arrow(result)
        assert array.type == kind or pa.types.is_null(array.type)
        array.validate(full=True)
        wrong = differences(plain(array), theirs, tolerance)
        assert not wrong, f"{expression} (coded: {coded}): (row, ours, DuckDB) {wrong[:5]}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_empty_batch_and_halves(expression: str) -> None:
    expr, _ = bound(expression)
    evaluator = Evaluator([expr], TABLE.schema)
    whole = to_arrow(evaluator.evaluate(BATCHES[True])[0])
    empty = to_arrow(evaluator.evaluate(BATCHES[True].slice(0, 0))[0])
    assert len(empty) == 0
    parts = [plain(to_arrow(evaluator.evaluate(BATCHES[False].slice(a, b))[0])) for a, b in ((0, 101), (101, 240))]
    assert not differences(parts[0] + parts[1], plain(whole))
