"""Bytes out: results to files of many kinds, by all ranks, whole or not at all, the same at any number of ranks."""

from __future__ import annotations

from hpckit.sinks.dispatch import write, write_many
from hpckit.sinks.target import check_target, check_targets

__all__ = ["check_target", "check_targets", "write", "write_many"]
