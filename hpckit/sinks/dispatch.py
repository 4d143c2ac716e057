"""Writing a result: checks, the right sink, and all ranks agreed before the file gets its name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from signal import SIGHUP, SIGTERM
from typing import TYPE_CHECKING

from hpckit.errors import OutputError, RankLost
from hpckit.sinks.interrupts import SIGNALS, removed_on_signal
from hpckit.sinks.target import Pending, Target, check_target, output_errors, remove, remove_leftovers
from hpckit.spmd.failpoints import fail_point

if TYPE_CHECKING:
    from hpckit.spmd.context import Context
    from hpckit.tables.spool import Spool


def write(
    ctx: Context, spool: Spool, path: str | os.PathLike[str], overwrite: bool = False, resumable: bool = False
) -> int:
    """Write the rows of all ranks to `path`, its kind by the ending; returns the rows of all ranks. Collective.

    .csv .tsv .jsonl .ndjson (also with .gz or .zst behind it), .parquet, .arrow .feather, .h5 .hdf5. The bytes are the
    same at any number of ranks. The file appears whole or not at all: on an error of any rank every rank raises it
    (OutputError for what the user can mend) and nothing is left in the folder. A job that is killed leaves a temporary
    file; with `resumable` this is one that is taken up again, and removes what its earlier starts have left.
    """
    target = ctx.on_root(_prepared, os.fspath(path), overwrite, resumable)
    total_rows = ctx.allreduce(spool.total_rows, "sum")
    total_bytes = ctx.allreduce(spool.nbytes, "sum")
    if target.kind == "hdf5":
        from hpckit.sinks import hdf5

        with _appearing(ctx, target, overwrite) as temporary:
            hdf5.write(ctx, {"": spool}, target, temporary)
    elif target.kind in ("parquet", "arrow"):
        from hpckit.sinks import columnar

        split = columnar.is_split(total_bytes)
        with _appearing(ctx, target, overwrite, is_folder=split) as temporary:
            write_blocks = columnar.write_parts if split else columnar.write_one
            write_blocks(ctx, spool, target, temporary, total_bytes)
    else:
        from hpckit.sinks import text

        with _appearing(ctx, target, overwrite) as temporary:
            text.write_text(ctx, spool, target, temporary)
    return total_rows


def _prepared(path: str, overwrite: bool, resumable: bool) -> Target:
    """The target, checked, with nothing beside it that killed starts of this job have left. Local, on root."""
    target = check_target(path, overwrite)
    if resumable:
        remove_leftovers(target)
    return target


def write_many(
    ctx: Context, spools: Mapping[str, Spool], path: str | os.PathLike[str], overwrite: bool = False
) -> dict[str, int]:
    """Write several results into one HDF5 file, a group for each name; returns the rows of each. Collective."""
    target = ctx.on_root(check_target, os.fspath(path), overwrite)
    if target.kind != "hdf5":
        raise OutputError(f"{target.path}: several tables go into one file of kind .h5 only; write them one by one")
    wrong = [name for name in spools if not name or "/" in name or name in (".", "..")]
    if wrong:
        raise OutputError(f"{target.path}: {wrong[0]!r} cannot name a group; use a name without '/'")
    from hpckit.sinks import hdf5

    with _appearing(ctx, target, overwrite) as temporary:
        hdf5.write(ctx, spools, target, temporary)
    return {name: ctx.allreduce(spool.total_rows, "sum") for name, spool in spools.items()}


@contextmanager
def _appearing(ctx: Context, target: Target, overwrite: bool, is_folder: bool = False) -> Iterator[str]:
    """A temporary path that becomes the target when the block ends well on all ranks, and vanishes when not.

    Collective at start and end. Errors inside must have been agreed on, as all errors of collective work are. Where a
    rank is lost the block may have to be done again, then over a target that the first time wrote after all.
    """
    pending: Pending | None = None
    path: str | None = None
    try:
        with ctx.agreed(f"creating {target.path}"):
            if ctx.is_root:
                pending = Pending(target, overwrite, is_folder)
        # One process without others is never stuck in MPI: there Ctrl-C stays the KeyboardInterrupt of Python.
        signals = SIGNALS if ctx.size > 1 else (SIGTERM, SIGHUP)
        with nullcontext() if pending is None else removed_on_signal(pending.discard, signals):
            path = ctx.bcast(pending.path if pending is not None else None, root=0)
            assert path is not None
            # Ranks on other nodes must see the name before they write: on network file systems a lookup brings it in.
            with ctx.agreed(f"creating {target.path}"), output_errors(target.path):
                os.stat(path)
            fail_point("output")
            yield path
            fail_point("output.whole")
            ctx.settle()
            with ctx.agreed(f"renaming {target.path}"):
                if pending is not None:
                    pending.commit()
                fail_point("output.named")
            ctx.settle()
    except RankLost:
        if path is not None:  # whoever made it may be gone
            remove(path)
        raise
    finally:
        if pending is not None:
            pending.discard()
