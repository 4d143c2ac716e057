"""Log formats as data: patterns and TOML files in, field programs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpckit.formats.guessing import guess
    from hpckit.formats.library import load, load_file, names
    from hpckit.formats.model import Field, FieldType, Format, Mode, Step, StepKind
    from hpckit.formats.pattern import compile_pattern
    from hpckit.formats.times import time_fixed_width, time_min_width

_HOMES = {
    "compile_pattern": "pattern", "load": "library", "load_file": "library", "names": "library", "guess": "guessing",
    "time_min_width": "times", "time_fixed_width": "times", "Field": "model", "FieldType": "model", "Format": "model",
    "Mode": "model", "Step": "model", "StepKind": "model",
}  # fmt: skip
__all__ = [
    "Field", "FieldType", "Format", "Mode", "Step", "StepKind", "compile_pattern", "guess", "load", "load_file",
    "names", "time_fixed_width", "time_min_width",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hpckit.formats' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(f"hpckit.formats.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
