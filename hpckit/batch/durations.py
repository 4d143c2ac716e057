"""Slurm's way of writing durations: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS."""

from __future__ import annotations

import re

from hpckit.errors import UserError

FORMS = "MINUTES, MM:SS, HH:MM:SS, DAYS-HH, DAYS-HH:MM or DAYS-HH:MM:SS"
ENDLESS = ("UNLIMITED", "INFINITE", "-1")


def parse(text: str) -> float:
    """Seconds of a Slurm duration; infinity for UNLIMITED. Raises UserError."""
    if text.upper() in ENDLESS:
        return float("inf")
    days, dash, clock = text.rpartition("-") if "-" in text else ("0", "", text)
    parts = clock.split(":")
    if not re.fullmatch(r"[0-9]+", days) or len(parts) > 3 or not all(re.fullmatch(r"[0-9]+", part) for part in parts):
        raise UserError(f"time {text!r}: Slurm takes {FORMS}, e.g. 30, 2:00:00 or 1-12:00:00")
    numbers = [int(part) for part in parts]
    if dash:  # hours first
        numbers += [0] * (3 - len(numbers))
    elif len(numbers) == 1:  # minutes
        numbers = [0, *numbers, 0]
    else:  # seconds last
        numbers = [0] * (3 - len(numbers)) + numbers
    hours, minutes, seconds = numbers
    return float(((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds)


def words(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    whole = int(seconds + 0.5)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 172800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
