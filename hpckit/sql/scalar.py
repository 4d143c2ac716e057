"""sqlglot's expression trees to ours: operators, literals, casts, functions. Names are resolved by the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
from sqlglot import exp

from hpckit.errors import QueryError, UnsupportedError
from hpckit.sql.aggregate import aggregate_call
from hpckit.sql.vocabulary import AGGREGATES, DATE_PARTS, SCALARS, UNSUPPORTED
from hpckit.tables.expr import Call, Cast, Expr, Literal
from hpckit.tables.intervals import interval_of, parse_interval
from hpckit.tables.nearest import nearest
from hpckit.tables.types import (
    BOOL,
    CALENDAR_INTERVAL,
    DATE,
    FLOAT,
    INT,
    INTERVAL,
    NULL,
    STRING,
    TIMESTAMP,
)

_BINARY = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.IntDiv: "//",
    exp.Mod: "%",
    exp.Pow: "pow",
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.DPipe: "||",
    exp.BitwiseAnd: "&",
    exp.BitwiseOr: "|",
    exp.BitwiseLeftShift: "<<",
    exp.BitwiseRightShift: ">>",
    exp.NullSafeEQ: "is_not_distinct",
    exp.NullSafeNEQ: "is_distinct",
}
_BITWISE = (exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseLeftShift, exp.BitwiseRightShift)
_CHAIN = {exp.And: "and", exp.Or: "or"}
_TYPES = {
    "BIGINT": INT,
    "DOUBLE": FLOAT,
    "TEXT": STRING,
    "VARCHAR": STRING,
    "CHAR": STRING,
    "NVARCHAR": STRING,
    "BOOLEAN": BOOL,
    "TIMESTAMP": TIMESTAMP,
    "TIMESTAMPNTZ": TIMESTAMP,
    "DATETIME": TIMESTAMP,
    "DATE": DATE,
    "INTERVAL": INTERVAL,
}
_NARROW = {"TINYINT": 8, "SMALLINT": 16, "INT": 32}
_INT64_MAX = 2**63 - 1
_TILDE = ("the operator ~", "use regexp_matches(text, pattern) or regexp_full_match(text, pattern)")
_REFUSED = {
    exp.Window: ("window functions (… OVER …)", "aggregate with GROUP BY"),
    exp.Subquery: ("a subquery inside an expression", "put it in FROM, or run it first"),
    exp.Select: ("a subquery inside an expression", "put it in FROM, or run it first"),
    exp.Exists: ("EXISTS (subquery)", "run it first"),
    exp.SimilarTo: ("SIMILAR TO", "use regexp_full_match(text, pattern)"),
    exp.RegexpLike: _TILDE,
    exp.RegexpFullMatch: _TILDE,  # what ~ is in sqlglot before 30.30
    exp.Glob: ("GLOB", "use LIKE or regexp_matches"),
    exp.Collate: ("COLLATE", "text is compared as bytes; use lower(x)"),
    exp.Bracket: ("[ ] on a value", "for text use substring(text, start, count)"),
    exp.Array: ("a list", "there are no list columns"),
    exp.Struct: ("a struct", "there are no struct columns"),
    exp.Tuple: ("a row value (a, b)", "compare the columns one by one"),
    exp.Lambda: ("a lambda", "there are no list columns"),
    exp.JSONExtract: ("the operator ->", "read_json gives the fields of JSON lines as columns"),
    exp.JSONExtractScalar: ("the operator ->>", "read_json gives the fields of JSON lines as columns"),
    exp.Placeholder: ("a parameter", "write the value"),
    exp.Parameter: ("a parameter", "write the value"),
    exp.Columns: ("COLUMNS(…)", "name the columns"),
    exp.AtTimeZone: ("AT TIME ZONE", "timestamps are UTC; give --timezone or timezone := when reading"),
    exp.Dot: ("a field of a struct", "there are no struct columns"),
    exp.WithinGroup: ("WITHIN GROUP", "use quantile_cont(x, 0.5)"),
    exp.IgnoreNulls: ("IGNORE NULLS", "use any_value(x), or FILTER (WHERE x IS NOT NULL)"),
    exp.RespectNulls: ("RESPECT NULLS", "first(x) and last(x) respect NULLs as they are"),
    exp.Slice: ("a slice", "for text use substring(text, start, count)"),
}

Names = Callable[[exp.Column], Expr]


def bind_scalar(node: exp.Expression, names: Names, *, inner: Names | None = None, aggregates: str = "") -> Expr:
    """Our expression for sqlglot's; `names` resolves columns, `inner` those in the arguments of aggregates.

    `aggregates` is empty where aggregates may stand, else the clause that forbids them (for the error).
    """
    return _Scalar(names, inner or names, aggregates).bind(node)


class _Scalar:
    def __init__(self, names: Names, inner: Names, aggregates: str) -> None:
        self._names = names
        self._inner = inner
        self._forbidden = aggregates

    def bind(self, node: exp.Expression) -> Expr:
        kind = type(node)
        if kind in _BINARY:
            if kind in _BITWISE and any(isinstance(side, exp.DPipe) for side in (node.this, node.expression)):
                # sqlglot's grammar gives || the same rank, DuckDB's a lower one
                raise UnsupportedError(f"|| next to {_BINARY[kind]} needs parentheses: {_shown(node)}")
            return Call(_BINARY[kind], (self.bind(node.this), self.bind(node.expression)))
        if kind in _CHAIN:
            return Call(_CHAIN[kind], tuple(self.bind(part) for part in _flatten(node, kind)))
        method = _METHODS.get(kind)
        if method is not None:
            return method(self, node)
        if kind in _REFUSED:
            what, instead = _REFUSED[kind]
            raise UnsupportedError(f"{what} is not offered: {_shown(node)}; {instead}")
        raise UnsupportedError(f"{node.key.upper()} is not offered: {_shown(node)}")

    def _column(self, node: exp.Column) -> Expr:
        if isinstance(node.this, exp.Star):
            raise QueryError(f"{_shown(node)}: a * can only stand alone in SELECT, or in count(*)")
        return self._names(node)

    def _star(self, node: exp.Expression) -> Expr:
        raise QueryError("*: it can only stand alone in SELECT, or in count(*)")

    def _paren(self, node: exp.Paren) -> Expr:
        return self.bind(node.this)

    def _literal(self, node: exp.Literal) -> Expr:
        return Literal(node.name, STRING) if node.is_string else number_literal(node.name)

    def _boolean(self, node: exp.Boolean) -> Expr:
        return Literal(bool(node.this), BOOL)

    def _null(self, node: exp.Null) -> Expr:
        return Literal(None, NULL)

    def _not(self, node: exp.Not) -> Expr:
        return Call("not", (self.bind(node.this),))

    def _neg(self, node: exp.Neg) -> Expr:
        if isinstance(node.this, exp.Literal) and not node.this.is_string:
            return number_literal("-" + node.this.name)
        return Call("neg", (self.bind(node.this),))

    def _bit_not(self, node: exp.BitwiseNot) -> Expr:
        return Call("bit_not", (self.bind(node.this),))

    def _is(self, node: exp.Is) -> Expr:
        value, test = self.bind(node.this), node.expression
        if isinstance(test, exp.Null):
            return Call("is_null", (value,))
        if isinstance(test, exp.Boolean):
            return Call("is_not_distinct", (Cast(value, BOOL), Literal(bool(test.this), BOOL)))
        raise UnsupportedError(f"IS {_shown(test)} is not offered; known are IS [NOT] NULL, TRUE, FALSE, DISTINCT FROM")

    def _between(self, node: exp.Between) -> Expr:
        value, low, high = (self.bind(node.args[k]) for k in ("this", "low", "high"))
        if node.args.get("symmetric"):
            raise UnsupportedError(f"BETWEEN SYMMETRIC is not offered: {_shown(node)}")
        return Call("and", (Call(">=", (value, low)), Call("<=", (value, high))))

    def _in(self, node: exp.In) -> Expr:
        if node.args.get("query") is not None:
            raise UnsupportedError(f"IN (subquery) is not offered: {_shown(node)}; write the list, or run it first")
        if not node.expressions:
            raise UnsupportedError(f"IN without a list is not offered: {_shown(node)}")
        return Call("in", (self.bind(node.this), *(self.bind(item) for item in node.expressions)))

    def _like(self, node: exp.Expression, *escape: Expr) -> Expr:
        name = "like" if isinstance(node, exp.Like) else "ilike"
        if isinstance(node.expression, (exp.Any, exp.All, exp.Tuple)):
            raise UnsupportedError(f"{name.upper()} ANY / ALL is not offered: {_shown(node)}")
        call = Call(name, (self.bind(node.this), self.bind(node.expression), *escape))
        return Call("not", (call,)) if node.args.get("negate") else call

    def _escape(self, node: exp.Escape) -> Expr:
        if not isinstance(node.this, (exp.Like, exp.ILike)):
            raise UnsupportedError(f"ESCAPE is offered with LIKE and ILIKE only: {_shown(node)}")
        return self._like(node.this, self.bind(node.expression))

    def _case(self, node: exp.Case) -> Expr:
        subject = None if node.this is None else self.bind(node.this)
        args: list[Expr] = []
        for branch in node.args["ifs"]:
            condition = self.bind(branch.this)
            args.append(condition if subject is None else Call("=", (subject, condition)))
            args.append(self.bind(branch.args["true"]))
        default = node.args.get("default")
        return Call("case", (*args, Literal(None, NULL) if default is None else self.bind(default)))

    def _if(self, node: exp.If) -> Expr:
        no = node.args.get("false")
        if no is None:
            raise QueryError(f"{_shown(node)}: if takes three arguments, if(condition, then, else)")
        return Call("case", (self.bind(node.this), self.bind(node.args["true"]), self.bind(no)))

    def _cast(self, node: exp.Cast) -> Expr:
        if node.args.get("format") is not None:
            raise UnsupportedError(f"CAST … FORMAT is not offered: {_shown(node)}; use strptime")
        lenient = isinstance(node, exp.TryCast)
        name = node.to.this.name if isinstance(node.to.this, exp.DataType.Type) else str(node.to.this)
        if name == "INTERVAL" and isinstance(node.this, exp.Literal) and node.this.is_string:
            return interval_literal(*parse_interval(node.this.name))
        if name in _TYPES:
            value = self._cast_value(node.this, _TYPES[name])
            return Cast(value, _TYPES[name], lenient)
        if name in _NARROW:
            limit = Literal(1 << (_NARROW[name] - 1), INT)
            whole = Cast(self._cast_value(node.this, INT), INT, lenient)
            return Call("try_narrow" if lenient else "narrow", (whole, limit))
        written = node.to.sql("duckdb").replace("INT128", "HUGEINT")
        known = "BIGINT, DOUBLE, VARCHAR, BOOLEAN, TIMESTAMP, DATE, INTERVAL"
        raise UnsupportedError(f"type {written} is not offered: {_shown(node)}; types are {known}")

    def _cast_value(self, node: exp.Expression, target: pa.DataType) -> Expr:
        """The value under a cast; decimal constants round half away from zero, unlike DOUBLE."""
        is_number = target == INT and isinstance(node, exp.Literal) and not node.is_string
        if is_number and "." in node.name and "e" not in node.name.lower():
            from fractions import Fraction

            return Literal(int(Fraction(node.name) + Fraction(1, 2)), INT)
        return self.bind(node)

    def _extract(self, node: exp.Extract) -> Expr:
        return Call("date_part", (Literal(node.this.name.lower(), STRING), self.bind(node.expression)))

    def _substring(self, node: exp.Substring) -> Expr:
        parts = [node.this, node.args.get("start") or exp.Literal.number(1), node.args.get("length")]
        return Call("substring", tuple(self.bind(part) for part in parts if part is not None))

    def _trim(self, node: exp.Trim) -> Expr:
        name = {"LEADING": "ltrim", "TRAILING": "rtrim"}.get(str(node.args.get("position") or "").upper(), "trim")
        characters = node.expression
        return Call(name, tuple(self.bind(part) for part in (node.this, characters) if part is not None))

    def _position(self, node: exp.StrPosition) -> Expr:
        return Call("strpos", (self.bind(node.this), self.bind(node.args["substr"])))

    def _interval(self, node: exp.Interval) -> Expr:
        from fractions import Fraction

        unit = node.args.get("unit")
        value = node.this
        negative = isinstance(value, exp.Neg)
        inner = value.this if negative else value
        if isinstance(inner, exp.Literal):
            text = ("-" if negative else "") + inner.name
            if unit is None:
                return interval_literal(*parse_interval(text))
            try:
                return interval_literal(*interval_of(Fraction(text.strip()), unit.name))
            except ValueError:
                return interval_literal(*parse_interval(f"{text} {unit.name}"))
        if unit is None:
            raise QueryError(f"{_shown(node)}: the unit is missing, write for example INTERVAL '5 minutes'")
        months, micros = interval_of(Fraction(1), unit.name)
        if months:
            raise UnsupportedError(f"{_shown(node)}: a computed number of months or years is not offered")
        return Call("*", (self.bind(value), Literal(micros, INTERVAL)))

    def _filter(self, node: exp.Filter) -> Expr:
        if not isinstance(node.this, exp.Anonymous):
            raise UnsupportedError(f"FILTER is offered with plain aggregates only: {_shown(node)}")
        return self._function(node.this, node.expression.this)

    def _call(self, node: exp.Anonymous) -> Expr:
        return self._function(node, None)

    def _function(self, node: exp.Anonymous, condition: exp.Expression | None) -> Expr:
        name = str(node.this).lower()
        if name in AGGREGATES:
            if self._forbidden:
                raise QueryError(f"{self._forbidden} cannot contain aggregates: {_shown(node)}; use HAVING")
            inner = _Scalar(self._inner, self._inner, f"the arguments of {name}")
            return aggregate_call(node, condition, inner.bind)
        if condition is not None:
            raise QueryError(f"{name} is no aggregate, FILTER does not apply: {_shown(node)}")
        for arg in node.expressions:
            if isinstance(arg, (exp.Distinct, exp.Order, exp.PropertyEQ, exp.Kwarg)):
                raise QueryError(f"{_shown(node)}: {name} takes plain arguments")
        return scalar_call(name, [self.bind(arg) for arg in node.expressions], node)


def scalar_call(name: str, args: Sequence[Expr], node: exp.Expression) -> Expr:
    """The call of a SQL function by its name there; `node` is shown in errors."""
    if name in DATE_PARTS and len(args) == 1:
        return Call("date_part", (Literal(DATE_PARTS[name], STRING), *args))
    if name == "log" and len(args) in (1, 2):
        return Call("log10" if len(args) == 1 else "log_base", tuple(args))
    if name == "ifnull" and len(args) == 2:
        return Call("coalesce", tuple(args))
    if name == "date" and len(args) == 1:
        return Cast(args[0], DATE)
    if name == "if" and len(args) == 3:
        return Call("case", tuple(args))
    if name == "date_add" and len(args) == 2:
        return Call("+", tuple(args))
    if name == "make_timestamp" and len(args) == 1:
        return Call("from_micros", tuple(args))
    if name in SCALARS:
        return Call(SCALARS[name], tuple(args))
    if name in UNSUPPORTED:
        raise UnsupportedError(f"function {name} is not offered: {_shown(node)}; {UNSUPPORTED[name]}")
    known = sorted({*SCALARS, *DATE_PARTS, *AGGREGATES, "log", "ifnull"})
    raise QueryError(f"function {name} does not exist: {_shown(node)}; {nearest(name, known)}")


def number_literal(text: str) -> Literal:
    """A number as written: BIGINT if it has neither point nor exponent, else DOUBLE."""
    digits = text.replace("_", "")
    if digits.lstrip("-").isdigit():
        value = int(digits)
        if not -_INT64_MAX - 1 <= value <= _INT64_MAX:
            raise QueryError(f"number {text} does not fit BIGINT; write {text}.0 for a DOUBLE")
        return Literal(value, INT)
    try:
        return Literal(float(digits), FLOAT)
    except ValueError:
        raise QueryError(f"'{text}' is not a decimal number") from None


def interval_literal(months: int, micros: int) -> Literal:
    """An INTERVAL constant; those with months are of a type of their own."""
    if not months:
        return Literal(micros, INTERVAL)
    return Literal((months, 0, micros * 1000), CALENDAR_INTERVAL)


def _flatten(node: exp.Expression, kind: type[exp.Expression]) -> list[exp.Expression]:
    """The operands of a left-deep chain of one operator, without recursion: generated SQL has long ones."""
    parts: list[exp.Expression] = []
    while type(node) is kind:
        parts.append(node.expression)
        node = node.this
    parts.append(node)
    return parts[::-1]


def _shown(node: exp.Expression) -> str:
    text = node.sql("duckdb")
    return text if len(text) <= 80 else text[:77] + "..."


_METHODS = {
    exp.Column: _Scalar._column,
    exp.Star: _Scalar._star,
    exp.Paren: _Scalar._paren,
    exp.Literal: _Scalar._literal,
    exp.Boolean: _Scalar._boolean,
    exp.Null: _Scalar._null,
    exp.Not: _Scalar._not,
    exp.Neg: _Scalar._neg,
    exp.BitwiseNot: _Scalar._bit_not,
    exp.Is: _Scalar._is,
    exp.Between: _Scalar._between,
    exp.In: _Scalar._in,
    exp.Like: _Scalar._like,
    exp.ILike: _Scalar._like,
    exp.Escape: _Scalar._escape,
    exp.Case: _Scalar._case,
    exp.If: _Scalar._if,
    exp.Cast: _Scalar._cast,
    exp.TryCast: _Scalar._cast,
    exp.Extract: _Scalar._extract,
    exp.Substring: _Scalar._substring,
    exp.Trim: _Scalar._trim,
    exp.StrPosition: _Scalar._position,
    exp.Interval: _Scalar._interval,
    exp.Filter: _Scalar._filter,
    exp.Anonymous: _Scalar._call,
}
