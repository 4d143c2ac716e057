"""`hpckit checkpoint list|verify|prune DIR`: what is saved in a folder, whether it is whole, and what can go."""

from __future__ import annotations

import sys

from hpckit.cli.options import Parser, UsageError, positive
from hpckit.errors import EXIT_OK, EXIT_USER

EXAMPLES = [
    (
        "hpckit checkpoint list ck/",
        "lives of the job, each rank's generations: rows, bytes, age, units of work covered",
    ),
    ("hpckit checkpoint verify ck/", "read every file and compare its digest; status 2 if any is damaged"),
    ("hpckit checkpoint prune ck/", "remove all but the newest two generations"),
    ("hpckit checkpoint prune --all ck/", "give up what is saved, so that another job can use the folder"),
]


def parser() -> Parser:
    """The command's options."""
    command = Parser("checkpoint", "Look after a folder that was given with --checkpoint.", examples=EXAMPLES)
    command.add_argument("action", choices=("list", "verify", "prune"), help="what to do")
    command.add_argument("folder", metavar="DIR", help="the folder")
    command.add_argument("--keep", type=positive, metavar="K", help="prune: generations to keep (default 2)")
    command.add_argument("--all", action="store_true", help="prune: remove everything that is saved")
    return command


def main(argv: list[str]) -> int:
    """Run the command and return its exit status. Local: the first rank does it all."""
    from hpckit.spmd.launch import launcher_rank

    given = parser().parse_args(argv)
    if given.action != "prune" and (given.keep is not None or given.all):
        raise UsageError("--keep and --all belong to `hpckit checkpoint prune`", "hpckit checkpoint")
    if launcher_rank() not in (None, 0):
        return EXIT_OK
    if given.action == "list":
        from hpckit.checkpoint.report import listing

        sys.stdout.write(listing(given.folder))
        return EXIT_OK
    return _verify(given.folder) if given.action == "verify" else _prune(given.folder, given.keep or 2, given.all)


def _verify(folder: str) -> int:
    from hpckit.checkpoint.report import damages, entries_of

    entries = entries_of(folder)
    damaged = damages(folder, entries)
    for text in damaged:
        sys.stdout.write(f"damaged: {text}\n")
    sys.stdout.write(f"{folder}: {len(entries)} files, {len(damaged)} damaged\n")
    return EXIT_USER if damaged else EXIT_OK


def _prune(folder: str, keep: int, everything: bool) -> int:
    from hpckit.checkpoint.report import prune
    from hpckit.spmd.memory import format_size

    gone = prune(folder, keep, everything)
    size = format_size(sum(entry.size for entry in gone))
    sys.stdout.write(f"{folder}: {len(gone)} files removed, {size}\n")
    return EXIT_OK
