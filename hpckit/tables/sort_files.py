"""Sorting a source into a file: every table source and sink, stable, in memory or by way of scratch disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpckit.errors import QueryError
from hpckit.sinks import check_target, write
from hpckit.sorting.columns import Key, as_keys
from hpckit.sorting.scratch import scratch_folder
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.sources.counts import LineCounts
from hpckit.sources.open import open_source
from hpckit.tables.execute import Outcome, RunOptions, run_plans, with_hidden
from hpckit.tables.expr import Column
from hpckit.tables.plan import Plan, Sort, SortKey, Source

if TYPE_CHECKING:
    from hpckit.spmd.context import Context

SortBy = Sequence[Key | tuple[str, bool, bool] | str]


@dataclass(frozen=True, slots=True)
class Sorted:
    """What sort_source did, on all ranks together: rows written, and how the source was read.

    outcome   the rejected records of text sources, to be written with hpckit.sinks.write(ctx, outcome.rejects, …)
    """

    rows: int
    counts: LineCounts
    outcome: Outcome


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
) -> Sorted:
    """Write the rows of `source` to `output` in the order of `keys`; ties keep the order of the input. Collective.

    keys      columns: Key objects, (name, descending, nulls_first) or plain names (ascending, NULL last)
    output    goes by its ending, see hpckit.sinks.write; the bytes are the same at any number of ranks
    scratch   folder for what does not fit `memory_bytes` a rank (default: $SLURM_TMPDIR, $TMPDIR or /tmp)
    hidden    write the columns _file, _offset and _raw too
    opened    the source if it is open already (the same on all ranks)

    Errors, on all ranks: QueryError for a column that is not there or has no order, OutputError for an output that
    exists, cannot be written, or a full scratch disk.
    """
    read = ReadOptions() if read is None else read
    if opened is None:
        opened = ctx.on_root(open_source, source, read)
    ctx.on_root(_check_target, os.fspath(output), overwrite)
    everything = with_hidden(opened.schema)
    with ctx.agreed("checking the sort keys"):
        named = [(key, False, False) if isinstance(key, str) else key for key in keys]
        if not named:
            raise QueryError("sort: no column to sort by; name at least one with --by")
        wanted = as_keys(named, everything)  # type: ignore[arg-type]
    columns = everything if hidden else opened.schema
    sort = Sort(tuple(SortKey(Column(key.name), key.descending, key.nulls_first) for key in wanted), by_bits=True)
    options = RunOptions(read, memory_bytes, scratch_folder(scratch), progress)
    outcome = run_plans(ctx, [Plan(source, (sort,), columns)], {source: opened}, options)
    spool = outcome.results[0].spool
    try:
        with ctx.phase("output"):
            rows = write(ctx, spool, output, overwrite)
    finally:
        spool.close()
    return Sorted(rows, outcome.counts, outcome)


def _check_target(path: str, overwrite: bool) -> None:
    check_target(path, overwrite)
