"""`hpckit run`: start a command on N ranks with the mpirun and the flags that fit here, and leave no process behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from hpckit.cli.options import Parser, UsageError, positive
from hpckit.errors import LaunchError
from hpckit.spmd.launch import TERMINAL_VARIABLE, on_terminal
from hpckit.spmd.mpirun import find_launcher

PROG = "hpckit run"
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
GRACE_S = 10.0  # between asking the launcher to end and killing it
PR_SET_PDEATHSIG = 1  # prctl(2)


def parser() -> Parser:
    """The options of `hpckit run`."""
    options = Parser(
        "run",
        "Start COMMAND on N ranks with the mpirun that belongs to this Python's MPI and the flags it needs here\n"
        "(Open MPI: running as root, more ranks than cores, shared memory only on one node). COMMAND is an hpckit\n"
        "command such as `query …`, or a program such as `python jobs/x.py …`. The exit status is COMMAND's.",
        examples=[
            ("hpckit run -n 4 -- query -f report.sql --output report/", "an hpckit command on four ranks"),
            ("hpckit run -n 2 -- python jobs/log_analysis.py bgl.log --format bgl", "a program of your own"),
        ],
    )
    options.add_argument("-n", "--ranks", type=positive, required=True, metavar="N", help="number of processes")
    options.add_argument("command", nargs="+", metavar="COMMAND", help="after `--`: what to start, with its arguments")
    return options


def main(argv: list[str]) -> int:
    """Start the command and wait for it; returns its exit status (128 + signal if the launcher was killed)."""
    before, after = _split(argv)
    options = parser().parse_args([*before, "--", *after] if after else before)
    command = program_of(options.command)
    launcher = find_launcher()
    arguments, environ = launcher.command(options.ranks, command, os.environ)
    environ[TERMINAL_VARIABLE] = ",".join(name for name in ("stdout", "stderr") if on_terminal(getattr(sys, name)))
    if environ[TERMINAL_VARIABLE]:
        environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    return supervise(arguments, environ)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """(own options, command): at `--`, or else at the first word that is no option of ours."""
    if "--" in argv:
        cut = argv.index("--")
        return argv[:cut], argv[cut + 1 :]
    i = 0
    while i < len(argv) and argv[i].startswith("-"):
        i += 2 if argv[i] in ("-n", "--ranks") else 1
    return argv[:i], argv[i:]


def program_of(command: list[str]) -> list[str]:
    """The argv that mpirun gets: hpckit commands and `python` run with this interpreter."""
    from hpckit.cli.main import COMMANDS

    name, rest = command[0], command[1:]
    if name == "hpckit":
        return [*_hpckit(), *rest]
    if name in COMMANDS:
        if name in ("run", "doctor"):
            raise UsageError(f"`hpckit {name}` itself starts processes; it does not run on ranks", PROG)
        return [*_hpckit(), *command]
    if name in ("python", "python3"):
        # `-m mpi4py` ends the whole job when one rank fails, also in a program that knows nothing of hpckit.
        script = bool(rest) and not rest[0].startswith("-")
        return [sys.executable, *(["-m", "mpi4py"] if script else []), *rest]
    if shutil.which(name) is None:
        hint = f"; for a Python program say `python {name} …`" if Path(name).suffix == ".py" else ""
        raise UsageError(f"{name}: not an hpckit command ({', '.join(COMMANDS)}) and not a program on PATH{hint}", PROG)
    return command


def _hpckit() -> list[str]:
    """How to start hpckit with this interpreter; `-m` also looks in the current folder, so the script comes first."""
    script = Path(sys.executable).parent / "hpckit"
    return [sys.executable, str(script)] if script.is_file() else [sys.executable, "-m", "hpckit.cli.main"]


def supervise(arguments: list[str], environ: dict[str, str]) -> int:
    """Run the launcher in a process group of its own, hand signals on, and return its exit status."""
    try:
        child = subprocess.Popen(
            arguments,
            env=environ,
            # In its own group the launcher is not the terminal's foreground any more: reading it would stop it.
            stdin=subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    except OSError as error:
        raise LaunchError(f"{arguments[0]} cannot be started: {error.strerror}") from error
    asked_s: list[float] = []

    def forward(number: int, frame: FrameType | None) -> None:
        del frame
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asked_s.append(time.monotonic())
        child.send_signal(number)

    old = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        return _status(_wait(child, asked_s))
    finally:
        _end_group(child)
        for number, handler in old.items():
            signal.signal(number, handler)


def _wait(child: subprocess.Popen[bytes], asked_s: list[float]) -> int:
    """Wait for the launcher; GRACE_S after it was asked to end, its group is killed."""
    while True:
        try:
            return child.wait(timeout=0.5 if asked_s else 3600)
        except subprocess.TimeoutExpired:
            if asked_s and time.monotonic() - asked_s[0] > GRACE_S:
                _end_group(child)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the launcher's process group; an empty group is what one hopes for."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _status(code: int) -> int:
    return 128 - code if code < 0 else code


def _die_with_parent() -> None:
    """In the child before exec: when hpckit dies, even by SIGKILL, the launcher is told to end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
