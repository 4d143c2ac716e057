"""Message templates compiled for EventKernel: `text with {d:0-7} parameters` to literals and fields.

Parameters: {d:LOW-HIGH} decimal, {x:WIDTH} hexadecimal, {w:LIST} a word, {m:BITS} 1 to 2^BITS with every magnitude as
likely, {node} a node nearby, {ip:COUNT} one of COUNT addresses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpckit.generate.tables import alias, exponential, pool

# As in generate_events.h.
END, DECIMAL, HEX, WORD, NODE, ADDRESS, MAGNITUDE = range(7)
ONE, CARD, MIDPLANE, NOWHERE = range(4)
NO_PID, DAEMON, PROCESS = range(3)

_FIELD = re.compile(r"\{([a-z]+)(?::([^}]*))?\}")


@dataclass(frozen=True)
class Template:
    """One message: `head` is what stands before it, `lines` its share of all lines, `length` the mean of a burst."""

    text: str
    head: str
    lines: float
    length: int = 1
    spread: int = ONE
    label: str = "- "
    steady: float = 0.5
    pid: int = NO_PID


def compile_templates(
    templates: Sequence[Template], words: Mapping[str, Sequence[str]], hosts: Sequence[str], places: np.ndarray
) -> dict[str, Any]:
    """The catalogue of EventKernel. `places`: weights of hosts, or of the 65,536 nodes in order of popularity."""
    first_word: dict[str, tuple[int, int]] = {}
    all_words: list[str] = []
    for name, members in words.items():
        first_word[name] = (len(all_words), len(members))
        all_words += members
    first, literals, parts = [0], [], []
    for template in templates:
        end = 0
        for field in _FIELD.finditer(template.text):
            literals.append(template.text[end : field.start()])
            parts.append(_part(field, first_word))
            end = field.end()
        literals.append(template.text[end:])
        parts.append((END, 0, 0))
        first.append(len(parts))
    kinds, low, span = zip(*parts, strict=True)
    return {
        **pool("literals", literals), **pool("words", all_words or [""]), **pool("hosts", hosts or [""]),
        **pool("heads", [t.head for t in templates]), **pool("labels", [t.label for t in templates]),
        **alias("choice", [t.lines / t.length for t in templates]), **alias("places", places),
        "first": np.array(first, np.int32), "part_kinds": np.array(kinds, np.uint8),
        "part_low": np.array(low, np.int64), "part_span": np.array(span, np.int64),
        "spread": np.array([t.spread for t in templates], np.uint8),
        "length": np.array([t.length for t in templates], np.uint32),
        "steady": np.array([min(255, int(256 * t.steady)) for t in templates], np.uint8),
        "pids": np.array([t.pid for t in templates], np.uint8), "exponential": exponential(),
    }  # fmt: skip


def _part(field: re.Match[str], words: Mapping[str, tuple[int, int]]) -> tuple[int, int, int]:
    kind, argument = field[1], field[2]
    if kind == "d":
        low, high = map(int, argument.split("-"))
        return DECIMAL, low, high - low + 1
    if kind == "w":
        return WORD, *words[argument]
    if kind == "node":
        return NODE, 0, 0
    single = {"x": (HEX, int(argument), 0), "m": (MAGNITUDE, int(argument), 0), "ip": (ADDRESS, 0, int(argument))}
    return single[kind]
