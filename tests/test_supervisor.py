"""What looks after a job: attempts and their endings, messages, slots, the guard, fail points, what is not shown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, run

from hpckit.cli.run import parser
from hpckit.errors import LaunchError, UserError
from hpckit.spmd import failpoints, hosts, orphan, pulse, supervisor
from hpckit.spmd.attempt import Attempt
from hpckit.spmd.chatter import RULE, Filter
from hpckit.spmd.guard import Guard
from hpckit.spmd.mpirun import Launcher
from hpckit.spmd.recovery import describe
from hpckit.spmd.supervisor import Care, supervise
from hpckit.spmd.telling import SUPERVISOR_VARIABLE, Listener, tell


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """A launcher of one process: it forgets "-n N" and becomes the program."""
    monkeypatch.setattr(supervisor, "BACKOFF_S", 0.01)
    path = tmp_path / "mpirun"
    path.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    path.chmod(0o755)
    return Launcher(str(path), "other", "1")


def attempts(launcher: Launcher, statuses: list[int], care: Care, tmp_path: Path) -> tuple[int, int]:
    """(status, attempts made) of a program that ends with these statuses, one after the other."""
    count = tmp_path / "count"
    count.write_text("")
    script = (
        f"printf x >> {count}; n=$(wc -c < {count}); set -- {' '.join(map(str, statuses))}; shift $((n - 1)); exit $1"
    )
    status = supervise(launcher, 1, ["sh", "-c", script], os.environ, care)
    return status, len(count.read_text())


@pytest.mark.parametrize(
    ("statuses", "restarts", "expected"),
    [
        ([0], 3, (0, 1)),
        ([1, 0], 3, (0, 2)),
        ([137, 9, 0], 3, (0, 3)),
        ([1, 1, 5], 2, (5, 3)),
        ([1, 0], 0, (1, 1)),
        ([2, 0], 3, (2, 1)),
        ([75, 0], 3, (75, 1)),
        ([1, 75, 0], 3, (75, 2)),
    ],
)
def test_what_is_tried_again(
    statuses: list[int], restarts: int, expected: tuple[int, int], launcher: Launcher, tmp_path: Path
) -> None:
    assert attempts(launcher, statuses, Care(restarts=restarts), tmp_path) == expected


def test_every_failed_attempt_is_told(launcher: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attempts(launcher, [3, 137, 0], Care(restarts=2), tmp_path)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("hpckit run: attempt 1 of 3 failed after ")
    assert first.endswith(" s: exit status 3; starting again in 0 s")
    assert "attempt 2 of 3 failed" in second
    assert ": killed by SIGKILL; " in second


def test_one_failure_without_restarts_is_the_command_s_own_affair(
    launcher: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts(launcher, [3], Care(), tmp_path)
    assert capsys.readouterr().err == ""


def test_the_attempt_s_number_is_in_the_environment(launcher: Launcher) -> None:
    assert supervise(launcher, 1, ["sh", "-c", "exit $((HPCKIT_ATTEMPT < 3))"], os.environ, Care(restarts=2)) == 0


def test_a_job_without_progress_has_failed(
    launcher: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}; [ $HPCKIT_ATTEMPT = 2 ] || exec sleep 100"
    start_s = time.monotonic()
    assert supervise(launcher, 1, ["sh", "-c", script], os.environ, Care(restarts=1, stall_s=0.5)) == 0
    assert time.monotonic() - start_s < 50
    assert "stuck: no rank got anything done for " in capsys.readouterr().err
    assert supervise(launcher, 1, ["sleep", "100"], os.environ, Care(stall_s=0.5)) == 1


WORKING = """
import time
from hpckit.spmd import pulse
pulse.join()
for step in range(30):
    pulse.beat()
    time.sleep(0.1)
"""


def test_a_job_with_progress_goes_on_and_its_slots_are_removed(launcher: Launcher, tmp_path: Path) -> None:
    care = Care(stall_s=2.2, heartbeat_s=2.2)  # the slots are looked at each second
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert supervise(launcher, 1, [sys.executable, "-c", WORKING], environ, care) == 0
    assert not list(Path("/dev/shm").glob(f"hpckit-pulse-*-{os.getpid()}-*"))


ALLOCATION = {"SLURM_JOB_NODELIST": "n[1-4]", "SLURM_JOB_NUM_NODES": "4"}


def said(states: str, answers: str, status: int = 0) -> hosts.Ask:
    """Slurm's programs: sinfo says `states`, a step runs on the nodes `answers`."""
    marks = "".join(f"{hosts.MARK} {name}\n" for name in answers.split())
    return lambda argv, *rest: (status, states if argv[0] == "sinfo" else marks)


@pytest.mark.parametrize(
    ("states", "answers", "left", "gone"),
    [
        ("n1 allocated\nn2 mixed\nn3 allocated\nn4 idle\n", "n4 n3 n2 n1", ["n1", "n2", "n3", "n4"], []),
        ("n1 allocated\nn2 mixed\nn3 allocated\nn4 idle\n", "n4 n1", ["n1", "n4"], ["n2", "n3"]),
        ("n1 allocated\nn2 mixed\n", "", ["n1", "n2"], []),  # no step at all: that says nothing of nodes
        ("n1 allocated\nn2 allocated*\nn3 down\nn4 completing\n", "", ["n1", "n4"], ["n2", "n3"]),
        ("n1 down*\nn2 down\nn3 fail\nn4 unknown\n", "n1", [], ["n1", "n2", "n3", "n4"]),
        ("", "", [], []),
        ("some nonsense\n\n", "", ["some"], []),
    ],
)
def test_nodes_that_are_gone(states: str, answers: str, left: list[str], gone: list[str]) -> None:
    assert hosts.nodes_left(ALLOCATION, said(states, answers)) == (left, gone)
    assert hosts.nodes_left({**ALLOCATION, "SLURM_JOB_NUM_NODES": "1"}, said(states, answers)) == ([], [])
    assert hosts.nodes_left({}, said(states, answers)) == ([], [])


def test_what_slurm_says_in_time_counts() -> None:
    assert hosts.ask(["sh", "-c", "echo n1; exec sleep 60"], 0.5) == (124, "n1\n")
    assert hosts.ask(["sh", "-c", "echo n1; exit 3"]) == (3, "n1\n")
    assert hosts.ask(["hpckit-no-such-program"]) == (127, "")


def test_nodes_are_given_back() -> None:
    def scontrol(argv: list[str], limit_s: float, folder: str) -> tuple[int, str]:
        assert argv == ["scontrol", "update", "JobId=42", "NodeList=n1,n3"]
        text = 'export SLURM_JOB_NODELIST="n[1,3]"\nexport SLURM_JOB_CPUS_PER_NODE="8(x2)"\nunset SLURM_NTASKS\n'
        (Path(folder) / "slurm_job_42_resize.sh").write_text(text)
        return 0, ""

    changed = hosts.give_back({"SLURM_JOB_ID": "42"}, ["n1", "n3"], 5, scontrol)
    assert changed == {
        "SLURM_NODELIST": "n1,n3", "SLURM_JOB_NODELIST": "n[1,3]", "SLURM_NNODES": "2", "SLURM_JOB_NUM_NODES": "2",
        "SLURM_NTASKS": "5", "SLURM_NPROCS": "5", "SLURM_TASKS_PER_NODE": "3(x2)", "SLURM_JOB_CPUS_PER_NODE": "8(x2)",
    }  # fmt: skip
    assert hosts.give_back({"SLURM_JOB_ID": "42"}, ["n1"], 5, lambda *rest: (1, "")) == {}


@pytest.mark.parametrize(("ranks", "left", "gone", "fewer"), [(8, 3, 1, 6), (8, 4, 0, 8), (2, 1, 3, 1), (7, 2, 1, 4)])
def test_ranks_for_the_nodes_that_are_left(ranks: int, left: int, gone: int, fewer: int) -> None:
    assert hosts.share(ranks, left, gone) == fewer


@pytest.mark.parametrize("refusal", [False, True])
def test_a_restart_goes_to_the_nodes_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refusal: bool
) -> None:
    monkeypatch.setattr(supervisor, "BACKOFF_S", 0.01)
    for name, text in {
        "sinfo": "printf 'n1 idle\\nn2 idle\\n'",
        "srun": f"echo {hosts.MARK} n1",
        "scontrol": f"exit {int(refusal)}",
        "mpirun": f'printf "%s\\n" "$*" $SLURM_OVERLAP $SLURM_JOB_NODELIST >> {tmp_path}/calls; '
        "exit $((HPCKIT_ATTEMPT < 3))",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    environ = {**os.environ, "SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2"}
    assert supervise(Launcher(str(tmp_path / "mpirun"), "MPICH", "4"), 4, ["x"], environ, Care(restarts=2)) == 0
    again = ["-hosts n1 -n 2 x", "1", "n[1-2]" if refusal else "n1"]
    assert (tmp_path / "calls").read_text().splitlines() == ["-n 4 x", "n[1-2]", *again, *again]
    told = capsys.readouterr().err
    assert told.count("hpckit run: n2: gone; 2 ranks on n1") == 1
    assert ("it will queue the whole job again" in told) == refusal


def test_a_restart_in_which_no_rank_comes_up_has_failed(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first attempt has shown that this program's ranks are seen; the second stands for a launcher that waits."""
    monkeypatch.setattr(supervisor, "START_MAX_S", 1.0)
    code = (
        "import os, sys, time\nfrom hpckit.spmd import pulse\nattempt = int(os.environ['HPCKIT_ATTEMPT'])\n"
        "if attempt == 2: time.sleep(60)\npulse.join()\ntime.sleep(1.5)\nsys.exit(attempt == 1)"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert supervise(launcher, 1, [sys.executable, "-c", code], environ, Care(restarts=2, stall_s=50)) == 0
    assert "no rank was there after 1 s" in capsys.readouterr().err


def test_survival_needs_open_mpi() -> None:
    with pytest.raises(LaunchError, match=r"--survive: MPICH .* --restarts K, which works with any MPI"):
        supervise(Launcher("/x/mpirun", "MPICH", "4"), 2, ["true"], {}, Care(survive=True))


def test_the_flags_of_survival() -> None:
    words, _ = Launcher("mpirun", "Open MPI", "5").command(2, ["x"], {}, survive=True)
    assert words[-8:] == [
        "--with-ft", "ulfm", "--mca", "coll", "tuned,basic,libnbc,ftagree,inter,self", "-n", "2", "x"
    ]  # fmt: skip
    assert "--with-ft" not in Launcher("mpirun", "Open MPI", "5").command(2, ["x"], {})[0]


@pytest.mark.parametrize("options", [["--heartbeat", "soon"], ["--restarts", "-1"], ["--stall", "3 parsecs"]], ids=str)
def test_options_that_cannot_be(options: list[str]) -> None:
    with pytest.raises(UserError, match=options[1].split()[0]):
        parser().parse_args(["-n", "2", *options, "--", "true"])


def test_messages_reach_the_supervisor_and_only_with_its_token() -> None:
    seen: list[dict[str, object]] = []
    listener = Listener(seen.append, other_nodes=False)
    listener.start()
    try:
        assert tell({"ended": 3}, {SUPERVISOR_VARIABLE: listener.address})
        host, port, _ = listener.address.split(":")
        assert not tell({"ended": 4}, {SUPERVISOR_VARIABLE: f"{host}:{port}:wrong"})
        assert tell({"ended": 5}, {SUPERVISOR_VARIABLE: listener.address})
    finally:
        listener.close()
    assert seen == [{"ended": 3}, {"ended": 5}]
    assert not tell({"ended": 6}, {SUPERVISOR_VARIABLE: listener.address}), "closed"
    assert not tell({"ended": 7}, {}), "nobody listens"


def take_slot(path: str, ranks: int, pid: int) -> pulse.Pulse:
    taken = pulse.Pulse(path, 0, ranks)
    pulse.SLOT.pack_into(taken._map, 0, pid, pulse.start_ticks(pid) or 0, 0, 0)
    return taken


@pytest.mark.parametrize("kind", ["stopped", "asleep", "computing", "counting", "ended"])
def test_the_guard_kills_who_stands_still_and_nobody_else(kind: str, tmp_path: Path) -> None:
    code = "while True: pass" if kind == "computing" else "import time; time.sleep(100)"
    path = str(tmp_path / "slots")
    mapped, _ = pulse.open_map(path, 2)
    told: list[dict[str, object]] = []
    guard = Guard(mapped, 0.6, told.append)
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)  # past its start, which computes
        slot = take_slot(path, 2, process.pid)
        if kind == "stopped":
            process.send_signal(signal.SIGSTOP)
        if kind == "ended":
            slot.reach(pulse.ENDED)
        for _ in range(30):
            if kind == "counting":
                slot.beat()
            guard.step(time.monotonic())
            time.sleep(0.05)
        killed = process.poll() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert killed == (kind in ("stopped", "asleep"))
    assert [message["killed"] for message in told if "killed" in message] == ([0] if killed else [])
    assert any("beats" in message for message in told)


def test_the_guard_blames_nobody_for_a_pause_of_its_own(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    mapped, _ = pulse.open_map(path, 1)
    told: list[dict[str, object]] = []
    guard = Guard(mapped, 8.0, told.append)
    process = subprocess.Popen(["sleep", "100"])
    try:
        take_slot(path, 1, process.pid)
        now_s = time.monotonic()
        for after_s in (0.1, 9.0, 30.0, 90.0, 90.9, 91.8, 92.7, 93.6):  # a second each, or what it is
            guard.step(now_s + after_s)
        assert process.poll() is None
        guard.step(now_s + 95.0)
        guard.step(now_s + 96.0)
        process.wait(10)
    finally:
        process.kill()
        process.wait()


def test_a_process_under_a_number_used_again_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    mapped, _ = pulse.open_map(path, 1)
    guard = Guard(mapped, 0.1, lambda message: None)
    process = subprocess.Popen(["sleep", "100"])
    try:
        taken = take_slot(path, 1, process.pid)
        pulse.SLOT.pack_into(taken._map, 0, process.pid, (pulse.start_ticks(process.pid) or 0) - 1, 0, 0)
        for _ in range(10):
            guard.step(time.monotonic())
            time.sleep(0.05)
        guard.kill_all()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_the_first_rank_of_another_node_starts_a_guard_there(tmp_path: Path) -> None:
    """It outlives that rank, kills it when it hangs, and ends, with the slots, once nobody is left."""
    path = tmp_path / "slots"
    code = "import os, signal; from hpckit.spmd import pulse; pulse.join(); os.kill(os.getpid(), signal.SIGSTOP)"
    done = run([sys.executable, "-c", code], 60, HPCKIT_PULSE=str(path), HPCKIT_HEARTBEAT="1", PYTHONPATH=str(ROOT))
    assert done.returncode == -signal.SIGKILL
    assert path.exists(), "the guard is there"
    deadline_s = time.monotonic() + 60
    while path.exists() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not path.exists()


def test_an_agreement_without_end_is_one_of_all_live_ranks(tmp_path: Path) -> None:
    path = str(tmp_path / "slots")
    mapped, _ = pulse.open_map(path, 2)
    told: list[dict[str, float]] = []
    guard = Guard(mapped, 0.0, told.append)
    slot = take_slot(path, 2, os.getpid())
    now_s = time.monotonic()
    for step, state in enumerate([pulse.UP, *[pulse.AGREEING] * 3, pulse.UP, pulse.AGREEING], 1):
        slot.reach(state)
        guard.step(now_s + 1.0 * step)
    assert [round(message["agreeing_s"]) for message in told] == [0, 1, 2, 3, 0, 1]


def test_an_agreement_without_end_ends_the_attempt() -> None:
    attempt = Attempt(agree_max_s=30.0)
    attempt.take({"node": "n1", "beats": 1, "agreeing_s": 31.0})
    attempt.take({"node": "n2", "beats": 1, "agreeing_s": 5.0})
    assert attempt.run(["sleep", "0.6"], dict(os.environ)).status == 0, "those of n2 may yet come"
    attempt.take({"node": "n2", "beats": 1, "agreeing_s": 32.0})
    ending = attempt.run(["sleep", "100"], dict(os.environ))
    assert (ending.status, "agreement that does not come" in ending.reason) == (1, True)


def test_an_ending_that_a_rank_told_counts_more_than_the_launcher_s() -> None:
    attempt = Attempt()
    attempt.take({"ended": 0, "status": 0})
    assert attempt.run(["sh", "-c", "exit 137"], dict(os.environ)).status == 0
    attempt = Attempt()
    attempt.take({"ended": 0, "status": None})
    assert attempt.run(["sh", "-c", "exit 5"], dict(os.environ)).status == 5


NOISE = (
    b"NBC_Progress: an error 75 was found during schedule 0x55 at row-offset 0 - aborting the schedule\n\n"
    b"Error in NBC_Start_round() (-1)\n"
)
ABORT = (
    RULE + b"\nMPI_ABORT was invoked on rank 0 in communicator MPI_COMM_WORLD\n  Proc: x\n\nNOTE: y\n" + RULE + b"\n\0"
)
OTHER = RULE + b"\nprterun noticed something else\n" + RULE + b"\n"


@pytest.mark.parametrize("size", [1, 2, 7, 74, 75, 1000])
def test_what_open_mpi_says_too_much_is_left_out(size: int) -> None:
    data = b"one\n\n" + NOISE + b"two\n" + ABORT + OTHER + b"\n" + NOISE + RULE + b"\n" + RULE + b"\n" + b"last"
    chosen = Filter()
    shown = b"".join(chosen.feed(data[i : i + size]) for i in range(0, len(data), size)) + chosen.end()
    assert shown == b"one\n\ntwo\n" + OTHER + b"\n" + RULE + b"\n" + RULE + b"\n" + b"last"


def test_lost_nodes_are_read_from_open_mpi_s_words() -> None:
    chosen = Filter()
    box = f"{RULE.decode()}\nPRTE has lost communication with a remote daemon.\n\n  HNP daemon   : [a@0,0] on node a"
    text = f"{box}\n  Remote daemon: [prterun-a-1@0,3] on node n3\n\nmore words\n{RULE.decode()}\nbehind\n"
    assert chosen.feed(text.encode()) + chosen.end() == b"behind\n"
    assert chosen.lost == ["n3"]


def test_a_line_under_way_is_shown_at_once() -> None:
    chosen = Filter()
    assert chosen.feed(b"\r[=== ] 40 %") == b"\r[=== ] 40 %"
    assert chosen.feed(b"\r[=====] 60 %") == b"\r[=====] 60 %"
    assert chosen.feed(b"\nNBC_Pro") == b"\n"
    assert chosen.feed(b"fit\n") == b"NBC_Profit\n"
    assert chosen.feed(b"---") == b""
    assert chosen.end() == b"---"


@pytest.mark.parametrize("text", ["exchange", "exchange:1", "exchange:x:1", "exchange:1:1:HUP", ":1:1", "a:1:1:KILL:2"])
def test_fail_points_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match=r"expected name:rank:count\[:signal\]"):
        failpoints.parse(text)


def test_a_fail_point_is_reached_at_its_count_and_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(failpoints.os, "kill", lambda pid, number: sent.append(number))
    failpoints.arm("a:0:2,b:0:1:STOP,c:1:1,a:0:3:TERM", 0)
    for name in ("a", "c", "b", "b"):
        failpoints.fail_point(name)
    assert sent == [signal.SIGSTOP]
    failpoints.fail_point("a")
    failpoints.fail_point("a")
    failpoints.fail_point("a")
    assert sent == [signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM]
    failpoints.arm("", 0)


def test_who_is_who_after_a_loss() -> None:
    loss = describe(2, (0, 2, 3, 5), (2, 5))
    assert (loss.lost, loss.origins, loss.renumbered) == ((0, 2), (0, 3), {1: 0, 3: 1})
    assert str(loss) == "lost ranks 0, 3; going on with 2"


FOLLOWER = """
import signal, sys, time
from hpckit.spmd import orphan
orphan.GRACE_S = 0.5
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
orphan.follow_launcher()
print("up", flush=True)
time.sleep(100)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are followed on Linux")
@pytest.mark.parametrize("shell", [False, True], ids=["child", "grandchild"])
@pytest.mark.parametrize("program", ["obedient", "deaf"])
def test_a_rank_ends_with_its_launcher(program: str, shell: bool, tmp_path: Path) -> None:
    """The launcher is a shell of that name, killed; a shell in between keeps the kernel from telling."""
    launcher = tmp_path / "prterun"
    launcher.symlink_to("/bin/sh")
    script = tmp_path / "follower.py"
    script.write_text(FOLLOWER)
    rank = f"{sys.executable} {script} {program}"
    inner = f"sh -c '{rank}; true'" if shell else rank
    process = subprocess.Popen(
        [str(launcher), "-c", f"{inner}; true"], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    process.stdout.read()  # ends when the last holder of the pipe is gone: an orphan would keep it for 100 s
    assert not _running(str(script))


def _running(name: str) -> bool:
    done = run(["pgrep", "-f", name], 20)
    return done.returncode == 0


def test_no_launcher_no_following() -> None:
    assert orphan.find_launcher(1) is None
