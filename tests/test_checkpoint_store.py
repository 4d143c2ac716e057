"""The store: exact round trips, files that plain h5py reads, refusals with their reasons, retention."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from faults.ranks import run
from hypothesis import given, settings
from hypothesis import strategies as st

from hpckit.aggregates.groupby import GroupBy
from hpckit.aggregates.spec import AggSpec
from hpckit.checkpoint import content, files, identity, names
from hpckit.checkpoint.choice import Choice, Outcome
from hpckit.checkpoint.image import InFile, Stream
from hpckit.checkpoint.reading import deal, deal_in_order
from hpckit.checkpoint.store import Part, Store
from hpckit.errors import InputError, InternalError, OutputError, UserError
from hpckit.spmd import coded

JOB = {"version": "1", "plan": "SELECT 1", "inputs": [["a.log", 5, 7, "h", "t"]]}
ENTRY = names.Entry("part", 1, "0badcafe", 3, 2, 0, "0123456789abcdef", 0, "0" * 32)


def round_trip(folder: Path, part: Part, compression: str | None = None) -> Part:
    return content.read(str(folder), content.write(str(folder), ENTRY, part, compression))


def exactly(table: pa.Table, other: pa.Table) -> bool:
    """Equal schema, and equal bits of every value: NaN is NaN, −0 is −0."""
    if table.schema != other.schema or table.num_rows != other.num_rows:
        return False
    for column, theirs in zip(table.columns, other.columns, strict=True):
        for a, b in zip(column.to_pylist(), theirs.to_pylist(), strict=True):
            same = np.float64(a).tobytes() == np.float64(b).tobytes() if isinstance(a, float) else a == b
            if not same or (a is None) != (b is None):
                return False
    return True


TEXTS = ["", "a", "é" * 9, "x" * 100]
KINDS = [
    pa.int8(), pa.uint64(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(),
    pa.large_string(), pa.large_binary(), pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.date32(), pa.date64(),
    pa.time64("us"), pa.duration("us"), pa.decimal128(30, 3), pa.binary(5), pa.null(), pa.month_day_nano_interval(),
    pa.list_(pa.int32()), pa.struct([("a", pa.int8()), ("b", pa.string())]), pa.dictionary(pa.int8(), pa.string()),
    coded.KIND, pa.dictionary(pa.int32(), pa.int64()), pa.string_view(), pa.map_(pa.string(), pa.int64()),
]  # fmt: skip


def value_of(kind: pa.DataType, number: int) -> Any:
    """Some value of a type."""
    if pa.types.is_dictionary(kind):
        return value_of(kind.value_type, number % 3)
    if pa.types.is_floating(kind):
        return [0.0, -0.0, 1.5, float("nan"), float("inf"), -2.25][number % 6]
    if pa.types.is_boolean(kind):
        return number % 3 == 0
    if pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind):
        return bytes([number % 256] * kind.byte_width)
    if "string" in str(kind) and not pa.types.is_nested(kind):
        return TEXTS[number % 4]
    if "binary" in str(kind):
        return TEXTS[number % 4].encode() + b"\0"
    if pa.types.is_map(kind):
        return [("k", number)]
    if pa.types.is_list(kind):
        return list(range(number % 4))
    if pa.types.is_struct(kind):
        return {"a": number % 100, "b": "t"}
    return None


def column(kind: pa.DataType, numbers: list[int | None]) -> pa.Array:
    if pa.types.is_null(kind):
        return pa.nulls(len(numbers))
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type) and kind != coded.KIND:
        codes = pa.array([None if n is None else n % 3 for n in numbers], kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, pa.array([5, None, 7], kind.value_type))
    sample = value_of(kind, 1)
    if sample is not None:
        if pa.types.is_dictionary(kind):
            plain = pa.array([None if n is None else value_of(kind, n) for n in numbers], kind.value_type)
            return plain.dictionary_encode().cast(kind)
        return pa.array([None if n is None else value_of(kind, n) for n in numbers], kind)
    if pa.types.is_interval(kind):
        return pa.array([None if n is None else (n % 7, n % 3, n) for n in numbers], kind)
    if pa.types.is_date64(kind):
        return pa.array([None if n is None else n * 86_400_000 for n in numbers], pa.int64()).cast(kind)
    if pa.types.is_decimal(kind):
        return pa.array([None if n is None else n for n in numbers], pa.int64()).cast(kind, safe=False)
    small = pa.array([None if n is None else n % 100 for n in numbers], pa.int64())
    if pa.types.is_integer(kind):
        return small.cast(kind)
    return small.cast(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)


@given(
    st.lists(st.sampled_from(range(len(KINDS))), max_size=5),
    st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=40),
    st.integers(0, 5),
    st.sampled_from([None, None, "gzip", "lzf"]),
)
@settings(max_examples=60)
def test_tables_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[int], numbers: list, cut: int, compression: str | None
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    columns = [column(KINDS[k], numbers) for k in kinds]
    table = pa.Table.from_arrays(columns, names=[["x", "x", "a/b", "%", ""][i] for i in range(len(kinds))])
    table = table.replace_schema_metadata({"k": "v"})
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)]) if len(kinds) else table
    back = round_trip(folder, Part(tables={"t": chunked, "some/other": table.slice(cut)}), compression)
    assert list(back.tables) == ["t", "some/other"]
    assert exactly(back.tables["t"], table) and exactly(back.tables["some/other"], table.slice(cut))
    for found in back.tables.values():
        found.validate(full=True)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_arrays_come_back_exactly(tmp_path: Path, compression: str | None) -> None:
    arrays = {
        "plain": np.arange(24.0).reshape(2, 3, 4), "turned": np.arange(6).reshape(2, 3).T, "scalar": np.array(7),
        "empty": np.zeros((0, 3), "i2"), "big-endian": np.arange(5, dtype=">i4"), "bool": np.array([True, False]),
        "complex": np.array([1 + 2j]), "text": np.array(["é", "bcd"]), "bytes": np.array([b"a\0b", b""]),
        "dates": np.array(["2024-01-01", "NaT"], "M8[D]"), "spans": np.array([5], "m8[us]"),
        "half": np.array([np.nan, -0.0], "f2"), "void": np.zeros(2, "V5"), "step": np.arange(10)[::3],
        "records": np.array([(1, 2.5, "x")], [("a", "i4"), ("b", ">f8"), ("c", "U2")]), "a/b": np.zeros(1),
    }  # fmt: skip
    back = round_trip(tmp_path, Part(arrays=arrays, covers={5, 3}, meta={"k": [1, None]}), compression)
    assert list(back.arrays) == list(arrays) and back.covers == {3, 5} and back.meta == {"k": [1, None]}
    for name, array in arrays.items():
        found = back.arrays[name]
        assert found.dtype == array.dtype and found.shape == array.shape and found.tobytes() == array.tobytes(), name
    with pytest.raises(InternalError, match="Python objects"):
        round_trip(tmp_path, Part(arrays={"o": np.array([None])}))


def test_the_state_of_a_group_by_goes_on_from_a_file(tmp_path: Path) -> None:
    """Exact sums, sketches, distinct tables: saved half-way they end as if never saved."""
    aggs = [
        AggSpec("count_star", ()), AggSpec("sum", (pa.float64(),)), AggSpec("max", (pa.float64(),)),
        AggSpec("count_distinct", (pa.float64(),)), AggSpec("approx_count_distinct", (pa.float64(),)),
    ]  # fmt: skip
    kinds = [pa.string(), pa.int64()]
    random = np.random.default_rng(3)

    def batch(rows: int) -> list[pa.Array]:
        words = pa.array([None if i % 11 == 0 else f"w{i % 7}" for i in random.integers(0, 99, rows)])
        return [words, pa.array(random.integers(0, 5, rows)), pa.array(random.normal(size=rows) * 1e9)]

    state, whole, at = GroupBy(kinds, aggs), GroupBy(kinds, aggs), 0
    for turn in range(4):
        words, numbers, values = batch(500)
        arguments = [[], *[[values]] * 4]
        for target in (state, whole):
            target.update([words, numbers], arguments, [None] * 5, np.arange(at, at + 500), 500)
        at += 500
        if turn < 3:
            state = GroupBy.from_tables(kinds, aggs, round_trip(tmp_path, Part(tables=state.to_tables())).tables)
    assert state.finish().equals(whole.finish())


def test_a_part_opens_in_plain_h5py(tmp_path: Path) -> None:
    table = pa.table({"node": pa.array(["a", None, "bc"]), "n": pa.array([1, 2, 3]), "t": pa.array([1, None, 3])})
    done = content.write(str(tmp_path), ENTRY, Part(covers=[4, 2], tables={"g": table}, arrays={"x": np.eye(2)}))
    with h5py.File(tmp_path / done.name) as file:
        assert dict(file.attrs) | {"rows": 5} == {
            "format": "hpckit checkpoint", "version": 1, "kind": "part", "token": "0badcafe", "after": 0, "rows": 5,
            "identity": "0123456789abcdef", "life": 1, "rank": 3, "generation": 2,
        }  # fmt: skip
        assert file["covers"][:].tolist() == [2, 4]
        assert file["tables/g/n/values"][:].tolist() == [1, 2, 3]
        assert file["tables/g/t/valid"][:].tolist() == [1, 0, 1]
        offsets, text = file["tables/g/node/offsets"][:], file["tables/g/node/bytes"][:].tobytes()
        assert [text[a:b] for a, b in pairwise(offsets)] == [b"a", b"", b"bc"]
        np.testing.assert_array_equal(file["arrays/x"][:], np.eye(2))
    import xxhash

    data = (tmp_path / done.name).read_bytes()
    assert done.name.endswith(f".{len(data)}.{xxhash.xxh3_128_hexdigest(data)}.h5")


def saved(folder: Path, job: dict[str, Any] | None = None) -> Store:
    store = Store(folder, job or JOB)
    run(1, store.restore)
    store.commit(Part(covers=[1]))
    return store


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plan": "SELECT 2"}, "the query is another one: SELECT 1 was saved, now it is SELECT 2"),
        ({"version": "2"}, "it was written by hpckit 1, this is 2"),
        ({"inputs": [["a.log", 6, 7, "h", "t"]]}, "input a.log has changed: 5 bytes then, 6 now"),
        ({"inputs": [["a.log", 5, 8, "h", "t"]]}, "input a.log has changed: it was written to since"),
        ({"inputs": [["a.log", 5, 7, "H", "t"]]}, "input a.log has changed: its first bytes differ"),
        ({"inputs": [["a.log", 5, 7, "h", "T"]]}, "input a.log has changed: its last bytes differ"),
        ({"inputs": [*JOB["inputs"], ["b.log", 1, 1, "", ""]]}, "input b.log is new"),
        ({"inputs": []}, "input a.log was read and is no longer among the inputs"),
        ({"split": 5}, "split was null, now it is 5"),
    ],
)
def test_another_job_is_refused_with_the_reason_and_the_remedy(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    saved(tmp_path / "ck")
    with pytest.raises(UserError) as refused:
        run(2, lambda ctx: Store(tmp_path / "ck", {**JOB, **change}).restore(ctx))
    assert words in str(refused.value) and "hpckit checkpoint prune --all" in str(refused.value)
    for name in os.listdir(tmp_path / "ck"):
        if name.startswith("life"):
            (tmp_path / "ck" / name).write_bytes(b"")
    with pytest.raises(UserError, match="its description is damaged"):
        run(1, Store(tmp_path / "ck", {**JOB, **change}).restore)
    assert run(1, Store(tmp_path / "ck", JOB).restore)[0].covered == {1}


def test_strange_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    (tmp_path / "file").touch()
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "part.v2.anything").touch()
    for name, words in (("photos", "holds 'cat.png'"), ("file", "is a file"), ("newer", "newer hpckit")):
        with pytest.raises(UserError, match=words):
            run(1, Store(tmp_path / name, JOB).restore)
    assert os.listdir(tmp_path / "photos") == ["cat.png"]


def test_a_finished_folder_serves_the_next_job(tmp_path: Path) -> None:
    store = saved(tmp_path / "ck")
    run(1, store.finish)
    assert [name.split(".")[0] for name in os.listdir(tmp_path / "ck")] == ["complete"]
    other = Store(tmp_path / "ck", {**JOB, "plan": "other"})
    assert run(1, other.restore)[0].covered == frozenset()
    other.commit(Part(covers=[5]))
    assert run(1, Store(tmp_path / "ck", {**JOB, "plan": "other"}).restore)[0].covered == {5}


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_so_many_generations_stay(tmp_path: Path, keep: int) -> None:
    for life in range(4):
        store = Store(tmp_path / "ck", JOB, keep=keep)
        run(1, store.restore)
        for turn in range(1 + life % 2):
            store.commit(Part(covers=range(3 * life + turn + 1)))
        left = [e for e in map(names.parse, os.listdir(tmp_path / "ck")) if e is not None and e.kind == "part"]
        assert len(left) == min(keep, sum(1 + i % 2 for i in range(life + 1))) or (keep == 3 and len(left) >= keep)
    assert run(1, Store(tmp_path / "ck", JOB).restore)[0].covered == set(range(11))


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 8])
def test_every_pair_of_rank_counts(tmp_path: Path, ranks: int) -> None:
    """Saved on `ranks`, gone on with on each other number, whose parts contain those of the first, and back."""
    units = set(range(24))
    for others in (1, 2, 3, 4, 8):
        folder = tmp_path / f"{others}"
        done: set[int] = set()
        for size, share in ((ranks, 10), (others, 20), (ranks, 24)):
            stores = [Store(folder, JOB) for _ in range(size)]
            restored = run(size, lambda ctx, stores=stores: stores[ctx.rank].restore(ctx))
            assert restored[0].covered == done and not restored[0].warnings
            todo = sorted(units - done)[: share - len(done)]
            for rank, store in enumerate(stores):
                state = {int(n) for part in restored[rank].parts for n in part.tables["t"]["x"].to_pylist()}
                assert state == {unit for part in restored[rank].parts for unit in part.covers}
                state |= set(todo[rank::size])
                store.commit(Part(covers=state, tables={"t": pa.table({"x": pa.array(sorted(state), pa.int64())})}))
            done |= set(todo)
        assert run(1, Store(folder, JOB).restore)[0].covered == units


def test_what_a_caller_may_not_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "ck", JOB)
    with pytest.raises(InternalError, match="call it first"):
        store.commit(Part(covers=[1]))
    run(1, store.restore)
    store.commit(Part(covers=[1, 2]))
    with pytest.raises(InternalError, match=r"lacks units \[2\]"):
        store.commit(Part(covers=[1]))
    with pytest.raises(InternalError, match="keep 0"):
        Store(tmp_path / "ck", JOB, keep=0)
    with pytest.raises(InternalError, match="JSON"):
        Store(tmp_path / "ck", {"plan": b"bytes"})


def test_a_full_disk_says_how_much_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = saved(tmp_path / "ck")

    def full(fd: int, data: memoryview) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full)
        with pytest.raises(OutputError, match=r"generation 2 of rank 0 cannot be written: no space.*bytes are free"):
            store.commit(Part(covers=[1, 2]))
    assert not any(name.startswith(".") for name in os.listdir(tmp_path / "ck"))
    store.commit(Part(covers=[1, 2]))
    assert run(1, Store(tmp_path / "ck", JOB).restore)[0].covered == {1, 2}


def test_identity_of_files(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"a" * 200_000)
    before = identity.of_job("q", [path], split=1)
    assert before["inputs"][0][:2] == [str(path), 200_000] and before["split"] == 1
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    for place, words in ((10, "first"), (199_999, "last")):
        data = bytearray(b"a" * 200_000)
        data[place] = 0
        path.write_bytes(data)
        os.utime(path, ns=times)
        found = identity.differences(before, identity.of_job("q", [path], split=1))
        assert len(found) == 1 and words in found[0]
    with pytest.raises(InputError, match="No such file"):
        identity.of_file(tmp_path / "none")


def test_names_tell_everything_and_nothing_else_is_believed() -> None:
    assert names.parse(ENTRY.name) == ENTRY and names.writer_of(ENTRY.name) == ENTRY.writer
    assert names.temporary_life(ENTRY.temporary) == 1 and names.parse(ENTRY.temporary) is None
    for name in (ENTRY.name[:-1], ENTRY.name.replace("part", "port"), ENTRY.name.replace(".v1.", ".v2."), "x", ""):
        assert names.parse(name) is None
    assert names.version_of(ENTRY.name.replace(".v1.", ".v2.")) == 2
    with pytest.raises(ValueError, match="expected the name of a part"):
        names.writer_of("x")


def test_a_process_that_lived_on_after_a_restart_does_no_harm() -> None:
    """Life 2 took up A's first part and did unit 5; a zombie of life 1 did unit 5 as well and saved once more."""
    old, zombie = (names.Entry("part", 1, "aaaaaaaa", 0, g, 0, "0" * 16, 9, "0" * 32) for g in (1, 2))
    new = names.Entry("part", 2, "bbbbbbbb", 1, 1, 0, "0" * 16, 9, "0" * 32)
    covers = {old.name: {1, 2}, zombie.name: {1, 2, 5}, new.name: {5, 6}}
    choice = Choice([old, zombie, new])
    while wanted := choice.wanted():
        choice.report([(entry, Outcome("", frozenset(covers[entry.name]))) for entry in wanted])
    assert [entry.name for entry, _ in choice.taken] == [new.name, old.name] and choice.covered == {1, 2, 5, 6}


def test_dealing() -> None:
    sizes = [9, 1, 1, 1, 8, 4]
    entries = [names.Entry("part", 1, "0" * 8, i, 1, 0, "0" * 16, size, "0" * 32) for i, size in enumerate(sizes)]
    readers = deal(entries, [0, 0, 5])
    loads = [sum(s for s, r in zip(sizes, readers, strict=True) if r == rank) for rank in range(3)]
    assert sum(loads) == 24 and max(loads[0], loads[1], loads[2] + 5) <= 11
    assert deal_in_order([1] * 6, 3) == [0, 0, 1, 1, 2, 2] and deal_in_order([5], 4) == [2]
    assert deal_in_order([0, 0], 3) == [0, 0] and deal_in_order([], 2) == []


def test_a_rank_lost_before_the_life_had_begun(tmp_path: Path) -> None:
    """Survivors of which some had not come to open the folder: nobody holds anything yet, and the life begins."""
    first = Store(tmp_path / "ck", JOB)
    run(1, first.restore)
    first.commit(Part(covers={1}))
    stores = [Store(tmp_path / "ck", JOB) for _ in range(2)]
    restored = run(2, lambda ctx: stores[ctx.rank].restore(ctx, held=()))
    assert {r.covered for r in restored} == {frozenset({1})} and {r.life for r in restored} == {2}
    stores[1].commit(Part(covers={2}))


def test_runs_stand_by_themselves(tmp_path: Path) -> None:
    """Written once, counted once committed, dealt over other ranks, their arrays left in the file; those that a rank
    holds are not read again when others are lost."""
    two = [Store(tmp_path / "ck", JOB) for _ in range(2)]
    run(2, lambda ctx: two[ctx.rank].restore(ctx))
    rows = np.arange(12, dtype=np.int64).reshape(6, 2)
    for unit in range(4):
        chunks = Stream(rows.shape, rows.dtype, iter([rows[:4] + unit, rows[4:] + unit]))
        os.close(two[unit % 2].add_run(Part(covers={unit}, arrays={"rows": chunks})))
        if unit < 3:
            two[unit % 2].commit_runs()
    again = [Store(tmp_path / "ck", JOB) for _ in range(3)]
    restored = run(3, lambda ctx: again[ctx.rank].restore(ctx))
    assert restored[0].covered == {0, 1, 2} and [len(r.parts) for r in restored] == [1, 1, 1]
    for part in (part for r in restored for part in r.parts):
        assert isinstance(part.arrays["rows"], InFile) and part.rows == 6
        assert np.array_equal(part.arrays["rows"].read(), rows + min(part.covers))
    held = [{unit for part in r.parts for unit in part.covers} for r in restored]
    taken = run(2, lambda ctx: again[ctx.rank].restore(ctx, held[ctx.rank]))
    assert [set(part.covers) for r in taken for part in r.parts] == [held[2]]
    run(2, lambda ctx: again[ctx.rank].finish(ctx))
    assert [name.split(".")[0] for name in os.listdir(tmp_path / "ck")] == ["complete"]
