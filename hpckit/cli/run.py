"""`hpckit run`: start a command on N ranks with the mpirun and the flags that fit here, and leave no process behind."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from hpckit.cli.options import Parser, UsageError, count, duration, positive
from hpckit.spmd.launch import TERMINAL_VARIABLE, on_terminal
from hpckit.spmd.mpirun import find_launcher
from hpckit.spmd.supervisor import Care, supervise

PROG = "hpckit run"
HEARTBEAT_S = 60.0  # --survive without --heartbeat
VALUED = ("-n", "--ranks", "--heartbeat", "--restarts", "--stall")


def parser() -> Parser:
    """The options of `hpckit run`."""
    options = Parser(
        "run",
        "Start COMMAND on N ranks with the mpirun that belongs to this Python's MPI and the flags it needs here\n"
        "(Open MPI: running as root, more ranks than cores, shared memory only on one node). COMMAND is an hpckit\n"
        "command such as `query …`, or a program such as `python jobs/x.py …`. The exit status is COMMAND's.\n"
        "\n"
        "A job that should outlive failures has --checkpoint, and here --survive (Open MPI: the others go on when\n"
        "ranks die), --restarts (any MPI: the job is started again and goes on where it was), or both. Exit statuses\n"
        "2 (a mistake in the command) and 75 (work was saved, to be requeued) are passed on, never retried. SIGTERM\n"
        "and SIGUSR1 reach every rank: save and end.",
        examples=[
            ("hpckit run -n 4 -- query -f report.sql --output report/", "an hpckit command on four ranks"),
            ("hpckit run -n 2 -- python jobs/log_analysis.py bgl.log --format bgl", "a program of your own"),
            (
                "hpckit run -n 8 --survive --restarts 3 -- query -f report.sql --output report/ --checkpoint ck/",
                "ranks may die: the others take over their work; if the whole job dies, it goes on from ck/",
            ),
            (
                "hpckit run -n 8 --restarts 3 --stall 10m -- query … --checkpoint ck/",
                "the same without in-job survival, under any MPI; ten minutes without any progress count as a failure",
            ),
        ],
    )
    options.add_argument("-n", "--ranks", type=positive, required=True, metavar="N", help="number of processes")
    options.add_argument("--survive", action="store_true", help="go on when ranks die (Open MPI 5)")
    options.add_argument(
        "--heartbeat", type=duration, metavar="T",
        help="kill a rank that neither works nor computes for so long, e.g. on a node that hangs; longer than the "
        f"slowest read or write may take (default with --survive: {HEARTBEAT_S:.0f}s)",
    )  # fmt: skip
    options.add_argument(
        "--restarts", type=count, default=0, metavar="K", help="start a job that failed again, up to K times"
    )
    options.add_argument(
        "--stall", type=duration, default=0.0, metavar="T",
        help="a job in which no rank gets anything done for so long has failed (COMMAND must be an hpckit command, or "
        "use hpckit's operations)",
    )  # fmt: skip
    options.add_argument("command", nargs="+", metavar="COMMAND", help="after `--`: what to start, with its arguments")
    return options


def main(argv: list[str]) -> int:
    """Start the command and wait for it; returns its exit status (128 + signal if the launcher was killed)."""
    before, after = _split(argv)
    options = parser().parse_args([*before, "--", *after] if after else before)
    command = program_of(options.command)
    launcher = find_launcher()
    environ = dict(os.environ)
    environ[TERMINAL_VARIABLE] = ",".join(name for name in ("stdout", "stderr") if on_terminal(getattr(sys, name)))
    if environ[TERMINAL_VARIABLE]:
        environ.setdefault("COLUMNS", str(shutil.get_terminal_size().columns))
    default_s = HEARTBEAT_S if options.survive else 0.0
    heartbeat_s = default_s if options.heartbeat is None else options.heartbeat
    care = Care(options.survive, heartbeat_s, options.restarts, options.stall)
    return supervise(launcher, options.ranks, command, environ, care)


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """(own options, command): at `--`, or else at the first word that is no option of ours."""
    if "--" in argv:
        cut = argv.index("--")
        return argv[:cut], argv[cut + 1 :]
    i = 0
    while i < len(argv) and argv[i].startswith("-"):
        i += 2 if argv[i] in VALUED else 1
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
