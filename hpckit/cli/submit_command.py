"""The command of a job, checked before it goes into the queue: its options, inputs, outputs, and where it saves."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hpckit.cli.options import Parser, UsageError
from hpckit.errors import InputError

PROG = "hpckit submit"
ON_RANKS = ("query", "sort", "convert", "generate")  # commands that read data on many ranks
SPECIAL = ("{input}", "{stem}", "{index}")


def parser_of(name: str) -> Parser:
    """The parser of one of hpckit's own commands."""
    from hpckit.cli.main import COMMANDS

    return import_module(COMMANDS[name][0]).parser()


def hpckit_command(command: list[str]) -> list[str]:
    """The command with "hpckit" before its own ones, their options checked. Raises UsageError."""
    from hpckit.cli.main import COMMANDS

    words = command[1:] if command[0] == "hpckit" else command
    if not words:
        raise UsageError("`hpckit` alone is no command to submit; say e.g. `-- query …`", PROG)
    name = words[0]
    if name in ON_RANKS:
        parser_of(name).parse_args(words[1:])
        return ["hpckit", *words]
    if name in COMMANDS or command[0] == "hpckit":
        raise UsageError(f"`hpckit {name}` is not for a batch job; {', '.join(ON_RANKS)} are", PROG)
    if Path(name).suffix == ".py":
        raise UsageError(f"for a Python program say `python {name} …`", PROG)
    return command


def merge_command(options: Any, is_array: bool) -> list[str]:
    """The words of --merge."""
    if not options.merge:
        return []
    if not is_array:
        raise UsageError("--merge is the last job of an array: it needs --each", PROG)
    try:
        return hpckit_command(shlex.split(options.merge))
    except ValueError as error:
        raise UsageError(f"--merge {options.merge!r}: {error}", PROG) from None


def expand(patterns: Sequence[str]) -> list[str]:
    """The files of --each, absolute, in natural order. Raises InputError."""
    found: list[str] = []
    for pattern in patterns:
        matches = [path for path in glob.glob(pattern, recursive=True) if not os.path.isdir(path)]
        if not matches:
            raise InputError(f"--each {pattern}: no such file; quote the pattern so that the shell leaves it alone")
        found += matches
    for path in found:
        if any(c in path for c in "'\n"):
            raise InputError(
                f"--each: {path!r} has a quote or a line end in its name, which SQL text cannot carry; rename it"
            )
    unique = {os.path.abspath(path) for path in found}
    return sorted(unique, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)])


def check_placeholders(command: list[str], is_array: bool) -> None:
    """UsageError if inputs have no place in the command, or the outputs of all tasks would be one."""
    text = "\0".join(command)
    if is_array and not any(mark in text for mark in SPECIAL[:2]):
        raise UsageError("--each: the command names no {input}; write it where each file belongs", PROG)
    output = option_of(command, "-o", "--output") or sort_output(command)
    if is_array and output and not any(mark in output for mark in SPECIAL):
        raise UsageError(f"--each: all jobs would write {output}; put {{stem}} or {{index}} into its name", PROG)


def option_of(command: list[str], *names: str) -> str | None:
    """The value of an option in a command's words."""
    for i, word in enumerate(command):
        for name in names:
            if word == name and i + 1 < len(command):
                return command[i + 1]
            if name.startswith("--") and word.startswith(f"{name}="):
                return word.partition("=")[2]
    return None


def sort_output(command: list[str]) -> str | None:
    """OUT of `sort` and `convert`, and PATH of `generate`: positional there."""
    if command[0] != "hpckit" or command[1] not in ("sort", "convert", "generate"):
        return None
    given = vars(parser_of(command[1]).parse_args(command[2:]))
    value = next((given[name] for name in ("out", "output", "path", "paths") if given.get(name)), None)
    return value[-1] if isinstance(value, list) else value


def with_checkpoint(
    command: list[str], folder: Path, stamp: str, is_array: bool, every: str | None
) -> tuple[list[str], str]:
    """(command with a folder to save its work in, that folder); a command that saves nothing stays as it is."""
    asked = option_of(command, "--checkpoint")
    if asked or command[0] != "hpckit":
        return command, str(Path(asked).absolute()) if asked else ""
    known = {option for action in parser_of(command[1])._actions for option in action.option_strings}
    if "--checkpoint" not in known:
        return command, ""
    checkpoint = f"{folder}/{stamp}.checkpoint" + ("/{index}" if is_array else "")
    command = [*command, "--checkpoint", checkpoint]
    if every and "--checkpoint-every" in known and not option_of(command, "--checkpoint-every"):
        command += ["--checkpoint-every", every]
    return command, checkpoint


def default_name(command: list[str]) -> str:
    """The name of the job: the command's, or the program's."""
    if command[0] == "hpckit":
        return command[1]
    program = next((word for word in command if word.endswith(".py")), command[0])
    return Path(program).stem
