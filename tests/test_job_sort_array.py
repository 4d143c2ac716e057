"""jobs/sort_array.py as a scientist runs it: what it writes is NumPy's, the same bytes at any rank count."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, launch, run

JOB = str(ROOT / "jobs" / "sort_array.py")


@pytest.fixture
def data(tmp_path: Path) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(5)
    arrays = {
        "energy": chance.normal(size=3000).round(2) + 0.0,
        "step": np.arange(3000),
        "place": chance.random((3000, 3)),
    }
    with h5py.File(tmp_path / "run.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    np.save(tmp_path / "energy.npy", arrays["energy"])
    return arrays


def test_it_sorts_as_numpy_at_any_rank_count(data: dict[str, np.ndarray], tmp_path: Path) -> None:
    order = np.argsort(data["energy"], kind="stable")
    written = set()
    for ranks in (1, 3):
        out = tmp_path / f"sorted{ranks}.h5"
        argv = [JOB, str(tmp_path / "run.h5"), str(out), "--dataset", "energy", "--with", "step,place"]
        done = launch(ranks, ["python", "-m", "mpi4py", *argv])
        assert done.returncode == 0 and "3,000 rows of float64" in done.stdout, done.stderr
        with h5py.File(out) as file:
            assert all(np.array_equal(file[name][:], array[order]) for name, array in data.items())
        npy = tmp_path / f"sorted{ranks}.npy"
        done = launch(ranks, ["python", JOB, str(tmp_path / "energy.npy"), str(npy), "--descending"])
        assert done.returncode == 0, done.stderr
        assert np.array_equal(np.load(npy), np.sort(data["energy"])[::-1])
        written.add((out.read_bytes(), npy.read_bytes()))
    assert len(written) == 1


def test_mistakes(data: dict[str, np.ndarray], tmp_path: Path) -> None:
    run_h5, npy = str(tmp_path / "run.h5"), str(tmp_path / "energy.npy")
    cases = {
        (run_h5, str(tmp_path / "o.h5"), "--dataset", "enrgy"): "enrgy",
        (run_h5, str(tmp_path / "o.h5")): "--dataset",
        (npy, npy): "exists already",
        (str(tmp_path / "none.npy"), str(tmp_path / "o.npy")): "no such file",
        (run_h5, str(tmp_path / "o.h5"), "--dataset", "place"): "expected one dimension",
    }
    for argv, message in cases.items():
        done = run([sys.executable, JOB, *argv], 60)
        assert done.returncode == 2 and message in done.stderr, (argv, done.stderr)
        assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
