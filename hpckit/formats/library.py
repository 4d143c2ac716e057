"""The formats that come with the package, and users' own: one TOML file each."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpckit.errors import FormatError, InputError
from hpckit.formats.model import Field, FieldType, Format, Mode
from hpckit.formats.pattern import FieldBook, apply_attributes, check_record_start, compile_pattern
from hpckit.formats.times import zone_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parent
KEYS = {"name", "description", "pattern", "mode", "fields", "record_start", "time_zone", "delimiter", "header",
        "quoting", "example", "reject"}  # fmt: skip
MODES = {"csv": Mode.CSV, "json": Mode.JSON, "logfmt": Mode.LOGFMT}


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Names of the known formats, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@lru_cache(maxsize=64)
def load(name: str) -> Format:
    """The known format `name`; raises FormatError with similar names for an unknown one. Local."""
    if name not in names():
        import difflib

        near = difflib.get_close_matches(name, names(), n=3) or list(names())
        raise FormatError(f"format '{name}' is not known; did you mean {', '.join(near)}? 'hpckit formats' lists all")
    return load_file(FOLDER / f"{name}.toml")


def load_file(path: str | Path) -> Format:
    """The format in a TOML file; raises InputError or FormatError naming the file and the key. Local."""
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"format file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"format file {path} is not TOML: {error}") from error
    try:
        return from_table(table, default_name=Path(path).stem)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise FormatError(f"{path}: a value has the wrong type: {error}; see docs/formats.md") from error


def from_table(table: dict[str, Any], default_name: str) -> Format:
    """The format that a TOML file's contents describe."""
    unknown = sorted(set(table) - KEYS)
    if unknown:
        raise FormatError(f"unknown key '{unknown[0]}'; known: {', '.join(sorted(KEYS))}")
    name = table.get("name", default_name)
    common: dict[str, Any] = {
        "description": table.get("description", ""),
        "record_start": table.get("record_start", ""),
        "time_zone": table.get("time_zone", ""),
        "examples": tuple(_example(e) for e in table.get("example", [])),
        "rejects": tuple(e["line"] for e in table.get("reject", [])),
    }
    if ("pattern" in table) == ("mode" in table):
        raise FormatError(f"format '{name}' needs either pattern or mode = {' or '.join(MODES)}")
    if "pattern" in table:
        return compile_pattern(table["pattern"], name, fields=table.get("fields", {}), **common)
    if table["mode"] not in MODES:
        raise FormatError(f"format '{name}': mode '{table['mode']}' is not one of {', '.join(MODES)}")
    return _by_mode(name, MODES[table["mode"]], table, common)


def _example(entry: dict[str, Any]) -> tuple[str, dict]:
    if "line" not in entry:
        raise FormatError("[[example]] has no line")
    return entry["line"], dict(entry.get("values", {}))


def _by_mode(name: str, mode: Mode, table: dict[str, Any], common: dict[str, Any]) -> Format:
    """A CSV, JSON or logfmt format: its fields have no place in the line, only a name or key."""
    check_record_start(common["record_start"], name)
    zone_of(common["time_zone"])
    given = table.get("fields", {})
    book = FieldBook(name, given)
    for field_name, attributes in given.items():
        if "derived_from" in attributes:
            continue
        try:
            book.fields.append(apply_attributes(Field(field_name, FieldType.STRING), attributes))
        except ValueError as error:
            raise FormatError(f"format '{name}': [fields.{field_name}]: {error}") from None
    delimiter = table.get("delimiter", "," if mode is Mode.CSV else "")
    if mode is Mode.CSV and len(delimiter.encode()) != 1:
        raise FormatError(f"format '{name}': delimiter '{delimiter}' must be one byte")
    header = {True: "yes", False: "", "#": "#"}.get(table.get("header", mode is Mode.CSV))
    if header is None:
        raise FormatError(f"format '{name}': header = {table['header']!r} must be true, false or \"#\"")
    return Format(
        name=name,
        mode=mode,
        fields=book.finish(),
        delimiter=delimiter,
        header=header if mode is Mode.CSV else "",
        quoting=bool(table.get("quoting", True)),
        **common,
    )
