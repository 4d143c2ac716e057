"""The content hash of messages against a slow twin, at every length around its blocks, and what it has to notice."""

from __future__ import annotations

import numpy as np
import pytest

from hpckit._kernels import content

MASK = (1 << 64) - 1
PRIME = 0x9E3779B1


def splitmix(count: int) -> list[int]:
    state, found = 0, []
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        found.append(z ^ z >> 31)
    return found


KEYS = splitmix(32)


def stirred(lanes: list[int]) -> list[int]:
    return [(lane ^ lane >> 47 ^ KEYS[24 + i]) * PRIME & MASK for i, lane in enumerate(lanes)]


def twin(data: bytes, seed: int) -> int:
    lanes = [KEYS[16 + i] ^ seed for i in range(8)]
    whole = len(data) // 1024 * 1024
    for start in range(0, len(data), 64):
        words = np.frombuffer(data[start : start + 64].ljust(64, b"\0"), "<u8").tolist()
        for i in range(8):
            keyed = words[i] ^ KEYS[start // 64 % 16 + i]
            lanes[i] = (lanes[i] + (keyed & 0xFFFFFFFF) * (keyed >> 32) + words[i ^ 1]) & MASK
        if (start + 64) % 1024 == 0 and start + 64 <= whole:
            lanes = stirred(lanes)
    h = seed ^ len(data) * 0x9E3779B97F4A7C15 & MASK
    for lane, key in zip(stirred(lanes), KEYS[:8], strict=True):
        h ^= lane ^ key
        h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & MASK
        h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & MASK
        h ^= h >> 33
    return h


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 1000, 1023, 1024, 1025, 1088, 4096, 5001])
def test_hash_is_the_twins_on_every_processor(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    for seed in (0, 1, MASK):
        expected = twin(data.tobytes(), seed)
        assert content.hash_bytes(data, seed) == expected == content.hash_bytes(data, seed, wide=False)


def test_every_changed_bit_length_and_order_is_noticed() -> None:
    data = np.zeros(2100, np.uint8)
    seen = {content.hash_bytes(data[:n]) for n in range(2101)}
    assert len(seen) == 2101
    for byte in range(2100):
        data[byte] ^= 1 << byte % 8
        seen.add(content.hash_bytes(data))
        data[byte] ^= 1 << byte % 8
    assert len(seen) == 2101 + 2100
    words = np.arange(300, dtype=np.uint64)
    swaps = set()
    for i in range(299):
        swapped = words.copy()
        swapped[[i, i + 1]] = swapped[[i + 1, i]]
        swaps.add(content.hash_bytes(swapped.view(np.uint8)))
    assert len(swaps) == 299 and content.hash_bytes(words.view(np.uint8)) not in swaps
