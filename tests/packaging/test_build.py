"""sdist, wheel from it, and installing that: the compiled kernels must be there; and the kernels with bounds checks on.

One build serves both: kernels with bounds checks compile faster (-O1), and packaging does not care.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, run

STARTING_COMMANDS = (
    "query_cli", "convert_cli", "jobs", "cli_main", "formats_cli", "spmd_failures", "launch", "alone",
    "cli_sort", "arrays_docs", "checkpoint_session", "query_restart", "job_kmeans", "job_sort_array",
    "sort_records_restart", "exceptions",
)  # fmt: skip

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]


def source_tree(folder: Path) -> Path:
    """A copy of what a fresh clone holds: neither compiled files nor build folders."""
    skip = {".git", ".venv", ".venv-openmpi", "build", "dist", "demo", "bench-data", "bench-results", "__pycache__"}
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        hidden = any(part in skip or part.endswith((".egg-info", "_cache")) for part in relative.parts)
        if hidden or not path.is_file() or path.suffix in (".so", ".c", ".html"):
            continue
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_tree(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def kernels(tree: Path) -> list[str]:
    return sorted(path.stem for path in (tree / "kernels").glob("*.pyx"))


@pytest.fixture(scope="module")
def dist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from that sdist alone."""
    pytest.importorskip("build")
    out = tmp_path_factory.mktemp("dist")
    done = run([sys.executable, "-m", "build", "--outdir", str(out), str(tree)], timeout=500, HPCKIT_BOUNDSCHECK="1")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def unpacked(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked: what a plain install puts into site-packages."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def test_sdist_has_every_source_and_nothing_compiled(dist: Path, tree: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    sources = {f"kernels/{path.name}" for path in (tree / "kernels").iterdir() if path.suffix in (".pyx", ".h", ".pxd")}
    formats = {str(path.relative_to(tree)) for path in (tree / "hpckit").rglob("*.toml")}
    assert sources | formats | {"LICENSE", "Makefile", "pyproject.toml", "setup.py"} <= names
    assert not [name for name in names if name.endswith((".so", ".c", ".pyc"))]


def test_wheel_has_every_kernel_module_and_format(unpacked: Path, tree: Path, kernels: list[str]) -> None:
    built = sorted(path.name.split(".")[0] for path in (unpacked / "hpckit/_kernels").glob("*.so"))
    assert built == kernels
    sources = {path.relative_to(tree) for kind in ("*.py", "*.toml") for path in (tree / "hpckit").rglob(kind)}
    assert sources <= {path.relative_to(unpacked) for path in unpacked.rglob("*")}


def test_a_plain_install_runs(unpacked: Path, kernels: list[str], tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r})\n"
        f"import hpckit; assert hpckit.__file__.startswith({str(unpacked)!r})\n"
        "from hpckit.cli.main import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"{len(kernels)} compiled: {', '.join(kernels)}" in done.stdout, done.stdout + done.stderr


def test_a_missing_kernel_source_is_a_build_error(tmp_path: Path) -> None:
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    tree = source_tree(tmp_path)
    (tree / "kernels" / "route.pyx").unlink()
    done = run([sys.executable, "-c", f"import os; os.chdir({str(tree)!r}); exec(open('setup.py').read())"], timeout=60)
    assert done.returncode != 0
    assert "kernel source kernels/route.pyx is missing" in done.stderr


@pytest.mark.suite
def test_single_process_tests_with_bounds_checks_on(unpacked: Path) -> None:
    """All tests of one process again, on kernels that raise IndexError where the release build would read astray.

    Those that start commands are left out: the commands load the kernels of the release.
    """
    if os.environ.get("HPCKIT_TEST_KERNELS"):
        pytest.skip("this is that run")
    commands = [f"--ignore={ROOT / 'tests' / f'test_{name}.py'}" for name in STARTING_COMMANDS]
    quick = [*commands, "-q", "-x", "-m", "not packaging and not suite and not mpirun", "-p", "no:cacheprovider"]
    done = run(
        [sys.executable, "-m", "pytest", str(ROOT / "tests"), *quick],
        timeout=500,
        HPCKIT_TEST_KERNELS=str(unpacked / "hpckit" / "_kernels"),
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
