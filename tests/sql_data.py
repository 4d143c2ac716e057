"""A small table with every awkward value, for SQL and expression tests."""

from __future__ import annotations

import random

import pyarrow as pa

_TEXTS = [
    None, "", " ", "a", "A", "abc", "ABC", "aBc", "abcabc", "héllo", "Straße", "日本語", "😀 x",
    "a/b/c", "/x//y/", "  pad ",
    "\ttab\n", "100%", "under_score", "back\\slash", "it's", "42", "-7", "3.5", "1e3", " 12 ", "x42y7", "true", "no",
    "2005-06-03", "2005-06-03 15:42:50.363779", "1969-12-31 23:59:59", "not a date", "node-01", "node-02", "zz\nab",
]  # fmt: skip
_INTS = [None, 0, 1, -1, 2, 3, 7, -7, 10, 255, 1000, -1000, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 42]
_FLOATS = [None, 0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -2.5, 3.14159, 1e-300, 1e300, -1e18, 1e16, 123456.789,
           float("nan"), float("inf"), float("-inf"), 0.1, 99.995]  # fmt: skip
_TIMES = [None, 0, -1, 1, 999_999, -86_400_000_000, 1_117_813_370_363_779, 951_782_399_999_999, 951_782_400_000_000,
          -2_208_988_800_000_000, 4_102_444_799_000_000, 1_117_584_000_000_000, 1_104_537_599_999_999,
          1_136_073_600_000_000, -62_135_596_800_000_000 + 86_400_000_000, 1_709_208_000_123_456]  # fmt: skip
_DAYS = [None, 0, -1, 1, 12_937, 11_016, 11_017, -25_567, 47_482, 19_782, 13_149]
_LEVELS = [None, "INFO", "WARNING", "ERROR", "FATAL"]


def table(rows: int = 240) -> pa.Table:
    """id, i (extreme), j (small), f, s, t (another text), lv, ts, ts2, d, p, n (always NULL)."""
    pick = random.Random(7)

    def column(values: list, kind: pa.DataType) -> pa.Array:
        ordered = values[: min(len(values), rows)]
        return pa.array(ordered + [pick.choice(values) for _ in range(rows - len(ordered))], kind)

    return pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "i": column(_INTS, pa.int64()),
            "j": column([None, *range(-5, 6)], pa.int64()),
            "f": column(_FLOATS, pa.float64()),
            "g": column([None, 0.0, 1.0, -2.0, 0.25, 8.5, float("nan")], pa.float64()),
            "s": column(_TEXTS, pa.string()),
            "t": column([None, "", "a", "b", "x", "/", "abc", "é"], pa.string()),
            "lv": column(_LEVELS, pa.string()),
            "ts": column(_TIMES, pa.timestamp("us")),
            "ts2": column(_TIMES[::-1], pa.timestamp("us")),
            "d": column(_DAYS, pa.date32()),
            "p": column([None, True, False], pa.bool_()),
            "n": pa.nulls(rows, pa.string()),
        }
    )
