"""Sort keys as people write them: "node, time desc nulls first"."""

from __future__ import annotations

import re

from hpckit.errors import QueryError

_KEY = re.compile(
    r'\s*(?P<name>"(?:[^"]|"")+"|[^\s",]+)(?:\s+(?P<order>asc|desc))?(?:\s+nulls\s+(?P<nulls>first|last))?\s*(?P<more>,|$)',
    re.IGNORECASE,
)


def parse_keys(text: str) -> list[tuple[str, bool, bool]]:
    """(column, descending, nulls first) of each key. Names with blanks, commas or quotes go in double quotes.

    QueryError quotes the part that is no key.
    """
    keys: list[tuple[str, bool, bool]] = []
    at, more = 0, True
    while more:
        found = _KEY.match(text, at)
        if found is None:
            raise QueryError(
                f"sort key {text[at:].strip() or text!r}: expected COLUMN [asc|desc] [nulls first|last], several "
                'separated by commas, e.g. --by "node, time desc"'
            )
        name = found["name"]
        if name.startswith('"'):
            name = name[1:-1].replace('""', '"')
        if any(name == known for known, _, _ in keys):
            raise QueryError(f"sort key {name!r} is named twice; leave one out")
        keys.append((name, (found["order"] or "").lower() == "desc", (found["nulls"] or "").lower() == "first"))
        at, more = found.end(), found["more"] == ","
    return keys
