"""pyarrow.compute and sqlglot imported without the parts that a command does not use, or not before it uses them.

pyarrow makes documented wrappers of its 300 functions (0.03 s); sqlglot loads what writes SQL (0.02 s), of which only
error messages make use, and what finds plug-ins (0.015 s). Both lean on how these libraries are built: where they are
built in another way, the plain import is what happens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

WRITER = "sqlglot.generators.duckdb"


def import_compute() -> None:
    """Import pyarrow.compute; the wrapper of a function is made, by pyarrow's maker, when it is asked for. Local."""
    if "pyarrow.compute" in sys.modules:
        return
    import pyarrow
    import pyarrow._compute as core

    _no_masked_arrays()
    whole = core.function_registry
    core.function_registry = lambda: _FewFunctions(whole())
    try:
        with _stand_in("pyarrow.vendored.docscrape", {"NumpyDocString": _no_documentation}):
            import pyarrow.compute as pc
        pc.function_registry = whole
        pc.__getattr__ = _maker_on_demand(pc, whole(), pc._make_generic_wrapper, pc._get_options_class)
    except (AttributeError, KeyError, TypeError):
        core.function_registry = whole
        sys.modules.pop("pyarrow.compute", None)
        vars(pyarrow).pop("compute", None)
        import pyarrow.compute
    finally:
        core.function_registry = whole


class _FewFunctions:
    """A registry of the functions that pyarrow.compute itself uses while it is imported."""

    def __init__(self, whole: Any) -> None:
        self.get_function = whole.get_function

    @staticmethod
    def list_functions() -> list[str]:
        return ["utf8_zero_fill"]


def _no_documentation(text: str) -> dict[str, list]:
    return {"Parameters": []}


def _maker_on_demand(pc: Any, registry: Any, make: Any, options_class: Any) -> Any:
    """`__getattr__` of pyarrow.compute."""

    def find(name: str) -> Any:
        try:
            function = registry.get_function({"and_": "and", "or_": "or"}.get(name, name))
        except KeyError:
            raise AttributeError(f"module 'pyarrow.compute' has no attribute {name!r}") from None
        made = make(name, function, options_class(function), arity=function.arity)
        setattr(pc, name, made)
        return made

    return find


class _MaskedArray:
    """No array is one of these; who makes one gets a real one."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return import_module("numpy.ma").MaskedArray(*args, **options)


class _MaskedArrays(ModuleType):
    """In the place of numpy.ma while there is no masked array. Whoever asks for more gets the module itself."""

    MaskedArray = _MaskedArray

    @staticmethod
    def is_masked(x: Any) -> bool:
        """What np.unique asks of its argument."""
        return False

    def __getattr__(self, name: str) -> Any:
        import numpy as np

        vars(np).pop("ma", None)
        np.ma = import_module("numpy.ma")  # type: ignore[misc]
        return getattr(np.ma, name)


def _no_masked_arrays() -> None:
    """pyarrow asks of each NumPy array whether it is masked, for which numpy.ma is imported (0.01 s)."""
    import numpy as np

    if "numpy.ma" not in sys.modules:
        np.ma = _MaskedArrays("numpy.ma")  # type: ignore[misc]


def import_parquet() -> None:
    """Import pyarrow.parquet without ssl, which it asks where the certificates of object stores are. Local."""
    paths = SimpleNamespace(cafile=None, capath=None)
    with _stand_in("ssl", {"get_default_verify_paths": lambda: paths}):
        import_module("pyarrow.parquet")


def import_parser() -> None:
    """Import sqlglot's parser of DuckDB's SQL. Local; only root parses."""
    if "sqlglot" in sys.modules:
        return
    with _stand_in("importlib.metadata", {"entry_points": _entry_points}), _stand_in("sqlglot.diff", {"diff": None}):
        from sqlglot.generator import Generator

        with _stand_in(WRITER, {"DuckDBGenerator": _writer_on_demand(Generator), "WS_CONTROL_CHARS_TO_DUCK": {}}):
            import_module("sqlglot.dialects.duckdb")


@contextmanager
def _stand_in(name: str, names: dict[str, Any]) -> Iterator[None]:
    """Imports from module `name` get these `names` here, unless it is there already."""
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    vars(module).update(names)
    sys.modules[name] = module
    try:
        yield
    finally:
        sys.modules.pop(name)


def _entry_points(**options: Any) -> Any:
    return import_module("importlib.metadata").entry_points(**options)


def _writer_on_demand(base: Any) -> Any:
    """A class in the place of sqlglot's DuckDBGenerator that, asked for an object, gives one of the real class."""

    class Writer(base):
        TRANSFORMS: ClassVar[dict] = dict(base.TRANSFORMS)  # the dialect takes from it what it does not support

        def __new__(cls, *args: Any, **options: Any) -> Any:
            return import_module(WRITER).DuckDBGenerator(*args, **options)

    return Writer
