"""Mergeable states of GROUP BY: the same answer, to the bit, however rows are split and states are merged."""

from __future__ import annotations

from hpckit.aggregates.groupby import GroupBy
from hpckit.aggregates.spec import AggSpec, result_type

__all__ = ["AggSpec", "GroupBy", "result_type"]
