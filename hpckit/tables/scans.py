"""`scan_…`: lazy tables over files. All are Collective: root looks at the files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hpckit.errors import QueryError
from hpckit.sources.base import ReadOptions
from hpckit.spmd.memory import parse_size
from hpckit.tables.plan import Source
from hpckit.tables.table import Table, open_table

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def _scan(kind: str, paths: Paths, options: dict[str, Any], how: dict[str, Any]) -> Table:
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not names:
        raise QueryError(f"scan_{kind}: an empty list of paths; name at least one file")
    given = tuple(sorted((name, value) for name, value in options.items() if value is not None))
    context, memory, scratch = how.pop("context", None), how.pop("memory", None), how.pop("scratch", None)
    try:
        read = ReadOptions(**how)
    except TypeError as error:
        raise QueryError(
            f"scan_{kind}: {str(error).split('__init__() ')[-1]}; options are {', '.join(OPTIONS)}"
        ) from None
    memory_bytes = parse_size(memory) if isinstance(memory, str) else memory
    return open_table(Source(kind, tuple(os.fspath(n) for n in names), given), context, read, memory_bytes, scratch)


OPTIONS = [*ReadOptions.__dataclass_fields__, "context", "memory", "scratch"]


def scan_logs(paths: Paths, format: str, **how: Any) -> Table:
    """Logs in a known format (`hpckit formats`) or an inline pattern such as "{time:%Y-%m-%d %H:%M:%S} {message:rest}".

    `how`: time_zone, year, format_file, max_line_bytes, split_bytes, validate_all, max_rejects, memory, scratch and
    context.
    """
    return _scan("logs", paths, {"format": format}, how)


def scan_csv(paths: Paths, delimiter: str | None = None, header: bool | None = None, **how: Any) -> Table:
    """CSV files; names from the header, types from the first 20,480 records."""
    return _scan("csv", paths, {"delim": delimiter, "header": header}, how)


def scan_jsonl(paths: Paths, **how: Any) -> Table:
    """JSON lines; columns and types from the first 20,480 records."""
    return _scan("json", paths, {}, how)


def scan_parquet(paths: Paths, **how: Any) -> Table:
    """Parquet files of one schema."""
    return _scan("parquet", paths, {}, how)


def scan_arrow(paths: Paths, **how: Any) -> Table:
    """Arrow IPC files of one schema."""
    return _scan("arrow", paths, {}, how)


def scan_hdf5(paths: Paths, dataset: str | None = None, **how: Any) -> Table:
    """HDF5: a group of equally long datasets, or one dataset."""
    return _scan("hdf5", paths, {"dataset": dataset}, how)
