"""Sorting files of records on all ranks: the twin's bytes at any rank count, in memory and by way of scratch."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))
from record_cases import force_external, force_rounds, left_behind, records, twin

from hpckit.errors import InputError, OutputError
from hpckit.sorting import record_merge, record_output
from hpckit.sorting.check import check_records
from hpckit.sorting.records import sort_records
from hpckit.sorting.scratch import RunFile
from hpckit.spmd.blocks import exchange_blocks, exchange_streams

pytestmark = pytest.mark.mpi


def on_root(context, path: Path, data: np.ndarray) -> str:
    if context.is_root:
        path.write_bytes(data.tobytes())
    context.bcast(None)
    return str(path)


@pytest.mark.parametrize("way", ["memory", "rounds", "external"])
@pytest.mark.parametrize(("kind", "length", "key"), [("random", 100, 10), ("equal", 30, 9), ("one differs", 7, 3)])
def test_same_bytes_as_the_twin(context, shared_path, kind, length, key, way, monkeypatch) -> None:
    data = records(kind, 2001, length, key)
    if way == "rounds":
        force_rounds(monkeypatch, 300 * length, 60 * length)
    if way == "external":
        force_external(monkeypatch, 700 * (length + record_merge.REFERENCE_BYTES))
    source = on_root(context, shared_path / "in", data)
    target = shared_path / "out"
    done = sort_records(context, [source], str(target), length, key, scratch=shared_path)
    assert done.spilled_bytes == (data.size if way == "external" else 0)
    if context.is_root:
        assert target.read_bytes() == twin(data, key).tobytes()
        assert not left_behind(shared_path)
    assert check_records(context, [source], str(target), length, key).rows == 2001


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("way", ["memory", "external"])
def test_ranks_without_records(context, shared_path, record, rows, way, monkeypatch) -> None:
    if way == "external":
        force_external(monkeypatch, 1 << 16)
    data = records("random", rows, 30, 5)
    source = on_root(context, shared_path / "in", data)
    sort_records(context, [source], str(shared_path / "out"), 30, 5, scratch=shared_path)
    check_records(context, [source], str(shared_path / "out"), 30, 5)
    if context.is_root:
        written = (shared_path / "out").read_bytes()
        assert written == twin(data, 5).tobytes()
        record(written)


def test_ranks_write_evenly_whatever_the_keys(context, shared_path, monkeypatch) -> None:
    """All keys equal, in memory: shares differ by less than 5 % because ties are split by their place."""
    offsets: list[tuple[int, int]] = []
    close = record_output.Writer.close
    start: dict[int, int] = {}

    def at(self, offset, record):
        start[0] = offset
        return record_output.Writer(self, offset, record, False)

    def remember(self):
        offsets.append((start[0], self.offset))
        close(self)

    monkeypatch.setattr(record_output.Output, "at", at)
    monkeypatch.setattr(record_output.Writer, "close", remember)
    force_rounds(monkeypatch, 1 << 20, 2000)
    source = on_root(context, shared_path / "in", records("equal", 40_000, 20, 10))
    sort_records(context, [source], str(shared_path / "out"), 20, 10)
    begin, end = offsets[0]
    assert (end - begin) * context.size <= 1.05 * 800_000


def test_check_finds_a_descent_between_ranks(context, shared_path) -> None:
    data = twin(records("random", 997, 12, 4), 4)
    source = on_root(context, shared_path / "in", data)
    for row in (1, 250, 333, 499, 665):
        wrong = data.copy()
        wrong[[row - 1, row]] = wrong[[row, row - 1]]
        target = on_root(context, shared_path / f"out{row}", wrong)
        with pytest.raises(InputError, match=f"not sorted: row {row} "):
            check_records(context, [source], target, 12, 4)


def test_full_scratch_on_one_rank_is_one_error(context, shared_path, monkeypatch) -> None:
    def full(self, data):
        raise OutputError("disk full while spilling")

    if context.rank == context.size - 1:
        monkeypatch.setattr(RunFile, "append", full)
    force_external(monkeypatch, 1 << 16)
    source = on_root(context, shared_path / "in", records("random", 4000, 30, 5))
    with pytest.raises(OutputError, match="disk full while spilling"):
        sort_records(context, [source], str(shared_path / "out"), 30, 5, scratch=shared_path)
    context.bcast(None)
    if context.is_root:
        assert [path.name for path in shared_path.iterdir()] == ["in"]


def test_unreadable_run_does_not_hang_the_exchange(context, shared_path, monkeypatch) -> None:
    def broken(self, buffer, offset):
        raise OSError("disk gone")

    if context.is_root:
        monkeypatch.setattr(RunFile, "read_into", broken)
    force_external(monkeypatch, 1 << 16)
    source = on_root(context, shared_path / "in", records("random", 4000, 30, 5))
    with pytest.raises(OSError, match="disk gone"):
        sort_records(context, [source], str(shared_path / "out"), 30, 5, scratch=shared_path)


def test_blocks_and_streams_arrive_in_their_places(context) -> None:
    """Sizes that differ between all pairs, zero among them, slices smaller than the blocks."""
    sizes = np.array([[(7 * s + 3 * d) % 5 * 1000 + d for d in range(context.size)] for s in range(context.size)])

    def block(source: int, dest: int) -> np.ndarray:
        return np.random.default_rng([source, dest]).integers(0, 256, sizes[source, dest], np.uint8)

    outgoing = [block(context.rank, dest) for dest in range(context.size)]
    for stream in (False, True):
        incoming = [np.zeros(sizes[source, context.rank], np.uint8) for source in range(context.size)]
        if stream:

            def read(dest: int, start: int, buffer: np.ndarray) -> None:
                buffer[:] = outgoing[dest][start : start + len(buffer)]

            exchange_streams(context, [len(part) for part in outgoing], read, incoming, slice_bytes=700)
        else:
            exchange_blocks(context, outgoing, incoming)
        for source in range(context.size):
            if stream or source != context.rank:
                assert np.array_equal(incoming[source], block(source, context.rank))
