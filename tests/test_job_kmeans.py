"""jobs/kmeans.py: the groups that plain NumPy finds, the same bytes on any ranks and after a kill."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import begin, launch

JOB = str(Path(__file__).parent.parent / "jobs" / "kmeans.py")
CLUSTERS = 5


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(3)
    blobs = [centre + rng.normal(size=(800, 3)) * 2 for centre in rng.normal(size=(CLUSTERS, 3)) * 6]
    path = tmp_path_factory.mktemp("kmeans") / "points.npy"
    np.save(path, rng.permutation(np.concatenate(blobs)))
    return path


def argv_of(points: Path, folder: Path, name: str, *more: str) -> list[str]:
    output = ["--checkpoint", str(folder / "ck"), "--output", str(folder / name), "--overwrite"]
    return ["python", JOB, str(points), "--clusters", str(CLUSTERS), *output, *more]


def lloyd(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(centres, labels) of the textbook's algorithm from the same first centres."""
    centres = x[np.arange(CLUSTERS) * len(x) // CLUSTERS]
    while True:
        labels = ((x[:, None, :] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        moved = np.stack([x[labels == k].mean(axis=0) for k in range(CLUSTERS)])
        if np.allclose(moved, centres, rtol=1e-12):
            return moved, labels
        centres = moved


def test_groups_are_those_of_numpy(points: Path, tmp_path: Path) -> None:
    done = launch(3, argv_of(points, tmp_path, "a.h5"))
    assert done.returncode == 0 and "settled after" in done.stdout, done.stderr
    centres, labels = lloyd(np.load(points))
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.allclose(file["centres"][()], centres, rtol=1e-12)
        assert np.array_equal(file["labels"][()], labels)
        assert np.array_equal(file["sizes"][()], np.bincount(labels))


def test_killed_and_taken_up_on_other_ranks(points: Path, tmp_path: Path) -> None:
    assert launch(1, argv_of(points, tmp_path, "quiet.h5")).returncode == 0
    process = begin(3, argv_of(points, tmp_path, "out.h5", "--every", "0"))
    while not list(tmp_path.glob("ck/manifest*")):
        assert process.poll() is None
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "out.h5").exists()
    done = launch(2, argv_of(points, tmp_path, "out.h5", "--every", "0"))
    assert done.returncode == 0 and "going on behind round" in done.stdout, done.stderr
    assert (tmp_path / "out.h5").read_bytes() == (tmp_path / "quiet.h5").read_bytes()
