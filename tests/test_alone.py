"""One process without a launcher: MPI is not started, and everything works as on one rank of it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from hpckit.spmd import alone
from hpckit.spmd.context import Context


@pytest.mark.parametrize("environ,expected", [
    ({"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "1"}, True),
    ({"PMI_RANK": "0"}, False), ({"PMIX_RANK": "0"}, False), ({"OMPI_COMM_WORLD_SIZE": "1"}, False),
    ({"SLURM_STEP_NUM_TASKS": "4"}, False), ({"PALS_RANKID": "0"}, False), ({"MPI_LOCALRANKID": "0"}, False),
])  # fmt: skip
def test_who_is_alone(environ, expected):
    assert alone.is_alone(environ) is expected


def test_collectives_of_one():
    ctx = Context(alone.COMM_WORLD)
    assert (ctx.rank, ctx.size, ctx.node_size) == (0, 1, 1)
    table = pa.table({"a": [3, 1, None], "s": ["x", None, "z"]})
    assert ctx.exchange(table, np.zeros(3, np.int32)).equals(table)
    assert ctx.gather_table(table).equals(table) and ctx.bcast_table(table).equals(table)
    assert ctx.allreduce(5, "max") == 5 and ctx.exscan_sum(9) == 0
    assert ctx.allreduce(np.arange(3), "sum").tolist() == [0, 1, 2]
    assert ctx.gather("x") == ["x"] and ctx.allgather(1) == [1] and ctx.bcast({"k": 1}) == {"k": 1}
    with pytest.raises(ValueError, match="here"), ctx.agreed("failing"):
        raise ValueError("here")


def test_mpi_is_not_loaded(tmp_path):
    (tmp_path / "x.log").write_text("a 1\nb 2\n")
    code = (
        "import sys; from hpckit.cli.main import main\n"
        f"status = main(['query', \"SELECT sum(n) FROM read_logs('{tmp_path}/x.log', '{{k}} {{n:int}}')\"])\n"
        "print(status, 'mpi4py' in sys.modules)"
    )
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert done.stdout.splitlines()[-2:] == ["3", "0 False"], done.stderr
