"""Pushed-down comparisons on Arrow columns, with the meaning they have in the scan kernel; row groups they rule out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hpckit.sources.base import Atom, Terms

COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def atom_kind(kind: pa.DataType) -> str:
    """Which atoms `wanted_rows` understands for a column of the engine's type `kind`."""
    types = {pa.int64(): "int", pa.float64(): "float", pa.string(): "string", pa.timestamp("us"): "time"}
    return types.get(kind, "")


def wanted_rows(columns: Mapping[str, pa.Array], terms: Terms, rows: int) -> np.ndarray | None:
    """Mask of the rows that satisfy all atoms of any term; None: all of them do."""
    if not terms:
        return None
    wanted = np.zeros(rows, bool)
    for term in terms:
        holds = np.ones(rows, bool)
        for atom in term:
            holds &= _holds(atom, columns[atom.column])
        wanted |= holds
    return None if wanted.all() else wanted


def _holds(atom: Atom, column: pa.Array) -> np.ndarray:
    if atom.kind == "null":
        return _mask(column.is_valid() if atom.negate else column.is_null())
    valid = _mask(column.is_valid())
    if atom.kind in ("int", "time", "float"):
        assert atom.op is not None
        values = np.asarray((column.cast(pa.int64()) if atom.kind == "time" else column).fill_null(0))
        if atom.kind == "float":
            return valid & _compare_floats(atom.op, values, atom.value)
        return valid & COMPARE[atom.op](values, atom.value)
    return valid & (_text_test(atom, column) != atom.negate)


def _compare_floats(op: str, values: np.ndarray, constant: Any) -> np.ndarray:
    """NaN is the greatest value and equals itself."""
    nan = np.isnan(values)
    if constant != constant:
        less, equal = ~nan, nan
    else:
        less, equal = values < constant, values == constant
    return {"=": equal, "!=": ~equal, "<": less, "<=": less | equal, ">": ~(less | equal), ">=": ~less}[op]


def _text_test(atom: Atom, column: pa.Array) -> np.ndarray:
    texts = [value.decode() for value in atom.value]  # type: ignore[attr-defined]
    if atom.kind == "in":
        return _mask(pc.is_in(column, value_set=pa.array(texts, pa.string())))
    test = {"prefix": pc.starts_with, "suffix": pc.ends_with, "contains": pc.match_substring}[atom.kind]
    return _mask(test(column, texts[0]))


def _mask(array: pa.Array) -> np.ndarray:
    return np.asarray(array.fill_null(False))


def ruled_out(terms: Terms, bounds: Callable[[str], tuple[Any, Any, int | None, int] | None]) -> bool:
    """Whether no row of a piece can satisfy any term; `bounds` gives (low, high, NULLs, rows) of a column or None.

    low and high (None: not known) are the least and greatest value, or values beyond them, as atoms spell them.
    """
    return bool(terms) and all(any(_excluded(atom, bounds(atom.column)) for atom in term) for term in terms)


def _excluded(atom: Atom, known: tuple[Any, Any, int | None, int] | None) -> bool:
    if known is None:
        return False
    low, high, nulls, rows = known
    if atom.kind == "null":
        return nulls is not None and (nulls == rows if atom.negate else nulls == 0)
    if low is None or high is None or atom.negate:
        return False
    if atom.kind == "in":
        return all(value < low or value > high for value in atom.value)  # type: ignore[attr-defined]
    if atom.kind == "prefix":
        prefix = atom.value[0]  # type: ignore[index]
        return prefix > high or (prefix < low and not low.startswith(prefix))
    return atom.kind in ("int", "float", "time") and _outside(atom, low, high)


def _outside(atom: Atom, low: Any, high: Any) -> bool:
    value: Any = atom.value
    if atom.kind == "float" and (value != value or atom.op in (">", ">=")):
        return False  # NaN is not in the statistics and greater than all
    if atom.op == "=":
        return value < low or value > high
    if atom.op in ("<", "<="):
        return low > value or (low == value and atom.op == "<")
    return atom.op in (">", ">=") and (high < value or (high == value and atom.op == ">"))
