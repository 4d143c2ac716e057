"""The tests of several ranks (tests/mpi), run under mpirun at 1, 2, 3 and 4 ranks, and their records compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import RANKS, ROOT, launch

SUITE_TIMEOUT_S = 300
TEST_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@pytest.mark.suite
@pytest.mark.timeout(SUITE_TIMEOUT_S + 30)
@pytest.mark.parametrize("ranks", RANKS)
def test_suite_under_mpirun(ranks: int, records: Path, tmp_path: Path) -> None:
    done = launch(
        ranks,
        [
            "python", "-m", "pytest", str(ROOT / "tests/mpi"), "--with-mpi", "-q",
            f"--timeout={TEST_TIMEOUT_S}", "-p", "no:cacheprovider", "-x",
        ],
        timeout=SUITE_TIMEOUT_S,
        HPCKIT_TEST_RECORDS=str(records),
        HPCKIT_TEST_TMP=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{ranks} ranks: exit status {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}"
    )


@pytest.mark.suite
def test_records_are_equal_at_all_rank_counts(records: Path) -> None:
    kept = {n: (records / f"n{n}.txt").read_text().splitlines() for n in RANKS if (records / f"n{n}.txt").exists()}
    if len(kept) < len(RANKS):
        pytest.skip("the suites did not run at all rank counts")
    assert kept[RANKS[0]], "no test recorded a result"
    for n in RANKS[1:]:
        assert kept[n] == kept[RANKS[0]], f"results at {n} ranks differ from those at {RANKS[0]}"
