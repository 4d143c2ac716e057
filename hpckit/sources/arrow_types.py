"""Arrow columns of any origin in the engine's types: int64, float64, bool, string, timestamp, date, duration."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import InputError, UnsupportedError
from hpckit.tables.types import BOOL, DATE, FLOAT, INT, INTERVAL, STRING, TIMESTAMP


def engine_type(kind: pa.DataType, place: str) -> pa.DataType:
    """The type a column of Arrow type `kind` is read as; UnsupportedError naming `place` if there is none.

    Decimals are read as float64, times of day, bytes (which must be UTF-8) and NULL columns as text, lists, structs and
    maps as JSON text.
    """
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return engine_type(kind.storage_type, place)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return engine_type(kind.value_type, place)
    if types.is_boolean(kind):
        return BOOL
    if types.is_integer(kind):
        return INT
    if types.is_floating(kind) or types.is_decimal(kind):
        return FLOAT
    if types.is_timestamp(kind):
        return TIMESTAMP
    if types.is_date(kind):
        return DATE
    if types.is_duration(kind):
        return INTERVAL
    if is_text(kind) or types.is_time(kind) or types.is_null(kind) or types.is_nested(kind):
        return STRING
    raise UnsupportedError(f"{place}: type {kind} is not supported; select other columns or convert it beforehand")


def is_text(kind: pa.DataType) -> bool:
    """Whether values of the type are bytes."""
    types = pa.types
    return (
        types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
        or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )  # fmt: skip


def to_engine(array: pa.Array, place: str) -> pa.Array:
    """`array` with the type that `engine_type` names. Values that do not fit raise InputError naming `place`."""
    types = pa.types
    if isinstance(array.type, pa.BaseExtensionType):
        array = array.storage
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    kind, wanted = array.type, engine_type(array.type, place)
    if kind == wanted:
        return array
    if types.is_nested(kind):
        return pa.array([None if v is None else json_text(v) for v in array.to_pylist()], STRING)
    try:
        if types.is_timestamp(kind) or types.is_date(kind) or types.is_duration(kind):
            return _to_time(array, wanted)
        if types.is_decimal(kind) or types.is_float16(kind):
            return array.cast(FLOAT, safe=False)
        if types.is_fixed_size_binary(kind):
            array = array.cast(pa.binary())
        return array.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        if is_text(kind):
            raise InputError(
                f"{place}: bytes (type {kind}) that are no UTF-8 text, which tables hold; leave the column out, "
                "or store it as hexadecimal digits"
            ) from None
        raise InputError(f"{place}: a value of type {kind} does not fit {wanted}: {error}") from None


def _to_time(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Instants in UTC microseconds: what is finer is cut off, what does not fit is an error."""
    if pa.types.is_timestamp(array.type) and array.type.tz is not None:
        array = array.cast(pa.timestamp(array.type.unit))  # the same instant: Arrow keeps UTC
    if pa.types.is_date(array.type) or array.type.unit != "ns":
        return array.cast(wanted)
    nanoseconds = array.cast(pa.int64())
    whole = pc.divide(nanoseconds, 1000)
    before = pc.and_(pc.less(nanoseconds, 0), pc.not_equal(pc.multiply(whole, 1000), nanoseconds))
    return pc.subtract(whole, before.cast(pa.int64())).cast(wanted)


def json_text(value: Any) -> str:
    """A nested value as JSON; what JSON has no form for as its text."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):  # a map
            return {str(key): _plain(item) for key, item in value}
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
