"""Fixed-length records: kernels beside a slow twin, sorts in memory and out of core, files that are wrong."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from record_cases import KINDS, SHAPES, force_external, force_rounds, left_behind, records, twin

from hpckit._kernels import merge
from hpckit._kernels import records as kernel
from hpckit.errors import InputError, InternalError, MemoryBudgetError, OutputError, UserError
from hpckit.sinks.scratch import scratch_folder
from hpckit.sorting import record_merge, record_output, record_splits
from hpckit.sorting.check import check_records
from hpckit.sorting.record_files import Shape, open_records
from hpckit.sorting.records import sort_records
from hpckit.sorting.scratch import RunStore, check_room
from hpckit.spmd import world

shapes = pytest.mark.parametrize(("record", "key"), SHAPES.values(), ids=SHAPES)
kinds = pytest.mark.parametrize("kind", KINDS)


@shapes
@kinds
@pytest.mark.parametrize("rows", [0, 1, 25, 3000])
def test_sorter_merger_and_hashes(kind: str, record: int, key: int, rows: int) -> None:
    data = records(kind, rows, record, key)
    expected = twin(data, key).reshape(-1)
    sorter = kernel.Sorter(record, key, rows)
    sorter.sort([data[: rows // 3].reshape(-1), data[rows // 3 :].reshape(-1)])
    out = np.empty(rows * record, np.uint8)
    checksum = sorter.gather(0, rows, out)
    assert np.array_equal(out, expected)
    assert checksum == kernel.checksum(data.reshape(-1), record) == kernel.checksum(expected, record)
    assert kernel.first_descent(expected, record, key) == -1

    parts = [twin(part, key).reshape(-1) for part in np.array_split(data, 7)]
    merger, merged, at = merge.Merger(parts, record, key), np.zeros_like(out), 0
    while done := merger.fill(merged[at : at + 37 * record]):
        at += done * record
    assert at == len(out) and np.array_equal(merged, expected) and merger.checksum == checksum


@shapes
@kinds
def test_buckets_are_those_of_a_binary_search(kind: str, record: int, key: int) -> None:
    data = records(kind, 2000, record, key)
    rows = list(range(2000))
    order = sorted(np.random.default_rng(2).choice(rows, 30, False).tolist(), key=lambda i: (bytes(data[i, :key]), i))
    splitters = [(bytes(data[i, :key]), i + 50) for i in order]
    words, ids, counts = np.empty(2000, np.uint64), np.empty(2000, np.int32), np.zeros(31, np.int64)
    kernel.key_words(data.reshape(-1), record, key, words)
    assert words.tolist() == [int.from_bytes(bytes(row[:key])[:8].ljust(8, b"\0"), "big") for row in data]
    keys = data[order, :key].reshape(-1).copy()
    kernel.assign(data.reshape(-1), record, key, words, 50, words[order], keys, np.array(order) + 50, ids, counts)
    assert ids.tolist() == [bisect_right(splitters, (bytes(data[i, :key]), i + 50)) for i in rows]
    assert counts.tolist() == np.bincount(ids, minlength=31).tolist()
    out = np.empty(data.size, np.uint8)
    checksum = kernel.scatter(data.reshape(-1), record, ids, np.cumsum(counts) - counts, out)
    assert np.array_equal(out.reshape(data.shape), data[np.argsort(ids, kind="stable")])
    assert checksum == kernel.checksum(out, record)


def test_row_hash_sees_every_byte_and_the_place_of_each() -> None:
    data = records("random", 1, 100, 10)[0]
    changed = [data.copy() for _ in range(100)]
    for at, row in enumerate(changed):
        row[at] ^= 1
    assert len({kernel.checksum(row, 100) for row in [data, *changed, np.roll(data, 16), np.roll(data, 8)]}) == 103


def test_deep_common_prefixes_do_not_exhaust_the_stack() -> None:
    """Each record shares one more byte with the next ones: every level of the radix sort leaves all but a few."""
    size = 3000
    data = np.tril(np.ones((size, size), np.uint8), -1)[::-1].copy()
    data = np.repeat(data, 2, axis=0)
    sorter = kernel.Sorter(size, size, len(data))
    sorter.sort([data.reshape(-1)])
    out = np.empty(data.size, np.uint8)
    sorter.gather(0, len(data), out)
    assert np.array_equal(out.reshape(data.shape), data[::-1])


def test_kernels_refuse_what_does_not_fit() -> None:
    data = np.zeros(105, np.uint8)
    with pytest.raises(ValueError, match="105 bytes of records of 10"):
        kernel.checksum(data, 10)
    with pytest.raises(ValueError, match="room for 5"):
        kernel.Sorter(10, 10, 5).sort([data[:100]])
    with pytest.raises(ValueError, match="into 10 bytes"):
        sorter = kernel.Sorter(10, 10, 10)
        sorter.sort([data[:100]])
        sorter.gather(0, 5, data[:10])
    with pytest.raises(ValueError, match="records of 10"):
        merge.Merger([data], 10, 5)


def test_shares_are_balanced_and_cover_everything() -> None:
    counts = np.array([5, 0, 0, 90, 1, 1, 1, 2, 0, 100])
    for parts in (1, 2, 3, 7):
        ends = record_splits.share(counts, parts)
        assert ends[-1] == len(counts) and (np.diff(ends) >= 0).all()
    even = record_splits.share(np.full(2048, 10), 4)
    assert np.diff([0, *even]).tolist() == [512] * 4
    assert record_splits.share(np.zeros(1, np.int64), 3).tolist()[-1] == 1


def write(path: Path, data: np.ndarray) -> str:
    path.write_bytes(data.tobytes())
    return str(path)


@pytest.mark.parametrize(("record", "key"), [(100, 10), (7, 3), (24, 20)])
@kinds
@pytest.mark.parametrize("way", ["memory", "rounds", "external"])
def test_sorted_file_equals_the_twin(kind: str, record: int, key: int, way: str, tmp_path: Path, monkeypatch) -> None:
    data = records(kind, 3000, record, key)
    if way == "rounds":
        force_rounds(monkeypatch, 700 * record, 100 * record)
    if way == "external":
        force_external(monkeypatch, 1100 * (record + record_merge.REFERENCE_BYTES))
    source = write(tmp_path / "in", data)
    done = sort_records(world(), [source], str(tmp_path / "out"), record, key, scratch=tmp_path)
    assert (tmp_path / "out").read_bytes() == twin(data, key).tobytes()
    assert (done.rows, done.bytes, done.spilled_bytes > 0) == (3000, data.size, way == "external")
    checked = check_records(world(), [source], str(tmp_path / "out"), record, key)
    assert (checked.rows, checked.checksum) == (3000, kernel.checksum(data.reshape(-1), record))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.parametrize("way", ["memory", "external"])
def test_no_records_and_several_files(way: str, tmp_path: Path, monkeypatch) -> None:
    if way == "external":
        force_external(monkeypatch, 5000)
    data = records("few", 500, 20, 4)
    write(tmp_path / "a.dat", data[:0])
    write(tmp_path / "b.dat", data[:123])
    write(tmp_path / "c.dat", data[123:])
    sort_records(world(), [str(tmp_path / "*.dat")], str(tmp_path / "all"), 20, 4, scratch=tmp_path)
    assert (tmp_path / "all").read_bytes() == twin(data, 4).tobytes()
    done = sort_records(world(), [str(tmp_path / "a.dat")], str(tmp_path / "none"), 20, 4, scratch=tmp_path)
    assert (tmp_path / "none").read_bytes() == b"" and done.rows == 0


def test_records_longer_than_a_write(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(record_output, "WRITE_BYTES", 1 << 12)
    data = records("random", 9, 10_000, 4)
    sort_records(world(), [write(tmp_path / "in", data)], str(tmp_path / "out"), 10_000, 4)
    assert (tmp_path / "out").read_bytes() == twin(data, 4).tobytes()


def test_direct_output_is_the_same_file(tmp_path: Path, monkeypatch) -> None:
    """Writes past the page cache (where the file system has them): odd offsets, several buffers, a thread."""
    monkeypatch.setattr(record_output, "DIRECT_BYTES_MIN", 1)
    monkeypatch.setattr(record_output, "DIRECT_FILE_SYSTEMS", (record_output.file_system(str(tmp_path)),))
    data = np.random.default_rng(3).integers(0, 256, 20_000_003, np.uint8)
    try:
        output = record_output.Output(world(), str(tmp_path / "x"), len(data), False)
    except OutputError as error:
        pytest.skip(f"no direct writes here: {error}")
    with output:
        for begin, end in ((0, 5_000_001), (5_000_001, len(data))):
            writer = output.at(begin, 7)
            at = begin
            while at < end:
                room = writer.room()
                part = data[at : min(end, at + len(room))]
                room[: len(part)] = part
                writer.advance(len(part))
                at += len(part)
            assert writer.offset == end
            writer.close()
        output.commit()
    assert (tmp_path / "x").read_bytes() == data.tobytes()


def test_input_replaced_by_its_sorted_form_only_when_asked(tmp_path: Path) -> None:
    data = records("random", 100, 10, 10)
    path = write(tmp_path / "x", data)
    with pytest.raises(OutputError, match="exists already"):
        sort_records(world(), [path], path, 10, 10)
    assert (tmp_path / "x").read_bytes() == data.tobytes()
    sort_records(world(), [path], path, 10, 10, overwrite=True)
    assert (tmp_path / "x").read_bytes() == twin(data, 10).tobytes()


@pytest.mark.parametrize(
    ("record", "key", "target", "error", "text"),
    [
        (100, 10, "out", InputError, r"in: 1,003 bytes are 10 records of 100 bytes and 3 bytes more"),
        (17, 18, "out", UserError, "key length 18: expected 1 to 17 bytes"),
        (17, 0, "out", UserError, "key length 0"),
        (0, 1, "out", UserError, "record length 0: expected 1 to"),
        (17, 2, "folder", OutputError, "folder: is a folder"),
        (17, 2, "missing/out", OutputError, "missing does not exist"),
    ],
)
def test_requests_that_cannot_work(record, key, target, error, text, tmp_path: Path) -> None:
    source = write(tmp_path / "in", np.zeros(1003, np.uint8))
    (tmp_path / "folder").mkdir()
    with pytest.raises(error, match=text):
        sort_records(world(), [source], str(tmp_path / target), record, key)
    assert not left_behind(tmp_path)


def test_inputs_that_are_not_there(tmp_path: Path) -> None:
    for name, text in (("nothing", "cannot be read: No such file"), ("*.dat", "no file has such a name")):
        with pytest.raises(InputError, match=text):
            open_records([str(tmp_path / name)], Shape(10, 1))
    with pytest.raises(InputError, match="is a folder; name the files"):
        open_records([str(tmp_path)], Shape(10, 1))


def test_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "in", np.zeros(1000, np.uint8))
    source = open_records([path], Shape(10, 1))
    os.truncate(path, 500)
    with pytest.raises(InputError, match="ends at byte 500, earlier"):
        source.read_into(np.empty(1000, np.uint8), 0)


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    data = twin(records("random", 1000, 20, 8), 8)
    source = write(tmp_path / "in", data)
    swapped, changed = data.copy(), data.copy()
    swapped[[400, 401]] = swapped[[401, 400]]
    changed[500, 15] ^= 1
    for name, wrong, text in (
        ("swapped", swapped, rf"swapped: not sorted: row 401 .*byte 8,020\) has the key {bytes(data[400, :8]).hex()}"),
        ("changed", changed, "not the same ones: checksum"),
        ("short", data[:-1], "short: 999 records, the input has 1,000"),
        ("doubled", data[[0, *range(999)]], "not the same ones"),
    ):
        with pytest.raises(InputError, match=text):
            check_records(world(), [source], write(tmp_path / name, wrong), 20, 8)


def test_check_looks_across_pieces(tmp_path: Path, monkeypatch) -> None:
    from hpckit.sorting import check

    monkeypatch.setattr(check, "PIECE_BYTES", 200)
    data = twin(records("random", 1000, 20, 8), 8)
    source = write(tmp_path / "in", data)
    for row in (9, 10, 11, 999):
        wrong = data.copy()
        wrong[[row - 1, row]] = wrong[[row, row - 1]]
        with pytest.raises(InputError, match=f"not sorted: row {row} "):
            check_records(world(), [source], write(tmp_path / "out", wrong), 20, 8)
    assert check_records(world(), [source], source, 20, 8).rows == 1000


def test_memory_too_small_says_how_much_is_needed(tmp_path: Path) -> None:
    source = write(tmp_path / "in", records("random", 1000, 100, 10))
    with pytest.raises(MemoryBudgetError, match=r"--memory 1\.0 MiB leaves no room .*give at least"):
        sort_records(world(), [source], str(tmp_path / "out"), 100, 10, memory_bytes=1 << 20)
    assert os.listdir(tmp_path) == ["in"]


def test_scratch_folder_and_its_room(tmp_path: Path) -> None:
    assert scratch_folder(None, {"TMPDIR": "/a", "SLURM_TMPDIR": "/b"}) == Path("/b")
    assert scratch_folder("/c", {"TMPDIR": "/a"}) == Path("/c")
    assert scratch_folder(None, {}) == Path("/tmp")
    with pytest.raises(OutputError, match="bytes of scratch needed for the runs"):
        check_room(tmp_path, 1 << 60, "the runs")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="no scratch folder"):
        check_room(tmp_path / "file" / "x", 1, "the runs")


def test_runs_are_immutable_nameless_and_can_be_copied(tmp_path: Path) -> None:
    with RunStore(tmp_path / "scratch", "the test") as store:
        run = store.new("run-0")
        run.append(b"abc")
        run.append(b"defg")
        run.seal()
        with pytest.raises(InternalError, match="run-0 is sealed"):
            run.append(b"h")
        buffer = np.empty(3, np.uint8)
        run.read_into(buffer, 2)
        assert bytes(buffer) == b"cde" and store.size_bytes == 7
        with open(tmp_path / "copy", "wb") as file:
            run.copy_to(file.fileno())
        with pytest.raises(InternalError, match="ends 1 bytes early"):
            run.read_into(buffer, 5)
        assert os.listdir(tmp_path / "scratch") == []
    assert (tmp_path / "copy").read_bytes() == b"abcdefg"
