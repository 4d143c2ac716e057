"""`hpckit resume`: a new job that goes on from what an ended one saved, also on another number of nodes."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from hpckit.batch import jobstate, records, settings, submission
from hpckit.batch.records import Record
from hpckit.batch.request import RANGE_HELP, Request, node_range, save_before, with_ranks
from hpckit.cli import submit
from hpckit.cli.options import Parser, count
from hpckit.errors import UserError


def parser() -> Parser:
    """The options of `hpckit resume`."""
    command = Parser(
        "resume",
        "A new job that goes on from what an ended one saved; the result has the same bytes on any number of nodes.\n"
        "Of an array only the tasks that have not succeeded run again. What is not said stays as it was.",
        examples=[("hpckit resume 4711 -N 8", "on 8 nodes"), ("hpckit resume 4711 -t 4:00:00", "with more time")],
    )
    add = command.add_argument
    add("job", metavar="JOB", help="its number")
    add("-N", "--nodes", metavar="N|MIN-MAX", help=RANGE_HELP)
    add("-n", "--ntasks", metavar="N", help="ranks in all")
    add("--ntasks-per-node", metavar="N", help="ranks on each node")
    add("-c", "--cpus-per-task", metavar="N", help="cores of a rank")
    add("-t", "--time", metavar="T", help="time limit")
    add("-p", "--partition", metavar="P", help="where to run")
    add("-A", "--account", metavar="A", help="whom to charge")
    add("-q", "--qos", metavar="Q", help="quality of service")
    add("--mem", metavar="SIZE", help="memory of a node")
    add("-C", "--constraint", metavar="F", help="features of nodes")
    add("--restarts", type=count, metavar="K", help="how often it is queued again")
    add("--dry-run", action="store_true", help="show the script and Slurm's verdict; submit nothing")
    add("--folder", metavar="DIR", help="the job's folder, if its number alone does not lead there")
    add("--parsable", action="store_true", help="print nothing but the new job's number")
    return command


def main(argv: list[str]) -> int:
    """Submit the continuation; returns the exit status. Local."""
    options = parser().parse_args(argv)
    job, task = jobstate.check_number(options.job)
    if task:
        raise UserError(
            f"job {options.job}: resume takes the whole array; tasks that have succeeded are left out by themselves"
        )
    record = records.find(job, options.folder)
    check_ended(record)
    request = changed(record, options)
    if options.dry_run:
        text, good, words = submission.dry_run(request)
        sys.stdout.write(text)
        sys.stdout.flush()
        print(f"hpckit: Slurm's verdict: {words}", file=sys.stderr)
        return 0 if good else 2
    submit.report(submission.submit(request, resumes=job), options.parsable)
    return 0


def check_ended(record: Record) -> None:
    """UserError if there is nothing to go on with: the job still runs, or it has finished."""
    states, _ = jobstate.gather(record.job, record)
    jobstate.check_owner(states, "hpckit resume")
    active = [state for state in states if state.active]
    if active:
        raise UserError(
            f"job {record.job} is {active[0].state}: it goes on by itself; `hpckit cancel {record.job}` first, to go "
            "on otherwise"
        )
    if all(state.state == "COMPLETED" for state in states):
        raise UserError(
            f"job {record.job} has finished: nothing to go on with; its output is "
            f"{record.request.output or 'in its log'}"
        )


def changed(record: Record, options: Any) -> Request:
    """The request of before, with what was said anew."""
    request = record.request
    given = {
        name.replace("_", "-"): getattr(options, name, None) for name in settings.SLURM_OPTIONS if name != "job_name"
    }
    asked = {name: value for name, value in given.items() if value}
    if "nodes" in asked:
        node_range(asked["nodes"])
    kept = {name: value for name, value in request.options.items() if not _superseded(name, asked)}
    sbatch = with_ranks({**kept, **asked})
    lead_s = save_before(sbatch.get("time"), None) if "time" in asked else request.save_before_s
    restarts = request.restarts if options.restarts is None else options.restarts
    return replace(request, options=sbatch, save_before_s=lead_s, restarts=restarts, tasks=_unfinished(record))


def _superseded(name: str, asked: dict[str, str]) -> bool:
    """Ranks in all, from before, do not bind a job that is told its nodes anew, and the other way round."""
    if "ntasks" in asked:
        return name in ("nodes", "ntasks-per-node")
    return name == "ntasks" and "nodes" in asked


def _unfinished(record: Record) -> str:
    """The tasks of an array that have not succeeded, as sbatch takes them; "" for what is no array."""
    left = [state.task for state in jobstate.from_history(record) if state.task and state.state != "COMPLETED"]
    return ",".join(left)
