"""HDF5 files that plain h5py reads: contiguous datasets made by root, filled in place by all ranks.

A table is a group (the root group when there is one table) with the attributes `columns` (names in order), `types`
(int64, double, bool, string, timestamp[us], date32[day], duration[us], null), `datasets` (where each column lies) and
`rows`. A column is a dataset of its name:

    int64, double      as they are; NULL holds 0
    bool               uint8, 0 or 1
    timestamp[us]      int64 microseconds since 1970-01-01 UTC, attribute unit = "us"
    date32[day]        int32 days since 1970-01-01, attribute unit = "days"
    duration[us]       int64 microseconds, attribute unit = "us"
    string             a group with `offsets` (int64, rows + 1) and `bytes` (uint8, UTF-8): row i is
                       bytes[offsets[i]:offsets[i + 1]]; NULL is empty

A column that has NULLs has a second dataset `<column>.valid` (uint8, 1 where there is a value). `/` and `%` in a
column name, and a final `.valid` that would be taken for that dataset, are written %2F, %25 and %2Evalid in the name
of its dataset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hpckit.errors import InputError
from hpckit.sinks.canonical import string_parts, validity_bytes, values_array
from hpckit.sinks.layout import Layout
from hpckit.sinks.scratch import pwrite_all
from hpckit.sinks.target import Target, output_errors

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool

UNITS = {"timestamp[us]": "us", "duration[us]": "us", "date32[day]": "days"}
DTYPES: dict[str, np.dtype] = {"bool": np.dtype("u1"), "double": np.dtype("<f8"), "date32[day]": np.dtype("<i4")}
INT64 = np.dtype("<i8")


def write(ctx: Context, spools: Mapping[str, Spool], target: Target, path: str) -> None:
    """Write the tables of all ranks to `path`, each to the group of its name ("" is the root group). Collective."""
    layouts = {}
    for name, spool in spools.items():
        statistics = spool.statistics()
        layouts[name] = Layout(ctx, statistics[:, 0], statistics[:, 1:])
    total_bytes = sum(_data_bytes(spool.schema, layouts[name].totals) for name, spool in spools.items())
    places: dict[str, list[dict[str, int | None]]] = {}
    with ctx.agreed(f"creating {target.path}"), output_errors(target.path, total_bytes, path):
        if ctx.is_root:
            places = _create(path, {n: (spool.schema, layouts[n].totals) for n, spool in spools.items()})
    places = ctx.bcast(places, root=0)
    with ctx.agreed(f"writing {target.path}"), output_errors(target.path, total_bytes, path):
        if ctx.is_root or any(spool.total_rows for spool in spools.values()):
            fd = os.open(path, os.O_WRONLY)
            try:
                for name, spool in spools.items():
                    _fill(fd, spool, layouts[name], places[name], first=ctx.is_root)
                os.fsync(fd)
            finally:
                os.close(fd)


def read(path: str | os.PathLike[str], group: str = "") -> pa.Table:
    """The table in `group` ("" is the root group) of a file that `write` made. Local."""
    import h5py

    with h5py.File(path, "r") as file:
        table = file[group] if group else file
        if "columns" not in table.attrs:
            raise InputError(f"{path}: group {group or '/'} has no attribute 'columns', so it is no table of hpckit")
        names = _texts(table.attrs["columns"])
        kinds = _texts(table.attrs["types"])
        places = _texts(table.attrs["datasets"])
        arrays = [_read_column(table, p, k) for p, k in zip(places, kinds, strict=True)]
    return pa.Table.from_arrays(arrays, names=names)


def _create(path: str, tables: Mapping[str, tuple[pa.Schema, np.ndarray]]) -> dict[str, list[dict[str, int | None]]]:
    """Make the file with all groups, attributes and empty datasets; returns the file offsets of each column's parts."""
    import h5py

    places = {}
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        for name, (schema, totals) in tables.items():
            group = file.create_group(name) if name else file
            datasets = dataset_names(schema.names)
            kinds = [str(field.type) for field in schema]
            for attribute, texts in (("columns", schema.names), ("types", kinds), ("datasets", datasets)):
                group.attrs.create(attribute, np.array(texts, object), (len(schema),), h5py.string_dtype())
            group.attrs["rows"] = np.int64(totals[0])
            columns = []
            for i, field in enumerate(schema):
                rows, nulls, strings = int(totals[0]), int(totals[1 + 2 * i]), int(totals[2 + 2 * i])
                columns.append(_create_column(group, datasets[i], str(field.type), rows, nulls, strings))
            places[name] = columns
        # Offsets are known once the space is allocated; the file is closed before anyone writes into it.
        return {n: [{k: _offset(d) for k, d in column.items()} for column in cs] for n, cs in places.items()}


def _data_bytes(schema: pa.Schema, totals: np.ndarray) -> int:
    """Size of all datasets of a table."""
    rows, nulls, strings = int(totals[0]), totals[1::2], int(totals[2::2].sum())
    widths = sum(DTYPES.get(str(field.type), INT64).itemsize for field in schema)
    return rows * (widths + int((nulls > 0).sum())) + strings


def _create_column(group: Any, name: str, kind: str, rows: int, nulls: int, strings: int) -> dict[str, Any]:
    """The datasets of a column: values, or offsets and bytes, and valid if it has NULLs."""
    parts = {}
    if kind == "string":
        inner = group.create_group(name)
        parts["offsets"] = _create_dataset(inner, "offsets", rows + 1, INT64)
        parts["bytes"] = _create_dataset(inner, "bytes", strings, np.dtype("u1"))
    else:
        parts["values"] = _create_dataset(group, name, rows, DTYPES.get(kind, INT64))
        if kind in UNITS:
            parts["values"].attrs["unit"] = UNITS[kind]
    if nulls:
        parts["valid"] = _create_dataset(group, name + ".valid", rows, np.dtype("u1"))
    return parts


def _create_dataset(group: Any, name: str, length: int, dtype: np.dtype) -> Any:
    """A contiguous dataset whose space is allocated now and not filled."""
    import h5py
    from h5py import h5d, h5p, h5s, h5t

    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    space = h5s.create_simple((length,))
    return h5py.Dataset(h5d.create(group.id, name.encode(), h5t.py_create(dtype), space, dcpl=creation))


def _offset(dataset: Any) -> int | None:
    """Where the dataset's bytes lie in the file; None when it has none."""
    return dataset.id.get_offset() if dataset.size else None


def dataset_names(columns: list[str]) -> list[str]:
    """The name of each column's dataset: what HDF5 would misread is written %XX, and all names differ."""
    names = []
    for column in columns:
        name = column.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
        if name.endswith(".valid"):
            name = name[: -len(".valid")] + "%2Evalid"
        if name in (".", ".."):
            name = name.replace(".", "%2E")
        names.append(name or "%")
    return names


def _fill(fd: int, spool: Spool, layout: Layout, places: list[dict[str, int | None]], first: bool) -> None:
    """Write this rank's rows at their places. Local. `first` writes the leading 0 of string offsets."""
    if first:
        for place in places:
            if "offsets" in place:
                _put(fd, place["offsets"], 0, np.zeros(1, INT64))
    for ordinal in spool.ordinals():
        start = layout.start(ordinal)
        row, string_starts = int(start[0]), start[2::2].tolist()
        for batch in spool.read(ordinal):
            for i, place in enumerate(places):
                string_starts[i] += _put_array(fd, place, batch.column(i), row, string_starts[i])
            row += batch.num_rows


def _put_array(fd: int, place: dict[str, int | None], array: pa.Array, row: int, byte: int) -> int:
    """Write one array from global row `row` and string byte `byte` on; returns the string bytes written."""
    if "valid" in place:
        _put(fd, place["valid"], row, validity_bytes(array))
    if "values" in place:
        _put(fd, place["values"], row, values_array(array))
        return 0
    offsets, data = string_parts(array)
    _put(fd, place["offsets"], row + 1, offsets[1:] + byte)
    _put(fd, place["bytes"], byte, data)
    return len(data)


def _put(fd: int, place: int | None, index: int, values: np.ndarray) -> None:
    """Write `values` from element `index` of the dataset at file offset `place` on."""
    if len(values):
        assert place is not None
        values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        pwrite_all(fd, values.view(np.uint8).data, place + index * values.itemsize)


def _read_column(table: Any, name: str, kind: str) -> pa.Array:
    valid = table[name + ".valid"][:] if name + ".valid" in table else None
    mask = None if valid is None else valid == 0
    if kind == "string":
        offsets, data = table[name]["offsets"][:], table[name]["bytes"][:]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        array = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers).cast(pa.string())
        return array if mask is None else pa.array(array.to_pylist(), pa.string(), mask=mask)
    values = table[name][:]
    if kind == "null":
        return pa.nulls(len(values))
    types = {"bool": pa.bool_(), "double": pa.float64(), "int64": pa.int64(), "date32[day]": pa.date32()}
    dtype = types.get(kind) or (pa.timestamp("us") if kind.startswith("timestamp") else pa.duration("us"))
    if kind == "bool":
        values = values.astype(bool)
    return pa.array(values, mask=mask).cast(dtype)


def _texts(values: Any) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else v for v in values]
