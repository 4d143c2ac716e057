"""`hpckit cancel`: end jobs, and those that were submitted with them."""

from __future__ import annotations

from hpckit.batch import jobstate, records, slurm
from hpckit.batch.jobstate import JobState
from hpckit.cli.options import Parser


def parser() -> Parser:
    """The options of `hpckit cancel`."""
    command = Parser(
        "cancel",
        "End jobs. What they have saved stays, so that `hpckit resume` can go on; the rest of a chain and the job\n"
        "that merges an array are cancelled with them.",
        examples=[("hpckit cancel 4711", "one job"), ("hpckit cancel 42_3", "one task of an array")],
    )
    command.add_argument("jobs", nargs="+", metavar="JOB", help="its number")
    command.add_argument("--folder", metavar="DIR", help="the job's folder, if its number alone does not lead there")
    return command


def main(argv: list[str]) -> int:
    """Cancel; returns the exit status. Local."""
    options = parser().parse_args(argv)
    for text in options.jobs:
        job, task = jobstate.check_number(text)
        group, states = [text], jobstate.from_controller(text) or jobstate.from_accounting(text)
        jobstate.check_owner(states, "hpckit cancel")
        try:
            record = records.find(job, options.folder)
            group = [text] if task or not record.group else record.group
        except records.NoRecordError:
            record = None
        if not states and record is None:
            jobstate.gather(text, None)  # raises: nobody knows it
        if not task and not _any_active(group, states, text):
            known = states or (jobstate.from_history(record) if record else [])
            print(f"job {text} has ended already ({known[0].state}); nothing to cancel")
            continue
        slurm.cancel(group)
        others = [number for number in group if number != text]
        print(f"cancelled job {text}" + (f", and with it {', '.join(others)}" if others else ""))
    return 0


def _any_active(group: list[str], states: list[JobState], text: str) -> bool:
    if any(state.active for state in states):
        return True
    return any(state.active for job in group if job != text for state in jobstate.from_controller(job))
