"""What all commands share on their command lines: help with examples, sizes, durations, limits, and near misses.

argparse rather than typer: importing typer takes 90 ms, a sixth of what `hpckit query` may take on 1,000 lines.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from hpckit.errors import TooManyRejectsError, UserError
from hpckit.frozen import frozen
from hpckit.spmd.launch import launcher_rank
from hpckit.spmd.memory import parse_size

if TYPE_CHECKING:
    from hpckit.sources.counts import LineCounts

DURATION_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


class UsageError(UserError):
    """A command line that does not fit the command; printed as `hpckit CMD: error: …`."""

    def __init__(self, message: str, prog: str = "hpckit") -> None:
        super().__init__(message, prog)
        self.message, self.prog = message, prog

    def __str__(self) -> str:
        return self.message


class Parser(argparse.ArgumentParser):
    """A command's parser: `Parser("query", "What it does.", examples=[("hpckit query …", "what that gives"), …])`.

    Errors are raised as UsageError, so that under mpirun one rank prints them; help is printed by one rank.
    """

    def __init__(self, command: str, description: str, examples: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(
            prog=f"hpckit {command}" if command else "hpckit",
            description=description,
            epilog=_format_examples(examples),
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee `{self.prog} --help`", self.prog)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does, but an unknown option names the nearest known one."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            self.error(self._explain_unknown(rest[0]))
        return found

    def _explain_unknown(self, argument: str) -> str:
        if not argument.startswith("-"):
            return f"unexpected argument {argument!r}; quote text that contains spaces"
        known = [option for action in self._actions for option in action.option_strings]
        option = argument.partition("=")[0]
        import difflib

        near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
        return f"unknown option {option}" + (f"; did you mean {near[0]}?" if near else "")

    def print_help(self, file: Any = None) -> None:
        if launcher_rank() == 0:
            super().print_help(file)


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Options in one wide column; the texts of description and examples stay as they are."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=30, width=100)


def _format_examples(examples: Sequence[tuple[str, str]]) -> str | None:
    if not examples:
        return None
    lines = ["examples:"]
    for command, explanation in examples:
        lines.append(f"  {command}")
        lines.append(f"      {explanation}")
    return "\n".join(lines)


def size(text: str) -> int:
    """argparse type: "512MiB", "2G" -> bytes."""
    try:
        return parse_size(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def duration(text: str) -> float:
    """argparse type: "30", "90s", "5m", "1h30m", "2d" -> seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"duration {text!r}: expected seconds or units s, m, h, d, e.g. 90, 5m, 1h30m")
    return sum(float(number) * DURATION_UNITS_S[unit] for number, unit in parts)


@frozen
class RejectLimit:
    """How many rejected lines are acceptable: a `count`, or a `share` (0..1) of the lines read."""

    count: int | None = None
    share: float | None = None

    def exceeded_by(self, rejected: int, lines: int) -> bool:
        """Whether `rejected` of `lines` are too many."""
        if self.count is not None:
            return rejected > self.count
        return self.share is not None and rejected > self.share * lines

    def check(self, counts: LineCounts) -> None:
        """TooManyRejectsError if the lines of `counts` were rejected too often. Local; the same on all ranks."""
        # A file that broke off behind a whole line is a reason to reject without a line: it counts here too.
        rejected = max(counts.rejected, sum(counts.reasons.values()))
        if self.exceeded_by(rejected, counts.lines):
            raise TooManyRejectsError(
                f"too many rejects (--max-rejects {self}): {counts.summary()}; --rejects FILE lists them"
            )

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{100 * (self.share or 0):g}%"


def reject_limit(text: str) -> RejectLimit:
    """argparse type: "100" or "0.5%" -> RejectLimit."""
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None or (match.group(2) and float(match.group(2)) > 100):
        raise argparse.ArgumentTypeError(f"limit {text!r}: expected a count of lines or a percentage, e.g. 100 or 0.5%")
    return RejectLimit(count=int(match.group(1))) if match.group(1) else RejectLimit(share=float(match.group(2)) / 100)


def positive(text: str) -> int:
    """argparse type: an integer of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 1")
    return int(text)


def count(text: str) -> int:
    """argparse type: an integer of at least 0."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of at least 0")
    return int(text)


def add_checkpoint(group: argparse._ActionsContainer) -> None:
    """The options of every command that can be taken up again."""
    group.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="save what was done now and then; the same command goes on from there, also on another number of ranks",
    )
    group.add_argument(
        "--checkpoint-every", type=duration, default=60.0, metavar="T", help="such as 30s, 10m (default 60s)"
    )
