"""Which columns an HDF5 group or dataset has, and how a range of rows of each is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hpckit.errors import InputError, UnsupportedError

LISTED_MAX = 20
WIDTH_MAX = 4096  # columns that a 2-D dataset or an array in a compound type may become
OWN_ATTRIBUTES = ("columns", "types", "datasets")
OWN_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(), "int64": pa.int64(), "double": pa.float64(), "string": pa.string(), "null": pa.string(),
    "timestamp[us]": pa.timestamp("us"), "date32[day]": pa.date32(), "duration[us]": pa.duration("us"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnPlace:
    """Where a column lies: a dataset, in it a member of a compound type or a column of a 2-D array.

    own   the type that hpckit's own layout names ("" for files of others)
    """

    name: str
    path: str
    type: pa.DataType
    member: str = ""
    place: int = -1
    own: str = ""


def find_columns(file: Any, path: str, dataset: str) -> tuple[list[ColumnPlace], int]:
    """(columns, rows) of the table `dataset` ("" is the root group) of an open HDF5 file; InputError if it is none."""
    import h5py

    thing = file.get(dataset) if dataset else file["/"]
    if thing is None:
        raise InputError(f"{path}: no dataset or group {dataset!r}; there are {contents(file)}")
    if isinstance(thing, h5py.Group):
        if all(name in thing.attrs for name in OWN_ATTRIBUTES):
            return _own_table(thing)
        datasets = {name: item for name, item in thing.items() if isinstance(item, h5py.Dataset)}
        columns = {name: item for name, item in datasets.items() if item.ndim == 1 and item.dtype.names is None}
        if len(datasets) == 1:
            return _one_dataset(next(iter(datasets.values())), path)
        if not columns:
            raise InputError(f"{path}: {dataset or '/'} has no 1-D datasets to be columns; there are {contents(file)}")
        return _group(columns, path)
    return _one_dataset(thing, path)


def contents(file: Any) -> str:
    """The datasets of a file with their shapes, for messages."""
    import h5py

    found: list[str] = []

    def note(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            found.append(f"/{name} {item.shape}")
        return True if len(found) > LISTED_MAX else None

    file.visititems(note)
    listed = ", ".join(found[:LISTED_MAX]) + (", …" if len(found) > LISTED_MAX else "")
    return listed or "no datasets"


def _own_table(group: Any) -> tuple[list[ColumnPlace], int]:
    names, kinds, datasets = ([_text(v) for v in group.attrs[name]] for name in OWN_ATTRIBUTES)
    columns = []
    for name, kind, dataset in zip(names, kinds, datasets, strict=True):
        if kind not in OWN_TYPES:
            raise UnsupportedError(f"{group.file.filename}: column {name!r} has type {kind!r}, which is not known")
        columns.append(ColumnPlace(name, f"{group.name.rstrip('/')}/{dataset}", OWN_TYPES[kind], own=kind))
    return columns, int(group.attrs["rows"])


def _group(datasets: dict[str, Any], path: str) -> tuple[list[ColumnPlace], int]:
    first, rows = next((name, len(item)) for name, item in datasets.items())
    for name, item in datasets.items():
        if len(item) != rows:
            raise InputError(
                f"{path}: dataset {name!r} has {len(item)} rows, {first!r} has {rows}; the columns of a table are "
                f"equally long; dataset = '{item.name}' reads one of them"
            )
    return [ColumnPlace(name, item.name, _type(item.dtype, path, name)) for name, item in datasets.items()], rows


def _one_dataset(dataset: Any, path: str) -> tuple[list[ColumnPlace], int]:
    name, dtype = dataset.name, dataset.dtype
    if dataset.ndim == 1 and dtype.names is not None:
        columns = []
        for member in dtype.names:
            columns += _member(dtype[member], name, path, member)
        return columns, len(dataset)
    if dataset.ndim == 1:
        return [ColumnPlace("value", name, _type(dtype, path, name))], len(dataset)
    if dataset.ndim == 2 and dtype.names is None and 0 < dataset.shape[1] <= WIDTH_MAX:
        kind = _type(dtype, path, name)
        return [ColumnPlace(f"c{i}", name, kind, place=i) for i in range(dataset.shape[1])], len(dataset)
    raise InputError(
        f"{path}: dataset {name} has shape {dataset.shape} and type {dtype}; a table is 1-D, or 2-D with at most "
        f"{WIDTH_MAX} columns"
    )


def _member(dtype: np.dtype, path: str, file: str, member: str) -> list[ColumnPlace]:
    """A member of a compound type; one that is an array becomes a column for each element."""
    if dtype.subdtype is None:
        return [ColumnPlace(member, path, _type(dtype, file, member), member=member)]
    base, shape = dtype.subdtype
    if len(shape) != 1 or shape[0] > WIDTH_MAX:
        raise UnsupportedError(f"{file}: member {member!r} of {path} has shape {shape}; only 1-D is supported")
    kind = _type(base, file, member)
    return [ColumnPlace(f"{member}_{i}", path, kind, member=member, place=i) for i in range(shape[0])]


def _type(dtype: np.dtype, path: str, name: str) -> pa.DataType:
    import h5py

    if h5py.check_string_dtype(dtype) is not None or dtype.kind == "S":
        return pa.string()
    types = {"b": pa.bool_(), "i": pa.int64(), "u": pa.int64(), "f": pa.float64(), "M": pa.timestamp("us")}
    if dtype.kind not in types or dtype.itemsize > 8:
        raise UnsupportedError(f"{path}: dataset {name!r} has type {dtype}, which cannot be a column")
    return types[dtype.kind]


Cut = Callable[[Any, int, int], np.ndarray]


def read_rows(file: Any, column: ColumnPlace, start: int, stop: int, cut: Cut) -> pa.Array:
    """Rows start..stop of a column; `cut` reads them from a dataset, so that columns of one share the reading."""
    if column.own:
        return _read_own(file, column, start, stop)
    values = cut(file[column.path], start, stop)
    if column.member:
        values = values[column.member]
    if column.place >= 0:
        values = values[:, column.place]
    if column.type == pa.string():
        return _texts(values, column)
    values = np.ascontiguousarray(values)
    if values.dtype.kind == "u" and values.dtype.itemsize == 8 and len(values) and int(values.max()) > 2**63 - 1:
        raise InputError(f"{file.filename}: {column.path}: {values.max()} does not fit a signed integer of 64 bits")
    if column.type == pa.timestamp("us"):
        return pa.array(values.astype("M8[us]"))
    return pa.array(values.astype(column.type.to_pandas_dtype()))


def _texts(values: np.ndarray, column: ColumnPlace) -> pa.Array:
    """Fixed-width and variable-length strings; they must be UTF-8."""
    texts = [v if isinstance(v, bytes) else str(v).encode() for v in values.tolist()]
    try:
        return pa.array(texts, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid as error:
        raise InputError(f"{column.path}: a text is not UTF-8: {error}") from None


def _read_own(file: Any, column: ColumnPlace, start: int, stop: int) -> pa.Array:
    """A column of the layout that hpckit writes (hpckit/sinks/hdf5.py)."""
    if column.own == "null":
        return pa.nulls(stop - start, pa.string())
    valid = file[column.path + ".valid"][start:stop] != 0 if column.path + ".valid" in file else None
    if column.own == "string":
        return _own_strings(file[column.path], start, stop, valid)
    values = file[column.path][start:stop]
    mask = None if valid is None else ~valid
    if column.own == "bool":
        return pa.array(values.astype(bool), mask=mask)
    storage = pa.int32() if column.own == "date32[day]" else pa.float64() if column.own == "double" else pa.int64()
    return pa.array(values, storage, mask=mask).view(column.type)


def _own_strings(group: Any, start: int, stop: int, valid: np.ndarray | None) -> pa.Array:
    offsets = group["offsets"][start : stop + 1]
    data = group["bytes"][int(offsets[0]) : int(offsets[-1])]
    bits = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    buffers = [bits, pa.py_buffer(np.ascontiguousarray(offsets - offsets[0])), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), stop - start, buffers).cast(pa.string())


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
