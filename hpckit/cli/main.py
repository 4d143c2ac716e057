"""`hpckit`: help and version at once, commands imported only when they are called."""

from __future__ import annotations

import sys
from typing import NoReturn

from hpckit import __version__
from hpckit.spmd.launch import launcher_rank

# command -> (module with main(argv) -> exit status, one line of help)
COMMANDS = {
    "query": ("hpckit.cli.query", "run SQL over logs, CSV, JSON lines, Parquet, HDF5"),
    "sort": ("hpckit.cli.sort", "sort any source, or fixed-length records, into a file; check one"),
    "convert": ("hpckit.cli.convert", "turn any source into .parquet .csv .jsonl .arrow .h5"),
    "formats": ("hpckit.cli.formats", "list the known log formats, or guess that of a file"),
    "generate": ("hpckit.cli.generate", "write reproducible logs and tables to try things on"),
    "checkpoint": ("hpckit.cli.checkpoint", "list, verify or prune what --checkpoint has saved"),
    "run": ("hpckit.cli.run", "start a command on N ranks with the mpirun and flags that fit"),
    "submit": ("hpckit.cli.submit", "put a command into Slurm's queue; it goes on by itself after the time limit"),
    "status": ("hpckit.cli.status", "how jobs stand: state, reason, progress, restarts, last checkpoint"),
    "logs": ("hpckit.cli.logs", "what a job writes, as it comes with -f"),
    "cancel": ("hpckit.cli.cancel", "end jobs, with what belongs to them"),
    "resume": ("hpckit.cli.resume", "go on from what a job saved, also on other numbers of nodes"),
    "doctor": ("hpckit.cli.doctor", "show what MPI, memory, Slurm is here, and what to fix"),
}

HELP = """\
usage: hpckit COMMAND [OPTIONS]

Raw logs and arrays in, answers out: one process as it stands, many with mpirun or `hpckit run`.

commands:
{commands}

  hpckit COMMAND --help          options and examples of a command
  hpckit --version               the version

examples:
  hpckit query "SELECT level, count(*) AS n FROM read_logs('bgl.log', 'bgl') GROUP BY level"
      messages by severity, on one process
  mpirun -n 4 hpckit query "SELECT node, count(*) AS errors FROM read_logs('logs/*.log*', 'bgl')
      WHERE level = 'FATAL' GROUP BY node ORDER BY errors DESC LIMIT 20" --output top.parquet
      the twenty worst nodes, on four ranks; the same bytes at any number of ranks
  hpckit run -n 4 -- query -f report.sql --output report/
      several statements over one reading of the input, with the mpirun that fits
  hpckit generate bgl demo.log --rows 1000000 --seed 1
      something to try it on
"""


def main(argv: list[str] | None = None) -> int:
    """Run one hpckit command and return its exit status. Collective if the command is."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["help"]:
        argv = [*argv[1:2], "--help"]
    command = argv[0] if argv else "--help"
    if command in ("-h", "--help"):
        return _print(HELP.format(commands=_command_lines()))
    if command in ("-V", "--version"):
        return _print(f"hpckit {__version__}\n")
    if command not in COMMANDS:
        return _unknown(command)
    from importlib import import_module

    from hpckit.spmd.program import program

    module = COMMANDS[command][0]
    return program(lambda: import_module(module).main(argv[1:]))


def _command_lines() -> str:
    return "\n".join(f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items())


def _print(text: str) -> int:
    if launcher_rank() == 0:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            from hpckit.spmd.program import silence_stdout

            silence_stdout()
    return 0


def _unknown(command: str) -> int:
    import difflib

    near = difflib.get_close_matches(command, COMMANDS, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    kind = "option" if command.startswith("-") else "command"
    if launcher_rank() == 0:
        sys.stderr.write(f"hpckit: error: unknown {kind} {command!r}{hint}\nsee `hpckit --help`\n")
    return 2


def script() -> NoReturn:
    """The `hpckit` command: a process that runs one command and ends."""
    from hpckit.cli.startup import begin, leave

    begin()
    leave(main())


if __name__ == "__main__":
    script()
