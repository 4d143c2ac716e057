"""The types that expressions compute with, their SQL names, and which of them convert without being asked."""

from __future__ import annotations

import pyarrow as pa

INT = pa.int64()
FLOAT = pa.float64()
BOOL = pa.bool_()
STRING = pa.string()
TIMESTAMP = pa.timestamp("us")
DATE = pa.date32()
INTERVAL = pa.duration("us")
CALENDAR_INTERVAL = pa.month_day_nano_interval()  # literals only: an interval with months has no fixed length
NULL = pa.null()

COMPUTABLE = (INT, FLOAT, BOOL, STRING, TIMESTAMP, DATE, INTERVAL)

_SQL_NAMES = {
    INT: "BIGINT",
    FLOAT: "DOUBLE",
    BOOL: "BOOLEAN",
    STRING: "VARCHAR",
    TIMESTAMP: "TIMESTAMP",
    DATE: "DATE",
    INTERVAL: "INTERVAL",
    CALENDAR_INTERVAL: "INTERVAL with months",
    NULL: "NULL",
}


def sql_name(kind: pa.DataType) -> str:
    """DuckDB's name of a type; Arrow's for types that only pass through."""
    return _SQL_NAMES.get(kind) or str(kind).upper()


def normal_type(kind: pa.DataType) -> pa.DataType:
    """The type an input column of Arrow type `kind` has in expressions; `kind` itself if it only passes through."""
    types = pa.types
    if types.is_uint64(kind):
        return kind
    if types.is_integer(kind):
        return INT
    if types.is_floating(kind):
        return FLOAT
    if types.is_large_string(kind) or types.is_string_view(kind):
        return STRING
    if types.is_dictionary(kind):
        return normal_type(kind.value_type)
    if types.is_timestamp(kind):
        return TIMESTAMP
    if types.is_date(kind):
        return DATE
    if types.is_duration(kind):
        return INTERVAL
    return kind


def is_number(kind: pa.DataType) -> bool:
    return kind in (INT, FLOAT)


def is_time(kind: pa.DataType) -> bool:
    return kind in (TIMESTAMP, DATE)
