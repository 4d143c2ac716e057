"""Records to sort and what sorting them must give: shared by the tests on one process and on several ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SHAPES = {"100/10": (100, 10), "7/3": (7, 3), "8/8": (8, 8), "1/1": (1, 1), "24/20": (24, 20), "300/300": (300, 300)}


def records(kind: str, rows: int, record: int, key: int, seed: int = 1) -> np.ndarray:
    """uint8 (rows, record): keys of the given kind, the rest random."""
    rng = np.random.default_rng(seed)
    data = rng.integers(0, 256, (rows, record), np.uint8)
    if kind == "equal":
        data[:, :key] = 7
    elif kind == "few":
        data[:, :key] = 0
        data[:, key - 1] = rng.integers(0, 3, rows)
    elif kind == "one differs":
        data[:, :key] = 255
        data[rows // 2 : rows // 2 + 1, 0] = 0
    elif kind == "last byte":
        data[:, : key - 1] = 128
    elif kind in ("sorted", "reversed"):
        data = twin(data, key)
        data = data[::-1].copy() if kind == "reversed" else data
    return data


KINDS = ("random", "equal", "few", "one differs", "last byte", "sorted", "reversed")


def twin(data: np.ndarray, key: int) -> np.ndarray:
    """The slow twin: Python's own stable sort of the keys as bytes."""
    return data[sorted(range(len(data)), key=lambda row: bytes(data[row, :key]))]


def force_external(monkeypatch, room_bytes: int) -> None:
    """Let every sort go by way of scratch with room for so many bytes of records."""
    from hpckit.sorting import records

    monkeypatch.setattr(records, "fits_in_memory", lambda *_: False)
    leave_room(monkeypatch, room_bytes)


def leave_room(monkeypatch, room_bytes: int) -> None:
    """Let sorts by way of runs have room for so many bytes of records."""
    from hpckit.sorting import record_merge, records_external

    for module in (record_merge, records_external):
        monkeypatch.setattr(module, "room_bytes", lambda *_: room_bytes)


def force_rounds(monkeypatch, round_bytes: int, bucket_bytes: int) -> None:
    """Let a sort in memory take several rounds and buckets although the data are small."""
    from hpckit.sorting import records

    monkeypatch.setattr(records, "ROUND_BYTES", round_bytes)
    monkeypatch.setattr(records, "BUCKET_BYTES", bucket_bytes)


def left_behind(folder: Path) -> list[str]:
    """Temporary files in a folder."""
    return [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".spill"))]
