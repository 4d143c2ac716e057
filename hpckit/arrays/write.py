"""Arrays to .npy and HDF5: all ranks write one temporary file at their offsets, and it is renamed into place."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpckit.arrays.alike import alike
from hpckit.arrays.array import DistArray
from hpckit.errors import OutputError, UserError
from hpckit.sinks.scratch import pwrite_all
from hpckit.sinks.target import Pending, Target, output_errors

WRITE_BYTES = 64 << 20  # what is converted and written at a time


@alike()
def to_npy(x: DistArray, path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write `x` as a .npy file, each rank its block. Collective. The file is there whole or not at all.

    OutputError where it exists and `overwrite` is not set, does not end in .npy, or cannot be written.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": np.lib.format.dtype_to_descr(_stored(x.dtype)), "fortran_order": False, "shape": x.shape}
    )

    def create(temporary: str) -> list[int | None]:
        with open(temporary, "wb") as file:
            file.write(header.getvalue())
        return [len(header.getvalue())]

    _write([x], os.fspath(path), overwrite, create, ".npy")


@alike()
def to_hdf5(arrays: Mapping[str, DistArray], path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Write arrays as contiguous datasets of one HDF5 file: {"energy": x, "run/mass": y}. Collective; the file is there
    whole or not at all. OutputError where it exists and `overwrite` is not set, or cannot be written.

    datetime64 and timedelta64 are stored as int64 with the attribute `numpy_dtype`, by which from_hdf5 knows them.
    """
    if not arrays or not all(isinstance(x, DistArray) for x in arrays.values()):
        raise UserError("to_hdf5: expected a name and a distributed array for each dataset, e.g. {'energy': x}")
    facts = {name: (x.shape, x.dtype) for name, x in arrays.items()}
    _write(list(arrays.values()), os.fspath(path), overwrite, lambda temporary: _create(temporary, facts))


def _stored(dtype: np.dtype) -> np.dtype:
    """Little-endian, whatever the machine is."""
    return dtype.newbyteorder("<")


def _write(
    arrays: list[DistArray], path: str, overwrite: bool, create: Callable[[str], list[int | None]], ending: str = ""
) -> None:
    """Root makes a temporary file by `create`, which gives the offset of each array's data; all ranks fill it."""
    context = arrays[0].context
    needed = sum(x.nbytes for x in arrays)
    target = context.on_root(_checked, path, overwrite, ending)
    pending: Pending | None = None
    try:
        offsets: list[int | None] = []
        with context.agreed(f"creating {path}"), output_errors(target.path, needed):
            if context.is_root:
                pending = Pending(target, overwrite)
                offsets = create(pending.path)
        temporary, offsets = context.bcast((pending.path if pending else "", offsets))
        with context.agreed(f"writing {path}"), output_errors(target.path, needed, temporary):
            if any(len(x.local) for x in arrays):
                _fill(temporary, arrays, offsets)
        with context.agreed(f"committing {path}"):
            if pending is not None:
                pending.commit()
    finally:
        if pending is not None:
            pending.discard()


def _checked(path: str, overwrite: bool, ending: str) -> Target:
    """Refuse what would fail at the end. Local."""
    path = os.path.realpath(path) if os.path.islink(path) else path
    target = Target(path, "array", None, os.path.splitext(path)[1])
    if not os.path.basename(path) or os.path.isdir(path):
        raise OutputError(f"{path}: is a folder; expected the name of a file")
    if not os.path.isdir(target.folder):
        raise OutputError(f"{path}: the folder {target.folder} does not exist; make it first")
    if ending and target.ending.lower() != ending:
        raise OutputError(f"{path}: expected a name that ends in {ending}; for another kind of file there is to_hdf5")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; remove it, choose another name or give overwrite=True")
    return target


def _fill(temporary: str, arrays: list[DistArray], offsets: list[int | None]) -> None:
    """Write this rank's rows at their places. Local."""
    fd = os.open(temporary, os.O_WRONLY)
    try:
        for x, offset in zip(arrays, offsets, strict=True):
            data = x.local.reshape(-1)
            step = max(1, WRITE_BYTES // x.itemsize)
            for at in range(0, len(data), step):
                assert offset is not None
                part = data[at : at + step].astype(_stored(x.dtype), copy=False).view(np.uint8)
                pwrite_all(fd, part.data, offset + (x.start * x.row_size + at) * x.itemsize)
        os.fsync(fd)
    finally:
        os.close(fd)


def _create(path: str, facts: dict[str, tuple[tuple[int, ...], np.dtype]]) -> list[int | None]:
    """The file with empty contiguous datasets; returns where in the file each one's bytes lie, None for no bytes."""
    import h5py

    offsets: list[int | None] = []
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        for name, (shape, dtype) in facts.items():
            try:
                made = _dataset(file, name, shape, np.dtype(np.int64) if dtype.kind in "mM" else dtype)
            except (ValueError, TypeError, RuntimeError) as error:
                raise OutputError(f"{path}: dataset {name!r} of dtype {dtype} cannot be made: {error}") from None
            if dtype.kind in "mM":
                made.attrs["numpy_dtype"] = np.bytes_(dtype.str)
            offsets.append(made.id.get_offset() if made.size else None)
    return offsets


def _dataset(file: Any, name: str, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A contiguous dataset whose space is allocated now and not filled."""
    import h5py
    from h5py import h5d, h5p, h5s, h5t

    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    links = h5p.create(h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    kind = h5t.py_create(_stored(dtype), logical=True)
    return h5py.Dataset(h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape), creation, links))
