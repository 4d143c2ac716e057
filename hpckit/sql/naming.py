"""Names of result columns without an alias, as DuckDB makes them: its own rendering of the expression."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from hpckit.sql.keywords import KEYWORDS

_OPERATORS = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "^",
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.DPipe: "||",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
    exp.And: "AND",
    exp.Or: "OR",
}
_PARTS = {"MILLISECOND": "MILLISECONDS", "MICROSECOND": "MICROSECONDS"}
_TYPES = {"INT": "INTEGER", "TEXT": "VARCHAR", "TIMESTAMPNTZ": "TIMESTAMP", "DOUBLE": "double", "DATE": "date"}


def column_name(node: exp.Expression) -> str:
    """The name of a select item."""
    if isinstance(node, exp.Alias):
        return node.alias
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Column):
        return node.name
    return _text(node)


def _quoted(name: str) -> str:
    plain = name.isascii() and name.replace("_", "a").isalnum() and not name[:1].isdigit()
    return name if plain and name.lower() not in KEYWORDS else f'"{name}"'


def _text(node: exp.Expression | None) -> str:
    if node is None:
        return "NULL"
    kind = type(node)
    if kind in (exp.And, exp.Or):
        return _chain(node)
    if kind in _OPERATORS:
        return f"({_text(node.this)} {_OPERATORS[kind]} {_text(node.expression)})"
    render = _RENDER.get(kind)
    return render(node) if render is not None else node.sql("duckdb")


def _chain(node: exp.Expression) -> str:
    kind, parts = type(node), []
    while isinstance(node, kind):
        parts.append(_text(node.expression))
        node = node.this
    parts.append(_text(node))
    return "(" + f" {_OPERATORS[kind]} ".join(parts[::-1]) + ")"


def _column(node: exp.Column) -> str:
    if isinstance(node.this, exp.Star):
        return "*"
    table = node.args.get("table")
    prefix = f"{_quoted(table.name)}." if table is not None else ""
    return prefix + _quoted(node.name)


def _literal(node: exp.Literal) -> str:
    return "'" + node.name.replace("'", "''") + "'" if node.is_string else node.name


def _function(node: exp.Anonymous) -> str:
    name = str(node.this)
    args = node.expressions
    if name.lower() == "count" and (not args or isinstance(args[0], exp.Star)):
        return "count_star()"
    if len(args) == 1 and isinstance(args[0], exp.Distinct):
        return f"{_quoted(name.lower())}(DISTINCT {', '.join(_text(a) for a in args[0].expressions)})"
    shown = name.upper() if name.lower() == "coalesce" else _quoted(name.lower())
    return f"{shown}({', '.join(_text(a) for a in args)})"


def _plain(name: str, *keys: str) -> Callable[[exp.Expression], str]:
    def render(node: exp.Expression) -> str:
        parts = [node.args.get(key) for key in keys]
        return f"{name}({', '.join(_text(part) for part in parts if part is not None)})"

    return render


def _not(node: exp.Not) -> str:
    if isinstance(node.this, exp.Is) and isinstance(node.this.expression, exp.Null):
        return f"({_text(node.this.this)} IS NOT NULL)"
    return f"(NOT {_text(node.this)})"


def _like(node: exp.Expression) -> str:
    sign = "~~" if isinstance(node, exp.Like) else "~~*"
    return f"({_text(node.this)} {'!' if node.args.get('negate') else ''}{sign} {_text(node.expression)})"


def _case(node: exp.Case) -> str:
    subject = node.this
    text = "CASE "
    for branch in node.args["ifs"]:
        condition = _text(branch.this)
        condition = condition if subject is None else f"({_text(subject)} = {condition})"
        text += f" WHEN ({condition}) THEN ({_text(branch.args['true'])})"
    return f"{text} ELSE {_text(node.args.get('default'))} END"


def _cast(node: exp.Cast) -> str:
    name = node.to.sql("duckdb")
    kind = _TYPES.get(name, name)
    return f"{'TRY_CAST' if isinstance(node, exp.TryCast) else 'CAST'}({_text(node.this)} AS {kind})"


def _interval(node: exp.Interval) -> str:
    unit = node.args.get("unit")
    return f"CAST('{node.this.name}{f' {unit.name.lower()}' if unit is not None else ''}' AS INTERVAL)"


def _in(node: exp.In) -> str:
    return f"({_text(node.this)} IN ({', '.join(_text(item) for item in node.expressions)}))"


_RENDER = {
    exp.Column: _column,
    exp.Literal: _literal,
    exp.Anonymous: _function,
    exp.Paren: lambda n: _text(n.this),
    exp.Null: lambda n: "NULL",
    exp.Boolean: lambda n: "true" if n.this else "false",
    exp.Neg: lambda n: f"-{n.this.name}" if isinstance(n.this, exp.Literal) else f"(-({_text(n.this)}))",
    exp.Not: _not,
    exp.Is: lambda n: f"({_text(n.this)} IS {_text(n.expression)})",
    exp.Like: _like,
    exp.ILike: _like,
    exp.Escape: lambda n: f"like_escape({_text(n.this.this)}, {_text(n.this.expression)}, {_text(n.expression)})",
    exp.Between: lambda n: f"({_text(n.this)} BETWEEN {_text(n.args['low'])} AND {_text(n.args['high'])})",
    exp.In: _in,
    exp.Case: _case,
    exp.If: _plain('"if"', "this", "true", "false"),
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Extract: lambda n: f"date_part('{_PARTS.get(n.this.name.upper(), n.this.name)}', {_text(n.expression)})",
    exp.Substring: _plain('"substring"', "this", "start", "length"),
    exp.Trim: _plain('"trim"', "this", "expression"),
    exp.StrPosition: _plain('"position"', "this", "substr"),
    exp.Interval: _interval,
    exp.Filter: lambda n: f"{_text(n.this)} FILTER (WHERE {_text(n.expression.this)})",
}
