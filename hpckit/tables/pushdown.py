"""Which part of a filter a source can test on raw bytes, before a row is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from hpckit.sources.base import Atom
from hpckit.tables.expr import Call, Cast, Column, Expr, Literal

COMPARISONS = {"=": "=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
MIRRORED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
TERMS_MAX = 8

AtomKind = Callable[[str], str]


def conjuncts(predicate: Expr) -> list[Expr]:
    """The expressions that AND joins."""
    if isinstance(predicate, Call) and predicate.name == "and":
        return [part for arg in predicate.args for part in conjuncts(arg)]
    return [predicate]


def split_filter(predicates: Iterable[Expr], atom_kind: AtomKind) -> tuple[list[list[Atom]], list[Expr]]:
    """(terms, rest): a row satisfies the predicates if it satisfies any term and all of `rest`.

    One disjunction at most is pushed down (terms are its arms); everything that is not a comparison of a column with
    constants stays in `rest`.
    """
    atoms: list[Atom] = []
    rest: list[Expr] = []
    alternatives: list[list[Atom]] = [[]]
    for predicate in (part for p in predicates for part in conjuncts(p)):
        made = _atom(predicate, atom_kind)
        if made is not None:
            atoms.append(made)
            continue
        arms = _arms(predicate, atom_kind)
        if arms is not None and len(alternatives) == 1:
            alternatives = arms
        else:
            rest.append(predicate)
    terms = [atoms + arm for arm in alternatives]
    return ([] if terms == [[]] else terms), rest


def _arms(predicate: Expr, atom_kind: AtomKind) -> list[list[Atom]] | None:
    """The arms of a disjunction as lists of atoms, None if it is none or one of them cannot be pushed down."""
    if not (isinstance(predicate, Call) and predicate.name == "or"):
        return None
    arms: list[list[Atom]] = []
    for arg in predicate.args:
        nested = _arms(arg, atom_kind)
        if nested is not None:
            arms.extend(nested)
            continue
        made = [_atom(part, atom_kind) for part in conjuncts(arg)]
        if any(atom is None for atom in made):
            return None
        arms.append([atom for atom in made if atom is not None])
    return arms if len(arms) <= TERMS_MAX else None


def _atom(predicate: Expr, atom_kind: AtomKind) -> Atom | None:
    if not isinstance(predicate, Call):
        return None
    name, args = predicate.name, predicate.args
    if name == "not":
        inner = _atom(args[0], atom_kind)
        # NOT of a comparison of non-NULL values is its negation; of NULL it stays NULL, which no atom satisfies.
        negatable = inner is not None and (inner.op is None)
        return Atom(inner.column, inner.kind, None, inner.value, not inner.negate) if inner and negatable else None
    if name in COMPARISONS and len(args) == 2:
        return _comparison(name, args[0], args[1], atom_kind) or _comparison(
            MIRRORED[name], args[1], args[0], atom_kind
        )
    if name in ("is_null", "is_not_null"):
        return _null_test(args[0], name == "is_not_null", atom_kind)
    if name == "in":
        return _membership(args[0], args[1:], atom_kind)
    if name in ("like", "starts_with", "ends_with", "contains", "prefix", "suffix"):
        return _text_match(name, args, atom_kind)
    return None


def _column(expr: Expr, atom_kind: AtomKind) -> tuple[str, str]:
    if isinstance(expr, Column):
        return expr.name, atom_kind(expr.name)
    return "", ""


def constant(expr: Expr) -> Literal | None:
    """The literal that `expr` is, looking through a cast of a text that writes a timestamp."""
    if isinstance(expr, Literal):
        return expr if expr.value is not None else None
    if isinstance(expr, Cast) and isinstance(expr.arg, Literal) and expr.arg.value is not None and not expr.lenient:
        try:
            value = pa.scalar(expr.arg.value, expr.arg.type).cast(expr.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return None
        if pa.types.is_timestamp(expr.type):
            return Literal(value.cast(pa.int64()).as_py(), expr.type)
        return Literal(value.as_py(), expr.type)
    return None


def _comparison(op: str, left: Expr, right: Expr, atom_kind: AtomKind) -> Atom | None:
    (name, kind), literal = _column(left, atom_kind), constant(right)
    if literal is None or not kind:
        return None
    value = literal.value
    if kind == "int" and type(value) is int and pa.types.is_integer(literal.type):
        return Atom(name, "int", COMPARISONS[op], value)
    if kind == "float" and type(value) in (int, float) and not pa.types.is_temporal(literal.type):
        return Atom(name, "float", COMPARISONS[op], float(value))
    if kind == "time" and pa.types.is_timestamp(literal.type) and type(value) is int:
        return Atom(name, "time", COMPARISONS[op], value)
    if kind == "string" and type(value) is str and op in ("=", "<>"):
        return Atom(name, "in", None, [value.encode()], op == "<>")
    return None


def _null_test(expr: Expr, negate: bool, atom_kind: AtomKind) -> Atom | None:
    name, kind = _column(expr, atom_kind)
    return Atom(name, "null", None, None, negate) if kind else None


def _membership(expr: Expr, items: tuple[Expr, ...], atom_kind: AtomKind) -> Atom | None:
    name, kind = _column(expr, atom_kind)
    values = [constant(item) for item in items]
    if kind != "string" or any(v is None or type(v.value) is not str for v in values):
        return None
    return Atom(name, "in", None, [v.value.encode() for v in values if v is not None])


def _text_match(name: str, args: tuple[Expr, ...], atom_kind: AtomKind) -> Atom | None:
    column, kind = _column(args[0], atom_kind)
    literal = constant(args[1]) if len(args) == 2 else None
    if kind != "string" or literal is None or type(literal.value) is not str:
        return None
    text = literal.value
    if name == "like":
        shape = _like_shape(text)
        if shape is None:
            return None
        name, text = shape
    atom = {
        "starts_with": "prefix",
        "prefix": "prefix",
        "ends_with": "suffix",
        "suffix": "suffix",
        "contains": "contains",
    }
    if name == "in":
        return Atom(column, "in", None, [text.encode()])
    return Atom(column, atom[name], None, [text.encode()])


def _like_shape(pattern: str) -> tuple[str, str] | None:
    """LIKE without inner wildcards as (test, text); None for any other pattern."""
    body = pattern.strip("%")
    if "%" in body or "_" in body or "\\" in body:
        return None
    left, right = pattern.startswith("%"), pattern.endswith("%")
    if not body:
        return ("contains", "") if pattern else ("in", "")
    return ("contains" if left and right else "suffix" if left else "prefix" if right else "in"), body
