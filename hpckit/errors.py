"""The exception tree: who is to blame decides the exit status, the text says how to go on."""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_USER = 2
EXIT_REQUEUE = 75


class HpckitError(Exception):
    """Base of everything hpckit raises on purpose; `exit_status` is what the process returns."""

    exit_status = EXIT_INTERNAL


class InternalError(HpckitError):
    """A promise of ours was broken (rows lost in an exchange, a kernel out of step): a bug, never the user's fault."""


class UserError(HpckitError):
    """The request cannot be carried out as given; the text says value, expectation, place and remedy."""

    exit_status = EXIT_USER


class QueryError(UserError):
    """SQL or a table expression that is wrong: syntax, unknown column, wrong type, arithmetic overflow."""


class UnsupportedError(QueryError):
    """SQL that is right but that hpckit does not offer; names the construct."""


class FormatError(UserError):
    """A log format (TOML or inline pattern) that cannot be compiled, or that fits no line of the input."""


class InputError(UserError):
    """An input that is missing, unreadable, damaged or of the wrong kind; names file and byte."""


class TooManyRejectsError(InputError):
    """More lines were rejected than `--max-rejects` allows."""


class OutputError(UserError):
    """An output that exists already, cannot be written, or for which the disk is full."""


class MemoryBudgetError(UserError):
    """A step needs more memory than `--memory` grants and cannot spill; names the step and the remedy."""


class LaunchError(UserError):
    """MPI was started in a way that cannot work (wrong launcher, N worlds of one)."""


class RankLost(HpckitError):
    """A rank of this job died, or was given up for hanging; Context.recover() goes on with the others."""


class Interrupted(HpckitError):
    """Work was saved and the job wants to be queued again."""

    exit_status = EXIT_REQUEUE
