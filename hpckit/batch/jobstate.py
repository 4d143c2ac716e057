"""What became of a job: asked from the controller, else from accounting, else read from the job's own history."""

from __future__ import annotations

import re
from datetime import datetime

from hpckit.batch import durations, records, slurm
from hpckit.batch.reasons import ACTIVE
from hpckit.batch.records import Record
from hpckit.errors import UserError
from hpckit.frozen import frozen

SACCT_FIELDS = ("JobID", "User", "State", "ExitCode", "Start", "End", "ElapsedRaw", "Timelimit", "NNodes", "NodeList")


@frozen
class JobState:
    """One job, or one task of an array. Times are seconds since 1970; None where nobody knows."""

    job: str
    state: str
    source: str  # controller, accounting, own history
    user: str = ""
    reason: str = ""
    task: str = ""
    nodes: str = ""
    node_count: str = ""
    start_s: float | None = None
    end_s: float | None = None
    elapsed_s: float | None = None
    limit_s: float | None = None
    restarts: int | None = None
    status: int | None = None
    signal: int | None = None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE


def check_number(text: str) -> tuple[str, str]:
    """ "42" -> ("42", ""), "42_3" -> ("42", "3"). Raises UserError."""
    match = re.fullmatch(r"(\d+)(?:_(\d+))?", text)
    if match is None:
        raise UserError(f"job {text!r}: expected a job's number such as 42, or 42_3 for a task of an array")
    return match.group(1), match.group(2) or ""


def gather(job: str, record: Record | None, question: slurm.Question | None = None) -> tuple[list[JobState], str]:
    """(states of the job or of its tasks, a note on who did not answer). Never empty if there is a record.

    `question` is what the controller has been asked already, see `ask_controller`.

    Raises UnknownJobError if nobody knows the job, SlurmError if Slurm does not answer and there is no record.
    """
    note = ""
    try:
        found = from_controller(job, question) or from_accounting(job)
        if found:
            return found, note
    except slurm.SlurmError as error:
        if record is None:
            raise
        note = f"from the job's own history, because {error}"
    if record is None:
        raise slurm.UnknownJobError(
            f"no job {job}: Slurm does not know it (any more), and hpckit has no record of it; `hpckit status` lists "
            "yours"
        )
    return from_history(record), note


def ask_controller(job: str) -> slurm.Question | None:
    """Ask slurmctld about a job; None where there is no Slurm."""
    try:
        return slurm.Question("scontrol", ["show", "job", job, "--oneliner"])
    except slurm.SlurmError:
        return None


def from_controller(job: str, question: slurm.Question | None = None) -> list[JobState]:
    """What slurmctld knows, maybe in answer to `question`; empty when it has forgotten the job."""
    answer = (question or slurm.Question("scontrol", ["show", "job", job, "--oneliner"])).answer()
    if answer.status:
        if "Invalid job id" in answer.stderr:
            return []
        raise slurm.SlurmError(f"scontrol show job {job}: {answer.complaint}")
    return [parse_controller(line) for line in answer.stdout.splitlines() if line.startswith("JobId=")]


def parse_controller(line: str) -> JobState:
    """One line of `scontrol show job --oneliner`."""
    values = dict(re.findall(r"(?:^|\s)([A-Z][A-Za-z:/]*)=(.*?)(?=\s[A-Z][A-Za-z:/]*=|\s*$)", line))
    status, _, number = values.get("ExitCode", "").partition(":")
    state = values.get("JobState", "UNKNOWN")
    nodes = values.get("NodeList", "")
    return JobState(
        job=values.get("ArrayJobId") or values.get("JobId") or "",
        state=state,
        source="controller",
        user=values.get("UserId", "").partition("(")[0],
        reason="" if values.get("Reason") in (None, "None") and state != "PENDING" else values.get("Reason", ""),
        task=values.get("ArrayTaskId", ""),
        nodes="" if nodes == "(null)" else nodes,
        node_count=values.get("NumNodes", ""),
        start_s=parse_time(values.get("StartTime", "")),
        end_s=parse_time(values.get("EndTime", "")),
        elapsed_s=_seconds(values.get("RunTime", "")),
        limit_s=_seconds(values.get("TimeLimit", "")),
        restarts=int(values["Restarts"]) if values.get("Restarts", "").isdigit() else None,
        status=int(status) if status.isdigit() else None,
        signal=int(number) if number.isdigit() else None,
    )


def from_accounting(job: str) -> list[JobState]:
    """What sacct knows; empty where accounting is switched off, does not answer or has no such job."""
    arguments = ["-j", job, "--allocations", "--noheader", "--parsable2", f"--format={','.join(SACCT_FIELDS)}"]
    try:
        answer = slurm.call("sacct", arguments)
    except slurm.SlurmError:
        return []
    if answer.status:
        return []
    return [parse_accounting(line) for line in answer.stdout.splitlines() if line.count("|") == len(SACCT_FIELDS) - 1]


def parse_accounting(line: str) -> JobState:
    """One line of `sacct --parsable2`."""
    values = dict(zip(SACCT_FIELDS, line.split("|"), strict=True))
    number, _, task = values["JobID"].partition("_")
    status, _, killed = values["ExitCode"].partition(":")
    return JobState(
        job=number,
        state=values["State"].partition(" ")[0] or "UNKNOWN",  # CANCELLED by 1000
        source="accounting",
        user=values["User"],
        task=task,
        nodes="" if values["NodeList"] == "None assigned" else values["NodeList"],
        node_count=values["NNodes"],
        start_s=parse_time(values["Start"]),
        end_s=parse_time(values["End"]),
        elapsed_s=float(values["ElapsedRaw"]) if values["ElapsedRaw"].isdigit() else None,
        limit_s=_seconds(values["Timelimit"]),
        status=int(status) if status.isdigit() else None,
        signal=int(killed) if killed.isdigit() else None,
    )


def from_history(record: Record) -> list[JobState]:
    """What the job itself wrote down: good for as long as its folder lives."""
    tasks = [str(i) for i in range(record.request.inputs)] or [""]
    return [_own(record, task) for task in tasks]


def _own(record: Record, task: str) -> JobState:
    history, _ = records.events(record.file("events", task))
    starts = [event for event in history if event.event == "start"]
    if not history:
        return JobState(
            record.job, "UNKNOWN", "own history", record.user, "it has not started, as far as its folder says", task
        )
    last = history[-1]
    nodes = str(starts[-1].values.get("nodes", "")) if starts else ""
    status = last.values.get("status")
    state = "LOST" if last.event == "start" else "REQUEUED" if last.event == "requeue" else ended(status)
    return JobState(
        job=record.job,
        state=state,
        source="own history",
        user=record.user,
        task=task,
        nodes=nodes,
        start_s=starts[-1].time_s if starts else None,
        end_s=last.time_s if last.event == "end" else None,
        elapsed_s=last.time_s - starts[-1].time_s if starts and last.event == "end" else None,
        restarts=last.life,
        status=status if isinstance(status, int) else None,
    )


def ended(status: object) -> str:
    """The state that an exit status stands for."""
    return "COMPLETED" if status == 0 else "SAVED" if status == 75 else "FAILED"


def parse_time(text: str) -> float | None:
    """Slurm's local time as seconds since 1970."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # Unknown, N/A, None
        return None


def _seconds(text: str) -> float | None:
    try:
        return durations.parse(text) if text[:1].isdigit() else None
    except UserError:
        return None


def check_owner(states: list[JobState], what: str) -> None:
    """SlurmError if the job is someone else's."""
    me = records.user()
    for state in states:
        if state.user and state.user != me:
            raise slurm.SlurmError(
                f"job {state.job} is {state.user}'s, you are {me}: {what} is for your own jobs; `hpckit status` "
                "lists them"
            )
