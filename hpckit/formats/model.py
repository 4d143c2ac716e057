"""What a log format is, once read: named, typed fields and the steps that cut a line into them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import pyarrow as pa


class FieldType(IntEnum):
    """How the bytes of a field become a value."""

    INT = 1
    FLOAT = 2
    TIME = 3  # strptime-like pattern, see Field.time_format; UTC microseconds
    STRING = 4
    QUOTED = 5  # up to an unescaped '"'; backslash escapes are undone
    BOOL = 6
    JSON = 7  # raw JSON text of a nested value


class Mode(IntEnum):
    """How a line is cut into fields."""

    PATTERN = 1
    CSV = 2
    JSON = 3
    LOGFMT = 4


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a format offers.

    name         column name
    type         FieldType
    text         free text with few repetitions (a message): not worth a dictionary
    null         byte strings that stand for NULL, e.g. (b"-",)
    time_format  for TIME: strptime directives (%Y %y %m %d %e %b %B %a %A %H %I %p %M %S %f %3f %6f %z %Z %s %j), "%s"
                 takes epoch seconds with an optional fraction, "%Q" epoch milliseconds, "%U" epoch microseconds
    derived_from for a TIME that is not one stretch of the line: indices of the fields whose bytes, joined by one
                 space, are what `time_format` describes (a later directive overrides an earlier one)
    key          JSON/LOGFMT: the key in the record (dotted path for nested objects), default `name`
    """

    name: str
    type: FieldType
    text: bool = False
    null: tuple[bytes, ...] = ()
    time_format: str = ""
    derived_from: tuple[int, ...] = ()
    key: str = ""

    @property
    def arrow_type(self) -> pa.DataType:
        return {
            FieldType.INT: pa.int64(),
            FieldType.FLOAT: pa.float64(),
            FieldType.TIME: pa.timestamp("us"),
            FieldType.BOOL: pa.bool_(),
        }.get(self.type, pa.string())


class StepKind(IntEnum):
    LITERAL = 1  # these bytes must stand here
    FIELD = 2  # field number `field` starts here, ends at the next literal (TIME: searched from its least width on)
    REST = 3  # field number `field` takes the rest of the record
    SPACES = 4  # zero or more blanks
    OPTIONAL = 5  # the next `skip` steps apply only if the bytes here equal `literal` (the first of those steps)


@dataclass(frozen=True, slots=True)
class Step:
    kind: StepKind
    literal: bytes = b""
    field: int = -1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Format:
    """A compiled log format.

    record_start  empty: every line is a record. Else a byte mask that the start of a record's first line matches:
                  'd' a digit, 'a' a letter, '.' any byte, '\\' + c the byte c, anything else itself; a line that does
                  not match continues the record before it (stack traces).
    time_zone     zone of times without one, "" = the command's --timezone
    delimiter     CSV: the separator; header: whether the first line names the columns ("#": it may start with '#')
    """

    name: str
    description: str
    mode: Mode
    fields: tuple[Field, ...]
    steps: tuple[Step, ...] = ()
    record_start: str = ""
    time_zone: str = ""
    delimiter: str = ""
    header: str = ""
    examples: tuple[tuple[str, dict], ...] = ()

    def schema(self) -> pa.Schema:
        """Columns of the format, without `_file`, `_offset`, `_raw`."""
        return pa.schema([(f.name, f.arrow_type) for f in self.fields])
