"""The logical plan: a source and a chain of operators. Statements without joins are chains, so a plan is a list."""

from __future__ import annotations

from dataclasses import field

import pyarrow as pa

from hpckit.frozen import frozen
from hpckit.tables.expr import AggCall, Expr


@frozen
class Source:
    """Where rows come from: `kind` is logs, csv, json, parquet, arrow, hdf5 or table; equal sources share one scan.

    `options` are (name, value) pairs sorted by name, e.g. (("format", "bgl"),) or (("dataset", "/energy"),).
    """

    kind: str
    paths: tuple[str, ...]
    options: tuple[tuple[str, object], ...] = ()


@frozen
class Filter:
    predicate: Expr


@frozen
class Project:
    """Exactly these output columns, in this order."""

    columns: tuple[tuple[str, Expr], ...]


@frozen
class Aggregate:
    """GROUP BY `keys` (may be empty: one global group) computing `aggregates`; output: keys, then aggregates.

    Canonical output order: ascending by the keys, NULL last.
    """

    keys: tuple[tuple[str, Expr], ...]
    aggregates: tuple[tuple[str, AggCall], ...]


@frozen
class SortKey:
    expr: Expr
    descending: bool = False
    nulls_first: bool = False


@frozen
class Sort:
    """Stable: ties keep the order of the input. Sort then Limit is run as top-k.

    by_bits   floats by their bits (−0 before +0), as sorts of arrays have it, and not as SQL does
    """

    keys: tuple[SortKey, ...]
    by_bits: bool = False


@frozen
class Limit:
    count: int | None
    offset: int = 0


Operator = Filter | Project | Aggregate | Sort | Limit


@frozen
class Plan:
    """One statement, bound: every name resolved, every expression typed.

    `schema` is the schema of the result; `output` a path if the statement names one (COPY … TO).
    """

    source: Source
    operators: tuple[Operator, ...]
    schema: pa.Schema
    output: str | None = None
    explain: bool = field(default=False)
