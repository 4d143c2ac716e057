"""Start-up at scale: how many files a rank opens before it reads its first byte of data."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import SQL, Cluster, on_request

on_request()
pytest_plugins = ["slurm_cluster"]

OPENED_MAX = 560  # 512 when this was written: Python 98, numpy 94, sqlglot 45 (first rank only), hpckit 162
LOOKED_FOR_MAX = 400


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace: apt-get install strace")
def test_files_that_a_rank_opens(cluster: Cluster, log: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    probe = subprocess.run(["strace", "-o", str(trace), "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()}")
    script = Path(sys.executable).parent / "hpckit"
    query = [sys.executable, str(script), "query", SQL, "--output"]
    environ = {**cluster.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for output, before in (
        ("first.csv", []),  # compiles: an installation whose bytecode is stale would be counted twice
        ("x.csv", ["strace", "-f", "-e", "trace=open,openat,stat,newfstatat,access,readlink", "-o", str(trace)]),
    ):
        subprocess.run(
            [*before, *query, str(tmp_path / output)], cwd=cluster.folder, env=environ, check=True,
            capture_output=True, timeout=100,
        )  # fmt: skip
    text = trace.read_text(errors="replace")
    opened = re.findall(r'open(?:at)?\([^"]*"([^"]+)"[^)]*\) = \d', text)
    missed = len(re.findall(r"= -1 ENOENT", text))
    files = [path for path in opened if not path.startswith(("/proc", "/sys", "/dev"))]
    print(f"\n{len(files)} files opened, {missed} looked for in vain, {len(text.splitlines())} calls")
    assert len(files) < OPENED_MAX
    assert missed < LOOKED_FOR_MAX
