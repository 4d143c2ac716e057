"""Options of read_csv and read_json: DuckDB's names, checked at the door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpckit.errors import QueryError, UnsupportedError
from hpckit.formats.model import FieldType

SAMPLE_RECORDS = 20_480
NULL_TOKENS_MAX = 3  # the kernel compares four, one of them is the empty field

TYPES = {
    FieldType.INT: "BIGINT INT INT8 INTEGER INT4 SMALLINT INT2 TINYINT INT1 LONG SHORT INT64 INT32 UINTEGER UBIGINT",
    FieldType.FLOAT: "DOUBLE FLOAT FLOAT8 FLOAT4 REAL DECIMAL NUMERIC FLOAT64",
    FieldType.STRING: "VARCHAR TEXT STRING CHAR BPCHAR",
    FieldType.BOOL: "BOOLEAN BOOL LOGICAL",
    FieldType.TIME: "TIMESTAMP DATETIME TIMESTAMPTZ TIMESTAMP_US",
    FieldType.DATE: "DATE",
    FieldType.JSON: "JSON",
}
TYPE_OF_NAME = {name: kind for kind, names in TYPES.items() for name in names.split()}

ALIASES = {
    "sep": "delim", "delimiter": "delim", "dtypes": "types", "column_types": "types", "column_names": "names",
    "null": "nullstr", "nulls": "nullstr", "timestamp_format": "timestampformat", "date_format": "dateformat",
}  # fmt: skip
CSV_OPTIONS = {"delim", "header", "quote", "escape", "nullstr", "names", "all_varchar"}
COMMON_OPTIONS = {
    "columns", "types", "timestampformat", "dateformat", "sample_size", "format", "auto_detect", "timezone",
}  # fmt: skip
READ_OPTIONS = {"year", "max_line", "split_size", "validate"}  # of the scan, not of the columns
JSON_LINES = ("auto", "newline_delimited", "nd", "jsonl")


@dataclass(slots=True)
class RecordOptions:
    """What the user said about CSV or JSON records; None: find out.

    types        FieldType by column name; positional: the same by place (CSV)
    names        of the columns, instead of a header's; JSON: just these
    null         further byte strings that stand for NULL
    """

    delimiter: str | None = None
    header: bool | None = None
    quoting: bool | None = None
    null: tuple[bytes, ...] = ()
    types: dict[str, FieldType] = field(default_factory=dict)
    positional: tuple[FieldType, ...] = ()
    names: tuple[str, ...] = ()
    all_text: bool = False
    time_format: str = ""
    date_format: str = ""
    sample: int = SAMPLE_RECORDS
    time_zone: str = ""


def record_options(given: Iterable[tuple[str, object]], csv: bool, function: str) -> RecordOptions:
    """The options of a source, checked; raises QueryError for a wrong value, UnsupportedError for an unknown name."""
    known = COMMON_OPTIONS | (CSV_OPTIONS if csv else set())
    out = RecordOptions()
    for name, value in given:
        name = ALIASES.get(name.lower(), name.lower())
        if name in READ_OPTIONS:
            continue
        if name not in known:
            raise UnsupportedError(f"{function}: option {name!r} is not known; there are {', '.join(sorted(known))}")
        _take(out, name, value, function)
    return out


def _take(out: RecordOptions, name: str, value: Any, function: str) -> None:
    if name == "delim":
        out.delimiter = _one_byte(value, function)
    elif name == "header":
        out.header = _truth(name, value, function)
    elif name == "all_varchar":
        out.all_text = _truth(name, value, function)
    elif name == "quote":
        if value not in ("", '"'):
            raise UnsupportedError(f"{function}: quote = {value!r}; it can be '\"' or '' (no quoting)")
        out.quoting = value == '"'
    elif name == "escape" and value not in ("", '"'):
        raise UnsupportedError(f"{function}: escape = {value!r}; a quote inside quotes is written twice")
    elif name == "nullstr":
        out.null = _null_tokens(value, function)
    elif name == "names":
        out.names = tuple(_strings(name, value, function))
    elif name in ("columns", "types"):
        _take_types(out, name, value, function)
    elif name == "timestampformat":
        out.time_format = _text(name, value, function)
    elif name == "timezone":
        out.time_zone = _text(name, value, function)
    elif name == "format" and function == "read_json" and value not in JSON_LINES:
        raise UnsupportedError(f"{function}: format = {value!r}; only JSON lines are read, one object a line")
    elif name == "dateformat":
        out.date_format = _text(name, value, function)
    elif name == "sample_size":
        if type(value) is not int or value < -1 or value == 0:
            raise QueryError(f"{function}: sample_size = {value!r}; expected a number of records above 0")
        out.sample = SAMPLE_RECORDS if value == -1 else min(value, SAMPLE_RECORDS)
    elif name == "auto_detect" and value is not True:
        raise UnsupportedError(f"{function}: auto_detect = {value!r}; give columns = {{'a': 'BIGINT'}} instead")


def _take_types(out: RecordOptions, name: str, value: Any, function: str) -> None:
    pairs = _pairs(value)
    if pairs is None:
        out.positional = tuple(type_of(t, function) for t in _strings(name, value, function))
        return
    for column, kind in pairs:
        out.types[str(column)] = type_of(kind, function)
    if name == "columns":
        out.names = tuple(str(column) for column, _ in pairs)


def type_of(name: object, function: str) -> FieldType:
    """The field type that an SQL type name stands for."""
    words = str(name).upper().split("(")[0].split()
    found = TYPE_OF_NAME.get(words[0]) if words else None
    if found is None:
        raise UnsupportedError(
            f"{function}: type {name!r} of a column is not supported; there are BIGINT, DOUBLE, VARCHAR, BOOLEAN, "
            "TIMESTAMP, DATE and JSON"
        )
    return found


def _pairs(value: Any) -> list[tuple[Any, Any]] | None:
    if isinstance(value, Mapping):
        return list(value.items())
    items = list(value) if isinstance(value, list | tuple) else []
    if items and all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        return [(a, b) for a, b in items]
    return None


def _strings(name: str, value: Any, function: str) -> list[str]:
    items = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(item, str) for item in items):
        raise QueryError(f"{function}: {name} = {value!r}; expected texts")
    return items


def _text(name: str, value: Any, function: str) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{function}: {name} = {value!r}; expected a text")
    return value


def _truth(name: str, value: Any, function: str) -> bool:
    if value in (True, "true", 1):
        return True
    if value in (False, "false", 0):
        return False
    raise QueryError(f"{function}: {name} = {value!r}; expected true or false")


def _one_byte(value: Any, function: str) -> str:
    text = {"\\t": "\t", "tab": "\t"}.get(value, value) if isinstance(value, str) else value
    if not isinstance(text, str) or len(text.encode()) != 1 or text in '"\r\n\0':
        raise QueryError(f"{function}: delim = {value!r}; expected one byte that is no quote and no line end")
    return text


def _null_tokens(value: Any, function: str) -> tuple[bytes, ...]:
    tokens = tuple(item.encode() for item in _strings("nullstr", value, function) if item)
    if len(tokens) > NULL_TOKENS_MAX or any(len(token) > 24 for token in tokens):
        raise QueryError(f"{function}: nullstr = {value!r}; expected up to {NULL_TOKENS_MAX} texts of up to 24 bytes")
    return tokens
