"""Launchers: the world-size guard, what `hpckit run` starts, and the doctor's verdicts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpckit.cli import doctor, run
from hpckit.errors import LaunchError
from hpckit.spmd.launch import check_world_size, launcher_rank, launcher_size, on_one_node, start_mpi_quickly
from hpckit.spmd.mpirun import Launcher, find_launcher, identify

MPICH = "MPICH Version:      5.0.2\nMPICH Release date: …"
SCRIPT = Path(sys.executable).parent / "hpckit"
HPCKIT = [str(SCRIPT)] if SCRIPT.exists() else ["-m", "hpckit.cli.main"]
OPEN_MPI = "Open MPI v5.0.11, package: Open MPI, …"


@pytest.mark.parametrize(
    ("environ", "size"),
    [
        ({}, 1), ({}, 4), ({"PMI_SIZE": "4"}, 4), ({"OMPI_COMM_WORLD_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"}, 2),
        ({"SLURM_STEP_NUM_TASKS": "1"}, 1), ({"PMI_SIZE": ""}, 3),
    ],
)  # fmt: skip
def test_worlds_that_fit(environ: dict[str, str], size: int) -> None:
    check_world_size(size, MPICH, environ)


@pytest.mark.parametrize(
    ("environ", "library", "parts"),
    [
        (
            {"OMPI_COMM_WORLD_SIZE": "4"},
            MPICH,
            ["OMPI_COMM_WORLD_SIZE says 4", "the mpirun of MPICH", "hpckit run -n 4"],
        ),
        ({"PMI_SIZE": "3"}, OPEN_MPI, ["PMI_SIZE says 3", "the mpirun of Open MPI", "world of 1"]),
        ({"SLURM_STEP_NUM_TASKS": "8"}, MPICH, ["srun --mpi=pmi2", "instead of plain srun"]),
        ({"SLURM_STEP_NUM_TASKS": "8"}, OPEN_MPI, ["srun --mpi=pmix", "instead of plain srun"]),
    ],
)
def test_worlds_of_one_are_refused_with_the_remedy(environ: dict[str, str], library: str, parts: list[str]) -> None:
    with pytest.raises(LaunchError) as caught:
        check_world_size(1, library, environ)
    assert all(part in str(caught.value) for part in parts)


def test_rank_and_size_before_mpi_starts() -> None:
    assert (launcher_rank({}), launcher_size({})) == (0, 1)
    assert launcher_rank({"SLURM_PROCID": "0", "PMI_RANK": "3"}) == 3
    assert launcher_size({"PMI_SIZE": "9"}) == 9


def test_the_launcher_beside_the_interpreter_comes_first(tmp_path: Path) -> None:
    def install(folder: Path, answer: str) -> Path:
        folder.mkdir()
        program = folder / "mpirun"
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
        return folder

    beside = install(tmp_path / "bin", "mpirun (Open MPI) 5.0.11")
    on_path = install(tmp_path / "path", "HYDRA build details: Version: 4.2")
    found = find_launcher(str(beside / "python"), str(on_path))
    assert found == Launcher(str(beside / "mpirun"), "Open MPI", "mpirun (Open MPI) 5.0.11")
    assert find_launcher(str(tmp_path / "python"), str(on_path)).kind == "MPICH"
    with pytest.raises(LaunchError, match="no mpirun in"):
        find_launcher(str(tmp_path / "python"), str(tmp_path))
    broken = tmp_path / "broken"
    broken.write_text("not a program")
    with pytest.raises(LaunchError, match="does not answer"):
        identify(str(broken))


def test_flags_of_open_mpi(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = Launcher("/x/mpirun", "Open MPI", "5")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    command, environ = launcher.command(3, ["prog"], {"PMI_RANK": "0", "HOME": "/h"})
    assert command == ["/x/mpirun", "--mca", "pml", "ob1", "--mca", "btl", "self,sm", "-n", "3", "prog"]
    assert environ == {
        "HOME": "/h", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }  # fmt: skip
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    command, environ = launcher.command(3, ["prog"], {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"})
    assert command == ["/x/mpirun", "--bind-to", "none", "-n", "3", "prog"]
    assert environ == {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2"}


def test_mpich_needs_no_flags() -> None:
    assert Launcher("/x/mpirun", "MPICH", "5").command(2, ["p"], {"A": "b"}) == (
        ["/x/mpirun", "-n", "2", "p"],
        {"A": "b"},
    )


@pytest.mark.parametrize(
    ("command", "started"),
    [
        (["query", "SELECT 1"], [*HPCKIT, "query", "SELECT 1"]),
        (["hpckit", "formats"], [*HPCKIT, "formats"]),
        (["python", "jobs/x.py", "--a"], ["-m", "mpi4py", "jobs/x.py", "--a"]),
        (["python", "-m", "mpi4py", "x.py"], ["-m", "mpi4py", "x.py"]),
        (["python3", "-c", "pass"], ["-c", "pass"]),
    ],
)
def test_what_run_starts(command: list[str], started: list[str]) -> None:
    assert run.program_of(command) == [sys.executable, *started]


def test_run_refuses_what_cannot_run() -> None:
    with pytest.raises(LaunchError.__bases__[0], match=r"for a Python program say `python x\.py …`"):
        run.program_of(["x.py"])
    with pytest.raises(LaunchError.__bases__[0], match="itself starts processes"):
        run.program_of(["run", "-n", "2"])
    assert run.program_of(["true"]) == ["true"]


@pytest.mark.parametrize("argv", [["-n", "2", "--", "true"], ["-n", "2", "true"], ["--ranks=2", "--", "true"]], ids=str)
def test_run_takes_its_command_with_and_without_dashes(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        run, "supervise", lambda launcher, ranks, program, environ, care: seen.append((ranks, program)) or 0
    )
    assert run.main(argv) == 0
    assert seen == [(2, ["true"])]


def test_the_doctor_finds_this_installation_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "abandoned", list)  # tests that kill jobs may have left some
    assert doctor.main([]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    subjects = [line[6:18].strip() for line in lines if not line.startswith(" ")]
    assert subjects == [
        "Python", "MPI", "launcher", "two ranks", "/dev/shm", "HDF5", "Arrow", "kernels", "CPU", "memory",
        "here", "scratch", "Slurm",
    ]  # fmt: skip
    assert all(line.split()[0] in ("ok", "warn") for line in lines if not line.startswith(" "))


def test_the_doctor_sees_two_worlds_of_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretender = Launcher("/bin/sh", "other", "?")
    monkeypatch.setattr(Launcher, "command", lambda *_: (["/bin/echo", "world of 1, 1 met"], {}))
    monkeypatch.setattr(doctor, "find_launcher", lambda: pretender)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_mpi,))
    assert doctor.main([]) == 1
    assert "fail  two ranks    two worlds of one rank each" in capsys.readouterr().out


def test_the_doctor_ends_a_hello_that_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Launcher, "command", lambda *_: (["/bin/sleep", "60"], {}))
    monkeypatch.setattr(doctor, "HELLO_TIMEOUT_S", 0.2)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_mpi,))
    assert doctor.main([]) == 1
    assert "exit status 124" in capsys.readouterr().out


def test_the_doctor_warns_of_a_small_shm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 20})())
    monkeypatch.setattr(doctor, "abandoned", lambda: [("/dev/shm/mpich_shm_1_0", 4096), ("/dev/shm/mpich_shm_2_0", 0)])
    small, left = doctor._check_shm("MPICH")
    assert small.level == left.level == "warn"
    assert "--shm-size=1g" in small.remedy
    assert left.text.startswith("2 segments (4.0 KiB)")
    assert left.remedy.endswith(": rm /dev/shm/mpich_shm_*")


@pytest.mark.parametrize(
    ("environ", "alone_here"),
    [
        ({"PMI_SIZE": "4", "MPI_LOCALNRANKS": "4"}, True),
        ({"PMI_SIZE": "8", "MPI_LOCALNRANKS": "4"}, False),
        ({"PMI_SIZE": "8"}, False),
        ({}, False),
    ],
)
def test_no_network_is_looked_for_on_one_node_only(
    environ: dict[str, str], alone_here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PMI_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "UCX_MEM_EVENTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UCX_TLS", "tcp,self")  # what the user has set stays
    start_mpi_quickly()
    assert on_one_node() == alone_here
    assert os.environ.get("UCX_MEM_EVENTS") == ("n" if alone_here else None)
    assert os.environ["UCX_TLS"] == "tcp,self"
    monkeypatch.delenv("UCX_MEM_EVENTS", raising=False)
