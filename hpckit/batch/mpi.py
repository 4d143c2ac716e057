"""How ranks are started inside a job: by the mpirun that belongs to this MPI, or by srun with the fitting PMI.

Each MPI speaks one or two process-management interfaces, and each Slurm is built with some of them. srun without a
common one starts N worlds of one rank, all with status 0; hpckit's world-size guard then stops the job with an
explanation.

Where both would do, mpirun (by way of `hpckit run`, which adds the flags that it needs) is taken: it hands on the
program's own exit status, on which requeueing rests, whereas srun reports an ordered abort as the kill that ended it
(137).
"""

from __future__ import annotations

import re

from hpckit.batch import slurm
from hpckit.errors import LaunchError
from hpckit.frozen import frozen
from hpckit.spmd.mpirun import find_launcher

UNLOADABLE = ("Invalid MPI type", "Unable to load any plugin")
PMI_OF = {"MPICH": ("pmi2", "cray_shasta", "pmix"), "Open MPI": ("pmix", "pmix_v5", "pmix_v4", "pmix_v3")}


@frozen
class Start:
    """`launcher` is mpirun or srun; `pmi` is srun's --mpi; `why` says how it was chosen."""

    launcher: str
    pmi: str = ""
    why: str = ""


def interfaces() -> list[str]:
    """Names that this Slurm's `srun --mpi` takes; empty where srun does not say."""
    try:
        answer = slurm.call("srun", ["--mpi=list"])
    except slurm.SlurmError:
        return []
    text = answer.stdout + "\n" + answer.stderr
    names = [line.strip().removeprefix("srun: ") for line in text.splitlines()]
    listed = [name for name in names if re.fullmatch(r"[a-z][a-z0-9_]*", name)]
    for line in names:
        if "plugin versions available:" in line:
            listed += re.findall(r"[a-z]\w+", line.partition("available:")[2])
    return list(dict.fromkeys(name for name in listed if name != "none"))


def loads(pmi: str) -> bool:
    """Whether srun can use an interface: it also lists those whose library is missing. True where it does not say."""
    try:
        answer = slurm.call("srun", [f"--mpi={pmi}", "--ntasks=1", "--test-only", "true"])
    except slurm.SlurmError:
        return True
    return not (answer.status and any(words in answer.stderr for words in UNLOADABLE))


def choose(launcher: str = "auto", pmi: str = "") -> Start:
    """The way to start ranks on this cluster. Raises LaunchError if what was asked for cannot work."""
    if launcher == "mpirun":
        return Start("mpirun", why="as asked for")
    kind, missing = "", ""
    try:
        kind = find_launcher().kind
    except LaunchError as error:
        missing = str(error)
    if launcher == "auto" and kind and not pmi:
        return Start("mpirun", why=f"the mpirun of {kind if kind != 'other' else 'this MPI'} is here")
    there = interfaces()
    if pmi:
        if there and pmi not in there:
            raise LaunchError(f"--mpi {pmi}: this Slurm's srun offers {', '.join(there)}; choose one of these")
        if not loads(pmi):
            raise LaunchError(f"--mpi {pmi}: this Slurm's srun lists it and cannot load it; {_others(pmi, there)}")
        return Start("srun", pmi, "as asked for")
    for name in PMI_OF.get(kind, ("pmi2", "pmix", "cray_shasta")):
        if name in there and loads(name):
            return Start("srun", name, f"srun offers {', '.join(there)}")
    raise LaunchError(
        f"no way to start ranks: srun offers {', '.join(there) or 'no process-management interface'}, "
        f"{missing or f'{kind} needs ' + ' or '.join(PMI_OF.get(kind, ('pmi2', 'pmix')))}; use --launcher mpirun "
        "with an MPI "
        "whose mpirun is on PATH (`pip install 'hpckit[mpich]'`, or the cluster's module)"
    )


def _others(pmi: str, there: list[str]) -> str:
    """What to choose instead."""
    others = [name for name in there if name != pmi and loads(name)]
    return f"choose one of {', '.join(others)}, or leave it out" if others else "leave it out"
