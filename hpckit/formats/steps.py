"""Where a field ends: the one rule that the pattern compiler, the reference matcher and the kernel share."""

from __future__ import annotations

from collections.abc import Sequence

from hpckit.formats.model import Field, FieldType, Step, StepKind
from hpckit.formats.times import time_fixed_width, time_min_width
from hpckit.frozen import frozen


@frozen
class Stops:
    """What ends the field of a FIELD step.

    A field with `fixed` > 0 (a TIME of constant width) is exactly that wide. Any other ends at the first occurrence,
    at or behind `skip` bytes from its start (the least width of a TIME), of one of `literals`, of a blank if `blank`,
    or at the end of the line if `line_end` and nothing comes before; a QUOTED one also at the first '"', and never at
    a byte behind a backslash that escapes it. The steps that follow must then match there.
    """

    literals: tuple[bytes, ...]
    blank: bool
    line_end: bool
    skip: int = 0
    fixed: int = 0


def field_stops(fields: Sequence[Field], steps: Sequence[Step], at: int) -> Stops | None:
    """Stops of the FIELD step number `at`; None if nothing in the pattern tells where the field ends."""
    field = fields[steps[at].field]
    skip = fixed = 0
    if field.type in (FieldType.TIME, FieldType.DATE):
        skip = time_min_width(field.time_format)
        fixed = time_fixed_width(field.time_format) or 0
    literals: list[bytes] = []
    blank = line_end = False
    j = at + 1
    while j < len(steps) and steps[j].kind is StepKind.OPTIONAL:
        literals.append(steps[j].literal)
        j += 1 + steps[j].skip
    if j == len(steps):
        line_end = True
    elif steps[j].kind is StepKind.LITERAL:
        literals.append(steps[j].literal)
    elif steps[j].kind is StepKind.SPACES:
        blank = line_end = True
    elif not fixed:
        return None
    return Stops(tuple(literals), blank, line_end, skip, fixed)
