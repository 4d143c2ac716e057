"""Text to statements: sqlglot's DuckDB grammar, with function calls left as the user wrote them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

from hpckit.errors import QueryError, UnsupportedError
from hpckit.frozen import frozen

_SPECIAL_SYNTAX = ("CAST", "TRY_CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION")


class _Parser(DuckDB.Parser):
    """No function is rewritten into sqlglot's own vocabulary: names and arguments arrive untouched."""

    FUNCTIONS: ClassVar[dict] = {}
    NO_PAREN_FUNCTIONS: ClassVar[dict] = {}
    FUNCTION_PARSERS: ClassVar[dict] = {k: v for k, v in DuckDB.Parser.FUNCTION_PARSERS.items() if k in _SPECIAL_SYNTAX}


class HpckitDialect(DuckDB):
    Parser = _Parser


@frozen
class Statement:
    """One parsed statement.

    kind    "select", "explain" or "describe"
    output  the path of COPY … TO, else None
    text    the statement as written
    query   sqlglot's tree of the SELECT
    """

    kind: str
    text: str
    query: exp.Expression
    output: str | None = None


def parse_script(text: str) -> list[Statement]:
    """The statements of a script that ';' separates. QueryError names line and column of a mistake."""
    try:
        tokens = HpckitDialect().tokenize(text)
    except TokenError as error:
        raise QueryError(f"SQL: {_first_line(str(error))}") from None
    statements = [_statement(text, chunk) for chunk in _split(tokens)]
    if not statements:
        raise QueryError("SQL: the text holds no statement; write for example SELECT count(*) FROM 'file.parquet'")
    return statements


def _split(tokens: list[Token]) -> Iterator[list[Token]]:
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _check_numbers(text: str, tokens: list[Token]) -> None:
    """0x1F would be read as the number 0 named x1F."""
    for first, second in pairwise(tokens):
        touching = first.token_type == TokenType.NUMBER and second.start == first.end + 1
        if touching and (second.token_type == TokenType.VAR or second.text[:1].isalpha()):
            shown = text[first.start : second.end + 1]
            raise QueryError(f"SQL, line {first.line}, column {first.col}: '{shown}' is not a decimal number")


def _statement(text: str, tokens: list[Token]) -> Statement:
    _check_numbers(text, tokens)
    written = text[tokens[0].start : tokens[-1].end + 1]
    head = tokens[0].text.upper()
    if head == "EXPLAIN":  # sqlglot's tokenizer leaves what follows as one piece of text
        return _explain(written)
    if head in ("DESCRIBE", "DESC") and len(tokens) > 1:
        return Statement("describe", written, _described(text, tokens[1:]))
    tree = _parse(text, tokens)
    if isinstance(tree, exp.Copy):
        return _copy(tree, written)
    return Statement("select", written, _query(tree))


def _explain(written: str) -> Statement:
    rest = written[len("EXPLAIN") :].strip()
    if rest.upper().startswith("ANALYZE"):
        raise UnsupportedError("EXPLAIN ANALYZE is not offered; EXPLAIN shows the plan, --profile measures a run")
    inner = parse_script(rest)[0] if rest else None
    if inner is None or inner.kind != "select":
        raise QueryError("EXPLAIN: a SELECT must follow")
    return Statement("explain", written, inner.query, inner.output)


def _described(text: str, tokens: list[Token]) -> exp.Expression:
    if tokens[0].text.upper() == "TABLE":
        tokens = tokens[1:]
    if tokens and tokens[0].text.upper() in ("SELECT", "WITH", "FROM", "("):
        return _query(_parse(text, tokens))
    source = text[tokens[0].start : tokens[-1].end + 1] if tokens else ""
    prefix = "SELECT * FROM "
    return _query(_parse(prefix + source, HpckitDialect().tokenize(prefix + source)))


def _parse(text: str, tokens: list[Token]) -> exp.Expression:
    with _quiet():
        try:
            trees = HpckitDialect().parser().parse(tokens, text)
        except ParseError as error:
            raise _syntax_error(error) from None
    if not trees or trees[0] is None:
        raise QueryError(f"SQL: nothing to run in '{text[tokens[0].start : tokens[-1].end + 1]}'")
    return trees[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """sqlglot warns through logging about what it passes on unparsed; we raise for the same statements."""
    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _syntax_error(error: ParseError) -> QueryError:
    details = error.errors[0] if error.errors else {}
    if not details:
        return QueryError(f"SQL: {_first_line(str(error))}")
    place = f"line {details.get('line')}, column {details.get('col')}"
    near = f"{details.get('start_context') or ''}{details.get('highlight') or ''}"[-40:].strip()
    what = (details.get("description") or "syntax error").rstrip(".")
    return QueryError(f"SQL, {place}: {what}, at the end of '{near}'")


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0] if message.strip() else "it cannot be read"


def _query(tree: exp.Expression) -> exp.Expression:
    """The tree if it is a query, else UnsupportedError naming the statement."""
    if isinstance(tree, (exp.Select, exp.Subquery)):
        return tree
    if isinstance(tree, (exp.Union, exp.Intersect, exp.Except)):
        raise UnsupportedError(f"{tree.key.upper()} is not offered; run the parts as two statements")
    if isinstance(tree, exp.Command):
        raise UnsupportedError(f"{str(tree.this).upper()} is not offered; statements are SELECT, COPY (SELECT …) TO …")
    known = "statements are SELECT, WITH, COPY, EXPLAIN, DESCRIBE"
    if isinstance(tree, (exp.Condition, exp.Alias)):
        raise QueryError(f"SQL: '{tree.sql('duckdb')[:60]}' is no statement; {known}")
    raise UnsupportedError(f"{tree.key.upper()} is not offered; {known}")


_FORMATS = {
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "json": (".jsonl", ".ndjson", ".json"),
    "arrow": (".arrow",),
    "arrows": (".arrow",),
}


def _copy(tree: exp.Copy, written: str) -> Statement:
    """COPY (SELECT …) TO 'path'; the ending of the path decides the format."""
    files = tree.args.get("files") or []
    if tree.args.get("kind") or len(files) != 1 or not isinstance(files[0], exp.Literal):
        raise UnsupportedError("COPY: write COPY (SELECT …) TO 'path.csv'; COPY … FROM is not offered")
    query = tree.this
    if not isinstance(query, exp.Subquery):
        raise UnsupportedError("COPY: give a query in parentheses, COPY (SELECT …) TO 'path.csv'")
    path = files[0].name
    for param in tree.args.get("params") or []:
        name = param.this.name.lower()
        value = param.expression.name.lower() if param.expression is not None else ""
        if name == "format" and path.lower().endswith(_FORMATS.get(value, ())):
            continue
        if name == "header" and value in ("", "true", "1"):
            continue
        shown = f"{name} {value}".strip().upper()
        raise UnsupportedError(f"COPY … ({shown}): the ending of '{path}' decides the format; there are no options")
    return Statement("select", written, query, path)
