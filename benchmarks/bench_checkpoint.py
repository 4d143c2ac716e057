"""Checkpoint parts against raw writing and reading of the same bytes: python -m benchmarks.bench_checkpoint."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from hpckit.checkpoint import content, names
from hpckit.checkpoint.content import Part


def state(size_bytes: int) -> Part:
    """A part of about this size: a group table with coded and plain strings, integers and floats."""
    rows = size_bytes // 61
    random = np.random.default_rng(1)
    words = pa.array([f"node{i:05d}" for i in range(10_000)], pa.large_string())
    codes = pa.array(random.integers(0, len(words), rows, np.int32))
    text = np.frombuffer(random.integers(97, 122, rows * 17, np.uint8).tobytes(), "S17")
    table = pa.table(
        {
            "k0": pa.DictionaryArray.from_arrays(codes, words),
            "k1": pa.array(text.astype("U17"), pa.large_string()) if rows < 1 << 20 else _strings(text),
            "s0": random.integers(0, 1 << 40, rows),
            "s1": random.random(rows),
            "s2": random.random(rows),
            "s3": random.integers(0, 1 << 40, rows),
        }
    )
    return Part(covers=range(1000), tables={"groups": table})


def _strings(text: np.ndarray) -> pa.Array:
    offsets = np.arange(len(text) + 1, dtype=np.int64) * text.itemsize
    return pa.Array.from_buffers(pa.large_string(), len(text), [None, pa.py_buffer(offsets), pa.py_buffer(text.data)])


def raw_write(path: str, data: np.ndarray) -> None:
    """write + fsync of the whole, in one call as far as the system takes it."""
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    done = 0
    while done < len(data):
        done += os.write(fd, data[done:].data)
    os.fsync(fd)
    os.close(fd)


def raw_read(path: str, size: int) -> np.ndarray:
    """The whole file into fresh memory."""
    data = np.empty(size, np.uint8)
    fd = os.open(path, os.O_RDONLY)
    done = 0
    while done < size:
        done += os.readv(fd, [data[done:].data])
    os.close(fd)
    return data


def forget(path: str) -> None:
    """Ask the system to drop the file from its cache (it does so on disks, not on tmpfs)."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def measure(times: dict[str, list[tuple[float, float]]], name: str, function: Callable[[], object]) -> None:
    """Note the seconds and CPU seconds that a call takes; its result is dropped outside the clock."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    kept = function()
    times.setdefault(name, []).append((time.perf_counter() - start_s, time.process_time() - start_cpu_s))
    del kept


def ratio(times: dict[str, list[tuple[float, float]]], raw: str, ours: str) -> str:
    """Raw time over ours: the median over turns, in each of which the two followed one another; and of CPU time."""
    pairs = list(zip(times[raw], times[ours], strict=True))
    elapsed, cpu = (statistics.median(a[i] / max(b[i], 1e-9) for a, b in pairs) for i in (0, 1))
    return f"{ours} reaches {elapsed:.0%} of a {raw} (CPU time {cpu:.0%})"


def main() -> None:
    """Turns of raw and ours, medians and their ratio."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=256)
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--folder", help="where to write (default: a temporary folder here)")
    given = options.parse_args()
    part = state(given.mib << 20)
    with tempfile.TemporaryDirectory(dir=given.folder or ".") as folder:
        entry = names.Entry("part", 1, "00000000", 0, 1, 0, "0" * 16, 0, "0" * 32)
        done = content.write(folder, entry, part)
        path, raw = os.path.join(folder, done.name), os.path.join(folder, "raw")
        data = raw_read(path, done.size)
        raw_write(raw, data)
        times: dict[str, list[tuple[float, float]]] = {}
        for _ in range(given.turns):
            for old in (path, raw):
                os.unlink(old)
            measure(times, "raw write", lambda: raw_write(raw, data))
            measure(times, "commit", lambda: content.write(folder, entry, part))
        for _ in range(given.turns):
            measure(times, "raw read", lambda: raw_read(raw, done.size))
            measure(times, "restore", lambda: content.read(folder, done))
        for _ in range(given.turns):
            forget(raw)
            measure(times, "raw read, cold", lambda: raw_read(raw, done.size))
            forget(path)
            measure(times, "restore, cold", lambda: content.read(folder, done))
    for name, values in times.items():
        elapsed = [value for value, _ in values]
        spread = f"{min(elapsed):.3f} to {max(elapsed):.3f}"
        print(f"{name:<14} {statistics.median(elapsed):.3f} s  {done.size / min(elapsed) / 1e9:6.2f} GB/s  ({spread})")
    print(ratio(times, "raw write", "commit"))
    print(ratio(times, "raw read", "restore"))
    print(ratio(times, "raw read, cold", "restore, cold"))


if __name__ == "__main__":
    main()
