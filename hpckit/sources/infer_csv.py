"""Columns of CSV files: delimiter, header, names and types from the first records."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from hpckit.errors import FormatError, InputError, QueryError
from hpckit.formats.delimited import cut_csv
from hpckit.formats.model import Field, FieldType, Format, Mode
from hpckit.formats.values import Misfit
from hpckit.sources.files import COMPRESSIONS, InputFile
from hpckit.sources.infer_names import unique_names
from hpckit.sources.infer_options import RecordOptions
from hpckit.sources.infer_sample import HEAD_BYTES, Head, cut_columns, first_line, read_head, read_sample
from hpckit.sources.infer_types import Rules, guess_field, typed_field
from hpckit.sources.reader import BLOCK_BYTES, BlockReader

DELIMITERS = (",", "\t", "|", ";")
BINARY = {b"PAR1": "a Parquet file", b"ARROW1": "an Arrow file", b"\x89HDF\r\n": "an HDF5 file"}
SNIFF_RECORDS = 200
NO_LIMIT = 1 << 62


@dataclass(slots=True)
class _Shape:
    """How records are cut, and whether the first one names the columns ("", "yes" or "#")."""

    delimiter: str
    quoting: bool
    header: str


def csv_format(
    files: Sequence[InputFile], declared: Format | None, options: RecordOptions
) -> tuple[Format, tuple[int, ...]]:
    """(the complete format of CSV files, the byte of each behind its header). Local."""
    heads = read_sample(files, options.sample)
    name = declared.name if declared else "csv"
    first = next(((h, first_line(h.data, True)) for h in heads if h.data.strip()), None)
    if first is None:
        return _format_of_nothing(files, declared, options, name)
    head, (begin, end, _) = first
    _refuse_binary(head.data, files[head.file].path)
    shape = _shape(files[head.file], head.data[begin:], declared, options)
    if not shape.quoting:
        begin, end, _ = first_line(head.data, False)
    row = _cells(head.data[begin:end], shape, files[head.file].path)
    null = options.null
    starts = [first_line(h.data, shape.quoting)[2] if h.data.strip() else len(h.data) for h in heads]
    values = cut_columns(heads, starts, len(row), shape.delimiter, shape.quoting, null, options.sample)
    if not len(values[0]) and not all(h.complete for h in heads):  # one record of very many lines
        heads = read_sample(files, NO_LIMIT)
        values = cut_columns(heads, starts, len(row), shape.delimiter, shape.quoting, null, options.sample)
    rules = Rules(options.time_format, options.date_format, options.all_text)
    if _names_columns(row, values, declared, options, rules):
        shape.header = shape.header or "yes"
    else:
        shape.header = ""
        values = cut_columns(heads, [0] * len(heads), len(row), shape.delimiter, shape.quoting, null, options.sample)
    names = _names(row, shape, declared, options, files[head.file].path)
    fields = _fields(names, row if shape.header else None, values, declared, options, rules)
    fmt = Format(
        name, declared.description if declared else "CSV", Mode.CSV, _with_derived(fields, declared),
        time_zone=declared.time_zone if declared else "", delimiter=shape.delimiter, header=shape.header,
        quoting=shape.quoting,
    )  # fmt: skip
    return fmt, _header_ends(files, shape, row, head.file) if shape.header else ()


def _format_of_nothing(
    files: Sequence[InputFile], declared: Format | None, options: RecordOptions, name: str
) -> tuple[Format, tuple[int, ...]]:
    """Files without a line: only columns that were declared can be offered."""
    fields = declared.fields if declared else ()
    if options.names:
        kinds = [options.types.get(n, FieldType.STRING) for n in options.names]
        if options.positional and len(options.positional) == len(kinds):
            kinds = list(options.positional)
        none = pa.array([], pa.string())
        fields = tuple(typed_field(Field(n, t), t, none, Rules()) for n, t in zip(options.names, kinds, strict=True))
    if not fields:
        raise InputError(
            f"{files[0].path}: is empty: expected a line with the names of the columns; leave it out, or name them "
            "in SQL: read_csv(path, columns = {'a': 'BIGINT', …})"
        )
    return Format(name, "CSV without a line", Mode.CSV, fields, delimiter=options.delimiter or ","), ()


def _shape(file: InputFile, data: bytes, declared: Format | None, options: RecordOptions) -> _Shape:
    quoting = options.quoting if options.quoting is not None else declared.quoting if declared else True
    delimiter = options.delimiter or (declared.delimiter if declared else "") or _by_ending(file.path)
    return _Shape(delimiter or _sniff(data, quoting), quoting, declared.header if declared else "")


def _by_ending(path: str) -> str:
    suffixes = [s for s in Path(path).suffixes if s.lower() not in COMPRESSIONS]
    return "\t" if suffixes and suffixes[-1].lower() in (".tsv", ".tab") else ""


def _sniff(data: bytes, quoting: bool) -> str:
    """The delimiter that cuts the first records most evenly into more than one field."""
    lines = data[: 1 << 20].decode("utf-8", "replace").splitlines(keepends=True)[:SNIFF_RECORDS]
    best, best_score = ",", (0.0, 0)
    for delimiter in DELIMITERS:
        try:
            if quoting:
                counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
            else:
                counts = [line.count(delimiter) + 1 for line in lines if line.strip()]
        except csv.Error:
            continue
        usual = max(set(counts), key=counts.count, default=1)
        score = (counts.count(usual) / len(counts), usual) if usual > 1 else (0.0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _cells(line: bytes, shape: _Shape, path: str) -> list[bytes | None]:
    if not shape.quoting:
        return [cell or None for cell in line.split(shape.delimiter.encode())]
    try:
        return cut_csv(line, shape.delimiter.encode())
    except Misfit as error:
        raise InputError(f"{path}: the first line is no CSV record: {error}; or set quote = ''") from None


def _names_columns(
    row: list[bytes | None], values: Sequence[pa.Array], declared: Format | None, options: RecordOptions, rules: Rules
) -> bool:
    """Whether the first record is a header: said by the user or the format, else if it does not fit the types of the
    records behind it, or all columns are text (as DuckDB decides).
    """
    if options.header is not None:
        return options.header
    if declared:
        return bool(declared.header)
    if row[0] and row[0].startswith(b"#"):
        return True
    column = Field("", FieldType.STRING)
    types = [guess_field(column, v, rules).type for v in values]
    own = [guess_field(column, _one(cell), rules).type for cell in row]
    if not len(values[0]):  # nothing behind it: a header has no numbers
        return all(t is FieldType.STRING for t in own)
    typed = [i for i, t in enumerate(types) if t is not FieldType.STRING]
    return not typed or any(row[i] and not _fits(own[i], types[i]) for i in typed)


def _one(cell: bytes | None) -> pa.Array:
    return pa.array([None if cell is None else cell.decode("utf-8", "replace")], pa.string())


def _fits(cell: FieldType, column: FieldType) -> bool:
    return cell is column or (cell is FieldType.INT and column is FieldType.FLOAT)


def _names(
    row: list[bytes | None], shape: _Shape, declared: Format | None, options: RecordOptions, path: str
) -> list[str]:
    """Names in the order of the cells: the user's, the header's, or those of the format."""
    if options.names and not (shape.header and options.types):
        if len(options.names) != len(row):
            raise QueryError(f"{path}: {len(options.names)} names for {len(row)} columns; name all of them")
        return list(options.names)
    if shape.header:
        return header_names(row, shape.header)
    own = [f.name for f in declared.fields if not f.derived_from] if declared else []
    if own and len(own) != len(row):
        raise FormatError(f"{path}: {len(row)} fields, no header; format {declared and declared.name!r} has {len(own)}")
    return own or [f"column{i}" for i in range(len(row))]


def header_names(row: Sequence[bytes | None], header: str = "yes") -> list[str]:
    """Column names of the cells of a header; nameless ones are called column<place>."""
    cells = [(cell or b"").decode("utf-8", "replace").strip() for cell in row]
    if cells[0].startswith("#") and (header == "#" or len(cells[0]) > 1):
        cells[0] = cells[0][1:].strip()
    return [cell or f"column{i}" for i, cell in enumerate(cells)]


def _fields(
    names: list[str], row: list[bytes | None] | None, values: Sequence[pa.Array], declared: Format | None,
    options: RecordOptions, rules: Rules,
) -> list[Field]:  # fmt: skip
    known = {f.key or f.name: f for f in declared.fields if not f.derived_from} if declared else {}
    keys = header_names(row) if row else names
    unknown = sorted(set(options.types) - set(names) - set(unique_names(names)))
    if unknown:
        raise QueryError(f"no column {unknown[0]!r} in the CSV; there are {', '.join(names)}")
    if options.positional and len(options.positional) > len(names):
        raise QueryError(f"{len(options.positional)} types for {len(names)} columns")
    fields = []
    for i, (name, key) in enumerate(zip(unique_names([known[k].name if k in known and k == n else n for n, k in
                                                      zip(names, keys, strict=True)]), keys, strict=True)):  # fmt: skip
        null = (b"", *options.null)
        field = Field(name, FieldType.STRING, null=null, key=key)
        kind = options.types.get(names[i], options.types.get(name))
        if kind is None and i < len(options.positional):
            kind = options.positional[i]
        if kind is not None:
            field = typed_field(field, kind, values[i], rules)
        elif key in known:
            field = replace(known[key], name=name, null=tuple(dict.fromkeys((b"", *known[key].null))))
        else:
            field = guess_field(field, values[i], rules)
        fields.append(field)
    return fields


def _with_derived(fields: list[Field], declared: Format | None) -> tuple[Field, ...]:
    """The cells, then the declared fields made of several of them (if all of these are there)."""
    out = list(fields)
    for field in declared.fields if declared else ():
        if field.derived_from:
            assert declared is not None
            parts = [declared.fields[i].key or declared.fields[i].name for i in field.derived_from]
            places = [next((i for i, f in enumerate(fields) if part in (f.key, f.name)), -1) for part in parts]
            if min(places) >= 0:
                out.append(replace(field, derived_from=tuple(places)))
    return tuple(out)


def _header_ends(files: Sequence[InputFile], shape: _Shape, row: list[bytes | None], model: int) -> tuple[int, ...]:
    """The byte behind the header of each file; raises InputError where a file has other columns than file `model`."""
    expected, reader, ends = header_names(row, shape.header), BlockReader(), []
    for number, file in enumerate(files):
        head = _header_head(reader, number, file)
        _refuse_binary(head.data, file.path)
        begin, end, behind = first_line(head.data, shape.quoting)
        if end:
            names = header_names(_cells(head.data[begin:end], shape, file.path), shape.header)
            _same_columns(names, expected, file.path, files[model].path)
        ends.append(head.skipped + (behind if end else len(head.data)))
    return tuple(ends)


def _header_head(reader: BlockReader, number: int, file: InputFile) -> Head:
    head = read_head(reader, number, file, 1, HEAD_BYTES)
    for lines in (8, 64, 1 << 20):
        if head.complete or (head.data.strip() and first_line(head.data, True)[2] < len(head.data)):
            return head
        head = read_head(reader, number, file, lines, BLOCK_BYTES)
    return head


def _refuse_binary(data: bytes, path: str) -> None:
    """InputError for the beginning of a file that is no text at all."""
    for magic, kind in BINARY.items():
        if data.startswith(magic):
            raise InputError(f"{path}: is {kind}, not CSV; read files of one kind at a time, kinds go by their endings")


def _same_columns(names: list[str], expected: list[str], path: str, model: str) -> None:
    if names == expected:
        return
    for i, (name, wanted) in enumerate(zip(names, expected, strict=False)):
        if name != wanted:
            raise InputError(
                f"{path}: column {i + 1} is {name!r}, in {model} it is {wanted!r}; files read together have the same "
                "columns in the same order"
            )
    raise InputError(f"{path}: {len(names)} columns, {model} has {len(expected)}; files read together have the same")
