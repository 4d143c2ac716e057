"""Handing a request to Slurm: one job, a chain of jobs, or an array with a merging job, with records of all of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpckit.batch import records, script, slurm
from hpckit.batch.records import Record
from hpckit.batch.request import Request
from hpckit.errors import OutputError

# sbatch's variables beat the lines of a script: those of options that a request sets must not reach it.
VARIABLES = {
    "account": "ACCOUNT", "partition": "PARTITION", "time": "TIMELIMIT", "qos": "QOS", "constraint": "CONSTRAINT",
    "exclusive": "EXCLUSIVE", "job-name": "JOB_NAME", "mem": "MEM_PER_NODE",
}  # fmt: skip
ALWAYS = ("SIGNAL", "OPEN_MODE", "REQUEUE", "NO_REQUEUE", "OUTPUT", "ERROR", "ARRAY_INX", "INPUT", "WAIT")


def environ_for(request: Request, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of sbatch: without variables that would override the script or that belong to a job around us."""
    environ = os.environ if environ is None else environ
    dropped = {f"SBATCH_{name}" for name in ALWAYS}
    dropped |= {f"SBATCH_{variable}" for option, variable in VARIABLES.items() if option in request.options}
    inside = "SLURM_JOB_ID" in environ
    return {
        name: value
        for name, value in environ.items()
        if name not in dropped
        and not (inside and name.startswith(("SLURM_", "SLURMD_", "SRUN_")) and name != "SLURM_CONF")
        and not name.startswith(("PMI_", "PMIX_", "OMPI_COMM_", "MPI_LOCAL", "HYDRA_", "HYDI_"))
    }


def submit(request: Request, resumes: str = "") -> list[Record]:
    """Submit all jobs of the request; their records, the one to watch first. Raises SlurmError, OutputError.

    When a later job of a group is refused, the earlier ones are cancelled.
    """
    try:
        Path(request.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{request.folder} cannot be made ({error.strerror}); choose another with --folder"
        ) from error
    made: list[tuple[str, str, str, Request]] = []  # job, role, script, request
    try:
        if request.chain > 1:
            _submit_chain(request, made)
        else:
            role = "array" if request.inputs else "job"
            made.append(_submit_one(request, role))
        if request.merge:
            last = merge_request(request)
            made.append(_submit_one(last, "merge", f"--dependency=afterok:{made[0][0]}", "--kill-on-invalid-dep=yes"))
    except slurm.SlurmError:
        if made:
            slurm.cancel([job for job, *_ in made])
        raise
    group = [job for job, *_ in made] if len(made) > 1 else []
    found = []
    for job, role, text, asked in made:
        name = asked.options.get("job-name", "hpckit")
        record = Record(job, name, records.now_s(), records.user(), asked, group, role, resumes)
        records.write(record, text)
        found.append(record)
    return found


def _submit_one(request: Request, role: str, *arguments: str, chain: str = "") -> tuple[str, str, str, Request]:
    text = script.write(request, chain)
    return slurm.submit(text, arguments, environ_for(request)), role, text, request


def _submit_chain(request: Request, made: list[tuple[str, str, str, Request]]) -> None:
    """Each job waits for the one before it to end badly, which is what running out of time is."""
    for i in range(request.chain):
        dependency = ("--kill-on-invalid-dep=yes", f"--dependency=afternotok:{made[-1][0]}") if i else ()
        made.append(_submit_one(request, "chain", *dependency, chain=made[0][0] if made else ""))


def merge_request(request: Request) -> Request:
    """The request of the job that merges an array's results: the same resources, once."""
    name = request.options.get("job-name", "hpckit")
    return replace(
        request,
        command=request.merge, options={**request.options, "job-name": f"{name}-merge"}, merge=[], inputs=0,
        inputs_file="", at_once=0, chain=1, checkpoint="", output="",
    )  # fmt: skip


def dry_run(request: Request) -> tuple[str, bool, str]:
    """(script, whether Slurm would take it, its words). Nothing is written."""
    text, question = ask_verdict(request)
    return text, *slurm.verdict(text, question)


def ask_verdict(request: Request) -> tuple[str, slurm.Question]:
    """(script, the question whether Slurm could start it), without submitting. Raises SlurmError."""
    text = script.write(request)
    return text, slurm.ask_verdict(text, environ_for(request))
