"""docs/arrays.md as it is printed, and jobs/aggregate_array.py as a scientist runs it, at one to four ranks."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import RANKS, ROOT, launch

JOB = str(ROOT / "jobs" / "aggregate_array.py")


@pytest.mark.parametrize("ranks", [1, 3])
def test_every_block_of_the_page_runs(tmp_path: Path, ranks: int) -> None:
    page = (ROOT / "docs" / "arrays.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) >= 4
    program = tmp_path / "page.py"
    program.write_text(
        f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(blocks) + "\nprint(f'total {whole.sum()};')\n"
    )
    done = launch(ranks, ["python", "-m", "mpi4py", str(program)])
    assert done.returncode == 0, done.stderr
    totals = re.findall("total (.*?);", done.stdout)
    assert len(totals) == ranks and len(set(totals)) == 1
    with h5py.File(tmp_path / "both.h5") as file:
        assert file["raw/x"].shape == file["y"].shape == (100_000,)


def test_names_of_the_page_are_there() -> None:
    import hpckit as hk

    page = (ROOT / "docs" / "arrays.md").read_text()
    named = " ".join(re.findall(r"`([a-z_0-9 \n]+)`", page.split("## Functions")[1].replace("\n", " ")))
    for name in set(named.split()) - {"axis", "keepdims", "dtype", "ddof"}:
        assert name.startswith("return_") or name in dir(hk.arrays), name


def test_the_job_at_any_rank_count(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(3, 2, 5000)
    values[[3, 4000]] = np.nan, np.inf
    with h5py.File(tmp_path / "run.h5", "w") as file:
        file["energy"] = values
    printed = set()
    for ranks in RANKS:
        argv = ["python", "-m", "mpi4py", JOB, str(tmp_path / "run.h5"), "--dataset", "energy", "--bins", "9"]
        done = launch(ranks, [*argv, "--output", str(tmp_path / f"{ranks}.h5")])
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout)
        assert (tmp_path / f"{ranks}.h5").read_bytes() == (tmp_path / "1.h5").read_bytes()
    assert len(printed) == 1
    good = values[np.isfinite(values)]
    figures = dict(line.rsplit(None, 1) for line in printed.pop().splitlines()[:12])
    assert figures["not finite"] == "2" and figures["values"] == "4998"
    assert float(figures["mean"]) == pytest.approx(good.mean())
    assert float(figures["quantile 0.5"]) == np.quantile(good, 0.5)
    with h5py.File(tmp_path / "2.h5") as file:
        counts, edges = np.histogram(good, 9)
        assert file["counts"][()].tolist() == counts.tolist() and np.array_equal(file["edges"][()], edges)
        assert np.allclose(file["standardised"][()], (good - good.mean()) / good.std(ddof=1))


def test_mistakes_of_the_job(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(5))
    (tmp_path / "there.h5").touch()
    for argv, message in {
        (str(tmp_path / "no.h5"),): "no such file",
        (str(tmp_path / "x.npy"), "--bins", "0"): "bins",
        (str(tmp_path / "x.npy"), "--output", str(tmp_path / "there.h5")): "exists already",
    }.items():
        done = launch(2, ["python", "-m", "mpi4py", JOB, *argv])
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
