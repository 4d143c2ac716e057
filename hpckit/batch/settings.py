"""Defaults of `hpckit submit`: the site's, the user's and the project's hpckit.toml, then HPCKIT_* variables.

Each later one overrides the ones before, and options of the command line override them all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpckit.errors import UserError
from hpckit.frozen import frozen

SITE_VARIABLE = "HPCKIT_SITE"  # a module file of the centre sets it to its hpckit.toml
SLURM_OPTIONS = (
    *("nodes", "ntasks", "ntasks_per_node", "cpus_per_task", "time", "partition", "account", "qos", "mem"),
    *("constraint", "job_name"),
)
LAUNCHERS = ("auto", "mpirun", "srun")
KINDS: dict[str, type] = {
    **dict.fromkeys(SLURM_OPTIONS, str),
    "exclusive": bool,
    "launcher": str,
    "mpi": str,
    "restarts": int,
    "requeue": bool,
    "save_before": str,
    "checkpoint_every": str,
    "stage_env": bool,
    "stage_folder": str,
    "modules": list,
    "venv": str,
    "setup": list,
    "sbatch": list,
    "shared": list,
}
WANTED = {str: "text or a number", bool: "true or false", int: "a whole number", list: "a list of texts"}


@frozen
class Settings:
    """Values by name, and where each came from (a file or a variable), for messages."""

    values: dict[str, Any]
    origins: dict[str, str]


def user_file(environ: Mapping[str, str] | None = None) -> Path:
    """~/.config/hpckit/hpckit.toml, or where XDG_CONFIG_HOME says."""
    environ = os.environ if environ is None else environ
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "hpckit" / "hpckit.toml"


def load(folder: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that hold in `folder` (default: here). Raises UserError that names file and key."""
    environ = os.environ if environ is None else environ
    files = [user_file(environ), (folder or Path.cwd()) / "hpckit.toml"]
    if environ.get(SITE_VARIABLE):
        site = Path(environ[SITE_VARIABLE])
        if not site.is_file():
            raise UserError(f"{SITE_VARIABLE}={site}: no such file; the module that sets it is out of date")
        files.insert(0, site)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for file in files:
        for key, value in _read(file).items():
            values[key], origins[key] = value, str(file)
    for key in KINDS:
        variable = f"HPCKIT_{key.upper()}"
        if environ.get(variable):
            values[key], origins[key] = _from_text(key, environ[variable], variable), variable
    return Settings(values, origins)


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f'{file}: {error}; values are TOML, e.g. partition = "batch"') from error
    submit = table.pop("submit", {})
    if table or not isinstance(submit, dict):
        wrong = next(iter(table), "submit")
        raise UserError(f"{file}: {wrong!r} is not known at the top; settings stand in the table [submit]")
    return {key: _checked(key, value, f"{file}: [submit] {key}") for key, value in submit.items()}


def _checked(key: str, value: Any, place: str) -> Any:
    if key not in KINDS:
        import difflib

        near = difflib.get_close_matches(key, KINDS, n=1)
        raise UserError(
            f"{place} is no setting; " + (f"did you mean {near[0]}?" if near else f"there are: {', '.join(KINDS)}")
        )
    kind = KINDS[key]
    if kind is str and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    good = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
    if kind is list:
        good = good and all(isinstance(item, str) for item in value)
    if not good:
        raise UserError(f"{place} = {value!r}: expected {WANTED[kind]}")
    if key == "launcher" and value not in LAUNCHERS:
        raise UserError(f"{place} = {value!r}: expected one of {', '.join(LAUNCHERS)}")
    if key == "restarts" and value < 0:
        raise UserError(f"{place} = {value}: expected 0 or more")
    return value


def _from_text(key: str, text: str, variable: str) -> Any:
    """A setting from a variable: lists are separated by commas (setup: by newlines), truth is 0 or 1."""
    kind = KINDS[key]
    value: Any = text
    if kind is bool:
        value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower(), text)
    elif kind is int:
        value = int(text) if text.isdigit() else text
    elif kind is list:
        value = [item.strip() for item in text.split("\n" if key == "setup" else ",") if item.strip()]
    return _checked(key, value, f"{variable}={text}")
