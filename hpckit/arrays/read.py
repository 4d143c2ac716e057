"""Arrays from .npy, HDF5 and Arrow: each rank reads its own block."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from hpckit.arrays import checks
from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.arrays.moving import canonical_starts, own_range
from hpckit.errors import InputError, UserError
from hpckit.spmd import world

if TYPE_CHECKING:
    import pyarrow as pa

    from hpckit.spmd.context import Context

_AS_TABLE = "read it as a table with hk.scan_hdf5"
READ_ROWS_BYTES = 64 << 20  # what is read of an HDF5 dataset at a time


@alike()
def from_npy(path: str | os.PathLike[str], context: Context | None = None) -> DistArray:
    """The array in a .npy file in canonical blocks, mapped into memory: pages are read when they are used, and changes
    stay in memory. Collective. InputError naming the file where it is missing, damaged or of another kind."""
    context = context or world()
    path = os.fspath(path)
    shape, dtype, fortran, offset = context.on_root(_npy_header, path)
    checks.supported(dtype, path)
    rank = context.rank
    starts = canonical_starts(shape[0], context.size)
    with context.agreed(f"mapping {path}"):
        try:
            order: Any = "F" if fortran else "C"
            whole = np.memmap(path, dtype, "c", offset, shape, order) if np.prod(shape) else np.empty(shape, dtype)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        local = checks.block(np.asarray(whole)[int(starts[rank]) : int(starts[rank + 1])], path)
    return DistArray(context, local, starts)


def _npy_header(path: str) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """(shape, dtype, whether in Fortran order, where the data begin). Local."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in readers:
                raise ValueError(f"version {version} of the format")
            shape, fortran, dtype = readers[version](file)
            offset = file.tell()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of a .npy file that all ranks can read") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no .npy file that can be read: {error}") from None
    if dtype.hasobject:
        raise UserError(f"{path}: dtype {dtype} is not supported: an array holds {checks.KINDS}; store numbers instead")
    if not shape:
        raise InputError(f"{path}: holds a scalar; expected an array of at least one dimension")
    needed = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if os.path.getsize(path) < needed:
        raise InputError(f"{path}: is cut off: {os.path.getsize(path):,} bytes, shape {shape} needs {needed:,}")
    return shape, dtype, fortran, offset


@alike()
def from_hdf5(path: str | os.PathLike[str], dataset: str, context: Context | None = None) -> DistArray:
    """A dataset of an HDF5 file in canonical blocks; each rank reads its rows. Collective.

    InputError for a missing file or dataset (naming those there are), UserError for dtypes that no array can hold. In
    tables written by hpckit, NULL becomes NaN, which integers do not have: those are a UserError.
    """
    context = context or world()
    path = os.fspath(path)
    shape, dtype, kind, nulls = context.on_root(_hdf5_facts, path, dataset)
    checks.supported(dtype, f"{path}, dataset {dataset!r}")
    begin, end = own_range(context, shape[0])
    with context.agreed(f"reading {path}"):
        local = _hdf5_rows(path, dataset, begin, end, (end - begin, *shape[1:]), dtype, nulls)
    return DistArray(context, local.view(kind), canonical_starts(shape[0], context.size))


def _open(path: str) -> Any:
    import h5py

    if not os.path.exists(path):
        raise InputError(f"{path}: no such file; give the path of an HDF5 file that all ranks can read")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path}: is not a readable HDF5 file: {error}") from None


def _hdf5_facts(path: str, dataset: str) -> tuple[tuple[int, ...], np.dtype, np.dtype, bool]:
    """(shape, stored dtype, dtype in memory, whether some values are NULL). Local."""
    import h5py

    with _open(path) as file:
        try:
            found = file[dataset]
        except (KeyError, ValueError):
            found = None
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{path}: has no dataset {dataset!r}; it has {_datasets(file)}")
        if not found.shape:
            raise InputError(f"{path}, dataset {dataset!r}: holds a scalar or nothing; expected at least one dimension")
        if found.dtype.kind == "O":
            raise UserError(f"{path}, dataset {dataset!r}: holds objects or text of any length; {_AS_TABLE}")
        shape, dtype = tuple(found.shape), found.dtype
        kind = np.dtype(found.attrs["numpy_dtype"]) if "numpy_dtype" in found.attrs else dtype.newbyteorder("=")
        nulls = f"{dataset}.valid" in file
    if nulls and dtype.kind != "f":
        raise UserError(f"{path}, dataset {dataset!r}: has NULLs, which {dtype} cannot hold; {_AS_TABLE}")
    return shape, dtype, kind, nulls


def _datasets(file: Any) -> str:
    """The names of the first datasets, for messages."""
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return ", ".join(map(repr, names[:10])) + (", …" if len(names) > 10 else "") or "none"


def _hdf5_rows(
    path: str, dataset: str, begin: int, end: int, shape: tuple[int, ...], dtype: np.dtype, nulls: bool
) -> np.ndarray:
    """Rows begin … end in native byte order. Local."""
    local = np.empty(shape, dtype.newbyteorder("="))
    step = max(1, READ_ROWS_BYTES // max(1, local[:1].nbytes or 1))
    with _open(path) as file:
        source = file[dataset]
        try:
            for at in range(begin, end, step):
                stop = min(at + step, end)
                if local[at - begin : stop - begin].size:
                    source.read_direct(local, np.s_[at:stop], np.s_[at - begin : stop - begin])
                if nulls:
                    local[at - begin : stop - begin][file[f"{dataset}.valid"][at:stop] == 0] = np.nan
        except OSError as error:
            raise InputError(f"{path}, dataset {dataset!r}, rows {begin} to {end}: cannot be read: {error}") from None
    return local


@alike(but=["data"])
def from_arrow(data: Any, column: str | None = None, context: Context | None = None) -> DistArray:
    """The array whose block on each rank is that rank's Arrow array, or `column` of its table or record batch (from
    `hk.scan_parquet(…).collect(to="local")`, say). Collective. No copy of one chunk of plain numbers.

    NULL becomes NaN; in integers, which have none, it is a UserError.
    """
    context = context or world()
    with context.agreed("taking an Arrow column"):
        place = f"column {column!r}" if column is not None else "Arrow array"
        local = _from_arrow(data, column, f"{place}, part of rank {context.rank}")
    return DistArray.from_local(local, context)


def _from_arrow(data: Any, column: str | None, place: str) -> np.ndarray:
    import pyarrow as pa

    if isinstance(data, pa.Table | pa.RecordBatch):
        if column is None and data.num_columns == 1:
            column = data.schema.names[0]
        if column not in data.schema.names:
            raise UserError(f"from_arrow: there is no column {column!r}; there are {', '.join(data.schema.names)}")
        data = data.column(column)
    if isinstance(data, pa.ChunkedArray):
        data = data.chunk(0) if data.num_chunks == 1 else data.combine_chunks()
    if not isinstance(data, pa.Array):
        raise UserError(f"from_arrow: {type(data).__name__}: expected an Arrow array, table or record batch")
    kind = data.type
    if not (pa.types.is_primitive(kind) or pa.types.is_fixed_size_binary(kind)) or pa.types.is_decimal(kind):
        raise UserError(f"{place}: type {kind} is not supported; cast it to numbers, or keep it in a table")
    if data.null_count and not pa.types.is_floating(kind):
        raise UserError(
            f"{place}: {data.null_count} NULLs, which {kind} cannot hold; fill or drop them, or cast to float64"
        )
    if pa.types.is_fixed_size_binary(kind):
        data = data.take(pa.array(np.arange(len(data))))  # its buffer begins with its first value then
        return np.frombuffer(data.buffers()[1] or b"", f"S{kind.byte_width}", len(data))
    return data.to_numpy(zero_copy_only=False)


def to_arrow(x: DistArray) -> pa.Array:
    """This rank's block as an Arrow array; 1-D arrays only. Local."""
    import pyarrow as pa

    if x.ndim != 1:
        raise UserError(f"to_arrow: an array of shape {x.shape}; expected one dimension: take columns x[:, i]")
    try:
        return pa.array(x.local)
    except pa.ArrowException as error:
        raise UserError(f"to_arrow: dtype {x.dtype}: {error}") from None
