"""What one aggregate is: its name, argument types, fraction, and the type of its result."""

from __future__ import annotations

from collections.abc import Hashable

import pyarrow as pa

from hpckit.errors import QueryError, UnsupportedError
from hpckit.frozen import frozen

INT, FLOAT, BOOL, STRING, DATE = pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.date32()
TIMESTAMP, DURATION = pa.timestamp("us"), pa.duration("us")
ALL_TYPES = frozenset({INT, FLOAT, BOOL, STRING, DATE, TIMESTAMP, DURATION})

_VARIANCES = ("stddev", "stddev_pop", "variance", "var_pop")
_QUANTILES = ("quantile_cont", "quantile_disc", "approx_quantile")
_COUNTS = ("count", "count_distinct", "approx_count_distinct")
_SAME_TYPE = ("min", "max", "first", "last", "quantile_disc")

# Argument type -> result type, where not every type is taken or the type changes.
_RESULTS: dict[str, dict[pa.DataType, pa.DataType]] = {
    "sum": {INT: INT, FLOAT: FLOAT, BOOL: INT, DURATION: DURATION},
    "avg": {INT: FLOAT, FLOAT: FLOAT, TIMESTAMP: TIMESTAMP, DATE: TIMESTAMP, DURATION: DURATION},
    "bool_and": {BOOL: BOOL},
    "bool_or": {BOOL: BOOL},
    "quantile_cont": {INT: FLOAT, FLOAT: FLOAT, TIMESTAMP: TIMESTAMP, DATE: TIMESTAMP, DURATION: DURATION},
    "approx_quantile": {INT: INT, FLOAT: FLOAT, DURATION: DURATION},
    **{name: {t: INT for t in ALL_TYPES} for name in _COUNTS},
    **{name: {t: t for t in ALL_TYPES} for name in _SAME_TYPE},
    **{name: {INT: FLOAT, FLOAT: FLOAT} for name in _VARIANCES},
}


@frozen
class AggSpec:
    """One aggregate call. `name` is canonical (tables/expr.AggCall), `fraction` the q of the quantiles.

    Calls with equal `source` (anything hashable, None: unlike all others) read the same argument through the same
    filter; what they need in common is then computed once.
    """

    name: str
    arg_types: tuple[pa.DataType, ...] = ()
    fraction: float | None = None
    source: Hashable | None = None

    def __post_init__(self) -> None:
        result_type(self.name, self.arg_types)
        if self.name in _QUANTILES and (self.fraction is None or not 0.0 <= self.fraction <= 1.0):
            raise QueryError(f"{self.name}: fraction {self.fraction}, expected a number from 0 to 1")

    @property
    def arg_type(self) -> pa.DataType | None:
        """Type of the argument, None for count_star."""
        return self.arg_types[0] if self.arg_types else None

    @property
    def result_type(self) -> pa.DataType:
        """Arrow type of the result column."""
        return result_type(self.name, self.arg_types)


def result_type(name: str, arg_types: tuple[pa.DataType, ...]) -> pa.DataType:
    """The type of aggregate `name` over arguments of these types; QueryError if it takes no such arguments."""
    if name == "count_star":
        if arg_types:
            raise QueryError(f"count(*) takes no argument, got {len(arg_types)}")
        return INT
    if name not in _RESULTS:
        known = ", ".join(["count_star", *sorted(_RESULTS)])
        raise UnsupportedError(f"aggregate {name!r} is not supported; there are {known}")
    if len(arg_types) != 1:
        raise QueryError(f"{name} takes one argument, got {len(arg_types)}")
    found = _RESULTS[name].get(arg_types[0])
    if found is None:
        if name == "approx_quantile" and arg_types[0] in (TIMESTAMP, DATE):
            raise QueryError(
                f"approx_quantile of {arg_types[0]}: its error is relative to the value, which means nothing for "
                "points in time; use quantile_cont, or approx_quantile of a difference such as epoch(b) - epoch(a)"
            )
        allowed = ", ".join(sorted(str(t) for t in _RESULTS[name]))
        raise QueryError(f"{name} of {arg_types[0]}: expected {allowed}; use CAST(… AS …)")
    return found
