"""Parquet and Arrow IPC files: one file up to 1 GiB of raw data, beyond that a folder of parts; cut by rows alone.

A block has 2^20 rows (fewer when rows are wide, see blocks.block_rows) and is a row group, or a record batch. Up to
1 GiB root receives block after block and writes one file. Above, `x.parquet` is a folder of `part-00000.parquet`, …
with one block each, written by all ranks. Parquet is compressed with zstd, Arrow files are plain so that they can be
mapped.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hpckit.sinks.blocks import Regrouping
from hpckit.sinks.canonical import canonical_batch
from hpckit.sinks.target import Target, output_errors

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool

ONE_FILE_BYTES_MAX = 1 << 30


class BlockFile:
    """A Parquet or Arrow file that takes canonical blocks; `path` may exist, empty."""

    def __init__(self, kind: str, path: str, schema: pa.Schema) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._writer: Any = None
        try:
            if kind == "parquet":
                self._writer = pq.ParquetWriter(
                    self._file, schema, compression="zstd", compression_level=3, version="2.6", write_statistics=True
                )
            else:
                self._writer = pa.ipc.new_file(self._file, schema)
        except BaseException:
            self._file.close()
            raise
        self._is_parquet = kind == "parquet"

    def write(self, batch: pa.RecordBatch) -> None:
        """Add one row group (Parquet) or record batch (Arrow)."""
        if self._is_parquet:
            self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=max(1, batch.num_rows))
        else:
            self._writer.write_batch(batch)

    def close(self) -> None:
        """Write the footer and sync."""
        try:
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Let go of a file that will be removed."""
        if self._is_parquet:
            self._writer.is_open = False  # else it writes a footer when collected, and complains that it cannot
        with contextlib.suppress(OSError):  # what is still buffered need not arrive
            self._file.close()


def is_split(total_bytes: int) -> bool:
    """Whether a result of so many raw bytes becomes a folder of parts."""
    return total_bytes > ONE_FILE_BYTES_MAX


def write_one(ctx: Context, spool: Spool, target: Target, path: str, total_bytes: int) -> None:
    """One file at `path`, written by root. Collective."""
    blocks = Regrouping(ctx, spool, lambda block: 0)
    file: BlockFile | None = None
    try:
        with ctx.agreed(f"opening {target.path}"), output_errors(target.path):
            if ctx.is_root:
                file = BlockFile(target.kind, path, spool.schema)
        for received in blocks:
            with ctx.agreed(f"writing {target.path}"), output_errors(target.path, total_bytes, path):
                if received is not None and file is not None:
                    batch = canonical_batch(received[1])
                    del received  # a block is up to 128 MiB: as it came, it goes before it is encoded, …
                    file.write(batch)
                    del batch  # … and as it was written, before the next one comes
        with ctx.agreed(f"writing {target.path}"), output_errors(target.path, total_bytes, path):
            if file is not None:
                file.close()
                file = None
    finally:
        if file is not None:
            file.abandon()


def write_parts(ctx: Context, spool: Spool, target: Target, folder: str, total_bytes: int) -> None:
    """A part for each block in `folder`, written by all ranks. Collective."""
    blocks = Regrouping(ctx, spool, lambda block: block % ctx.size)
    for received in blocks:
        with ctx.agreed(f"writing {target.path}"), output_errors(target.path, total_bytes, folder):
            if received is not None:
                path = os.path.join(folder, f"part-{received[0]:05d}{target.ending}")
                batch = canonical_batch(received[1])
                del received  # as in write_one
                _write_part(target, path, batch)
                del batch


def _write_part(target: Target, path: str, batch: pa.RecordBatch) -> None:
    file = BlockFile(target.kind, path, batch.schema)
    try:
        file.write(batch)
        file.close()
    except BaseException:
        file.abandon()
        raise
