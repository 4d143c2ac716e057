"""Time zones as the kernel wants them: from which local microsecond on which offset from UTC holds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache

import numpy as np

from hpckit.errors import FormatError

FIRST_YEAR, LAST_YEAR = 1970, 2100
DISTANT_PAST_US = -(2**62)


@lru_cache
def zone_table(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(local_from_us, offset_us) of an IANA zone, None for UTC.

    A local time that occurs twice (the clock went back) is the earlier of the two; one that does not occur (the clock
    went forward) is read with the offset before the gap, which moves it behind the gap.
    """
    if name.upper() in ("", "UTC", "Z", "GMT", "ETC/UTC"):
        return None
    import zoneinfo  # most logs need none

    try:
        zone = zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise FormatError(
            f"time zone {name!r} is not known here; give an IANA name such as Europe/Berlin or UTC"
        ) from None
    starts, offsets = [DISTANT_PAST_US], [_offset_us(zone, datetime(FIRST_YEAR, 1, 1, tzinfo=timezone.utc))]
    for instant, offset in _transitions(zone):
        # The old offset holds for local times that the clock shows twice, and for those that it skips.
        starts.append(_epoch_us(instant) + max(offsets[-1], offset))
        offsets.append(offset)
    return np.array(starts, np.int64), np.array(offsets, np.int64)


def _transitions(zone: tzinfo) -> list[tuple[datetime, int]]:
    found = []
    step = timedelta(days=14)
    at = datetime(FIRST_YEAR, 1, 1, tzinfo=timezone.utc)
    offset = _offset_us(zone, at)
    while at.year < LAST_YEAR:
        after = at + step
        if _offset_us(zone, after) != offset:
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = (low + (high - low) / 2).replace(microsecond=0)
                low, high = (middle, high) if _offset_us(zone, middle) == offset else (low, middle)
            offset = _offset_us(zone, high)
            found.append((high, offset))
        at = after
    return found


def _offset_us(zone: tzinfo, instant: datetime) -> int:
    offset = instant.astimezone(zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1_000_000)


def _epoch_us(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
