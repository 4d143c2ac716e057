"""`hpckit submit` and `resume` without a Slurm: options, settings, scripts, records, and the mistakes users make."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from hpckit.batch import durations, mpi, records, request, script
from hpckit.batch.slurm import SlurmError
from hpckit.cli import resume, submit
from hpckit.cli.options import UsageError
from hpckit.errors import InputError, LaunchError, OutputError, UserError
from hpckit.spmd.mpirun import Launcher

SQL = "SELECT count(*) AS n FROM read_csv('x.csv') WHERE name = 'it''s'"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path)
    fake.answer("sbatch", stdout="4711\n")
    monkeypatch.setenv("PATH", f"{fake.folder}:{Path(sys.executable).parent}:/usr/bin:/bin")
    for name in list(os.environ):
        if name.startswith(("HPCKIT_", "SBATCH_", "SLURM_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(mpi, "find_launcher", lambda: Launcher("/opt/bin/mpirun", "MPICH", "4.2"))
    return fake


def submitted(slurm: FakeSlurm, *words: str) -> str:
    """The script that sbatch got for `hpckit submit WORDS`."""
    assert submit.main(list(words)) == 0
    return slurm.calls("sbatch")[-1][1]


def directives(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800), ("5:30", 330), ("2:00:00", 7200), ("1-12", 129600), ("1-12:30", 131400), ("2-0:0:1", 172801),
        ("UNLIMITED", float("inf")), ("0", 0),
    ],
)  # fmt: skip
def test_durations_are_slurms(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "1-", "-5", "2h", "1.5", "1--2", "1-2-3", ":", "٣"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UserError, match="Slurm takes"):
        durations.parse(text)


@pytest.mark.parametrize(("text", "nodes"), [("4", (4, 4)), ("2-8", (2, 8)), ("1-1", (1, 1))])
def test_node_ranges(text: str, nodes: tuple[int, int]) -> None:
    assert request.node_range(text) == nodes


@pytest.mark.parametrize("text", ["0", "x", "8-2", "2-", "-3", "1,2", ""])
def test_what_is_no_node_range(text: str) -> None:
    with pytest.raises(UserError, match="--nodes"):
        request.node_range(text)


def test_the_script_of_a_query(slurm: FakeSlurm) -> None:
    text = submitted(
        slurm, "-N", "4", "--ntasks-per-node=32", "-t", "2:00:00", "--account", "p123", "--mem=0", "-w", "n[1-4]",
        "--mail-type=END", "--comment", "two words", "--", "query", SQL, "--output", "out/",
    )  # fmt: skip
    lines = directives(text)
    for line in ("--job-name=query", "--nodes=4", "--ntasks-per-node=32", "--time=2:00:00", "--account=p123", "--mem=0",
                 "--open-mode=append", "--signal=B:USR1@180", "--requeue", "-w 'n[1-4]'", "--mail-type=END",
                 "--comment 'two words'", f"--output={Path.cwd()}/out.job/%j.log"):  # fmt: skip
        assert line in lines
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    words = subprocess.run(
        ["bash"], input="ranks=128\n" + next(line for line in text.splitlines() if line.startswith("command=("))
        + '\nprintf "%s\\0" "${command[@]}"', text=True, capture_output=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    assert words[:8] == ["hpckit", "run", "-n", "128", "--", "hpckit", "query", SQL]
    checkpoint = words[words.index("--checkpoint") + 1]
    assert checkpoint.startswith(f"{Path.cwd()}/out.job/")
    record = records.find("4711")
    assert record.request.checkpoint == checkpoint
    assert record.file("sbatch").read_text() == text


def test_ranks_are_spread_over_the_nodes(slurm: FakeSlurm) -> None:
    """Without a number for each node, mpirun would fill the first of nodes that are exclusive."""
    assert "--ntasks-per-node=1" in directives(submitted(slurm, "-N", "3", "--exclusive", "--", "true"))
    assert not any("per-node" in line for line in directives(submitted(slurm, "-n", "3", "--", "true")))
    slurm.answer("scontrol", stdout=f"JobId=4711 UserId={records.user()}(0) JobState=FAILED \n")
    for words, wanted in ((["-N", "2"], {"--nodes=2", "--ntasks-per-node=1"}), (["-n", "5"], {"--ntasks=5"})):
        assert resume.main(["4711", *words]) == 0
        lines = directives(slurm.calls("sbatch")[-1][1])
        assert {line for line in lines if line.startswith(("--n", "-n"))} == wanted


def test_user_given_checkpoint_stays(slurm: FakeSlurm) -> None:
    text = submitted(slurm, "--checkpoint-every", "5m", "--", "query", "SELECT 1", "--checkpoint", "ck")
    assert text.count("--checkpoint") == 1
    assert records.find("4711").request.checkpoint == str(Path("ck").absolute())


def test_time_limits_leave_time_to_save(slurm: FakeSlurm) -> None:
    assert "--signal=B:USR1@100" in directives(submitted(slurm, "-t", "5", "--", "python", "x.py"))
    assert "--signal=B:USR1@600" in directives(submitted(slurm, "-t", "60", "--save-before", "10m", "--", "true"))
    with pytest.raises(UserError, match="leaves no time to work"):
        submit.main(["-t", "5", "--save-before", "5m", "--", "true"])


def test_a_chain_waits_link_by_link(slurm: FakeSlurm) -> None:
    slurm.answer("sbatch", stdout="12\n", when="afternotok:4711")
    slurm.answer("sbatch", stdout="13\n", when="afternotok:12")
    submit.main(["--chain", "3", "--", "python", "x.py"])
    calls = slurm.calls("sbatch")
    assert [words[-1] for words, _ in calls] == [
        "--parsable",
        "--dependency=afternotok:4711",
        "--dependency=afternotok:12",
    ]
    assert "chain=$SLURM_JOB_ID\n" in calls[0][1] and "chain=4711\n" in calls[2][1]
    assert all("--no-requeue" in directives(text) and "scontrol requeue" not in text for _, text in calls)
    assert records.find("12").group == ["4711", "12", "13"]


def test_an_array_and_its_merge(slurm: FakeSlurm) -> None:
    for name in ("b10.log", "b9.log", "a b.log"):
        Path(name).write_text("x\n")
    slurm.answer("sbatch", stdout="12\n", when="afterok:4711")
    submit.main([
        "--each", "*.log", "--at-once", "2", "--merge", "sort p/*.parquet all.parquet --by time", "--",
        "query", "SELECT * FROM read_logs('{input}', 'bgl')", "--output", "p/{stem}.parquet",
    ])  # fmt: skip
    (first, text), (last, merging) = slurm.calls("sbatch")
    assert first == ["--parsable"] and "--kill-on-invalid-dep=yes" in last
    assert "--array=0-2%2" in directives(text) and not any("--array" in line for line in directives(merging))
    record = records.find("4711")
    inputs = Path(record.request.inputs_file).read_text().splitlines()
    assert [Path(path).name for path in inputs] == ["a b.log", "b9.log", "b10.log"]
    assert "hpckit sort 'p/*.parquet' all.parquet --by time" in merging
    # the substitution, run by bash itself
    part = text[text.index("ranks=") : text.index("set -u")].replace("${SLURM_NTASKS_PER_NODE:-1}", "1")
    said = subprocess.run(
        ["bash"], input=part + 'printf "%s\\n" "${command[@]}"', text=True, capture_output=True, check=True,
        env={"SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NUM_NODES": "1", "PATH": "/usr/bin:/bin"},
    ).stdout.splitlines()  # fmt: skip
    assert f"SELECT * FROM read_logs('{Path.cwd()}/a b.log', 'bgl')" in said
    assert "p/a b.parquet" in said


def test_srun_gets_its_interface(slurm: FakeSlurm) -> None:
    slurm.answer("srun", stderr="srun: MPI types are...\nsrun: pmix\nsrun: none\nsrun: pmi2\n")
    text = submitted(slurm, "--launcher", "srun", "-c", "2", "--", "python", "x.py")
    assert 'srun --mpi=pmi2 --ntasks="$ranks" --kill-on-bad-exit=1 python -m mpi4py x.py' in text
    assert "SRUN_CPUS_PER_TASK" in text
    slurm.answer(
        "srun", stdout="MPI plugin types are...\n\tpmix\n\tnone\nspecific pmix plugin versions available: pmix_v4\n"
    )
    assert mpi.interfaces() == ["pmix", "pmix_v4"]
    with pytest.raises(LaunchError, match="choose one of these"):
        mpi.choose("srun", "pmi2")


def test_interfaces_whose_library_is_missing_are_passed_over(slurm: FakeSlurm) -> None:
    slurm.answer("srun", stdout="MPI plugin types are...\n\tpmi2\n\tpmix\n\tnone\n")
    slurm.answer("srun", stderr="srun: error: Invalid MPI type 'pmi2', --mpi=list for\n", status=1, when="--mpi=pmi2")
    assert mpi.choose("srun").pmi == "pmix"
    with pytest.raises(LaunchError, match="cannot load it; choose one of pmix"):
        mpi.choose("srun", "pmi2")


def test_a_job_over_a_limit_is_called_so_at_once(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    """Slurm's verdict says nothing of limits, and the job would wait for ever."""
    slurm.answer("scontrol", stdout="JobId=4711 JobState=PENDING Reason=PartitionTimeLimit \n")
    submitted(slurm, "-t", "1000", "--", "true")
    assert "job 4711 cannot start as things are: it can never start: it asks for more time" in capsys.readouterr().err
    slurm.answer("scontrol", stdout="JobId=4711 JobState=PENDING Reason=Priority \n")
    submitted(slurm, "--", "true")
    assert "cannot start" not in capsys.readouterr().err


def test_without_mpirun_srun_is_taken_or_the_lack_explained(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> object:
        raise LaunchError("no mpirun here")

    monkeypatch.setattr(mpi, "find_launcher", none)
    slurm.answer("srun", stdout="MPI plugin types are...\n\tcray_shasta\n\tnone\n")
    assert mpi.choose() == mpi.Start("srun", "cray_shasta", "srun offers cray_shasta")
    slurm.answer("srun", stdout="MPI plugin types are...\n\tnone\n")
    with pytest.raises(LaunchError, match=r"no process-management interface.*no mpirun here"):
        mpi.choose()


def test_settings_files_variables_and_flags_in_this_order(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, user = tmp_path / "site.toml", tmp_path / "config" / "hpckit" / "hpckit.toml"
    user.parent.mkdir(parents=True)
    site.write_text('[submit]\npartition = "site"\nqos = "site"\nmem = "site"\ntime = "site"\naccount = "site"\n')
    user.write_text('[submit]\nqos = "user"\nmem = "user"\ntime = "user"\naccount = "user"\n')
    Path("hpckit.toml").write_text(
        '[submit]\nmem = "8G"\ntime = "9"\naccount = "project"\nnodes = 3\nmodules = ["gcc"]\n'
    )
    monkeypatch.setenv("HPCKIT_SITE", str(site))
    monkeypatch.setenv("HPCKIT_TIME", "7")
    monkeypatch.setenv("HPCKIT_ACCOUNT", "variable")
    text = submitted(slurm, "--account", "flag", "--", "true")
    for line in ("partition=site", "qos=user", "mem=8G", "time=7", "account=flag", "nodes=3"):
        assert f"--{line}" in directives(text)
    assert "module load gcc" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[submit]\npartitoin = 'x'\n", "did you mean partition"),
        ("[submit]\nnodes = true\n", "expected text or a number"),
        ("[submit]\nmodules = 'gcc'\n", "a list of texts"),
        ("[submit]\nrestarts = -1\n", "0 or more"),
        ("[submit]\nlauncher = 'mpiexec'\n", "auto, mpirun, srun"),
        ("partition = 'x'\n", r"table \[submit\]"),
        ("[submit]\npartition = x\n", "values are TOML"),
        ("[submit]\nsave_before = 'soon'\n", "expected seconds or units"),
        ("[submit]\nnodes = '5-2'\n", "ascending"),
    ],
)
def test_settings_that_are_wrong_name_file_and_key(slurm: FakeSlurm, text: str, words: str) -> None:
    Path("hpckit.toml").write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        submit.main(["--", "true"])
    assert "hpckit.toml" in str(raised.value)


def test_variables_of_sbatch_do_not_beat_flags(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpckit.batch.submission import environ_for

    asked = request.Request(command=["true"], options={"partition": "p"})
    environ = {
        "SBATCH_PARTITION": "other",
        "SBATCH_ACCOUNT": "kept",
        "SBATCH_SIGNAL": "x",
        "PMI_RANK": "0",
        "HOME": "/h",
    }
    assert environ_for(asked, environ) == {"SBATCH_ACCOUNT": "kept", "HOME": "/h"}
    inside = {"SLURM_JOB_ID": "1", "SLURM_MEM_PER_NODE": "5", "SLURM_CONF": "/c"}
    assert environ_for(asked, inside) == {"SLURM_CONF": "/c"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["query", "SELECT 1"], "put `--` before the command"),
        (["-N", "2"], "no command to submit"),
        (["--array=1-3", "--", "true"], "use --each instead"),
        (["--wrap", "x", "--", "true"], "--wrap is set by hpckit"),
        (["--", "status"], "not for a batch job"),
        (["--", "hpckit"], "no command"),
        (["--", "x.py"], "say `python x.py"),
        (["--merge", "sort a b", "--", "true"], "needs --each"),
        (["--", "query", "--frobnicate"], "unknown option --frobnicate"),
        (["--launcher", "srun", "--survive", "--mpi", "pmi2", "--", "true"], "need mpirun"),
    ],
)
def test_mistakes_on_the_command_line(slurm: FakeSlurm, argv: list[str], words: str) -> None:
    slurm.answer("srun", stdout="\tpmi2\n")
    with pytest.raises(UsageError, match=words):
        submit.main(argv)
    assert not slurm.calls("sbatch")


def test_mistakes_with_inputs(slurm: FakeSlurm) -> None:
    Path("a.log").write_text("")
    with pytest.raises(InputError, match=r"no such file"):
        submit.main(["--each", "*.none", "--", "query", "{input}"])
    with pytest.raises(UsageError, match=r"names no {input}"):
        submit.main(["--each", "*.log", "--", "query", "SELECT 1"])
    with pytest.raises(UsageError, match=r"all jobs would write x.csv"):
        submit.main(["--each", "*.log", "--", "query", "SELECT '{input}'", "--output", "x.csv"])
    Path("it's.log").write_text("")
    with pytest.raises(InputError, match="quote"):
        submit.main(["--each", "*.log", "--", "query", "SELECT '{input}'"])


def test_outputs_that_cannot_be(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("x.csv").write_text("")
    with pytest.raises(OutputError, match=r"x.csv exists"):
        submit.main(["--", "query", "SELECT 1", "--output", "x.csv"])
    with pytest.raises(OutputError, match="is a file, a folder is needed"):
        submit.main(["--", "query", "SELECT 1", "--output", "x.csv/y.csv"])
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="not writable"):
        submit.main(["--", "query", "SELECT 1", "--output", "new/y.csv"])
    assert not slurm.calls("sbatch")


def test_a_folder_that_nodes_do_not_see(slurm: FakeSlurm) -> None:
    slurm.answer("sinfo", stdout="c1 10.0.0.1\nc2 10.0.0.2\n")
    with pytest.raises(OutputError, match=r"/dev/shm.*do not share"):
        submit.main(["--folder", "/dev/shm/x", "--", "true"])
    Path("hpckit.toml").write_text('[submit]\nshared = ["/dev/shm", "/tmp"]\n')
    assert submit.prepare(*submit.parse(["--folder", "/dev/shm/x", "--", "true"])).folder == "/dev/shm/x"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid "
         "partition name specified", r"(?s)refuses.*there are: vm.*choose with -p"),
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
         "no account was given.*--account"),
        ("sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
         "--time 9"),
        ("sbatch: error: Batch job submission failed: Node count specification invalid", "ask for fewer"),
        ("sbatch: error: Batch job submission failed: Invalid qos specification", "--qos"),
        ("sbatch: error: Invalid --mem specification", "Slurm takes e.g. 4000"),
        ("sbatch: unrecognized option '--frob'", "unrecognized option '--frob'"),
        ("", "exit status 1"),
    ],
)  # fmt: skip
def test_refusals_name_the_remedy(slurm: FakeSlurm, said: str, words: str) -> None:
    slurm.answer("sbatch", stderr=said, status=1)
    slurm.answer("sinfo", stdout="vm\n", when="%R")
    with pytest.raises(SlurmError, match=words):
        submit.main(["-t", "9", "--", "true"])


def test_no_slurm_here(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlurmError, match=r"no Slurm here.*hpckit run -n N"):
        submit.main(["--launcher", "mpirun", "--", "python", "x.py"])


def test_slurm_without_a_cluster(slurm: FakeSlurm) -> None:
    said = "sbatch: error: DNS SRV lookup failed\nsbatch: fatal: Could not establish a configuration source\n"
    slurm.answer("sbatch", status=1, stderr=said)
    with pytest.raises(SlurmError, match="knows no cluster"):
        submit.main(["--", "true"])


def test_a_controller_that_does_not_answer(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.answer("sbatch", sleep_s=60)
    monkeypatch.setenv("HPCKIT_SLURM_TIMEOUT", "0.3")
    start_s = time.monotonic()
    with pytest.raises(SlurmError, match=r"did not answer within 0.3 s"):
        submit.main(["--", "true"])
    assert time.monotonic() - start_s < 10


def test_a_refused_link_takes_the_others_back(slurm: FakeSlurm) -> None:
    slurm.answer("sbatch", status=1, stderr="sbatch: error: QOSMaxSubmitJobPerUserLimit", when="afternotok")
    with pytest.raises(SlurmError, match="QOSMaxSubmitJobPerUserLimit"):
        submit.main(["--chain", "2", "--", "true"])
    assert slurm.calls("scancel")[0][0] == ["4711"]


def test_a_dry_run_writes_nothing(slurm: FakeSlurm, capsys: pytest.CaptureFixture[str]) -> None:
    slurm.answer(
        "sbatch", stderr="sbatch: Job 5 to start at 2026-01-01T00:00:00 using 4 processors on n1\n", when="--test"
    )
    assert submit.main(["--dry-run", "--", "query", "SELECT 1", "--output", "o.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("#!/bin/bash\n#SBATCH ") and "verdict: Job 5 to start" in err
    assert list(Path().iterdir()) == []
    slurm.answer(
        "sbatch", status=1, stderr="allocation failure: Requested node configuration is not available", when="--test"
    )
    assert submit.main(["--dry-run", "--", "true"]) == 2


def test_resume_changes_what_is_said_and_keeps_the_rest(slurm: FakeSlurm) -> None:
    submit.main(["-N", "2", "--ntasks-per-node", "4", "-t", "60", "--", "query", "SELECT 1", "--output", "o.csv"])
    slurm.answer("scontrol", stdout="JobId=4711 UserId=" + records.user() + "(0) JobState=FAILED ExitCode=75:0 \n")
    slurm.answer("sbatch", stdout="4712\n")
    assert resume.main(["4711", "-N", "8", "-t", "30"]) == 0
    lines = directives(slurm.calls("sbatch")[-1][1])
    assert "--nodes=8" in lines and "--ntasks-per-node=4" in lines and "--time=30" in lines
    first, second = records.find("4711"), records.find("4712")
    assert second.resumes == "4711" and second.request.checkpoint == first.request.checkpoint != ""


def test_resume_of_what_runs_has_ended_or_is_unknown(slurm: FakeSlurm) -> None:
    submit.main(["--", "query", "SELECT 1", "--output", "o.csv"])
    for state, words in (("RUNNING", "goes on by itself"), ("COMPLETED", "nothing to go on with")):
        slurm.answer("scontrol", stdout=f"JobId=4711 UserId={records.user()}(0) JobState={state} \n")
        with pytest.raises(UserError, match=words):
            resume.main(["4711"])
    with pytest.raises(records.NoRecordError, match="no record of job 5"):
        resume.main(["5"])
    with pytest.raises(UserError, match="expected a job's number"):
        resume.main(["latest"])


def test_resume_of_an_array_leaves_out_what_is_done(slurm: FakeSlurm) -> None:
    for i in range(4):
        Path(f"{i}.log").write_text("")
    submit.main(["--each", "*.log", "--", "query", "SELECT '{input}'", "--output", "{stem}.csv"])
    record = records.find("4711")
    record.file("events", "1").write_text('{"event": "end", "life": 0, "time": 1, "status": 0}\n')
    record.file("events", "2").write_text('{"event": "end", "life": 0, "time": 1, "status": 75}\n')
    slurm.answer("scontrol", stdout=f"JobId=9 ArrayJobId=4711 UserId={records.user()}(0) JobState=FAILED \n")
    resume.main(["4711"])
    assert "--array=0,2,3" in directives(slurm.calls("sbatch")[-1][1])


def test_commands_import_nothing_heavy_and_answer_within_300_ms(slurm: FakeSlurm) -> None:
    """By the time of processors, without that of Slurm's programs: a busy machine hardly changes it."""
    code = (
        "import sys, time\nfrom hpckit.cli.main import main\nstatus = main(sys.argv[1:])\n"
        "heavy = [m for m in ('mpi4py', 'pyarrow', 'numpy', 'h5py', 'sqlglot', 'rich') if m in sys.modules]\n"
        "print(heavy, status, time.process_time(), file=sys.stderr)"
    )
    for words in (["submit", "--", "query", "SELECT 1"], ["status", "4711"], ["status"], ["cancel", "4711"]):
        slurm.answer("scontrol", stdout=f"JobId=4711 UserId={records.user()}(0) JobState=RUNNING \n")
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        last, _, cpu_s = done.stderr.splitlines()[-1].rpartition(" ")
        assert last == "[] 0", done.stderr
        assert float(cpu_s) < 0.3, words


def test_surviving_jobs_restart_inside_their_allocation(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --no-kill Slurm would let a job whose script's node is lost hang until its time limit."""
    monkeypatch.setattr(submit, "find_launcher", lambda: Launcher("/opt/bin/mpirun", "Open MPI", "5"))
    text = submitted(slurm, "--survive", "--stall", "10m", "--", "query", "SELECT 1", "--output", "o.csv")
    assert "--no-kill" not in directives(text)
    assert 'hpckit run -n "$ranks" --survive --restarts 3 --stall 10m -- hpckit query' in text
    assert "output=" + str(Path("o.csv").absolute()) in text and '[ -e "$output" ]' in text


def test_survival_without_open_mpi_is_refused_before_the_queue(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "find_launcher", lambda: Launcher("/opt/bin/mpirun", "MPICH", "4.2"))
    with pytest.raises(LaunchError, match=r"--survive: MPICH .* use Open MPI"):
        submit.main(["--survive", "--", "true"])
    submitted(slurm, "--survive", "--module", "openmpi/5", "--", "true")  # that job's MPI is another one


def run_end(slurm: FakeSlurm, tmp_path: Path, status: int, life: int, *options: str) -> tuple[int, list[str]]:
    """(exit status, scontrol's words) of a whole script, run by bash, whose `hpckit run` ends with `status`."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    fake = tmp_path / "bin" / "hpckit"
    fake.write_text(f"#!/bin/sh\nexit {status}\n")
    fake.chmod(0o755)
    text = submitted(slurm, *options, "--folder", str(tmp_path / "f"), "--venv", str(tmp_path), "--", "true")
    slurm.answer("scontrol", stdout="JobId=4711 JobState=RUNNING Reason=None\n")
    before = len(slurm.calls("scontrol"))
    environ = {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": str(life), "SLURM_JOB_NUM_NODES": "1",
               "SLURM_NTASKS_PER_NODE": "1", "SLURM_JOB_NODELIST": "n1"}  # fmt: skip
    done = subprocess.run(["bash", "-c", text], capture_output=True, env={**os.environ, **environ}, check=False)
    return done.returncode, [words[0] for words, _ in slurm.calls("scontrol")[before:]]


@pytest.mark.parametrize(
    ("status", "life", "requeued"),
    [(0, 0, False), (1, 0, False), (2, 0, False), (75, 0, True), (75, 19, True), (75, 20, False), (75, 21, False),
     (255, 0, True), (9, 0, True), (127, 0, False), (130, 0, False)],
)  # fmt: skip
def test_what_is_queued_again(slurm: FakeSlurm, tmp_path: Path, status: int, life: int, requeued: bool) -> None:
    ended, asked = run_end(slurm, tmp_path, status, life)
    assert ended == (status if life < 21 else 75)
    assert ("requeue" in asked) is requeued


def test_ranks_that_miss_the_signal_while_they_start_are_told_again(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 20 jobs that Slurm signalled while a busy machine started them 13 ran into their limit without saving."""
    monkeypatch.setattr(script, "REMIND_S", 1)
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "hpckit"
    fake.write_text(
        "#!/bin/bash\ntrap '' USR1\ntouch started\nsleep 1.5\ntrap 'exit 75' USR1\n"
        "for i in $(seq 100); do sleep 0.1; done\n"
    )
    fake.chmod(0o755)
    text = submitted(slurm, "--folder", str(tmp_path / "f"), "--venv", str(tmp_path), "--", "true")
    environ = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "n1"}
    job = subprocess.Popen(["bash", "-c", text], env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    while not Path("started").exists():
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(20) == 75
    history, _ = records.events(tmp_path / "f" / "4711.events")
    assert [event.values.get("status") for event in history if event.event == "end"] == [75]
    assert '"signals": 1' in (tmp_path / "f" / "4711.events").read_text()


def test_a_job_that_only_crashes_is_given_up(slurm: FakeSlurm, tmp_path: Path) -> None:
    asked = [run_end(slurm, tmp_path, 9, life)[1] for life in range(3)]
    assert ["requeue" in words for words in asked] == [True, True, False]
    assert "requeue" in run_end(slurm, tmp_path, 75, 3)[1]  # what saves work may crash again
    assert "requeue" in run_end(slurm, tmp_path, 9, 4)[1]


def test_a_finished_chain_does_nothing_more(slurm: FakeSlurm, tmp_path: Path) -> None:
    assert run_end(slurm, tmp_path, 2, 0, "--chain", "2")[0] == 2
    assert (tmp_path / "f" / "4711.finished").read_text() == "2\n"
    assert run_end(slurm, tmp_path, 0, 0, "--chain", "2")[0] == 2


def test_scripts_pass_bash(slurm: FakeSlurm) -> None:
    """Every form of the script is bash."""
    base = {"command": ["hpckit", "query", SQL], "options": {"nodes": "2"}, "folder": "/f o/o", "work_folder": "/w"}
    for changes in (
        {}, {"chain": 2}, {"inputs": 3, "inputs_file": "/a b"}, {"launcher": "srun", "pmi": "pmi2"}, {"requeue": False},
        {"restarts": 0}, {"stage_env": "/e.tar", "environment": "/v"}, {"modules": ["a b"], "setup": ["export X=1"]},
        {"launcher": "srun", "pmi": "pmix", "stage_env": "/e.tar", "environment": "/v", "options": {"ntasks": "3"}},
    ):  # fmt: skip
        text = script.write(request.Request(**{**base, **changes}))
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
