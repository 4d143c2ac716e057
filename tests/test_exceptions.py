"""An exception on one rank in any public operation: a short run of the campaign, which must know every public name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run

sys.path.insert(0, str(Path(__file__).parent / "faults"))
import operations

CAMPAIGN = [sys.executable, str(ROOT / "tests/faults/exceptions.py")]
ENDS_THE_JOB = "Table.sort", "arrays.sort", "Context.exchange", "command sort --records"  # and what these begin
TIMEOUT_S = 570

pytestmark = [pytest.mark.mpirun, pytest.mark.timeout(TIMEOUT_S + 30)]


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    done = run([*CAMPAIGN, *words], TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done


def test_every_public_name_is_in_the_campaign(tmp_path: Path) -> None:
    """Who adds a public operation adds it to tests/faults/operations.py, or says there that it talks to no rank."""
    from hpckit.spmd import world

    covered = operations.operations(world(), tmp_path)
    assert sorted(operations.public_names() - set(covered)) == []
    strange = {name for name in covered if not any(name.startswith(known) for known in operations.public_names())}
    assert not strange, "an operation is named after the public name that it covers"


def test_every_operation_raises_on_all_ranks_what_one_rank_raises_in_it() -> None:
    """Local work of every operation, in one job as long as all ranks go on with the exception."""
    said = campaign("--agreed", "--seed", "1").stdout
    assert ", 0 wrong" in said or "; 0 wrong" in said, said


@pytest.mark.parametrize("name", ENDS_THE_JOB)
def test_an_exception_between_messages_ends_the_job(name: str) -> None:
    assert "ended the job" in campaign("--seed", "2", "--only", name, "--places", "2").stdout
