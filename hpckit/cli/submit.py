"""`hpckit submit`: put a command into Slurm's queue, as one job, a chain, or an array over many inputs."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from hpckit.batch import folders, jobstate, mpi, reasons, records, settings, slurm, submission
from hpckit.batch.request import RANGE_HELP, RESTARTS, SAVE_BEFORE_S, Request, node_range, save_before, with_ranks
from hpckit.batch.script import prefix
from hpckit.cli.options import Parser, UsageError, count, duration, positive
from hpckit.cli.submit_command import (
    PROG,
    SPECIAL,
    check_placeholders,
    default_name,
    expand,
    hpckit_command,
    merge_command,
    option_of,
    sort_output,
    with_checkpoint,
)
from hpckit.errors import UserError
from hpckit.spmd.mpirun import check_survival, find_launcher

RESTARTS_INSIDE = 3  # --survive: on what is left of the allocation, before the job is queued again
REFUSED = {
    "-a": "--each", "--array": "--each", "-o": "--folder", "--output": "--folder", "-e": "--folder",
    "--error": "--folder", "--signal": "--save-before", "--wrap": "-- COMMAND", "--test-only": "--dry-run",
    "-D": "the folder to submit from",
    "--chdir": "the folder to submit from", "-W": "hpckit status",
    "--wait": "hpckit status", "--requeue": "--restarts", "--no-requeue": "--restarts 0", "--open-mode": "nothing",
}  # fmt: skip


def parser() -> Parser:
    """The options of `hpckit submit`."""
    command = Parser(
        "submit",
        "Put COMMAND into Slurm's queue: an hpckit command such as `query …`, or a program, `python jobs/x.py …`.\n"
        "Before the time limit its work is saved and the job is queued again, until it is finished. Options are\n"
        "Slurm's own; any other option of sbatch is handed on. Defaults come from hpckit.toml ([submit] nodes = 2 …).",
        examples=[
            (
                "hpckit submit -N 4 --ntasks-per-node 32 -t 2:00:00 --account p1 -- query -f report.sql --output out/",
                "128 ranks; hpckit status shows how far they are",
            ),
            ("hpckit submit -N 2-8 -t 1:00:00 --dry-run -- sort 'logs/*.gz' all.parquet --format bgl --by time",
             "whatever the scheduler has between 2 and 8 nodes; only show the script and Slurm's verdict"),
            ("hpckit submit -N 1 --each 'logs/*.log' --merge \"sort parts/*.parquet all.parquet --by time\" -- \\\n"
             "      query \"SELECT time, node FROM read_logs('{input}', 'bgl')\" --output parts/{stem}.parquet",
             "an array of jobs, one for each input, and a last one that puts their results together"),
        ],
    )  # fmt: skip
    slurm_options = command.add_argument_group("Slurm (any other sbatch option works too)")
    add = slurm_options.add_argument
    add("-N", "--nodes", metavar="N|MIN-MAX", help=RANGE_HELP)
    add("-n", "--ntasks", metavar="N", help="ranks in all")
    add("--ntasks-per-node", metavar="N", help="ranks on each node (default 1)")
    add("-c", "--cpus-per-task", metavar="N", help="cores of a rank")
    add("-t", "--time", metavar="T", help="time limit of one go: 30 (minutes), 2:00:00, 1-12:00:00")
    add("-p", "--partition", metavar="P", help="where to run")
    add("-A", "--account", metavar="A", help="whom to charge")
    add("-q", "--qos", metavar="Q", help="quality of service")
    add("-J", "--job-name", metavar="NAME", help="default: the command's name")
    add("--mem", metavar="SIZE", help="memory of a node, where the site wants it said")
    add("-C", "--constraint", metavar="F", help="features of nodes")
    add("--exclusive", action="store_true", default=None, help="no other jobs on the nodes")
    going_on = command.add_argument_group("going on")
    add = going_on.add_argument
    add("--restarts", type=count, metavar="K", help=f"how often the job is queued again (default {RESTARTS}; 0: never)")
    add("--chain", type=positive, metavar="K", help="K jobs in a row instead, where requeueing is not allowed")
    add(
        "--save-before",
        type=duration,
        metavar="T",
        help=f"begin to save so long before the limit (default {SAVE_BEFORE_S})",
    )
    add("--checkpoint-every", type=_duration, metavar="T", help="save also in between, against lost nodes")
    add("--survive", action="store_true", help="go on inside the job when a node is lost (Open MPI)")
    add(
        "--stall",
        type=_duration,
        metavar="T",
        help="a job in which nothing gets done for so long is started again, e.g. 10m",
    )
    arrays = command.add_argument_group("many inputs")
    add = arrays.add_argument
    add("--each", metavar="GLOB", action="append", help="a job for each file: {input} {stem} {index} in COMMAND")
    add("--at-once", type=positive, metavar="K", help="at most K of them at a time")
    add("--merge", metavar="COMMAND", help="a last job when all have succeeded")
    how = command.add_argument_group("how")
    add = how.add_argument
    add("--dry-run", action="store_true", help="show the script and Slurm's verdict; submit nothing")
    add(
        "--launcher",
        choices=settings.LAUNCHERS,
        help="what starts the ranks (default: what fits this MPI and this Slurm)",
    )
    add("--mpi", metavar="TYPE", help="srun's --mpi (pmi2, pmix, …)")
    add("--module", action="append", dest="modules", metavar="M", help="load this module first")
    add("--venv", metavar="DIR", help="environment of hpckit (default: the one that this command runs in)")
    add("--stage-env", action="store_true", default=None, help="unpack the environment on each node's own disk")
    add("--folder", metavar="DIR", help="for log, script and state (default: OUTPUT.job)")
    add("--parsable", action="store_true", help="print nothing but the job's number")
    return command


def _duration(text: str) -> str:
    """A duration that is checked here and read by another command."""
    duration(text)
    return text


def _seconds(given: Any, origins: Any) -> float | None:
    """--save-before as it was given, or as a text of the settings."""
    try:
        return duration(given) if isinstance(given, str) else given
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{origins.get('save_before')}: save_before: {error}") from None


def main(argv: list[str]) -> int:
    """Submit, or show what would be submitted; returns the exit status. Local."""
    options, extra, command = parse(argv)
    request = prepare(options, extra, command)
    if options.dry_run:
        text, good, words = submission.dry_run(request)
        sys.stdout.write(text)
        sys.stdout.flush()
        print(f"hpckit: Slurm's verdict: {words}", file=sys.stderr)
        return 0 if good else 2
    text, question = submission.ask_verdict(request)  # at the same time, for Slurm takes its time with either
    try:
        made = submission.submit(request)
    except UserError:
        question.drop()
        raise
    report(made, options.parsable)
    warn_if_impossible(made[0].job, text, question)
    return 0


def warn_if_impossible(job: str, script: str, question: slurm.Question) -> None:
    """Say so at once if Slurm took a job that cannot start as it was asked for; many sites let those wait forever.

    Slurm's verdict tells of nodes and cores that there are not, the reason that the job waits of limits.
    """
    controller = jobstate.ask_controller(job)
    try:
        good, words = slurm.verdict(script, question)
        if not good:
            words = words.removeprefix(slurm.REFUSED)
        else:
            states = jobstate.from_controller(job, controller)
            why, never = reasons.explain(states[0].reason) if states and states[0].state == "PENDING" else ("", False)
            good, words = not never, why
    except slurm.SlurmError:
        return
    if not good:
        print(f"hpckit: warning: job {job} cannot start as things are: {words}", file=sys.stderr)


def parse(argv: list[str]) -> tuple[Any, list[str], list[str]]:
    """(own options, sbatch options as lines, command). Raises UsageError."""
    cut = argv.index("--") if "--" in argv else len(argv)
    options, rest = parser().parse_known_args(argv[:cut])
    command = argv[cut + 1 :]
    extra: list[str] = []
    for word in rest:
        if word.startswith("-"):
            name = word.partition("=")[0]
            if name in REFUSED:
                raise UsageError(f"{name} is set by hpckit; use {REFUSED[name]} instead", PROG)
            extra.append(word)
        elif not extra:
            raise UsageError(
                f"put `--` before the command: hpckit submit … -- {' '.join(rest)}\nsee `{PROG} --help`", PROG
            )
        else:
            extra[-1] += f" {shlex.quote(word)}"
    if not command:
        raise UsageError(f"no command to submit; it stands behind `--`: {PROG} -N 2 -- query …", PROG)
    return options, extra, command


def prepare(options: Any, extra: list[str], command: list[str]) -> Request:
    """The request that options, settings and the command make, checked as far as that is possible before the queue."""
    known = settings.load()
    given = {**known.values, **{name: value for name, value in vars(options).items() if value is not None}}
    sbatch = resources(given, "" if options.nodes else known.origins.get("nodes", ""))
    command = hpckit_command(command)
    inputs = expand(options.each) if options.each else []
    check_placeholders(command, bool(inputs))
    output = option_of(command, "-o", "--output") or sort_output(command)
    folder = folders.folder_for(output, options.folder)
    check_places(folder, output, command, given.get("shared", []))
    stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    command, checkpoint = with_checkpoint(command, folder, stamp, bool(inputs), given.get("checkpoint_every"))
    start = mpi.choose(given.get("launcher", "auto"), given.get("mpi", ""))
    if (options.survive or options.stall) and start.launcher == "srun":
        raise UsageError("--survive and --stall need mpirun: leave out --launcher srun and --mpi", PROG)
    if options.survive and not given.get("venv") and not given.get("modules"):  # then the job's MPI is this one
        check_survival(find_launcher())
    sbatch = {"job-name": default_name(command), **sbatch}
    environment = given.get("venv") or prefix()
    request = Request(
        command=command, options=sbatch, extra=[*given.get("sbatch", []), *extra], launcher=start.launcher,
        pmi=start.pmi,
        run_options=run_options(options),
        restarts=given.get("restarts", RESTARTS),
        requeue=given.get("requeue", True), chain=options.chain or 1,
        save_before_s=save_before(sbatch.get("time"), _seconds(given.get("save_before"), known.origins)),
        modules=given.get("modules", []),
        environment=os.path.abspath(os.path.expanduser(environment)) if environment else "",
        setup=given.get("setup", []), inputs=len(inputs), at_once=options.at_once or 0,
        inputs_file=str(folder / f"{stamp}.inputs") if inputs else "", merge=merge_command(options, bool(inputs)),
        output=str(Path(output).absolute()) if output else "", checkpoint=checkpoint, folder=str(folder),
        work_folder=os.getcwd(),
    )  # fmt: skip
    if inputs and request.chain > 1:
        raise UsageError("--chain and --each do not go together: a task of an array has no successor", PROG)
    return finish(request, options, inputs, given)


def resources(given: dict[str, Any], nodes_from: str) -> dict[str, str]:
    """What sbatch is asked for: its long options without dashes, and their values."""
    if given.get("nodes"):
        node_range(given["nodes"], nodes_from)
    sbatch = {name.replace("_", "-"): str(given[name]) for name in settings.SLURM_OPTIONS if given.get(name)}
    return with_ranks(sbatch) | ({"exclusive": ""} if given.get("exclusive") else {})


def run_options(options: Any) -> list[str]:
    """What `hpckit run` gets inside the job."""
    survive = ["--survive", "--restarts", str(RESTARTS_INSIDE)] if options.survive else []
    return [*survive, *(["--stall", options.stall] if options.stall else [])]


def finish(request: Request, options: Any, inputs: list[str], given: dict[str, Any]) -> Request:
    """Write the files that the script will read; nothing for a dry run."""
    if given.get("stage_env"):
        from dataclasses import replace

        from hpckit.batch import staging

        packed = staging.place(request.environment, given.get("stage_folder"))
        if not options.dry_run:
            staging.pack(request.environment, packed)
        request = replace(request, stage_env=str(packed))
    if inputs and not options.dry_run:
        Path(request.folder).mkdir(parents=True, exist_ok=True)
        records.replace(Path(request.inputs_file), "".join(f"{path}\n" for path in inputs))
    return request


def check_places(folder: Path, output: str | None, command: list[str], shared: list[str]) -> None:
    """Folders that cannot be written or that nodes do not see are found now, not after hours in the queue."""
    folders.check_writable(folder, "--folder")
    places = [(folder, "the job's folder")]
    if output and not any(mark in output for mark in SPECIAL):
        folders.check_output(output, "--overwrite" in command or "--check" in command)
        places.append((Path(output).absolute(), "--output"))
    folders.check_shared(places, shared)


def report(made: list[records.Record], parsable: bool) -> None:
    """Say what was submitted and where its files are."""
    first = made[0]
    if parsable:
        print(first.job)
        return
    request = first.request
    tasks = f", an array of {request.inputs}" if request.inputs else ""
    others = f" and {', '.join(r.job for r in made[1:])} behind it" if len(made) > 1 else ""
    print(f"job {first.job} ({first.name}){tasks}{others}")
    log = first.file("log", "N") if request.inputs else first.file("log")
    for what, path in (("log", str(log)), ("script", str(first.file("sbatch"))), ("output", request.output),
                       ("saves to", request.checkpoint)):  # fmt: skip
        if path:
            print(f"  {what:<9} {path}")
    print(f"  hpckit status {first.job}    hpckit logs -f {first.job}    hpckit cancel {first.job}")
