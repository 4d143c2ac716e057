"""Distributed arrays: NumPy arrays partitioned by blocks of the first axis over the ranks. Names load on use.

    x = hk.arrays.from_hdf5("run.h5", "energy")
    (x * 2).mean(), hk.arrays.quantile(x, [0.5, 0.99])
"""

from __future__ import annotations

import importlib

# Public name -> module of this package that defines it.
_EXPORTS = {
    "DistArray": "array",
    "sort": "sort",
    "argsort": "sort",
    "sort_by": "sort",
}


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'hpckit.arrays' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hpckit.arrays.{module}"), name)
    globals()[name] = value  # the function, also where a module has the same name
    return value


def __dir__() -> list[str]:
    return sorted(_EXPORTS)
