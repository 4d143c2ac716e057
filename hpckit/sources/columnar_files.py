"""Pieces of columnar files: row groups of Parquet, record batches of Arrow IPC files and streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hpckit.errors import InputError

BATCH_ROWS = 65_536
ARROW_MAGIC = b"ARROW1"
DICTIONARY_VALUE_BYTES = 4  # a text column that needs no more bytes a value repeats itself


class Pieces(Protocol):
    """An opened columnar file; a context manager."""

    schema: pa.Schema

    def sizes(self) -> list[tuple[int, int]]:
        """(rows, weight) of each piece."""
        ...

    def coded(self) -> frozenset[str]:
        """Text columns that are stored as a dictionary with few entries."""
        ...

    def bounds(self, piece: int, name: str) -> tuple[Any, Any, int | None, int] | None:
        """(least, greatest, NULLs, rows) of a column in a piece, as far as known; see arrow_atoms.ruled_out."""
        ...

    def read(self, piece: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of a piece with the columns `names`."""
        ...

    def close(self) -> None: ...


class _Closing(ABC):
    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""


class ParquetPieces(_Closing):
    """A Parquet file; `coded` columns are read as dictionaries."""

    def __init__(self, path: str, coded: Sequence[str] = ()) -> None:
        try:
            self._file = pq.ParquetFile(path, read_dictionary=list(coded) or None, memory_map=False, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: is not a readable Parquet file: {error}") from None
        self.schema = self._file.schema_arrow
        self._leaves: dict[str, int] = {}
        for i in range(self._file.metadata.num_columns):
            column = self._file.schema.column(i)
            if column.path == column.name:  # not inside a struct or list
                self._leaves[column.name] = i

    def sizes(self) -> list[tuple[int, int]]:
        metadata = self._file.metadata
        groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
        return [(group.num_rows, group.total_byte_size) for group in groups]

    def coded(self) -> frozenset[str]:
        if not self._file.metadata.num_row_groups:
            return frozenset()
        group = self._file.metadata.row_group(0)
        chunks = {name: group.column(i) for name, i in self._leaves.items()}
        return frozenset(
            name
            for name, chunk in chunks.items()
            if any("DICTIONARY" in encoding for encoding in chunk.encodings)
            and chunk.total_uncompressed_size <= DICTIONARY_VALUE_BYTES * chunk.num_values + (64 << 10)
        )

    def bounds(self, piece: int, name: str) -> tuple[Any, Any, int | None, int] | None:
        leaf = self._leaves.get(name)
        if leaf is None:
            return None
        group = self._file.metadata.row_group(piece)
        chunk = group.column(leaf)
        statistics = chunk.statistics if chunk.is_stats_set else None
        if statistics is None:
            return None
        nulls = statistics.null_count if statistics.has_null_count else None
        low, high = self._extremes(name, statistics) if statistics.has_min_max else (None, None)
        return low, high, nulls, group.num_rows

    def _extremes(self, name: str, statistics: Any) -> tuple[Any, Any]:
        """Statistics as atoms spell values, for the types whose order is the same in Parquet; else (None, None)."""
        kind = self.schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_signed_integer(kind):
            return statistics.min_raw, statistics.max_raw
        if pa.types.is_float32(kind) or pa.types.is_float64(kind):
            return float(statistics.min_raw), float(statistics.max_raw)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            low, high = statistics.min_raw, statistics.max_raw
            return (low, high) if isinstance(low, bytes) else (low.encode(), high.encode())
        if pa.types.is_timestamp(kind) and type(statistics.min_raw) is int:
            unit = str(statistics.logical_type).lower()
            low, high = statistics.min_raw, statistics.max_raw
            if "microseconds" in unit:
                return low, high
            if "milliseconds" in unit:
                return low * 1000, high * 1000
            if "nanoseconds" in unit:
                return low // 1000, high // 1000
        return None, None

    def read(self, piece: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if not names:  # iter_batches without columns says nothing of rows
            rows = self._file.metadata.row_group(piece).num_rows
            for start in range(0, rows, BATCH_ROWS):
                yield _no_columns(min(BATCH_ROWS, rows - start))
            return
        yield from self._file.iter_batches(BATCH_ROWS, row_groups=[piece], columns=list(names), use_threads=False)

    def close(self) -> None:
        self._file.close()


class ArrowPieces(_Closing):
    """An Arrow IPC file, mapped; or a stream, which is one piece."""

    def __init__(self, path: str, coded: Sequence[str] = ()) -> None:
        self._path = path
        try:
            self._map = pa.memory_map(path)
            self._is_file = self._map.read(len(ARROW_MAGIC)) == ARROW_MAGIC
            self._map.seek(0)
            self.schema = self._open(None).schema
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: is not a readable Arrow file: {error}") from None

    def _open(self, names: Sequence[str] | None) -> Any:
        self._map.seek(0)
        if not self._is_file:
            return pa.ipc.open_stream(self._map)
        fields = None if names is None else [self.schema.get_field_index(name) for name in names]
        return pa.ipc.open_file(self._map, options=pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False))

    def sizes(self) -> list[tuple[int, int]]:
        try:
            if self._is_file:
                reader = self._open([])
                rows = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
            else:
                rows = [sum(batch.num_rows for batch in self._open(None))]
            return [(n, n) for n in rows]
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self._path}: is not a readable Arrow file: {error}") from None

    def coded(self) -> frozenset[str]:
        return frozenset(f.name for f in self.schema if pa.types.is_dictionary(f.type))

    def bounds(self, piece: int, name: str) -> None:
        return None

    def read(self, piece: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self._is_file:
            batch = self._open(names).get_batch(piece)
            yield batch if names else _no_columns(batch.num_rows)
            return
        for batch in self._open(None):
            yield batch.select(list(names)) if names else _no_columns(batch.num_rows)

    def close(self) -> None:
        self._map.close()


def _no_columns(rows: int) -> pa.RecordBatch:
    """`rows` rows of nothing, for count(*)."""
    return pa.record_batch([pa.nulls(rows)], names=[""])
