"""Read the competitors' answers and compare them: exact for integers, text and times, 1e-9 relative for floats."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

RELATIVE = 1e-9
Rows = list[tuple[Any, ...]]


def read_answers(folder: Path, columns: tuple[tuple[str, ...], ...]) -> list[Rows]:
    """The rows of each answer: from FOLDER/1.parquet, …, or from all.parquet, where `answer` tells them apart."""
    import pyarrow.parquet as pq

    together = folder / "all.parquet"
    if together.exists():
        table = pq.read_table(together).to_pylist()
        parts = [[row for row in table if row["answer"] == number] for number in range(1, len(columns) + 1)]
    else:
        parts = [pq.read_table(folder / f"{number}.parquet").to_pylist() for number in range(1, len(columns) + 1)]
    return [[tuple(row[name] for name in names) for row in part] for part, names in zip(parts, columns, strict=True)]


def difference(ours: list[Rows], theirs: list[Rows]) -> str:
    """The first place where two lists of answers differ, empty if they agree."""
    for number, (left, right) in enumerate(zip(ours, theirs, strict=True), 1):
        if len(left) != len(right):
            return f"answer {number}: {len(left)} rows against {len(right)}"
        if not left:
            return f"answer {number}: no rows at all"
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            if not all(_same(a, b) for a, b in zip(one, other, strict=True)):
                return f"answer {number}, row {index}: {one} against {other}"
    return ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=RELATIVE)
    if hasattr(a, "tzinfo") and hasattr(b, "tzinfo"):
        return bool(a.replace(tzinfo=None) == b.replace(tzinfo=None))
    return bool(a == b)
