"""The methods of `DistArray`: each is the function of hpckit.arrays of the same name, with the array first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from hpckit.arrays.array import DistArray

NO_VALUE: Any = type("NoValue", (), {"__repr__": lambda self: "<no value>"})()


class ArrayMethods:
    """All of them are Collective. Imports are inside, so that a program loads what it uses."""

    local: np.ndarray

    # Reductions

    def sum(self, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.sum."""
        return _f("reduce", "sum")(self, axis, dtype, keepdims)

    def prod(self, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.prod."""
        return _f("scans", "prod")(self, axis, dtype, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.min."""
        return _f("extremes", "min")(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.max."""
        return _f("extremes", "max")(self, axis, keepdims)

    def mean(self, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.mean."""
        return _f("reduce", "mean")(self, axis, dtype, keepdims)

    def var(self, axis: Any = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        """See hpckit.arrays.var."""
        return _f("reduce", "var")(self, axis, dtype, ddof, keepdims)

    def std(self, axis: Any = None, dtype: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        """See hpckit.arrays.std."""
        return _f("reduce", "std")(self, axis, dtype, ddof, keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.any."""
        return _f("extremes", "any")(self, axis, keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.all."""
        return _f("extremes", "all")(self, axis, keepdims)

    def argmin(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.argmin."""
        return _f("extremes", "argmin")(self, axis, keepdims)

    def argmax(self, axis: Any = None, keepdims: bool = False) -> Any:
        """See hpckit.arrays.argmax."""
        return _f("extremes", "argmax")(self, axis, keepdims)

    def quantile(self, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
        """See hpckit.arrays.quantile."""
        return _f("quantiles", "quantile")(self, q, axis, method, keepdims)

    # Arrays from arrays

    def cumsum(self, axis: Any = None, dtype: Any = None) -> DistArray:
        """See hpckit.arrays.cumsum."""
        return _f("scans", "cumsum")(self, axis, dtype)

    def cumprod(self, axis: Any = None, dtype: Any = None) -> DistArray:
        """See hpckit.arrays.cumprod."""
        return _f("scans", "cumprod")(self, axis, dtype)

    def searchsorted(self, v: Any, side: str = "left") -> Any:
        """See hpckit.arrays.searchsorted."""
        return _f("search", "searchsorted")(self, v, side)

    def nonzero(self) -> tuple[DistArray, ...]:
        """See hpckit.arrays.nonzero."""
        return _f("search", "nonzero")(self)

    def take(self, indices: Any, axis: Any = None) -> Any:
        """See hpckit.arrays.take."""
        return _f("indexing", "take")(self, indices, axis)

    def astype(self, dtype: Any, copy: bool = True) -> DistArray:
        """The values converted to `dtype`."""
        return _f("elementwise", "astype")(self, dtype, copy)

    def clip(self, min: Any = None, max: Any = None) -> DistArray:
        """Values limited to min … max."""
        return _f("elementwise", "clip")(self, min, max)

    def round(self, decimals: int = 0) -> DistArray:
        """Values rounded as np.round does."""
        return _f("elementwise", "round")(self, decimals)

    def copy(self) -> DistArray:
        """The same values in memory of their own. Local."""
        return self.with_local(self.local.copy())  # type: ignore[attr-defined]

    @property
    def real(self) -> DistArray:
        """Real parts. Local."""
        return self.with_local(self.local.real)  # type: ignore[attr-defined]

    @property
    def imag(self) -> DistArray:
        """Imaginary parts. Local."""
        return self.with_local(self.local.imag)  # type: ignore[attr-defined]

    def conj(self) -> DistArray:
        """Complex conjugates. Local."""
        return self.with_local(self.local.conj())  # type: ignore[attr-defined]

    conjugate = conj

    def ravel(self) -> DistArray:
        """The elements in row-major order as a 1-D array that shares the memory. Local."""
        return _f("indexing", "ravel")(self)

    def flatten(self) -> DistArray:
        """A copy of the elements in row-major order as a 1-D array. Local."""
        return self.ravel().copy()

    def reshape(self, *shape: Any) -> DistArray:
        """See hpckit.arrays.reshape."""
        return _f("indexing", "reshape")(self, shape[0] if len(shape) == 1 else shape)

    def fill(self, value: Any) -> None:
        """Sets all elements. Local."""
        self.local.fill(value)

    # Moving and leaving

    def redistribute(self, like: DistArray | None = None, counts: Any = None) -> DistArray:
        """See hpckit.arrays.redistribute."""
        return _f("moving", "redistribute")(self, like, counts)

    def gather(self, to: str = "all") -> Any:
        """See hpckit.arrays.gather."""
        return _f("moving", "gather")(self, to)

    def item(self) -> Any:
        """The value of an array of one element as a Python object."""
        return _f("indexing", "item")(self)

    def tolist(self) -> list[Any]:
        """The whole array as lists, on every rank; refused above the memory budget."""
        return self.gather().tolist()

    def to_npy(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """See hpckit.arrays.to_npy."""
        _f("write", "to_npy")(self, path, overwrite)

    def to_hdf5(self, path: str | os.PathLike[str], dataset: str = "data", overwrite: bool = False) -> None:
        """See hpckit.arrays.to_hdf5."""
        _f("write", "to_hdf5")({dataset: self}, path, overwrite)

    def to_arrow(self) -> pa.Array:
        """This rank's block as an Arrow array. Local."""
        return _f("read", "to_arrow")(self)

    # Sorting

    def sort(self, *args: Any, **options: Any) -> DistArray:
        """A sorted array; unlike np.ndarray.sort it is a new one. See hpckit.arrays.sort."""
        return _f("sort", "sort")(self, *args, **options)

    def argsort(self, *args: Any, **options: Any) -> DistArray:
        """See hpckit.arrays.argsort."""
        return _f("sort", "argsort")(self, *args, **options)


def _f(module: str, name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"hpckit.arrays.{module}"), name)
