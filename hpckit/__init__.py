"""hpckit: data engineering for people who have an MPI cluster. `import hpckit as hk` is cheap; names load on use."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# Public name -> module that defines it. What is not here may change without notice.
_EXPORTS = {
    "Table": "hpckit.tables.table",
    "col": "hpckit.tables.table",
    "lit": "hpckit.tables.table",
    "scan_arrow": "hpckit.tables.table",
    "scan_csv": "hpckit.tables.table",
    "scan_hdf5": "hpckit.tables.table",
    "scan_jsonl": "hpckit.tables.table",
    "scan_logs": "hpckit.tables.table",
    "scan_parquet": "hpckit.tables.table",
    "sql": "hpckit.tables.table",
    "Context": "hpckit.spmd",
    "program": "hpckit.spmd",
    "world": "hpckit.spmd",
    "HpckitError": "hpckit.errors",
    "UserError": "hpckit.errors",
}


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'hpckit' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *sorted(_EXPORTS)]
