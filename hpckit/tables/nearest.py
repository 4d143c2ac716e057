"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(name: str, known: Sequence[str], shown: int = 12) -> str:
    """A phrase for an error: the known names nearest to `name`, or the first of all of them."""
    lowered: dict[str, str] = {}
    for candidate in known:
        lowered.setdefault(candidate.lower(), candidate)
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    if close:
        return "nearest: " + ", ".join(lowered[c] for c in close)
    if not known:
        return "there are none here"
    return "known: " + ", ".join(list(known)[:shown]) + (", …" if len(known) > shown else "")
