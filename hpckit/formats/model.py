"""What a log format is, once read: named, typed fields and the steps that cut a line into them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

from hpckit.frozen import frozen


class FieldType(IntEnum):
    """How the bytes of a field become a value."""

    INT = 1
    FLOAT = 2
    TIME = 3  # strptime-like pattern, see Field.time_format; UTC microseconds
    STRING = 4
    QUOTED = 5  # up to an unescaped '"' (or an optional group's literal before it); backslash escapes are undone
    BOOL = 6
    JSON = 7  # raw JSON text of a nested value
    DATE = 8  # like TIME, but a day without a clock or a zone


class Mode(IntEnum):
    """How a line is cut into fields."""

    PATTERN = 1
    CSV = 2
    JSON = 3
    LOGFMT = 4


@frozen
class Field:
    """A column that a format offers.

    name         column name; "" = cut like any field, but not a column (`{_}` in a pattern)
    type         FieldType
    text         free text with few repetitions (a message): not worth a dictionary
    null         byte strings that stand for NULL, e.g. (b"-",); compared with the raw bytes
    time_format  for TIME and DATE: strptime directives (%Y %y %m %d %e %b %B %a %A %H %I %p %M %S %f %3f %6f %9f %.f
                 %z %Z %s %j %%), "%s" takes epoch seconds with an optional fraction, "%Q" epoch milliseconds, "%U"
                 epoch microseconds; see formats/times.py for what each accepts
    derived_from for a TIME that is not one stretch of the line: indices of the fields whose bytes, joined by one
                 space, are what `time_format` describes (a later directive overrides an earlier one); NULL if one of
                 them is absent or NULL
    key          CSV/JSON/LOGFMT: the name in the record (JSON: dotted path for nested objects), default `name`
    byte_array   JSON: an array of integers 0..255 is the bytes of a string (journald writes text that is not UTF-8 so)
    """

    name: str
    type: FieldType
    text: bool = False
    null: tuple[bytes, ...] = ()
    time_format: str = ""
    derived_from: tuple[int, ...] = ()
    key: str = ""
    byte_array: bool = False

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column."""
        import pyarrow as pa  # here, because listing formats should not pay for it

        return {
            FieldType.INT: pa.int64(),
            FieldType.FLOAT: pa.float64(),
            FieldType.TIME: pa.timestamp("us"),
            FieldType.DATE: pa.date32(),
            FieldType.BOOL: pa.bool_(),
        }.get(self.type, pa.string())


class StepKind(IntEnum):
    """What one step of a pattern does at the current place of the record."""

    LITERAL = 1  # these bytes must stand here; field >= 0: they are also the value of that field
    FIELD = 2  # field number `field` starts here; where it ends: formats/steps.py
    REST = 3  # field number `field` takes the rest of the record
    SPACES = 4  # zero or more blanks (' ')
    OPTIONAL = 5  # the next `skip` steps apply only if the bytes here equal `literal` (the literals they begin with)


@frozen
class Step:
    """One instruction; `field` indexes Format.fields."""

    kind: StepKind
    literal: bytes = b""
    field: int = -1
    skip: int = 0


@frozen
class Format:
    """A compiled log format.

    steps         the record fits if every step finds what it needs and the last one ends at the record's end; fields
                  of optional groups that do not apply are NULL (one field may occur in several groups: the last that
                  applies counts); all fields but REST lie in the record's first line
    fallbacks     further step programs over the same fields, tried in order on a record that `steps` does not fit
    record_start  empty: every line is a record. Else a byte mask that the start of a record's first line matches:
                  'd' a digit, 'a' a letter, '.' any byte, '\\' + c the byte c, anything else itself; a line that does
                  not match continues the record before it (stack traces).
    time_zone     zone of times without one, "" = the command's --timezone
    delimiter     CSV: the separator; header: "" none, "yes": the first line names the columns, "#": the same, and it
                  may start with '#'. CSV/JSON/LOGFMT: `fields` have fixed types; other names found are inferred.
    quoting       CSV: a field that begins with '"' ends with one, "" inside stands for one; False: '"' is any byte
    examples      (text, expected values by column; times as ISO strings in UTC)
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
    fallbacks: tuple[tuple[Step, ...], ...] = ()
    pattern: tuple[str, ...] = ()
    rejects: tuple[str, ...] = ()
    quoting: bool = True

    def columns(self) -> tuple[Field, ...]:
        """The fields that are columns, in order."""
        return tuple(f for f in self.fields if f.name)

    def index(self, name: str) -> int:
        """Position in `fields` of the column `name`; -1 if there is none."""
        return next((i for i, f in enumerate(self.fields) if f.name == name), -1)

    def schema(self) -> pa.Schema:
        """Columns of the format, without `_file`, `_offset`, `_raw`."""
        import pyarrow as pa

        return pa.schema([(f.name, f.arrow_type) for f in self.columns()])
