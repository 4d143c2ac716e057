"""What a program does with collected tables: show them, write several into one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from hpckit.tables.spool import Spool

if TYPE_CHECKING:
    from hpckit.spmd.context import Context


def show(table: pa.Table, title: str = "", context: Context | None = None, limit_rows: int = 100) -> None:
    """Print root's `table` (other ranks' are ignored): drawn on a terminal, CSV elsewhere. Collective."""
    from hpckit.sinks import terminal

    ctx = _context(context)
    if title and ctx.is_root:
        print(f"\n{title}", flush=True)
    spool = _spool(ctx, table)
    terminal.show(ctx, spool, sys.stdout, limit_rows)
    spool.close()


def check_output(path: str | os.PathLike[str], overwrite: bool = False, context: Context | None = None) -> None:
    """Refuse an output path (exists already, no such folder, unknown ending) before the work is done. Collective."""
    from hpckit.sinks import check_target

    _context(context).on_root(check_target, path, overwrite)


def write_tables(
    tables: Mapping[str, pa.Table],
    path: str | os.PathLike[str],
    overwrite: bool = False,
    context: Context | None = None,
) -> None:
    """Write root's `tables` (other ranks' are ignored) into one HDF5 file, a group for each name. Collective."""
    from hpckit.sinks import write_many

    ctx = _context(context)
    spools = {name: _spool(ctx, table) for name, table in tables.items()}
    write_many(ctx, spools, path, overwrite)
    for spool in spools.values():
        spool.close()


def _context(context: Context | None) -> Context:
    from hpckit.spmd import world

    return world() if context is None else context


def _spool(ctx: Context, table: pa.Table) -> Spool:
    schema = ctx.bcast(table.schema)
    spool = Spool(schema, None, 1 << 62)
    spool.append(ctx.rank, table if ctx.is_root else schema.empty_table())
    return spool
