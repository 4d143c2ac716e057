"""`hpckit status`: how jobs stand, from Slurm's controller, its accounting, or the job's own files."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hpckit.batch import jobstate, records, report, slurm
from hpckit.batch.jobstate import JobState
from hpckit.batch.records import Record
from hpckit.cli.options import Parser
from hpckit.errors import UserError

LISTED = 20
AT_ONCE = 8  # jobs that Slurm is asked about at the same time


def parser() -> Parser:
    """The options of `hpckit status`."""
    command = Parser(
        "status",
        "How jobs stand: state, reason in words, progress, skew, restarts, what was saved last. Without a number:\n"
        "your jobs, newest first. Asks Slurm's controller, then accounting, then the job's own files.",
        examples=[("hpckit status 4711", "one job"), ("hpckit status", "those that you submitted")],
    )
    command.add_argument("jobs", nargs="*", metavar="JOB", help="its number; 42_3 is task 3 of the array 42")
    command.add_argument("--folder", metavar="DIR", help="the job's folder, if its number alone does not lead there")
    command.add_argument("--json", action="store_true", help="as JSON, for programs")
    return command


def main(argv: list[str]) -> int:
    """Print how the jobs stand; returns the exit status. Local."""
    options = parser().parse_args(argv)
    if not options.jobs:
        return _list(options.json)
    shown: list[Any] = []
    for first in range(0, len(options.jobs), AT_ONCE):
        for asked in [_Asked(text, options.folder) for text in options.jobs[first : first + AT_ONCE]]:
            shown += _one(asked, options.json)
            asked.end()
    if options.json:
        print(json.dumps(shown[0] if len(options.jobs) == 1 else shown, indent=1))
    return 0


class _Asked:
    """A job that Slurm has been asked about: the controller how it stands, its nodes how busy they are."""

    def __init__(self, text: str, folder: str | None) -> None:
        self.text = text
        self.job, self.task = jobstate.check_number(text)
        try:
            self.record: Record | None = records.find(self.job, folder)
        except records.NoRecordError:
            self.record = None
        self.controller = jobstate.ask_controller(text)
        self.nodes = report.ask_nodes(text, self.record, self.task) if self.controller else None

    def end(self) -> None:
        """What has not been answered is not waited for."""
        for question in (self.controller, self.nodes):
            if question is not None:
                question.drop()


def _one(asked: _Asked, is_json: bool) -> list[Any]:
    """Print how a job stands; for JSON, what to print: a table of values, for an array a list of them."""
    record, task = asked.record, asked.task
    states, note = jobstate.gather(asked.text, record, asked.controller)
    if record is None:
        jobstate.check_owner(states, "hpckit status")
    if task:
        states = [state for state in states if state.task in (task, "")]
    if is_json:
        tables = [_as_json(state, record, asked.nodes) for state in states]
        is_array = not task and (len(tables) > 1 or (record is not None and record.request.inputs > 0))
        return [tables] if is_array else tables
    if note:
        print(f"hpckit: {note}")
    if len(states) > 1:
        _print_array(states, record)
    elif states:
        _print_job(states[0], record, asked.nodes)
    return []


def _print_job(state: JobState, record: Record | None, nodes: slurm.Question | None) -> None:
    print(report.headline(state, record))
    if state.source != "controller":
        print(f"  {'known from':<11} {'accounting' if state.source == 'accounting' else 'its own history'}")
    for what, text in report.details(state, record, nodes) if record else []:
        print(f"  {what:<11} {text}")
    if record and record.group:
        others = ", ".join(job for job in record.group if job != record.job)
        print(f"  {'with it':<11} {others} ({'chain' if record.role == 'chain' else 'array and merge'})")


def _print_array(states: list[JobState], record: Record | None) -> None:
    """An array: how many tasks are in which state, and the tasks that need a look."""
    name = f" ({record.name})" if record else ""
    counts = Counter(state.state for state in states for _ in range(_tasks(state)))
    total = sum(counts.values())
    print(f"job {states[0].job}{name}: {total} tasks: " + ", ".join(f"{n} {name}" for name, n in counts.most_common()))
    worth = [state for state in states if state.state != "COMPLETED"]
    for state in worth[:LISTED]:
        print("  " + report.headline(state, None))
    if len(worth) > LISTED:
        print(f"  … and {len(worth) - LISTED} more")
    if record and record.group:
        print(f"  {'merged by':<11} {', '.join(job for job in record.group if job != record.job)}")


def _tasks(state: JobState) -> int:
    """How many tasks a line of Slurm's stands for: "0-3,7%2" of those that wait is one line."""
    count = 0
    for part in state.task.partition("%")[0].split(","):
        low, dash, high = part.partition("-")
        count += int(high) - int(low) + 1 if dash and low.isdigit() and high.isdigit() else 1
    return count


def _as_json(state: JobState, record: Record | None, nodes: slurm.Question | None = None) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(state, name) for name in JobState.__match_args__}
    if values["limit_s"] == float("inf"):
        values["limit_s"] = None
    values["words"] = report.headline(state, record)
    if record:
        values |= {"name": record.name, "folder": str(record.folder), "group": record.group}
        values["checkpoint"] = record.request.checkpoint
        values |= {what.replace(" ", "_"): text for what, text in report.details(state, record, nodes)}
        values["standing"] = report.figures(state, record)
    return values


def _list(is_json: bool) -> int:
    """The user's jobs by their records, with what Slurm says of those that it knows."""
    found: list[tuple[Record, JobState | None]] = []
    damaged: list[str] = []
    live = _queue()
    for path in records.known()[:LISTED]:
        try:
            record = records.read(path)
        except UserError as error:
            damaged.append(str(error))
            continue
        states = jobstate.from_history(record)
        found.append((record, live.get(record.job) or (states[0] if len(states) == 1 else _summary(record, states))))
    if is_json:
        print(json.dumps([_as_json(state, None) | {"name": record.name} for record, state in found if state], indent=1))
        return 0
    if not found and not damaged:
        print("no jobs of yours yet; `hpckit submit --help` shows how to submit one")
    for record, state in found:
        if state:
            print(f"{report.clock(record.submitted_s):<16}  {report.headline(state, record)}")
    for text in damaged:
        print(f"hpckit: {text}")
    return 0


def _summary(record: Record, states: list[JobState]) -> JobState:
    counts = Counter(state.state for state in states)
    state = next(iter(counts)) if len(counts) == 1 else "RUNNING" if "LOST" in counts else "FAILED"
    return JobState(record.job, state, "own history", record.user)


def _queue() -> dict[str, JobState]:
    """This user's jobs in the queue, by number; empty where Slurm does not answer."""
    try:
        answer = slurm.call("squeue", ["--noheader", "--user", records.user(), "--format", "%F|%T|%r|%M|%l|%D|%N"])
    except slurm.SlurmError:
        return {}
    found = {}
    for line in answer.stdout.splitlines():
        words = line.split("|")
        if len(words) == 7:
            found[words[0]] = JobState(
                words[0], words[1], "controller", records.user(), words[2], nodes=words[6], node_count=words[5]
            )
    return found
