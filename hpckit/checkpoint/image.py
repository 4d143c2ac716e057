"""HDF5 files whose data never pass through HDF5: its library lays out the file, we write and read the bytes.

To write, HDF5 makes the file in an object that keeps its few metadata and nothing else, with contiguous datasets whose
space is allocated and not filled. The file is then written from front to back in large pieces, metadata and the
arrays' own memory as they come, and hashed on the way. To read, the whole file is read into one buffer and its digest
compared before HDF5 sees a byte; datasets are then views of that buffer.
"""

from __future__ import annotations

import io
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGNMENT = 64  # of datasets, so that what is read can be used where it lies
ALIGNED_FROM_BYTES = 512
WORD_BYTES = 8  # what compiled code counts on
CHUNK_BYTES = 1 << 20  # of compressed datasets


@dataclass
class Stream:
    """An array that is made while it is written: `chunks` are its rows one after another, each used before the next is
    asked for. `offset`: where its first byte lies in the file, once that is laid out."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: Iterable[np.ndarray]
    offset: int = -1

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class InFile:
    """An array that was left where it lies, in a file that was found whole: `offset` bytes from its start."""

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """The whole array. Local. OSError."""
        return np.fromfile(self.path, self.dtype, math.prod(self.shape), offset=self.offset).reshape(self.shape)


class _Metadata(io.RawIOBase):
    """The file that HDF5 writes: its pieces by offset, and how long the file is."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.end = 0
        self._place = 0

    def seekable(self) -> bool:
        return True

    readable = writable = seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.end}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None) -> int:
        self.end = self._place if size is None else size
        return self.end

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self.pieces.append((self._place, piece))
        self._place += len(piece)
        self.end = max(self.end, self._place)
        return len(piece)

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        view[:] = self.parts([(self._place, self._place + len(view))])[0]
        self._place += len(view)
        return len(view)

    def parts(self, ranges: list[tuple[int, int]]) -> list[bytearray]:
        """The bytes of ascending ranges as last written, zero where nothing was."""
        out = [bytearray(stop - start) for start, stop in ranges]
        stops = [stop for _, stop in ranges]
        for offset, piece in self.pieces:
            number = bisect_right(stops, offset)
            while number < len(ranges) and ranges[number][0] < offset + len(piece):
                start, stop = ranges[number]
                begin, end = max(offset, start), min(offset + len(piece), stop)
                out[number][begin - start : end - start] = piece[begin - offset : end - offset]
                number += 1
        return out


class Image:
    """An HDF5 file to be: make groups and attributes in `file` with h5py, datasets with `add`, then write `pieces`."""

    def __init__(self, compression: str | None = None) -> None:
        """`compression`: None, "gzip" or "lzf" for all datasets that have rows."""
        import h5py

        self._metadata = _Metadata()
        self.file = h5py.File(
            self._metadata, "w", libver=("v108", "v110"),
            alignment_threshold=ALIGNED_FROM_BYTES, alignment_interval=ALIGNMENT,
        )  # fmt: skip
        self._compression = compression
        self._data: list[tuple[int, int, Iterable[np.ndarray]]] = []  # (offset, bytes, the arrays)

    def add(self, group: Any, name: str, parts: Sequence[np.ndarray], shape: tuple[int, ...] | None = None) -> Any:
        """A dataset that holds `parts` (C-contiguous, of one dtype) one after another; `shape` if it is not their
        common length. The arrays must stay as they are until `pieces` has been used up."""
        import h5py

        if shape is None:
            shape = (sum(len(part) for part in parts), *parts[0].shape[1:])
        if self._compression and shape and 0 not in shape:
            return self._add_compressed(group, name, parts, shape)
        dataset = self._contiguous(group, name, parts[0].dtype, shape)
        if 0 not in shape:
            raw = [_raw(part) for part in parts if part.size]
            self._data.append((dataset.get_offset(), sum(len(part) for part in raw), raw))
        return h5py.Dataset(dataset)

    def add_stream(self, group: Any, name: str, stream: Stream) -> None:
        """A dataset, never compressed, whose values are asked for when the file is written."""
        dataset = self._contiguous(group, name, stream.dtype, stream.shape)
        if stream.nbytes:
            stream.offset = dataset.get_offset()
            self._data.append((stream.offset, stream.nbytes, (_raw(chunk) for chunk in stream.chunks)))

    @staticmethod
    def _contiguous(group: Any, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
        """An h5py DatasetID with its space allocated."""
        from h5py import h5d, h5p, h5s, h5t

        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_layout(h5d.CONTIGUOUS)
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5d.FILL_TIME_NEVER)
        creation.set_obj_track_times(False)
        space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
        return h5d.create(group.id, name.encode(), h5t.py_create(dtype, logical=True), space, dcpl=creation)

    def _add_compressed(self, group: Any, name: str, parts: Sequence[np.ndarray], shape: tuple[int, ...]) -> Any:
        row_bytes = max(1, parts[0].dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64)))
        rows = min(shape[0], max(1, CHUNK_BYTES // row_bytes))
        dataset = group.create_dataset(
            name, shape, parts[0].dtype, chunks=(rows, *shape[1:]), compression=self._compression,
            compression_opts=1 if self._compression == "gzip" else None, shuffle=True,
        )  # fmt: skip
        start = 0
        for part in parts:
            part = part.reshape(-1, *shape[1:])
            dataset[start : start + len(part)] = part
            start += len(part)
        return dataset

    def pieces(self) -> Iterator[memoryview]:
        """The bytes of the file from front to back. Ends the making of it."""
        self.file.close()
        data = sorted(self._data, key=lambda item: item[0])
        between, at = [], 0
        for offset, size, _ in data:
            between.append((at, offset))
            at = offset + size
        rest = self._metadata.parts([*between, (at, self._metadata.end)])
        for metadata, (_, _, arrays) in zip(rest, data, strict=False):
            yield memoryview(metadata)
            yield from (array.data for array in arrays)
        yield memoryview(rest[-1])


class _Buffer(io.RawIOBase):
    """A buffer as the file that HDF5 reads."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = data
        self._place = 0

    def seekable(self) -> bool:
        return True

    readable = seekable

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: len(self._data)}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, into: Any) -> int:
        view = memoryview(into).cast("B")
        found = self._data[self._place : self._place + len(view)]
        view[: len(found)] = found.data
        self._place += len(found)
        return len(found)


class Reader:
    """The datasets of an HDF5 file that lies in memory (uint8) and whose digest is right."""

    def __init__(self, data: np.ndarray) -> None:
        import h5py

        self._data = data
        self.file = h5py.File(_Buffer(data), "r")

    def close(self) -> None:
        """The views that `get` gave stay good."""
        self.file.close()

    def get(self, dataset: Any) -> np.ndarray:
        """The values of a dataset, a view of the buffer unless they are compressed."""
        place = dataset.id.get_offset() if dataset.chunks is None else None
        shape, dtype = dataset.shape, dataset.dtype
        if place is None or 0 in shape:
            return np.asarray(dataset[()])
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        data = self._data[place : place + size]
        if place % WORD_BYTES:  # small ones are not aligned in the file
            data = data.copy()
        return data.view(dtype).reshape(shape)

    def array(self, dataset: Any) -> np.ndarray | InFile:
        """One of the arrays of a part."""
        return self.get(dataset)


class LazyReader(Reader):
    """The datasets of a file that was found whole; arrays are left there."""

    def __init__(self, path: str) -> None:
        import h5py

        self._path = path
        self.file = h5py.File(path, "r", locking=False)

    def get(self, dataset: Any) -> np.ndarray:
        """The values of a dataset."""
        return np.asarray(dataset[()])

    def array(self, dataset: Any) -> InFile:
        """Where the values of a contiguous dataset with rows lie."""
        return InFile(self._path, dataset.id.get_offset(), dataset.shape, dataset.dtype)


def _raw(array: np.ndarray) -> np.ndarray:
    """The memory of a C-contiguous array as bytes."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
