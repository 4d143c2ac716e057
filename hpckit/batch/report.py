"""How a job stands, in lines for people: state and reason, progress, skew, restarts, what was saved last."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from hpckit.batch import durations, reasons, records, slurm
from hpckit.batch.jobstate import JobState
from hpckit.batch.records import Event, Record
from hpckit.spmd import standing
from hpckit.spmd.standing import Standing

TAIL_BYTES = 1 << 16
PROGRESS = re.compile(r"^hpckit: (\S[^:]*: \d+ %.*)$", re.MULTILINE)
LAST_WORDS = re.compile(
    r"^hpckit.*(?:error: .*|lines read = .*|failed:.*|given up .*|not queued again.*)$", re.MULTILINE
)
NODES_LIMIT_S = 5.0  # for the nodes of a job to say how busy they are
LAUNCHER_WORDS = re.compile(r"^(?:srun|slurmstepd\S*): error: .*$", re.MULTILINE)
FILES_MAX = 20_000  # looked at for the newest saved file


def headline(state: JobState, record: Record | None) -> str:
    """ "job 42 (query): RUNNING on 4 nodes (n[1-4]) for 12 min of 2 h"."""
    number = state.job + (f"_{state.task}" if state.task else "")
    name = f" ({record.name})" if record else ""
    text = f"job {number}{name}: {state.state}"
    meaning = reasons.STATES.get(state.state, "")
    if state.state == "PENDING":
        why, _ = reasons.explain(state.reason or "None")
        text += f": {why}"
        if state.start_s and state.start_s > time.time():
            text += f"; Slurm expects it to start at {clock(state.start_s)}"
        return text
    if state.state in ("RUNNING", "COMPLETING") and state.nodes:
        count = f"{state.node_count} node{'s' if state.node_count != '1' else ''} " if state.node_count else ""
        text += f" on {count}({state.nodes})"
    elif meaning and meaning != state.state.lower():
        text += f": {meaning}"
    if state.elapsed_s is not None:
        text += f", {durations.words(state.elapsed_s)}"
        if state.limit_s and state.limit_s != float("inf"):
            text += f" of {durations.words(state.limit_s)}"
    if not state.active and state.status:
        text += f", exit status {state.status}{exit_meaning(state.status)}"
    elif not state.active and state.signal:
        text += f", killed by signal {state.signal}"
    return text


def exit_meaning(status: int) -> str:
    """What hpckit's exit statuses mean."""
    return {
        2: ": a mistake in the request, see the log",
        1: ": an error of the program, see the log",
        75: ": work was saved; `hpckit resume` goes on",
    }.get(status, "")


def details(state: JobState, record: Record, nodes: slurm.Question | None = None) -> list[tuple[str, str]]:
    """(what, text) of all that the job's own files tell, and its nodes in answer to `nodes` (see `ask_nodes`)."""
    history, damaged = records.events(record.file("events", state.task))
    log, now = record.file("log", state.task), standing_of(state, record)
    ranks = str(now.ranks) if now else _ranks(history)
    lines = [
        ("ranks", ranks),
        ("progress", progress(log, state, now)),
        ("skew", skew(now)),
        ("cpu", _busy(state, nodes)),
    ]
    last_s = now.saved_s if now else 0.0
    lines += [("restarts", restarts(state, record, history)), ("saved", saved(record, state.task, last_s))]
    if not state.active:
        lines.append(("last words", last_words(log)))
    if damaged:
        lines.append(("history", f"{damaged} damaged line(s) in {record.file('events', state.task)} left out"))
    lines += [("output", record.request.output), ("log", str(log))]
    return [(what, text) for what, text in lines if text]


def _ranks(history: list[Event]) -> str:
    starts = [event for event in history if event.event == "start"]
    return str(starts[-1].values.get("ranks", "")) if starts else ""


def tail(path: Path) -> str:
    """The last 64 KiB of a log."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def standing_of(state: JobState, record: Record) -> Standing | None:
    """How far the ranks of a running job are; None if it does not run, or its ranks have written nothing (yet)."""
    return standing.read(record.file("standing", state.task)) if state.state == "RUNNING" else None


def progress(log: Path, state: JobState, now: Standing | None) -> str:
    """How far the ranks are by their own files, else the newest progress line of the log; and how old that is."""
    if state.state != "RUNNING":
        return ""
    if now is not None:
        return f"{scanned(now)} ({_ago(now.now_s)})"
    found = PROGRESS.findall(tail(log))
    if not found:
        return "nothing said yet"
    return f"{found[-1]} ({_ago(log.stat().st_mtime)})"


def scanned(now: Standing) -> str:
    """ "scan: 45 %, 1.2 of 2.7 GB, 45,000,000 lines, 3,100,000 lines/s, 12 s left"."""
    unit, name = (1e9, "GB") if now.bytes_total >= 1e9 else (1e6, "MB")
    share = 100 * now.bytes_done / now.bytes_total if now.bytes_total else 100.0
    elapsed_s = max(now.now_s - now.start_s, 1e-3)
    left = "time left unknown" if now.left_s is None else f"{durations.words(now.left_s)} left"
    return (
        f"{now.label}: {share:.0f} %, {now.bytes_done / unit:.1f} of {now.bytes_total / unit:.1f} {name}, "
        f"{now.lines:,} lines, {now.lines / elapsed_s:,.0f} lines/s, {left}"
    )


def skew(now: Standing | None) -> str:
    """How unevenly the ranks get on, by what each has written of its own share; "" where that is not known."""
    if now is None or now.skew is None:
        return ""
    least = min(now.shares, key=lambda share: share.bytes_done / share.bytes_own if share.bytes_own else 1.0)
    return (
        f"most bytes of a rank / mean: {now.skew:.2f}; least of its share: rank {least.rank} on {least.node}, "
        f"{100 * least.bytes_done / max(1, least.bytes_own):.0f} %"
    )


def figures(state: JobState, record: Record) -> dict[str, Any] | None:
    """The numbers behind `progress` and `skew`, for programs."""
    now = standing_of(state, record)
    if now is None:
        return None
    values: dict[str, Any] = {name: getattr(now, name) for name in Standing.__match_args__ if name != "shares"}
    return {**values, "left_s": now.left_s, "skew": now.skew}


def _ago(then_s: float) -> str:
    return f"{durations.words(max(0.0, time.time() - then_s))} ago"


def last_words(log: Path) -> str:
    """The error or the summary that the log ends with."""
    text = tail(log)
    found = LAST_WORDS.findall(text) or LAUNCHER_WORDS.findall(text)
    return found[-1].removeprefix("hpckit: ") if found else ""


def ask_nodes(number: str, record: Record | None, task: str) -> slurm.Question | None:
    """Ask the nodes of a job how busy its tasks are, if by its own history it runs."""
    history = records.events(record.file("events", task))[0] if record else []
    if not history or history[-1].event != "start":
        return None
    fields = "--format=JobID,NTasks,AveCPU,MinCPU,MinCPUNode,MaxRSS,MaxRSSNode"
    try:
        return slurm.Question(
            "sstat", ["--noheader", "--parsable2", "--allsteps", fields, "-j", number], limit_s=NODES_LIMIT_S
        )
    except slurm.SlurmError:
        return None


def _busy(state: JobState, nodes: slurm.Question | None) -> str:
    """How unevenly the tasks of the running step compute; "" where their nodes do not say."""
    if nodes is None:
        return ""
    if state.state != "RUNNING":
        nodes.drop()
        return ""
    try:
        answer = nodes.answer()
    except slurm.SlurmError:
        return ""
    for line in reversed(answer.stdout.splitlines()):
        words = line.split("|")
        if len(words) == 7 and words[1].isdigit() and int(words[1]) > 1:
            return _skew_words(*words[2:])
    return ""


def _skew_words(average: str, least: str, least_node: str, memory: str, memory_node: str) -> str:
    average_s, least_s = _cpu_s(average), _cpu_s(least)
    if not average_s:
        return ""
    share = 100 * least_s / average_s
    return (
        f"the least busy, on {least_node}, has used {share:.0f} % of the average CPU time; "
        f"most memory: {memory} on {memory_node}"
    )


def _cpu_s(text: str) -> float:
    total = 0.0
    days, dash, clock_text = text.partition("-")
    try:
        for part in (clock_text if dash else days).split(":"):
            total = total * 60 + float(part)
        return total + (int(days) * 86400 if dash else 0)
    except ValueError:
        return 0.0


def restarts(state: JobState, record: Record, history: list[Event]) -> str:
    """How often it was started again, and why."""
    lives = max([event.life for event in history], default=0)
    count = max(lives, state.restarts or 0)
    if not count:
        return ""
    ends = {event.life: event.values.get("status") for event in history if event.event == "end"}
    why = [f"{life + 1}: {_why(ends.get(life))}" for life in range(count)]
    shown = ", ".join(why[-5:])
    return f"{count} of at most {record.request.restarts} ({'…, ' if len(why) > 5 else ''}{shown})"


def _why(status: object) -> str:
    return {None: "node lost or preempted", 75: "work saved"}.get(status, f"status {status}")  # type: ignore[call-overload]


def saved(record: Record, task: str, last_s: float = 0.0) -> str:
    """When something was last saved: by what rank 0 has told (`last_s`), else by what lies there."""
    if not record.request.checkpoint:
        return ""
    folder = Path(record.request.checkpoint.replace("{index}", task))
    if last_s:
        return f"{_ago(last_s)}, {folder}"
    newest_s, seen = 0.0, 0
    from hpckit.checkpoint import names as checkpoint_names

    for place, _, found in os.walk(folder):
        for name in found:
            seen += 1
            if seen > FILES_MAX:
                break
            entry = checkpoint_names.parse(name)
            if name.startswith(".") or (entry and entry.kind == "life"):  # not yet committed; a start, no work
                continue
            if entry and entry.kind == "complete":
                return "all of it: the output is written"
            try:
                newest_s = max(newest_s, os.stat(os.path.join(place, name)).st_mtime)
            except OSError:
                continue
    if not newest_s:
        return f"nothing yet, {folder}"
    return f"{_ago(newest_s)}, {folder}"


def clock(seconds: float) -> str:
    """A time of day, with the date if it is not today's."""
    then, now = time.localtime(seconds), time.localtime()
    return time.strftime("%H:%M" if then[:3] == now[:3] else "%Y-%m-%d %H:%M", then)
