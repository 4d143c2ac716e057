"""One file of a checkpoint: what it holds, written whole and hashed on the way, read whole or not believed.

Every file has the attributes of its name (kind, life, token, rank, generation, after, identity), `format`, `version`,
and the datasets

    meta              JSON text
    covers            int64, ascending: the units whose work this part contains
    supersedes        JSON text: the writers (life-token.rank) whose parts' content this part includes
    tables/<name>     see columns.py
    arrays/<name>     the array; dtypes that HDF5 has no like of (text, dates, records of them) as uint8 with one more
                      axis and the attribute numpy_dtype
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hpckit.checkpoint import columns, files
from hpckit.checkpoint.image import Image, InFile, LazyReader, Reader, Stream
from hpckit.checkpoint.names import VERSION, Entry
from hpckit.errors import InternalError
from hpckit.frozen import frozen
from hpckit.spmd.failpoints import fail_point

PIECE_BYTES = 1 << 20  # hashed and written at a time: large enough for the system, small enough for the cache
READ_BYTES = 256 << 10  # read and hashed at a time: what was just read lies in the core's own cache
BEGIN_SYNC_BYTES = 8 << 20  # the disk works on what is written, in shares of this size, while the rest is hashed
FORMAT = "hpckit checkpoint"


@frozen
class Part:
    """What one rank saves at a time.

    covers       ids of the units (input splits) whose work is contained
    supersedes   names of parts whose content this one includes (Store adds those that it handed out itself)
    meta         JSON
    tables       Arrow tables of any type
    arrays       NumPy arrays of fixed-size dtypes. Those of a run may be written as Stream, and are read as InFile
    name         of the file, on parts that were restored
    """

    covers: Collection[int] = ()
    supersedes: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, pa.Table] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def rows(self) -> int:
        """Rows of all tables and arrays."""
        arrays = [array.shape[0] for array in self.arrays.values() if array.shape]
        return sum(table.num_rows for table in self.tables.values()) + sum(arrays)


class DamagedError(Exception):
    """A file is not what its name says; the text says how. Never leaves this room."""


def write(folder: str, entry: Entry, part: Part, compression: str | None = None) -> Entry:
    """Write a file under a temporary name, sync it, give it its name, sync the folder. Local.

    Returns `entry` with size and digest. OSError if the system refuses; nothing is left then.
    """
    return _commit(folder, entry, lambda fd: _write_hashed(fd, _pieces(entry, part, compression)))


def _commit(folder: str, entry: Entry, fill: Callable[[int], tuple[int, str]]) -> Entry:
    """A file that `fill` writes, under its temporary name, then under its own."""
    temporary = os.path.join(folder, entry.temporary)
    fd = files.create(temporary)
    try:
        try:
            size, digest = fill(fd)
            fail_point("checkpoint.unsynced")
            files.sync(fd)
        finally:
            files.close(fd)
        done = replace(entry, size=size, digest=digest)
        files.rename(temporary, os.path.join(folder, done.name))
    except BaseException:
        with contextlib.suppress(OSError):
            files.remove(temporary)
        raise
    fail_point("checkpoint.renamed")
    files.sync_folder(folder)
    return done


def stage(folder: str, entry: Entry, part: Part) -> tuple[int, Entry]:
    """Write a file under its temporary name and leave it there, not synced: `settle` makes it one that counts. Local.

    Returns an open file of it, for `settle` and for reading, and `entry` with size and digest. OSError; nothing is left
    then.
    """
    temporary = os.path.join(folder, entry.temporary)
    fd = files.create(temporary)
    try:
        size, digest = _write_hashed(fd, _pieces(entry, part, None))
    except BaseException:
        files.close(fd)
        with contextlib.suppress(OSError):
            files.remove(temporary)
        raise
    return fd, replace(entry, size=size, digest=digest)


def settle(folder: str, fd: int, entry: Entry) -> None:
    """Sync a file that `stage` wrote and give it its name; the folder is left to be synced. Local. OSError."""
    files.sync(fd)
    fail_point("checkpoint.unnamed")
    files.rename(os.path.join(folder, entry.temporary), os.path.join(folder, entry.name))


def read(folder: str, entry: Entry) -> Part:
    """The content of a file, checked against its name. Local. DamagedError if it is not whole, or cannot be read."""
    if entry.kind == "run":
        return _read_run(folder, entry)
    try:
        data = read_verified(folder, entry)
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error
    reader = Reader(data)
    try:
        return _read_part(reader, entry)
    finally:
        reader.close()


def _read_run(folder: str, entry: Entry) -> Part:
    """As `read`, but arrays stay in the file."""
    reader = None
    try:
        read_verified(folder, entry, keep=False)
        reader = LazyReader(os.path.join(folder, entry.name))
        return _read_part(reader, entry)
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error
    finally:
        if reader is not None:
            reader.close()


def read_verified(folder: str, entry: Entry, keep: bool = True) -> np.ndarray:
    """The bytes (uint8) of a file whose size and digest are right; with keep=False an empty array, and no memory.

    Local. DamagedError; OSError if it cannot be read.
    """
    import xxhash

    path = os.path.join(folder, entry.name)
    size = files.size_of(path)
    if size != entry.size:
        raise DamagedError(f"is {size:,} bytes long, expected {entry.size:,}")
    data = np.empty(size if keep else min(size, READ_BYTES), np.uint8)
    digest = xxhash.xxh3_128()
    fd = files.open_to_read(path)
    try:
        done = 0
        while done < size:
            place = done if keep else 0
            piece = data[place : place + min(READ_BYTES, size - done)]
            count = files.read(fd, piece)
            if count <= 0:
                raise DamagedError(f"ends after {done:,} bytes, expected {size:,}")
            digest.update(piece[:count].data)
            done += count
    finally:
        files.close(fd)
    if digest.hexdigest() != entry.digest:
        raise DamagedError(f"has digest {digest.hexdigest()}, expected {entry.digest}")
    return data if keep else data[:0]


def head(folder: str, entry: Entry) -> tuple[int, frozenset[int]]:
    """(rows, units covered) of a large file, without reading the rest of it: its digest is not compared. Local.

    DamagedError if it has not the size that its name tells, or cannot be opened.
    """
    import h5py

    path = os.path.join(folder, entry.name)
    try:
        if files.size_of(path) != entry.size:
            raise DamagedError(f"is {files.size_of(path):,} bytes long, expected {entry.size:,}")
        with h5py.File(path, "r", locking=False) as file:
            return int(file.attrs["rows"]), frozenset(file["covers"][:].tolist())
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise DamagedError(f"cannot be read: {error}") from error


def copy(source: str, folder: str, entry: Entry) -> None:
    """Copy a file to another folder under the same name, whole or not at all. Local. DamagedError if it is not what its
    name says; OSError of the target."""
    try:
        data = read_verified(source, entry)
    except OSError as error:
        raise DamagedError(f"cannot be read: {error.strerror or error}") from error
    _commit(folder, entry, lambda fd: _write_hashed(fd, iter([data.data])))


def _write_hashed(fd: int, pieces: Iterator[memoryview]) -> tuple[int, str]:
    """Write all pieces; small ones are collected first. Returns (bytes, digest)."""
    import xxhash

    digest, size, small = xxhash.xxh3_128(), 0, bytearray()
    written = begun = 0

    def put(data: memoryview) -> None:
        nonlocal written, begun
        digest.update(data)
        files.write(fd, data)
        written += len(data)
        if written - begun >= BEGIN_SYNC_BYTES:
            files.begin_sync(fd, begun, written - begun)
            begun = written

    for piece in pieces:
        size += len(piece)
        if len(small) + len(piece) < PIECE_BYTES:
            small += piece
            continue
        if small:
            put(memoryview(small))
            small = bytearray()
        for start in range(0, len(piece), PIECE_BYTES):
            put(piece[start : start + PIECE_BYTES])
    if small:
        put(memoryview(small))
    return size, digest.hexdigest()


def _pieces(entry: Entry, part: Part, compression: str | None) -> Iterator[memoryview]:
    image = Image(compression)
    attributes = image.file.attrs
    attributes["format"], attributes["version"] = FORMAT, np.int64(VERSION)
    for name in ("kind", "token", "identity"):
        attributes[name] = getattr(entry, name)
    for name in ("life", "rank", "generation", "after"):
        attributes[name] = np.int64(getattr(entry, name))
    attributes["rows"] = np.int64(part.rows)
    _add_text(image, "meta", json.dumps(part.meta))
    _add_text(image, "supersedes", json.dumps(list(part.supersedes)))
    image.add(image.file, "covers", [np.array(sorted(part.covers), np.int64)])
    tables = image.file.create_group("tables")
    for name, table in zip(columns.group_names(list(part.tables)), part.tables.values(), strict=True):
        columns.add_table(image, tables.create_group(name), table)
    _add_text(image, "table_names", json.dumps(list(part.tables)))
    arrays = image.file.create_group("arrays")
    for name, array in zip(columns.group_names(list(part.arrays)), part.arrays.values(), strict=True):
        _add_array(image, arrays, name, array)
    _add_text(image, "array_names", json.dumps(list(part.arrays)))
    return image.pieces()


def _add_text(image: Image, name: str, text: str) -> None:
    """A text as a scalar dataset of fixed length."""
    image.add(image.file, name, [np.array([text.encode() + b"\n"])], shape=())


def _add_array(image: Image, group: Any, name: str, array: np.ndarray | Stream) -> None:
    if isinstance(array, Stream):
        image.add_stream(group, name, array)
        return
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise InternalError(
            f"array {name!r}: dtype {array.dtype} holds Python objects; expected values of a fixed size"
        )
    stored = np.ascontiguousarray(array).reshape(array.shape)
    if _is_like_hdf5(array.dtype):
        image.add(group, name, [stored], array.shape)
        return
    width = array.dtype.itemsize
    data = stored.reshape(-1).view(np.uint8) if array.size and width else np.zeros(0, np.uint8)
    dataset = image.add(group, name, [data], (*array.shape, width))
    dataset.attrs["numpy_dtype"] = repr(np.lib.format.dtype_to_descr(array.dtype))


def _is_like_hdf5(dtype: np.dtype) -> bool:
    """Whether HDF5 has a type of the same bytes that comes back as the same dtype."""
    from h5py import h5t

    if dtype.itemsize == 0 or (dtype.fields and not dtype.isnative):
        return False
    try:
        kind = h5t.py_create(dtype, logical=True)
    except (TypeError, ValueError):
        return False
    return kind.get_size() == dtype.itemsize and kind.dtype == dtype and kind.dtype.str == dtype.str


def _read_part(reader: Reader, entry: Entry) -> Part:
    file = reader.file
    for name in ("kind", "life", "token", "rank", "generation", "after", "identity"):
        if file.attrs[name] != getattr(entry, name):
            raise DamagedError(f"says {name} {file.attrs[name]!r}, its name says {getattr(entry, name)!r}")
    tables, arrays = json.loads(file["table_names"][()]), json.loads(file["array_names"][()])
    return Part(
        covers=frozenset(reader.get(file["covers"]).tolist()),
        supersedes=tuple(json.loads(file["supersedes"][()])),
        meta=json.loads(file["meta"][()]),
        tables={
            name: columns.read_table(reader, file["tables"][group])
            for name, group in zip(tables, columns.group_names(tables), strict=True)
        },
        arrays={
            name: _read_array(reader, file["arrays"][group])
            for name, group in zip(arrays, columns.group_names(arrays), strict=True)
        },
        name=entry.name,
    )


def _read_array(reader: Reader, dataset: Any) -> np.ndarray | InFile:
    values = reader.array(dataset)
    if "numpy_dtype" not in dataset.attrs or isinstance(values, InFile):
        return values
    descr = ast.literal_eval(dataset.attrs["numpy_dtype"])
    dtype = np.lib.format.descr_to_dtype(descr)
    shape = values.shape[:-1]
    if 0 in values.shape:
        return np.empty(shape, dtype)
    return np.ascontiguousarray(values).reshape(-1).view(dtype).reshape(shape)
