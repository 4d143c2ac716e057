"""hpckit: data engineering for people who have an MPI cluster. `import hpckit as hk` is cheap; names load on use."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

# Public name -> module that defines it. What is not here may change without notice.
_EXPORTS = {
    "Table": "hpckit.tables.table",
    "col": "hpckit.tables.table",
    "collect_all": "hpckit.tables.table",
    "len": "hpckit.tables.expressions:len_",
    "when": "hpckit.tables.expressions",
    "lit": "hpckit.tables.table",
    "scan_arrow": "hpckit.tables.scans",
    "scan_csv": "hpckit.tables.scans",
    "scan_hdf5": "hpckit.tables.scans",
    "scan_jsonl": "hpckit.tables.scans",
    "scan_logs": "hpckit.tables.scans",
    "scan_parquet": "hpckit.tables.scans",
    "sql": "hpckit.sql.run",
    "check_output": "hpckit.tables.outputs",
    "show": "hpckit.tables.outputs",
    "write_tables": "hpckit.tables.outputs",
    "Context": "hpckit.spmd",
    "program": "hpckit.spmd",
    "world": "hpckit.spmd",
    "HpckitError": "hpckit.errors",
    "UserError": "hpckit.errors",
}


_ROOMS = ("arrays", "checkpoint")  # packages that are public by themselves: hk.arrays; hk.checkpoint can be called


def __getattr__(name: str) -> object:
    if name in _ROOMS:
        return importlib.import_module(f"hpckit.{name}")
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'hpckit' has no attribute {name!r}")
    module, _, attribute = module.partition(":")
    value = getattr(importlib.import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *sorted((*_EXPORTS, *_ROOMS))]
