"""`hpckit logs`: what a job has written, and with -f what it goes on to write until it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from hpckit.batch import jobstate, records, slurm
from hpckit.batch.records import Record
from hpckit.cli.options import Parser, positive
from hpckit.errors import InputError

POLL_S = 0.5
ASK_S = 15.0  # how often Slurm is asked whether the job still lives
BLOCK_BYTES = 1 << 20
SETTLE_S = 2.0  # after the end, for what network file systems still hold back


def parser() -> Parser:
    """The options of `hpckit logs`."""
    command = Parser(
        "logs",
        "What a job writes: all its lives in one file.",
        examples=[
            ("hpckit logs -f 4711", "as it comes, until the job ends"),
            ("hpckit logs 42_3", "of a task of an array"),
        ],
    )
    command.add_argument("job", metavar="JOB", help="its number")
    command.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    command.add_argument("-n", "--lines", type=positive, metavar="N", help="only the last N lines of what is there")
    command.add_argument("--folder", metavar="DIR", help="the job's folder, if its number alone does not lead there")
    return command


def main(argv: list[str]) -> int:
    """Print the log; returns the exit status. Local."""
    options = parser().parse_args(argv)
    job, task = jobstate.check_number(options.job)
    record = records.find(job, options.folder)
    if record.request.inputs and not task:
        raise InputError(f"job {job} is an array of {record.request.inputs}: say {job}_N, N from 0 on")
    log = record.file("log", task)
    if not log.exists() and not options.follow:
        states, _ = jobstate.gather(options.job, record)
        raise InputError(f"job {options.job} has written nothing yet (it is {states[0].state}); -f waits for it")
    try:
        offset = _print_from(log, _offset(log, options.lines))
        if options.follow:
            _follow(record, task, log, offset)
    except KeyboardInterrupt:
        return 130
    return 0


def _offset(log: Path, lines: int | None) -> int:
    """Where the last `lines` lines begin."""
    if lines is None or not log.exists():
        return 0
    with open(log, "rb") as stream:
        position = stream.seek(0, os.SEEK_END)
        text = b""
        while position and text.count(b"\n") <= lines:
            step = min(position, 1 << 16)
            position = stream.seek(position - step)
            text = stream.read(step) + text
    kept = text.splitlines(keepends=True)[-lines:]
    return position + len(text) - sum(map(len, kept))


def _print_from(log: Path, offset: int) -> int:
    """Copy what the log holds behind `offset` to stdout; the new offset."""
    if not log.exists():
        return offset
    with open(log, "rb") as stream:
        stream.seek(offset)
        while block := stream.read(BLOCK_BYTES):
            sys.stdout.write(block.decode(errors="replace"))
            offset += len(block)
    sys.stdout.flush()
    return offset


def _follow(record: Record, task: str, log: Path, offset: int) -> None:
    """Print as the file grows, until the job has ended and nothing more comes."""
    asked_s = 0.0
    number = f"{record.job}_{task}" if task else record.job
    while True:
        offset = _print_from(log, offset)
        now_s = time.monotonic()
        if _ended(record, task) or now_s - asked_s >= ASK_S:
            asked_s = now_s
            if not _lives(number, record):
                time.sleep(SETTLE_S)
                _print_from(log, offset)
                return
        time.sleep(POLL_S)


def _ended(record: Record, task: str) -> bool:
    """Whether the job's history ends with an end: then Slurm is asked at once."""
    history, _ = records.events(record.file("events", task))
    return bool(history) and history[-1].event == "end"


def _lives(number: str, record: Record) -> bool:
    try:
        states, _ = jobstate.gather(number, record)
    except slurm.SlurmError:
        return True
    return any(state.active or state.state == "LOST" for state in states)
