"""The pool of large buffers: what comes back is used again, what does not fit is not, and idle memory is bounded."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from hpckit.sorting import pool
from hpckit.spmd import world

MIB = 1 << 20


def test_a_buffer_is_used_again_once_the_last_array_on_it_is_gone() -> None:
    buffers = pool.Pool(64 * MIB)
    first = buffers.take(9 * MIB)
    place = first.ctypes.data
    assert place % pool.HUGE_BYTES == 0 and len(first) == 9 * MIB
    first[:] = 7
    part = first.view(np.int64)[10:20]
    del first
    gc.collect()
    other = buffers.take(9 * MIB)
    assert other.ctypes.data != place and (part.view(np.uint8) == 7).all()
    del part
    gc.collect()
    assert len(buffers.idle) == 1
    assert buffers.take(8 * MIB).ctypes.data == place


@pytest.mark.parametrize("wanted", [4 * MIB, 20 * MIB])
def test_buffers_much_too_large_or_too_small_are_left_alone(wanted: int) -> None:
    buffers = pool.Pool(64 * MIB)
    buffers.take(10 * MIB)
    kept = buffers.take(wanted)
    assert [region.size for region in buffers.idle] == [10 * MIB] and len(kept) == wanted


def test_idle_memory_is_bounded_and_can_be_given_back() -> None:
    buffers = pool.Pool(20 * MIB)
    several = [buffers.take(8 * MIB) for _ in range(4)]
    several.clear()
    gc.collect()
    assert sum(region.size for region in buffers.idle) <= 20 * MIB and len(buffers.idle) == 2
    buffers.clear()
    assert not buffers.idle
    with pytest.raises(MemoryError, match="no room for a buffer"):
        buffers.take(1 << 60)


@pytest.mark.parametrize("rows", [0, 3, pool.POOLED_MIN // 24 + 1])
def test_room_has_the_shape_asked_for(rows: int) -> None:
    array = pool.room(world(), rows, np.dtype("f8"), (3,))
    array[:] = 1.5
    assert array.shape == (rows, 3) and array.dtype == "f8"
    assert not rows or array.ctypes.data % 64 == 0
