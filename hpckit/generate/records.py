"""Records to sort: 100 bytes laid out as those of the Sort Benchmark's gensort, 10 of them a random key."""

from __future__ import annotations

import numpy as np

RECORD_BYTES = 100
KEY_BYTES = 10


def fill(buffer: np.ndarray, seed_key: int, first_row: int, rows: int) -> tuple[int, int]:
    """Rows first_row … first_row+rows-1 to the front of `buffer` (uint8); returns where they begin and end. Local.

    A record is its key (10 random bytes), 00 11, its row number in 32 hexadecimal digits, 88 99 AA BB, 48 bytes that
    repeat random hexadecimal digits, CC DD EE FF.
    """
    from hpckit._kernels import records

    size = rows * RECORD_BYTES
    records.generate(buffer[:size], first_row, seed_key)
    return 0, size
