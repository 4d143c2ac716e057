"""Sorting a source into a file: every table source and sink, stable, in memory or by way of scratch disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpckit.errors import QueryError
from hpckit.sinks import check_targets, write
from hpckit.sinks.scratch import scratch_folder
from hpckit.sorting.columns import Key, as_keys
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.sources.counts import LineCounts
from hpckit.sources.open import open_source
from hpckit.tables.execute import Outcome, run_plans
from hpckit.tables.expr import Column
from hpckit.tables.options import CHECKPOINT_EVERY_S, RunOptions
from hpckit.tables.plan import Plan, Sort, SortKey, Source
from hpckit.tables.shared_scan import with_hidden

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SortBy = Sequence[Key | tuple[str, bool, bool] | str]


@dataclass(frozen=True, slots=True)
class Sorted:
    """What sort_source did, on all ranks together: rows written, and how the source was read."""

    rows: int
    counts: LineCounts


def sort_source(
    ctx: Context,
    source: Source,
    keys: SortBy,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    memory_bytes: int | None = None,
    scratch: Path | str | None = None,
    read: ReadOptions | None = None,
    hidden: bool = False,
    progress: bool = False,
    opened: OpenSource | None = None,
    rejects: str | os.PathLike[str] | None = None,
    accept: Callable[[LineCounts], None] | None = None,
    checkpoint: str | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    checkpoint_local: str | None = None,
) -> Sorted:
    """Write the rows of `source` to `output` in the order of `keys`; ties keep the order of the input. Collective.

    keys      columns: Key objects, (name, descending, nulls_first) or plain names (ascending, NULL last)
    output    goes by its ending, see hpckit.sinks.write; the bytes are the same at any number of ranks
    scratch   folder for what does not fit `memory_bytes` a rank (default: $SLURM_TMPDIR, $TMPDIR or /tmp)
    hidden    write the columns _file, _offset and _raw too
    opened    the source if it is open already (the same on all ranks)
    rejects   a file for the rejected records of text sources
    checkpoint  folder where what was read is saved now and then; the same call goes on from there
    accept    called with the counts of all ranks before anything is written; may raise (on all ranks alike)

    Errors, on all ranks: QueryError for a column that is not there or has no order, OutputError for an output that
    exists, cannot be written, or a full scratch disk.
    """
    read = ReadOptions() if read is None else read
    if opened is None:
        opened = ctx.on_root(open_source, source, read)
    outputs = [os.fspath(output), None if rejects is None else os.fspath(rejects)]
    ctx.on_root(check_targets, outputs, overwrite)
    everything = with_hidden(opened.schema)
    with ctx.agreed("checking the sort keys"):
        named = [(key, False, False) if isinstance(key, str) else key for key in keys]
        if not named:
            raise QueryError("sort: no column to sort by; name at least one with --by")
        wanted = as_keys(named, everything)  # type: ignore[arg-type]
    columns = everything if hidden else opened.schema
    sort = Sort(tuple(SortKey(Column(key.name), key.descending, key.nulls_first) for key in wanted), by_bits=True)
    folder = scratch_folder(scratch)
    options = RunOptions(read, memory_bytes, folder, progress, checkpoint, checkpoint_every_s, checkpoint_local)

    def deliver(outcome: Outcome) -> Sorted:
        replace, resumable = overwrite or outcome.again, checkpoint is not None
        try:
            if accept is not None:
                accept(outcome.counts)
            with ctx.phase("output"):
                rows = write(ctx, outcome.results[0].spool, output, replace, resumable)
                if rejects is not None:
                    write(ctx, outcome.rejects, rejects, replace, resumable)
        finally:
            outcome.release(ctx)
        return Sorted(rows, outcome.counts)

    return run_plans(ctx, [Plan(source, (sort,), columns)], {source: opened}, options, deliver)
