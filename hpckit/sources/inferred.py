"""CSV, JSON lines and logfmt files as a source: columns that no format declares are found in the first 20,480 records.

CSV    delimiter, header and types are guessed as DuckDB does: integers, numbers, true/false, days (DATE), timestamps in
       ISO form, else text. An empty field without quotes is NULL, "" is an empty text (NULL where a number is due).
JSON   one object a line. Members of objects are columns with dotted names (`a.b`), arrays and mixtures are JSON text;
       integers that neither int64 nor a double holds exactly are text.
A value that later does not fit its column rejects the record; keys that occur only behind the sample are not columns.
"""

from __future__ import annotations

from dataclasses import replace

from hpckit.errors import UnsupportedError
from hpckit.formats.model import Format, Mode
from hpckit.sources.base import ReadOptions
from hpckit.sources.files import list_files
from hpckit.sources.infer_csv import csv_format
from hpckit.sources.infer_keyed import keyed_format
from hpckit.sources.infer_options import RecordOptions, record_options
from hpckit.sources.splits import make_splits
from hpckit.sources.text import TextSource
from hpckit.tables.plan import Source

FUNCTIONS = {"csv": "read_csv", "json": "read_json", "logs": "read_logs"}


def open_records(source: Source, fmt: Format | None, options: ReadOptions) -> TextSource:
    """The files of `source` with all their columns named and typed; `fmt` is None for read_csv and read_json. Local."""
    csv = fmt.mode is Mode.CSV if fmt else source.kind == "csv"
    given = record_options(source.options, csv, FUNCTIONS.get(source.kind, source.kind))
    files = list_files(source.paths)
    splits = make_splits(files, options.split_bytes)
    if csv:
        made, header_ends = csv_format(files, fmt, given)
        return TextSource(_in_zone(made, given), files, splits, header_ends=header_ends)
    if fmt is not None and fmt.mode is Mode.PATTERN:
        raise UnsupportedError(f"format {fmt.name!r} is a pattern: its columns are declared, not found")
    return TextSource(_in_zone(keyed_format(files, fmt, given), given), files, splits)


def _in_zone(fmt: Format, given: RecordOptions) -> Format:
    return replace(fmt, time_zone=given.time_zone) if given.time_zone else fmt
