"""Arrays in and out of .npy, HDF5 and Arrow on one rank: every dtype there and back, and files that are wrong."""

from __future__ import annotations

from pathlib import Path

import array_cases as cases
import h5py
import numpy as np
import pyarrow as pa
import pytest

import hpckit as hk
from hpckit.errors import OutputError

ARRAYS = cases.arrays()


@pytest.mark.parametrize("name", ARRAYS)
def test_npy_there_and_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.npy"
    hk.arrays.array(ARRAYS[name]).to_npy(path)
    cases.same(np.load(path), ARRAYS[name])
    np.save(tmp_path / "theirs.npy", ARRAYS[name])
    assert path.read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    cases.same(hk.arrays.from_npy(path).gather(), ARRAYS[name])


@pytest.mark.parametrize("name", ARRAYS)
def test_hdf5_there_and_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.h5"
    hk.arrays.to_hdf5({"a": hk.arrays.array(ARRAYS[name]), "deep/b": hk.arrays.arange(5)}, path)
    with h5py.File(path) as file:
        stored = file["a"][()]
        assert file["deep/b"][()].tolist() == [0, 1, 2, 3, 4]
    cases.same(stored.view(ARRAYS[name].dtype) if ARRAYS[name].dtype.kind in "mM" else stored, ARRAYS[name])
    cases.same(hk.arrays.from_hdf5(path, "a").gather(), ARRAYS[name])


@pytest.mark.parametrize("name", ["x.txt", "x", "x.npy.h5", ".npy"])
def test_npy_under_a_wrong_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"expected a name that ends in \.npy"):
        hk.arrays.arange(3).to_npy(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_other_layouts_are_read(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(6, 4)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(values))
    np.save(tmp_path / "big.npy", values.astype(">f4"))
    cases.same(hk.arrays.from_npy(tmp_path / "fortran.npy").gather(), values)
    cases.same(hk.arrays.from_npy(tmp_path / "big.npy").gather(), values.astype("f4"))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("chunked", data=values.astype(">i2"), chunks=(2, 2), compression="gzip")
    cases.same(hk.arrays.from_hdf5(tmp_path / "x.h5", "chunked").gather(), values.astype("i2"))


def test_a_mapped_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(5))
    x = hk.arrays.from_npy(path)
    x += 1
    assert x.gather().tolist() == [1, 2, 3, 4, 5] and np.load(path).tolist() == [0, 1, 2, 3, 4]
    x.to_npy(path, overwrite=True)
    assert np.load(path).tolist() == [1, 2, 3, 4, 5]


def test_a_table_of_hpckit_gives_columns(tmp_path: Path) -> None:
    table = pa.table({"e": [1.5, None, 2.5], "n": [1, 2, None], "k": [7, 8, 9]})
    hk.write_tables({"t": table}, str(tmp_path / "t.h5"))
    found = hk.arrays.from_hdf5(tmp_path / "t.h5", "t/e").gather()
    assert np.array_equal(found, [1.5, np.nan, 2.5], equal_nan=True)
    assert hk.arrays.from_hdf5(tmp_path / "t.h5", "t/k").gather().tolist() == [7, 8, 9]
    with pytest.raises(hk.UserError, match=r"t\.h5, dataset 't/n': has NULLs.*scan_hdf5"):
        hk.arrays.from_hdf5(tmp_path / "t.h5", "t/n")


def test_arrow_there_and_back() -> None:
    for values in (pa.array([1, 2, 3], pa.int16()), pa.array([1.5, None]), pa.array([True, False]), pa.array([], "f4")):
        x = hk.arrays.from_arrow(values)
        assert x.to_arrow().type == values.type and np.array_equal(x.gather(), values.to_numpy(False), equal_nan=True)
    chunked = pa.chunked_array([[1, 2], [3]])
    assert hk.arrays.from_arrow(pa.table({"a": chunked})).gather().tolist() == [1, 2, 3]
    assert hk.arrays.from_arrow(pa.record_batch({"a": [1], "b": [2]}), "b").gather().tolist() == [2]
    times = pa.array([0, 10], pa.timestamp("us"))
    assert hk.arrays.from_arrow(times).dtype == "M8[us]"
    keys = pa.array([b"abc", b"xyz", b"uvw"], pa.binary(3)).slice(1)
    assert hk.arrays.from_arrow(keys).gather().tolist() == [b"xyz", b"uvw"]


@pytest.mark.parametrize(
    ("data", "column", "message"),
    [
        (pa.array(["a"]), None, "string is not supported"),
        (pa.array([1, None]), None, "1 NULLs, which int64 cannot hold"),
        (pa.table({"a": [1], "b": [2]}), "c", "no column 'c'; there are a, b"),
        (pa.array([[1]]), None, "list.* is not supported"),
        ([1, 2], None, "list: expected an Arrow"),
    ],
)
def test_arrow_that_no_array_can_hold(data: object, column: str | None, message: str) -> None:
    with pytest.raises(hk.UserError, match=message):
        hk.arrays.from_arrow(data, column)


def _damaged(folder: Path) -> dict[str, str]:
    np.save(folder / "whole.npy", np.arange(1000))
    (folder / "cut.npy").write_bytes((folder / "whole.npy").read_bytes()[:-100])
    (folder / "text.npy").write_text("hello, this is no array at all")
    np.save(folder / "objects.npy", np.array([None, 1]), allow_pickle=True)
    np.save(folder / "fields.npy", np.zeros(3, [("a", "i4"), ("b", "f8")]))
    np.save(folder / "scalar.npy", np.float64(3))
    np.save(folder / "unicode.npy", np.array(["a"]))
    return {
        "nothing.npy": "no such file",
        "cut.npy": "is cut off: 8,028 bytes, shape \\(1000,\\) needs 8,128",
        "text.npy": "is no .npy file",
        "objects.npy": "dtype object is not supported",
        "fields.npy": "structured .* is not supported.*one array of each field",
        "scalar.npy": "holds a scalar",
        "unicode.npy": "dtype <U1 is not supported.*np.char.encode",
    }


def test_npy_files_that_are_wrong(tmp_path: Path) -> None:
    for name, message in _damaged(tmp_path).items():
        with pytest.raises(hk.UserError, match=f"{name}.*{message}"):
            hk.arrays.from_npy(tmp_path / name)


def test_hdf5_files_that_are_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["run/energy"], file["scalar"], file["text"] = np.arange(3.0), 1.0, ["a", "bc"]
        file["fields"] = np.zeros(3, [("a", "i4"), ("b", "f8")])
    (tmp_path / "junk.h5").write_bytes(b"junk" * 100)
    cases_ = {
        ("x.h5", "energy"): "has no dataset 'energy'; it has .*'run/energy'",
        ("x.h5", "run"): "has no dataset 'run'",
        ("x.h5", "scalar"): "holds a scalar",
        ("x.h5", "text"): "text of any length.*scan_hdf5",
        ("x.h5", "fields"): "structured .* is not supported",
        ("junk.h5", "a"): "is not a readable HDF5 file",
        ("none.h5", "a"): "no such file",
    }
    for (name, dataset), message in cases_.items():
        with pytest.raises(hk.UserError, match=f"{name}.*{message}"):
            hk.arrays.from_hdf5(tmp_path / name, dataset)


@pytest.mark.parametrize("kind", ["npy", "hdf5"])
def test_targets_that_cannot_be_written(tmp_path: Path, kind: str) -> None:
    x = hk.arrays.arange(10)
    write = x.to_npy if kind == "npy" else x.to_hdf5
    path = tmp_path / f"x.{kind}"
    write(path)
    before = path.read_bytes()
    with pytest.raises(hk.UserError, match=r"exists already.*overwrite=True"):
        write(path)
    with pytest.raises(hk.UserError, match="does not exist"):
        write(tmp_path / "no" / "x.npy")
    with pytest.raises(hk.UserError, match="is a folder"):
        write(tmp_path)
    assert path.read_bytes() == before
    write(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "no temporary file is left"


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpckit.arrays import write

    def full(fd: int, data: memoryview, offset: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "pwrite_all", full)
    with pytest.raises(hk.UserError, match="80 bytes needed"):
        hk.arrays.arange(10).to_npy(tmp_path / "x.npy")
    assert not list(tmp_path.iterdir())
