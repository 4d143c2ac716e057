"""Distributed arrays: NumPy arrays partitioned by blocks of the first axis over the ranks. Names load on use.

x = hk.arrays.from_hdf5("run.h5", "energy")
(x * 2).mean(), hk.arrays.quantile(x, [0.5, 0.99])
"""

from __future__ import annotations

import importlib
import sys
import types

_PUBLIC = {
    "array": "DistArray array",
    "create": "arange empty empty_like from_function from_local full full_like linspace ones ones_like zeros "
    "zeros_like",
    "read": "from_arrow from_hdf5 from_npy",
    "write": "to_hdf5 to_npy",
    "reduce": "mean std sum var",
    "extremes": "all any argmax argmin max min",
    "scans": "cumprod cumsum prod",
    "compare": "allclose array_equal count_nonzero diff",
    "statistics": "bincount histogram",
    "distinct": "unique",
    "quantiles": "median percentile quantile",
    "search": "flatnonzero nonzero searchsorted",
    "elementwise": "clip round where",
    "indexing": "ravel reshape take",
    "moving": "concatenate gather redistribute",
    "sort": "argsort sort sort_by",
}
# Public name -> module of this package that defines it.
_EXPORTS = {name: module for module, names in _PUBLIC.items() for name in names.split()}


class _Package(types.ModuleType):
    """hk.arrays.sort and hk.arrays.array are functions, also once the import system puts the modules of those names
    there."""

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, types.ModuleType) and _EXPORTS.get(name) == name:
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'hpckit.arrays' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"hpckit.arrays.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(_EXPORTS)
