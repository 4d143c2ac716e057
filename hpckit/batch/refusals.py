"""Why sbatch refused a job, in words, with what would be accepted. Asked only when a submission has failed."""

from __future__ import annotations

import getpass
import re

from hpckit.batch import slurm

LISTED = 12  # names in a message


def explain(complaint: str, script: str) -> str:
    """What sbatch said about `script`, and what to do about it."""
    asked = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))
    said = complaint.replace("Batch job submission failed: ", "").replace("allocation failure: ", "")
    said = "; ".join(dict.fromkeys(part.strip() for part in said.split(";")))
    return f"{slurm.REFUSED}{said}{_remedy(said, asked)}"


def _remedy(said: str, asked: dict[str, str]) -> str:
    lower = said.lower()
    if "partition" in lower and ("invalid partition" in lower or "not available" in lower):
        return f"\npartition {asked.get('partition', '(default)')!r}; there are: {_list(partitions())}; choose with -p"
    if "account" in lower:
        known = _list(accounts())
        there = f"your accounts: {known}" if known else "ask your project's leader or the support team for its name"
        given = f"account {asked['account']!r}" if "account" in asked else "no account was given"
        return f"\n{given}; {there}; choose with --account, or set `account` in hpckit.toml"
    if "time limit" in lower:
        limits = [f"{name} {limit}" for name, limit in time_limits()]
        asked_for = f"--time {asked.get('time', '(default)')}"
        return f"\n{asked_for}; limits: {_list(limits)}; ask for less: the job goes on by itself"
    if "qos" in lower:
        return "\n`sacctmgr show assoc user=$USER format=account,qos` lists what you may use; choose with --qos"
    if "node count" in lower or "node configuration" in lower or "more processors" in lower:
        return f"\nthere are: {_list(sizes())}; ask for fewer or smaller nodes, or for another partition with -p"
    if "--mem specification" in lower:
        return f"\n--mem {asked.get('mem', '')}: Slurm takes e.g. 4000 (MB), 64G or 0 (all of a node); or leave it out"
    if "memory" in lower:
        return f"\nthere are: {_list(sizes())}; ask for less with --mem, or leave it out"
    if "feature" in lower or "constraint" in lower:
        return "\n`sinfo -o '%P %f'` lists the features of each partition's nodes; choose with --constraint"
    if "unrecognized option" in lower or "invalid option" in lower:
        return "\n`sbatch --help` lists its options; `hpckit submit --help` lists those of hpckit"
    if "dependency" in lower:
        return "\nthe job that it depends on is not known to Slurm any more"
    return ""


def _ask(program: str, *arguments: str) -> list[str]:
    try:
        answer = slurm.call(program, arguments, limit_s=min(10.0, slurm.timeout_s()))
    except slurm.SlurmError:
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()] if answer.status == 0 else []


def _list(names: list[str]) -> str:
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")


def partitions() -> list[str]:
    """Names of this cluster's partitions that one may use."""
    return list(dict.fromkeys(_ask("sinfo", "-h", "-o", "%R")))


def accounts() -> list[str]:
    """Accounts that this user may charge; empty where there is no accounting."""
    return sorted(set(_ask("sacctmgr", "-n", "-P", "show", "assoc", f"user={getpass.getuser()}", "format=account")))


def time_limits() -> list[tuple[str, str]]:
    """(partition, longest job)."""
    return [(name, limit) for name, _, limit in (line.partition(" ") for line in _ask("sinfo", "-h", "-o", "%R %l"))]


def sizes() -> list[str]:
    """Partitions as "debug 3 nodes of 4 CPUs, 2000 MB"."""
    found = []
    for line in _ask("sinfo", "-h", "-o", "%R|%D|%c|%m"):
        words = line.split("|")
        if len(words) == 4:
            found.append("{}: {} nodes of {} CPUs and {} MB".format(*words))
    return list(dict.fromkeys(found))
