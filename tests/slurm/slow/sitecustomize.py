"""Slow storage for tests: with this folder on PYTHONPATH every positioned read waits HPCKIT_TEST_READ_S seconds."""

from __future__ import annotations

import os
import time
from typing import Any

_seconds = float(os.environ.get("HPCKIT_TEST_READ_S") or 0)
_preadv = os.preadv


def _slow_preadv(*arguments: Any) -> int:
    time.sleep(_seconds)
    return _preadv(*arguments)


if _seconds:
    os.preadv = _slow_preadv  # type: ignore[assignment]
