"""FROM items that read files: table functions and quoted file names, to plan.Source."""

from __future__ import annotations

from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.tables.nearest import nearest
from hpckit.tables.plan import Source

_COMPRESSIONS = (".gz", ".zst", ".bz2", ".xz")
_ENDINGS = {
    ".parquet": ("parquet", ()),
    ".csv": ("csv", ()),
    ".tsv": ("csv", (("delim", "\t"),)),
    ".jsonl": ("json", ()),
    ".ndjson": ("json", ()),
    ".json": ("json", ()),
    ".h5": ("hdf5", ()),
    ".hdf5": ("hdf5", ()),
    ".arrow": ("arrow", ()),
    ".feather": ("arrow", ()),
}
# function: (kind, names of the positional arguments after the path, how many of them are required)
_FUNCTIONS = {
    "read_logs": ("logs", ("format",), 1),
    "read_csv": ("csv", (), 0),
    "read_csv_auto": ("csv", (), 0),
    "read_json": ("json", (), 0),
    "read_json_auto": ("json", (), 0),
    "read_ndjson": ("json", (), 0),
    "read_ndjson_auto": ("json", (), 0),
    "read_parquet": ("parquet", (), 0),
    "parquet_scan": ("parquet", (), 0),
    "read_arrow": ("arrow", (), 0),
    "read_hdf5": ("hdf5", ("dataset",), 0),
}
_OPTIONS = {
    "logs": ("format", "timezone", "year", "max_line", "split_size", "validate"),
    "csv": (
        *("delim", "header", "columns", "quote", "escape", "nullstr"),
        *("skip", "types", "names", "comment", "timezone"),
    ),
    "json": ("columns", "types", "format", "timezone"),
    "parquet": (),
    "arrow": (),
    "hdf5": ("dataset",),
}
_SYNONYMS = {"sep": "delim", "delimiter": "delim", "dtypes": "types", "column_types": "types", "null": "nullstr"}


def source_of_path(path: str) -> Source | None:
    """The source that a file name's ending stands for, None if the ending is not known."""
    lowered = path.lower()
    for compression in _COMPRESSIONS:
        lowered = lowered.removesuffix(compression)
    for ending, (kind, options) in _ENDINGS.items():
        if lowered.endswith(ending):
            return Source(kind, (path,), tuple(sorted(options)))
    return None


def source_of_name(name: str) -> Source:
    """A name in FROM that is no CTE: a file by its ending, else a table registered by the caller."""
    source = source_of_path(name)
    if source is not None:
        return source
    if any(c in name for c in "/.*"):
        endings = " ".join(_ENDINGS)
        raise QueryError(f"FROM '{name}': the ending is none of {endings}; for logs use read_logs('{name}', format)")
    return Source("table", (name,))


def source_of_function(call: exp.Anonymous) -> Source:
    """The source that a table function call describes. QueryError for unknown functions and options."""
    name = str(call.this).lower()
    if name not in _FUNCTIONS:
        if name in ("generate_series", "range", "unnest", "glob", "sqlite_scan", "iceberg_scan", "delta_scan"):
            raise UnsupportedError(f"table function {name} is not offered; known: {', '.join(_FUNCTIONS)}")
        raise QueryError(f"table function {name} does not exist; {nearest(name, list(_FUNCTIONS))}")
    kind, positional, required = _FUNCTIONS[name]
    values = [arg for arg in call.expressions if not _is_named(arg)]
    if not values or len(values) - 1 < required or len(values) - 1 > len(positional):
        wanted = ", ".join(("path", *positional))
        raise QueryError(f"{name}: {len(values)} positional arguments given, it takes ({wanted})")
    options: dict[str, object] = {}
    for key, value in zip(positional, values[1:], strict=False):
        options[key] = _constant(value, f"{name}: {key}")
    for arg in call.expressions:
        if _is_named(arg):
            key = arg.this.name.lower()
            key = _SYNONYMS.get(key, key)
            _check_option(name, kind, key)
            if key in options:
                raise QueryError(f"{name}: {key} is given twice")
            options[key] = _constant(arg.expression, f"{name}: {key}")
    _check_values(name, options)
    return Source(kind, _paths(values[0], name), tuple(sorted(options.items())))


def _is_named(arg: exp.Expression) -> bool:
    if isinstance(arg, exp.EQ):
        return isinstance(arg.this, exp.Column)
    return isinstance(arg, (exp.PropertyEQ, exp.Kwarg))


def _check_option(function: str, kind: str, key: str) -> None:
    known = _OPTIONS[kind]
    if key not in known:
        hint = nearest(key, known) if known else "it has no options"
        raise QueryError(f"{function}: there is no option {key}; {hint}")


def _check_values(function: str, options: dict[str, object]) -> None:
    wanted = {"format": str, "timezone": str, "dataset": str, "delim": str, "year": int, "skip": int}
    for key, kind in wanted.items():
        if key in options and (not isinstance(options[key], kind) or isinstance(options[key], bool)):
            noun = "text" if kind is str else "a whole number"
            raise QueryError(f"{function}: {key} must be {noun}, not {options[key]!r}")


def _paths(node: exp.Expression, function: str) -> tuple[str, ...]:
    value = _constant(node, f"{function}: path")
    paths = value if isinstance(value, tuple) else (value,)
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise QueryError(f"{function}: the path must be a text or a list of texts, not {node.sql('duckdb')}")
    return paths


def _constant(node: exp.Expression, where: str) -> object:
    """A literal, list or struct as Python values that hash and pickle: lists are tuples, structs tuples of pairs."""
    if isinstance(node, exp.Paren):
        return _constant(node.this, where)
    if isinstance(node, exp.Literal):
        return node.name if node.is_string else _number(node.name, where)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Neg):
        value = _constant(node.this, where)
        if isinstance(value, (int, float)):
            return -value
    if isinstance(node, (exp.Array, exp.Tuple)):
        return tuple(_constant(item, where) for item in node.expressions)
    if isinstance(node, exp.Struct):
        return tuple((_key(pair, where), _constant(pair.expression, where)) for pair in node.expressions)
    if isinstance(node, (exp.Column, exp.Identifier, exp.Var, exp.DataType)):  # {'a': BIGINT}
        return node.name if not isinstance(node, exp.DataType) else node.sql("duckdb")
    raise QueryError(f"{where}: a constant is needed, not {node.sql('duckdb')}")


def _key(pair: exp.Expression, where: str) -> str:
    if not isinstance(pair, (exp.PropertyEQ, exp.EQ, exp.Alias)):
        raise QueryError(f"{where}: write {{'name': 'TYPE', …}}")
    return pair.this.name


def _number(text: str, where: str) -> int | float:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        try:
            return float(text)
        except ValueError:
            raise QueryError(f"{where}: '{text}' is not a number") from None
