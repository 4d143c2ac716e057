"""`hpckit status`, `logs` and `cancel` against recorded answers of Slurm's programs, and against none at all."""

from __future__ import annotations

import json
import time
import types
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from hpckit.batch import jobstate, reasons, records, report
from hpckit.batch.request import Request
from hpckit.batch.slurm import SlurmError, UnknownJobError
from hpckit.cli import cancel, logs, status
from hpckit.errors import InputError, UserError

RUNNING = (  # Slurm 22.05.8
    "JobId=4711 JobName=my job = 1 UserId={user}(0) GroupId=root(0) MCS_label=N/A Priority=4294901759 Nice=0 "
    "Account=(null) QOS=(null) JobState=RUNNING Reason=None Dependency=(null) Requeue=1 Restarts=2 BatchFlag=1 "
    "Reboot=0 ExitCode=0:0 RunTime=00:12:03 TimeLimit=02:00:00 TimeMin=N/A SubmitTime=2026-11-23T19:11:08 "
    "EligibleTime=2026-11-23T19:11:08 AccrueTime=2026-11-23T19:11:08 StartTime=2026-11-23T19:11:09 "
    "EndTime=2026-11-23T19:16:09 Deadline=N/A SuspendTime=None SecsPreSuspend=0 LastSchedEval=2026-11-23T19:11:09 "
    "Scheduler=Main Partition=debug AllocNode:Sid=localhost:7951 ReqNodeList=(null) ExcNodeList=(null) NodeList=n[1-4] "
    "BatchHost=n1 NumNodes=4 NumCPUs=4 NumTasks=4 CPUs/Task=1 ReqB:S:C:T=0:0:*:* TRES=cpu=4,node=2,billing=4 "
    "Socks/Node=* NtasksPerN:B:S:C=2:0:*:* CoreSpec=* WorkDir=/tmp/a b StdErr=/tmp/j.log StdOut=/tmp/j.log Power= \n"
)
ACCOUNTED = "4711|{user}|CANCELLED by 1000|0:15|2026-11-23T19:00:00|2026-11-23T19:10:00|600|01:00:00|2|n[1-2]\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path)
    monkeypatch.setenv("PATH", f"{fake.folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def record(slurm: FakeSlurm, tmp_path: Path) -> records.Record:
    folder = tmp_path / "out.job"
    folder.mkdir()
    asked = Request(
        command=["hpckit", "query", "SELECT 1"], options={"nodes": "2"}, folder=str(folder), work_folder=str(tmp_path),
        checkpoint=str(folder / "ck"), output=str(tmp_path / "out"),
    )  # fmt: skip
    made = records.Record("4711", "query", time.time(), records.user(), asked)
    records.write(made, "#!/bin/bash\n")
    return made


def life(record: records.Record, *lines: tuple[str, int, str]) -> None:
    text = "".join(f'{{"event": "{event}", "life": {n}, "time": 100{more}}}\n' for event, n, more in lines)
    record.file("events").write_text(text)


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert status.main(list(words)) == 0
    return capsys.readouterr().out


def test_what_the_controller_says(slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.answer("scontrol", stdout=RUNNING.format(user=records.user()))
    life(record, ("start", 0, ""), ("end", 0, ', "status": 75'), ("requeue", 0, ""), ("start", 1, ""),
         ("start", 2, ', "nodes": "n[1-4]", "ranks": 128'))  # fmt: skip
    record.file("log").write_text(
        "hpckit: scan: 10 %, ~0.2 of 2.7 GB, ~3,000,000 lines/s, 30 s left\nother words\n"
        "hpckit: scan: 45 %, ~1.2 of 2.7 GB, ~3,100,000 lines/s, 12 s left\n"
    )
    (record.folder / "ck").mkdir()
    (record.folder / "ck" / "state.json").write_text("{}")
    slurm.answer("sstat", stdout="4711.batch|1|00:00:01|00:00:01|n1|5M|n1\n4711.0|4|00:01:40|00:00:40|n3|90M|n2\n")
    text = shown(capsys, "4711")
    assert text.splitlines()[0] == "job 4711 (query): RUNNING on 4 nodes (n[1-4]), 12 min of 2 h 0 min"
    assert "128\n" in text
    assert "progress    scan: 45 %, ~1.2 of 2.7 GB, ~3,100,000 lines/s, 12 s left (0 s ago)" in text
    assert "the least busy, on n3, has used 40 % of the average CPU time; most memory: 90M on n2" in text
    assert "restarts    2 of at most 20 (1: work saved, 2: node lost or preempted)" in text
    assert f"saved       0 s ago, {record.folder}/ck" in text


def test_fields_of_the_controller() -> None:
    state = jobstate.parse_controller(RUNNING.format(user="ann"))
    assert (state.job, state.state, state.user, state.nodes, state.node_count) == (
        "4711",
        "RUNNING",
        "ann",
        "n[1-4]",
        "4",
    )
    assert (state.elapsed_s, state.limit_s, state.restarts, state.status) == (723, 7200, 2, 0)
    assert state.active


def test_accounting_when_the_controller_has_forgotten(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.answer("sacct", stdout=ACCOUNTED.format(user=records.user()))
    text = shown(capsys, "4711")
    assert "job 4711 (query): CANCELLED, 10 min of 60 min, killed by signal 15" in text
    assert "known from  accounting" in text


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([("start", 0, ""), ("end", 0, ', "status": 0')], "COMPLETED: finished"),
        ([("start", 0, ""), ("end", 0, ', "status": 2')], "FAILED, 0 s, exit status 2: a mistake in the request"),
        ([("start", 0, ""), ("end", 0, ', "status": 75')], "SAVED: ended with its work saved"),
        ([("start", 0, ""), ("end", 0, ', "status": 75'), ("requeue", 0, "")], "REQUEUED: queued again"),
        ([("start", 0, "")], "LOST: started, and never heard of again"),
    ],
    ids=["done", "mistake", "saved", "requeued", "lost"],
)
def test_own_history_when_both_have_forgotten(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str],
    lines: list[tuple[str, int, str]], words: str,
) -> None:  # fmt: skip
    life(record, *lines)
    text = shown(capsys, "4711")
    assert words in text and "known from  its own history" in text
    assert words.partition(",")[0].partition(":")[0] in shown(capsys)


def test_own_history_when_slurm_is_gone_or_does_not_answer(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    life(record, ("start", 0, ""), ("end", 0, ', "status": 0'))
    slurm.answer("scontrol", sleep_s=60)
    monkeypatch.setenv("HPCKIT_SLURM_TIMEOUT", "0.2")
    assert "own history, because scontrol did not answer within 0.2 s" in shown(capsys, "4711")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "COMPLETED" in shown(capsys, "4711")
    with pytest.raises(SlurmError, match="no Slurm here"):
        status.main(["5"])


def test_a_line_cut_off_by_a_lost_node_is_left_out(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]
) -> None:
    life(record, ("start", 0, ""), ("end", 0, ', "status": 0'))
    with open(record.file("events"), "a") as stream:
        stream.write('{"event": "sta\n[1]\n{"event": "start", "life": "x", "time": 1}\n')
    text = shown(capsys, "4711")
    assert "COMPLETED" in text and "3 damaged line(s)" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1}',
        '{"version": "x", "request": {}}',
        '{"version": 1, "request": {"command": []}}',
    ],
)
def test_damaged_records(slurm: FakeSlurm, record: records.Record, text: str) -> None:
    record.file("json").write_text(text)
    with pytest.raises(InputError, match=r"4711\.json: damaged state file .*; `scontrol show job 4711`"):
        status.main(["4711"])


def test_records_of_a_newer_hpckit(slurm: FakeSlurm, record: records.Record) -> None:
    values = json.loads(record.file("json").read_text())
    record.file("json").write_text(json.dumps({**values, "version": 99}))
    with pytest.raises(InputError, match="newer hpckit"):
        status.main(["4711"])


def test_records_go_to_json_and_back(record: records.Record) -> None:
    assert records.find("4711") == record
    assert records.find("4711", str(record.folder)) == record


def test_a_home_that_cannot_be_written(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: records.Record
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    records.write(record, "#!/bin/bash\n")
    assert records.find("4711").job == "4711"  # by the folder out.job here
    assert status.main([]) == 0


@pytest.mark.parametrize(
    ("reason", "words", "impossible"),
    [
        ("Resources", "the nodes that it needs are in use", False),
        ("(Priority)", "higher priority come first", False),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-3]", "down, drained or reserved", False),
        ("PartitionTimeLimit", "it can never start: it asks for more time", True),
        ("PartitionNodeLimit", "fewer with -N", True),
        ("QOSGrpSomethingNew", "a limit of its quality of service", False),
        ("AssocGrpSomethingNew", "a limit of its account", False),
        ("Novel", "JOB REASON CODES", False),
        ("None", "has not looked at it yet", False),
    ],
)
def test_reasons_in_words(reason: str, words: str, impossible: bool) -> None:
    text, never = reasons.explain(reason)
    assert words in text and never is impossible


def test_a_waiting_job_says_why(slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]) -> None:
    waiting = RUNNING.replace("JobState=RUNNING Reason=None", "JobState=PENDING Reason=PartitionNodeLimit")
    slurm.answer("scontrol", stdout=waiting.format(user=records.user()))
    assert "PENDING: it can never start: it asks for more nodes" in shown(capsys, "4711")


def test_arrays_are_counted(slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]) -> None:
    base = f"JobId=1 ArrayJobId=4711 UserId={records.user()}(0) "
    slurm.answer("scontrol", stdout=(
        f"{base}ArrayTaskId=3-9,12%2 JobState=PENDING Reason=JobArrayTaskLimit \n"
        f"{base}ArrayTaskId=1 JobState=FAILED ExitCode=2:0 \n{base}ArrayTaskId=0 JobState=COMPLETED ExitCode=0:0 \n"
    ))  # fmt: skip
    text = shown(capsys, "4711")
    assert "10 tasks: 8 PENDING, 1 FAILED, 1 COMPLETED" in text
    assert "job 4711_1: FAILED, exit status 2: a mistake in the request" in text
    assert [one["task"] for one in json.loads(shown(capsys, "4711", "--json"))] == ["3-9,12%2", "1", "0"]


def test_jobs_of_others(slurm: FakeSlurm, record: records.Record) -> None:
    slurm.answer("scontrol", stdout=RUNNING.format(user="somebody"))
    with pytest.raises(SlurmError, match="job 4711 is somebody's, you are"):
        cancel.main(["4711"])
    record.file("json").unlink()
    with pytest.raises(SlurmError, match="hpckit status is for your own jobs"):
        status.main(["4711"])
    assert not slurm.calls("scancel")


@pytest.mark.parametrize("text", ["", "x", "4711_", "-1", "4711.batch", "1 2"])
def test_what_is_no_job_number(slurm: FakeSlurm, text: str) -> None:
    for command in (status, cancel):
        with pytest.raises(UserError, match=r"expected a job's number|required"):
            command.main(["--", text])


def test_cancel_of_nothing_and_of_a_group(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownJobError, match="no job 5"):
        cancel.main(["5"])
    life(record, ("start", 0, ""), ("end", 0, ', "status": 0'))
    assert cancel.main(["4711"]) == 0
    assert "ended already (COMPLETED)" in capsys.readouterr().out and not slurm.calls("scancel")
    values = {name: getattr(record, name) for name in records.Record.__match_args__}
    records.write(records.Record(**{**values, "group": ["4711", "4712"], "role": "chain"}), "")
    slurm.answer("scontrol", stdout=RUNNING.format(user=records.user()))
    assert cancel.main(["4711"]) == 0
    assert slurm.calls("scancel")[0][0] == ["4711", "4712"]


def test_logs(slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="has written nothing yet"):
        logs.main(["4711"])
    record.file("log").write_bytes(b"one\ntwo\nthr\xffee")
    logs.main(["4711"])
    assert capsys.readouterr().out == "one\ntwo\nthr\ufffdee"
    logs.main(["4711", "-n", "2"])
    assert capsys.readouterr().out == "two\nthr\ufffdee"
    logs.main(["4711", "-n", "9"])
    assert capsys.readouterr().out.startswith("one\n")


def test_logs_follow_what_comes(
    slurm: FakeSlurm, record: records.Record, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the follower is the test's: each pause lets the job write a little more."""
    record.file("log").write_text("a\n")
    life(record, ("start", 0, ""))
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        with open(record.file("log"), "a") as stream:
            stream.write(f"{len(pauses)}\n")
        if len(pauses) == 3:
            life(record, ("start", 0, ""), ("end", 0, ', "status": 0'))
        assert len(pauses) < 9

    monkeypatch.setattr(logs, "time", types.SimpleNamespace(sleep=pause, monotonic=time.monotonic))
    assert logs.main(["-f", "4711"]) == 0
    assert capsys.readouterr().out == "a\n1\n2\n3\n4\n"


def test_long_tails_are_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"hpckit: scan: 1 %, x\n" + b"x" * (2 * report.TAIL_BYTES) + b"\nhpckit: error: at the end\n")
    assert report.PROGRESS.findall(report.tail(path)) == []
    assert report.last_words(path) == "error: at the end"
    path.write_text("srun: error: Invalid MPI type 'pmix'\nsrun: something else\n")
    assert report.last_words(path) == "srun: error: Invalid MPI type 'pmix'"
