"""Slow storage for tests: with this folder on PYTHONPATH every positioned read waits HPCKIT_TEST_READ_S seconds, and
five times as long on the rank HPCKIT_TEST_SLOW_RANK."""

from __future__ import annotations

import os
import time
from typing import Any

_seconds = float(os.environ.get("HPCKIT_TEST_READ_S") or 0)
_rank = os.environ.get("PMI_RANK") or os.environ.get("OMPI_COMM_WORLD_RANK") or "0"
if os.environ.get("HPCKIT_TEST_SLOW_RANK") == _rank:
    _seconds *= 5
_preadv = os.preadv


def _slow_preadv(*arguments: Any) -> int:
    time.sleep(_seconds)
    return _preadv(*arguments)


if _seconds:
    os.preadv = _slow_preadv  # type: ignore[assignment]
