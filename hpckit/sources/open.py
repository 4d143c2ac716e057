"""From a plan's source to an opened one: files listed on root, formats found, columns typed, the same on every rank."""

from __future__ import annotations

from collections.abc import Callable

from hpckit.errors import FormatError, QueryError
from hpckit.formats.model import Format, Mode
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.sources.files import list_files
from hpckit.sources.splits import make_splits
from hpckit.sources.text import TextSource
from hpckit.tables.plan import Source


def open_source(source: Source, options: ReadOptions) -> OpenSource:
    """Find the files of `source` and type its columns. Local: called on root, the result is sent to all ranks."""
    opener = OPENERS.get(source.kind)
    if opener is None:
        raise QueryError(f"source kind {source.kind!r} is not known; there are {', '.join(sorted(OPENERS))}")
    return opener(source, options)


def _open_logs(source: Source, options: ReadOptions) -> OpenSource:
    wanted = dict(source.options)
    fmt = find_format(str(wanted.get("format", "")), options.format_file)
    if fmt.mode is not Mode.PATTERN:
        from hpckit.sources.inferred import open_records

        return open_records(source, fmt, options)
    files = list_files(source.paths)
    return TextSource(fmt, files, make_splits(files, options.split_bytes))


def find_format(name: str, format_file: str = "") -> Format:
    """The format `name`: an inline pattern, one of the user's `format_file`, or one that comes with hpckit."""
    from hpckit import formats

    if "{" in name:
        return formats.compile_pattern(name)
    if format_file:
        own = formats.load_file(format_file)
        if not name or own.name == name:
            return own
    if not name:
        raise FormatError("read_logs needs a format: read_logs(path, 'bgl'); `hpckit formats` lists them")
    return formats.load(name)


def _open_records(source: Source, options: ReadOptions) -> OpenSource:
    from hpckit.sources.inferred import open_records

    return open_records(source, None, options)


def _open_columnar(source: Source, options: ReadOptions) -> OpenSource:
    from hpckit.sources.columnar import open_columnar

    return open_columnar(source, options)


def _open_hdf5(source: Source, options: ReadOptions) -> OpenSource:
    from hpckit.sources.hdf5 import open_hdf5

    return open_hdf5(source, options)


OPENERS: dict[str, Callable[[Source, ReadOptions], OpenSource]] = {
    "logs": _open_logs,
    "csv": _open_records,
    "json": _open_records,
    "parquet": _open_columnar,
    "arrow": _open_columnar,
    "hdf5": _open_hdf5,
}
