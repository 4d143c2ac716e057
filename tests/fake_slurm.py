"""Slurm's programs as small scripts that answer what a test lays down, for tests of hpckit.batch without a Slurm.

slurm = FakeSlurm(tmp_path)
slurm.answer("sbatch", stdout="4711")            # what the program says from now on
slurm.calls("sbatch")                            # the arguments and the standard input of every call so far
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

PROGRAMS = ("sbatch", "scontrol", "squeue", "sacct", "scancel", "sinfo", "srun", "sstat", "sacctmgr")
SCRIPT = """\
#!{python} -SE
import json, os, sys, time
name, folder = os.path.basename(sys.argv[0]), {folder!r}
says = json.load(open(f"{{folder}}/{{name}}.json"))
text = sys.stdin.read() if name == "sbatch" else ""
with open(f"{{folder}}/{{name}}.calls", "a") as calls:
    calls.write(json.dumps([sys.argv[1:], text]) + "\\n")
for pattern, answer in says["when"]:
    if pattern in " ".join(sys.argv[1:]):
        says = answer
        break
time.sleep(says["sleep_s"])
sys.stdout.write(says["stdout"])
sys.stderr.write(says["stderr"])
sys.exit(says["status"])
"""


class FakeSlurm:
    """A folder of programs for PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "fake-slurm"
        self.folder.mkdir()
        for name in PROGRAMS:
            program = self.folder / name
            program.write_text(SCRIPT.format(python=sys.executable, folder=str(self.folder)))
            program.chmod(0o755)
            self.answer(name)
        self.answer("scontrol", status=1, stderr="slurm_load_jobs error: Invalid job id specified\n")
        self.answer("sacct", status=1, stderr="Slurm accounting storage is disabled\n")
        self.answer("sinfo", stdout="vm 127.0.0.1\n")

    def answer(
        self, program: str, stdout: str = "", stderr: str = "", status: int = 0, sleep_s: float = 0, when: str = ""
    ) -> None:
        """What `program` says from now on; with `when` only if that is among its arguments."""
        path = self.folder / f"{program}.json"
        says = {"stdout": stdout, "stderr": stderr, "status": status, "sleep_s": sleep_s}
        if when:
            now = json.loads(path.read_text())
            now["when"].insert(0, [when, says])
            path.write_text(json.dumps(now))
        else:
            path.write_text(json.dumps({**says, "when": []}))

    def calls(self, program: str) -> list[tuple[list[str], str]]:
        """(arguments, standard input) of each call, without sbatch's that only ask."""
        path = self.folder / f"{program}.calls"
        calls = [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
        return [call for call in calls if "--test-only" not in call[0]]
