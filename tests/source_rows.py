"""Reading a whole source split by split, for tests."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from hpckit import spmd
from hpckit.sources.base import ReadOptions
from hpckit.sources.open import open_source
from hpckit.sources.program import WantedColumn
from hpckit.tables.plan import Source


class Read:
    """All rows of a source with its counts and rejects; `hidden` adds _file, _offset and _raw."""

    def __init__(self, kind, paths, options=(), *, terms=(), columns=None, hidden=False, **how):
        paths = (str(paths),) if isinstance(paths, str | Path) else tuple(map(str, paths))
        read = ReadOptions(keep_rejects=True, **how)
        self.source = open_source(Source(kind, paths, tuple(dict(options).items())), read)
        names = list(self.source.schema.names) if columns is None else list(columns)
        names += ["_file", "_offset", "_raw"] if hidden else []
        wanted = [WantedColumn(n, n in self.source.coded) for n in names]
        reader = self.source.reader(wanted, terms, read)
        if hasattr(self.source, "prepare"):
            self.source.prepare(spmd.world())
        batches = [batch for split in self.source.splits for batch in reader.read(split)]
        self.positions = [int(p) for batch in batches for p in batch.positions]
        tables = [batch.to_arrow() for batch in batches]
        fields = [self.source.schema.field(n) for n in names if n in self.source.schema.names]
        self.table = pa.concat_tables(tables) if tables else pa.schema(fields).empty_table()
        self.counts = reader.counts
        self.rejects = [row for _, rows in reader.rejects for row in rows.to_pylist()]
        self.rows = self.table.to_pylist()
        self.account()

    def account(self):
        """Every line is in one count; rows come in the order of their positions."""
        c = self.counts
        assert c.lines == c.parsed + c.continuation + c.rejected + c.blank, c
        assert sum(row["lines"] for row in self.rejects) == c.rejected
        assert self.positions == sorted(set(self.positions))

    @property
    def types(self):
        return {f.name: str(f.type) for f in self.source.schema}
