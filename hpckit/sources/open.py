"""From a plan's source to an opened one: files listed on root, formats found, columns typed, the same on every rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hpckit.errors import FormatError, QueryError, UserError
from hpckit.formats.model import Format, Mode
from hpckit.sources.base import OpenSource, ReadOptions
from hpckit.sources.files import list_files
from hpckit.sources.splits import make_splits
from hpckit.sources.text import TextSource
from hpckit.spmd.memory import parse_size
from hpckit.tables.plan import Source


def open_source(source: Source, options: ReadOptions) -> OpenSource:
    """Find the files of `source` and type its columns. Local: called on root, the result is sent to all ranks."""
    opener = OPENERS.get(source.kind)
    if opener is None:
        raise QueryError(f"source kind {source.kind!r} is not known; there are {', '.join(sorted(OPENERS))}")
    own = _own_format(options.format_file)  # a wrong one is an error, also where nothing asks for its format
    return opener(source, options, own)


def _open_logs(source: Source, options: ReadOptions, own_format: Format | None) -> OpenSource:
    wanted = dict(source.options)
    own = read_options(wanted)
    options = replace(options, **own)  # type: ignore[arg-type]
    fmt = find_format(str(wanted.get("format", "")), own_format)
    if own.get("time_zone"):
        fmt = replace(fmt, time_zone=options.time_zone)
    if fmt.mode is not Mode.PATTERN:
        from hpckit.sources.inferred import open_records

        opened = open_records(source, fmt, options)
    else:
        _refuse_unknown(wanted)
        files = list_files(source.paths)
        opened = TextSource(fmt, files, make_splits(files, options.split_bytes))
    opened.own = own
    return opened


def read_options(given: dict[str, object]) -> dict[str, object]:
    """The fields of ReadOptions that options of one read_logs call set; QueryError for a wrong value."""
    own: dict[str, object] = {}
    for name, value in given.items():
        taker = READ_OPTIONS.get(name)
        if taker is None:
            continue
        field, take = taker
        try:
            own[field] = take(value)
        except (UserError, ValueError, TypeError) as error:
            raise QueryError(f"read_logs: {name} := {value!r}: {error}") from None
    return own


def _zone(value: object) -> str:
    from hpckit.formats.times import zone_of

    zone_of(str(value))
    return str(value)


def _year(value: object) -> int:
    if type(value) is not int or not 1 <= value <= 9999:
        raise ValueError("expected a year from 1 to 9999")
    return value


def _bytes(value: object) -> int:
    size = parse_size(value) if isinstance(value, str) else value
    if type(size) is not int or size < 1:
        raise ValueError("expected a number of bytes of at least 1, or a text such as '64MiB'")
    return size


def _all(value: object) -> bool:
    if value not in ("all", "used"):
        raise ValueError("expected 'all' or 'used'")
    return value == "all"


# option of read_logs -> (field of ReadOptions, what checks its value)
READ_OPTIONS: dict[str, tuple[str, Callable[[object], object]]] = {
    "timezone": ("time_zone", _zone),
    "year": ("year", _year),
    "max_line": ("max_line_bytes", _bytes),
    "split_size": ("split_bytes", _bytes),
    "validate": ("validate_all", _all),
}


def _refuse_unknown(wanted: dict[str, object]) -> None:
    """A format that declares its fields has no options but these."""
    unknown = [name for name in wanted if name not in READ_OPTIONS and name != "format"]
    if unknown:
        known = ", ".join(("format", *READ_OPTIONS))
        raise QueryError(f"read_logs: there is no option {unknown[0]!r} for this format; known: {known}")


def find_format(name: str, own: Format | None = None) -> Format:
    """The format `name`: an inline pattern, the user's `own`, or one that comes with hpckit."""
    from hpckit import formats

    if "{" in name:
        return formats.compile_pattern(name)
    if own is not None and name in ("", own.name):
        return own
    if not name:
        raise FormatError("read_logs needs a format: read_logs(path, 'bgl'); `hpckit formats` lists them")
    return formats.load(name)


def _own_format(format_file: str) -> Format | None:
    from hpckit import formats

    return formats.load_file(format_file) if format_file else None


def _open_records(source: Source, options: ReadOptions, _: Format | None) -> OpenSource:
    from hpckit.sources.inferred import open_records

    return open_records(source, None, options)


def _open_columnar(source: Source, options: ReadOptions, _: Format | None) -> OpenSource:
    from hpckit.sources.columnar import open_columnar

    return open_columnar(source, options)


def _open_hdf5(source: Source, options: ReadOptions, _: Format | None) -> OpenSource:
    from hpckit.sources.hdf5 import open_hdf5

    return open_hdf5(source, options)


OPENERS: dict[str, Callable[[Source, ReadOptions, Format | None], OpenSource]] = {
    "logs": _open_logs,
    "csv": _open_records,
    "json": _open_records,
    "parquet": _open_columnar,
    "arrow": _open_columnar,
    "hdf5": _open_hdf5,
}
