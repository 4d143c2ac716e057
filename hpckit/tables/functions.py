"""The table of scalar functions: how each one's arguments are typed and how it computes a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from hpckit.errors import QueryError
from hpckit.frozen import frozen
from hpckit.tables.evaluate_casts import can_cast, cast
from hpckit.tables.evaluate_vectors import split
from hpckit.tables.expr import Call, Cast, Expr, Literal
from hpckit.tables.render import to_text
from hpckit.tables.types import (
    BOOL,
    DATE,
    FLOAT,
    INT,
    INTERVAL,
    NULL,
    STRING,
    TIMESTAMP,
    is_number,
    sql_name,
)

Typed = tuple[Expr, pa.DataType]
Binder = Callable[[str, list[Typed]], Typed]

_CODES = {"s": STRING, "i": INT, "f": FLOAT, "b": BOOL, "t": TIMESTAMP, "d": DATE, "v": INTERVAL}


@frozen
class Function:
    """A scalar function.

    bind    types the arguments (inserting casts) and tells the result type
    run     computes a batch: Arrow arrays or scalars (at least one array) in, one array out
    strict  a NULL literal among the arguments makes the result NULL; `run` never sees a NULL scalar then
    rows    place of the argument that becomes an array if all of them are constants
    raises  whether some values raise QueryError, so that CASE and AND must evaluate it on the chosen rows only
    """

    name: str
    bind: Binder
    run: Callable[..., pa.Array] | None
    strict: bool = True
    raises: bool = False
    rows: int = 0


FUNCTIONS: dict[str, Function] = {}


def register(name: str, bind: Binder, *, strict: bool = True, raises: bool = False, rows: int = 0) -> Callable:
    """Decorator: the function below computes `name`; see `Function` for the rest."""

    def add(run: Callable[..., pa.Array]) -> Callable[..., pa.Array]:
        FUNCTIONS[name] = Function(name, bind, run, strict, raises, rows)
        return run

    return add


def function(name: str, params: str, result: pa.DataType, *, raises: bool = False) -> Callable:
    """Decorator for a function with a fixed signature.

    `params` has one letter for each parameter: s(tring) i(nteger) f(loat) b(ool) t(imestamp) d(ate) v (interval);
    those after '?' may be left out.
    """
    required, _, optional = params.partition("?")
    kinds = [_CODES[letter] for letter in required + optional]

    def bind(called: str, args: list[Typed]) -> Typed:
        check_count(called, args, len(required), len(kinds))
        coerced = tuple(coerce(a, kind, called) for a, kind in zip(args, kinds[: len(args)], strict=True))
        return Call(called, coerced), result

    return register(name, bind, raises=raises)


def check_count(name: str, args: Sequence, least: int, most: int | None = None) -> None:
    """QueryError unless the number of arguments is within least..most (None: any number)."""
    if len(args) < least or (most is not None and len(args) > most):
        wanted = str(least) if most == least else f"at least {least}" if most is None else f"{least} to {most}"
        raise QueryError(f"{name}: {len(args)} arguments given, it takes {wanted}")


def is_string_literal(typed: Typed) -> bool:
    return isinstance(typed[0], Literal) and typed[1] == STRING


def coerce(typed: Typed, target: pa.DataType, where: str) -> Expr:
    """The expression as `target`, converted if SQL does that without being asked, else QueryError."""
    expr, kind = typed
    if kind == target:
        return expr
    if kind == NULL:
        return Literal(None, target)
    widens = (kind == INT and target == FLOAT) or (kind == DATE and target == TIMESTAMP)
    if widens or is_string_literal(typed):
        return convert(typed, target)
    raise QueryError(
        f"{where}: {to_text(expr)} is {sql_name(kind)} where {sql_name(target)} is needed; "
        f"convert it with CAST({to_text(expr)} AS {sql_name(target)})"
    )


def common_type(args: Sequence[Typed], where: str) -> pa.DataType:
    """The type in which the results of CASE, COALESCE, greatest … meet: string literals adapt to the others."""
    kinds = {kind for expr, kind in args if kind != NULL and not is_string_literal((expr, kind))}
    if not kinds:
        return STRING if any(kind == STRING for _, kind in args) else NULL
    if len(kinds) == 1:
        return kinds.pop()
    if all(is_number(kind) for kind in kinds):
        return FLOAT
    if kinds == {DATE, TIMESTAMP}:
        return TIMESTAMP
    if kinds == {BOOL, INT}:
        return INT
    names = " and ".join(sorted(sql_name(kind) for kind in kinds))
    raise QueryError(f"{where}: cannot mix {names}; write a CAST")


def comparison_type(args: Sequence[Typed], where: str) -> pa.DataType:
    """The type in which values are compared: text is converted to the other side's type, as DuckDB does."""
    others = [(e, k) for e, k in args if k not in (STRING, NULL)]
    if not others:
        return STRING if any(kind == STRING for _, kind in args) else NULL
    return common_type(others, where)


def convert(typed: Typed, target: pa.DataType, *, lenient: bool = False) -> Expr:
    """The expression as `target` by whatever cast it takes; constants are converted at once."""
    expr, kind = typed
    if kind == target:
        return expr
    if kind == NULL:
        return Literal(None, target)
    if not can_cast(kind, target):
        raise QueryError(f"CAST: no conversion of {to_text(expr)} from {sql_name(kind)} to {sql_name(target)}")
    if not isinstance(expr, Literal):
        return Cast(expr, target, lenient)
    return literal_of(cast(pa.array([expr.value], kind), target, lenient)[0], target)


def literal_of(scalar: pa.Scalar, kind: pa.DataType) -> Literal:
    """A Literal with an Arrow scalar's value."""
    return Literal(split(scalar)[0] if scalar.is_valid else None, kind)


def strict_call(name: str, *args: Expr, kind: pa.DataType) -> Expr:
    """A call that a binder makes of typed arguments: NULL if one of them is the constant NULL."""
    if any(isinstance(arg, Literal) and arg.value is None for arg in args):
        return Literal(None, kind)
    return Call(name, args)
