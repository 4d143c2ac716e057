"""LIKE, ILIKE and regular expressions (RE2 through Arrow)."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from hpckit.errors import QueryError
from hpckit.tables.evaluate_vectors import Datum
from hpckit.tables.functions import function
from hpckit.tables.functions_text import per_constant
from hpckit.tables.types import BOOL, STRING


def _like_pieces(pattern: str, escape: str) -> list[str | None]:
    """The pattern as literal texts, "%" and "_" wildcards: None for %, "" for _, anything else stands for itself."""
    pieces: list[str | None] = []
    text, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        if escape and char == escape:
            position += 1
            if position == len(pattern):
                raise QueryError(f"LIKE '{pattern}': the pattern ends with its escape character '{escape}'")
            text += pattern[position]
        elif char in "%_":
            if text:
                pieces.append(text)
            pieces.append(None if char == "%" else "")
            text = ""
        else:
            text += char
        position += 1
    return [*pieces, text] if text else pieces


def _like(text: pa.Array, pattern: str, escape: str = "") -> pa.Array:
    if len(escape) > 1:
        raise QueryError(f"LIKE … ESCAPE '{escape}': the escape must be one character")
    pieces = _like_pieces(pattern, escape)
    literal = [p for p in pieces if p]
    shape = "".join("%" if p is None else "_" if p == "" else "x" for p in pieces)
    if shape == "":
        return pc.equal(text, "")
    if shape == "x":
        return pc.equal(text, literal[0])
    if shape == "x%":
        return pc.starts_with(text, literal[0])
    if shape == "%x":
        return pc.ends_with(text, literal[0])
    if shape == "%x%":
        return pc.match_substring(text, literal[0])
    if set(shape) == {"%"}:
        return pc.match_substring(text, "")
    regex = "".join(".*" if p is None else "." if p == "" else re_quote(p) for p in pieces)
    return pc.match_substring_regex(text, f"(?s)\\A{regex}\\z")


def re_quote(text: str) -> str:
    """`text` as an RE2 pattern that matches just it."""
    return "".join("\\x{0}" if c == "\0" else f"\\{c}" if c in r"\.+*?()|[]{}^$" else c for c in text)


@function("like", "ss?s", BOOL, raises=True)
def _run_like(text: Datum, pattern: Datum, *escape: Datum) -> pa.Array:
    return per_constant(_like, text, pattern, *escape, kind=BOOL)


@function("ilike", "ss?s", BOOL, raises=True)
def _run_ilike(text: Datum, pattern: Datum, *escape: Datum) -> pa.Array:
    """LIKE of both sides in lower case."""

    def ilike(t: pa.Array, p: str, e: str = "") -> pa.Array:
        return _like(pc.utf8_lower(t), lower(p), lower(e))

    return per_constant(ilike, text, pattern, *escape, kind=BOOL)


def lower(text: str) -> str:
    """Lower case as Arrow does it: character by character."""
    return pc.utf8_lower(pa.scalar(text)).as_py()


def _flags(options: str, where: str, *, replacing: bool = False) -> tuple[str, bool, bool]:
    """(RE2 prefix, literal, global) of an option string such as 'i' or 'gs'."""
    letters, literal, everywhere = "", False, False
    for option in options:
        if option in "is":
            letters += option
        elif option == "l":
            literal = True
        elif option == "g" and replacing:
            everywhere = True
        elif option not in "cmnp \t\n":
            known = "c i l m n p s" + (" g" if replacing else "")
            raise QueryError(f"{where}: unknown option '{option}'; known are {known}")
    return (f"(?{letters})" if letters else ""), literal, everywhere


def _compiled(pattern: str, options: str, where: str, *, replacing: bool = False) -> tuple[str, bool]:
    prefix, literal, everywhere = _flags(options, where, replacing=replacing)
    return prefix + (re_quote(pattern) if literal else pattern), everywhere


@function("regexp_matches", "ss?s", BOOL, raises=True)
def _regexp_matches(text: Datum, pattern: Datum, *options: Datum) -> pa.Array:
    def search(t: pa.Array, p: str, o: str = "") -> pa.Array:
        return pc.match_substring_regex(t, _compiled(p, o, "regexp_matches")[0])

    return per_constant(search, text, pattern, *options, kind=BOOL)


@function("regexp_full_match", "ss?s", BOOL, raises=True)
def _regexp_full_match(text: Datum, pattern: Datum, *options: Datum) -> pa.Array:
    def match(t: pa.Array, p: str, o: str = "") -> pa.Array:
        prefix, literal, _ = _flags(o, "regexp_full_match")
        return pc.match_substring_regex(t, f"{prefix}\\A(?:{re_quote(p) if literal else p})\\z")

    return per_constant(match, text, pattern, *options, kind=BOOL)


@function("regexp_replace", "sss?s", STRING, raises=True)
def _regexp_replace(text: Datum, pattern: Datum, replacement: Datum, *options: Datum) -> pa.Array:
    def swap(t: pa.Array, p: str, r: str, o: str = "") -> pa.Array:
        regex, everywhere = _compiled(p, o, "regexp_replace", replacing=True)
        return pc.replace_substring_regex(t, regex, r, max_replacements=None if everywhere else 1)

    return per_constant(swap, text, pattern, replacement, *options, kind=STRING)


_GROUP = re.compile(  # quoted text, an escape, a class in brackets, a named group, a group
    r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|\(\?P?<(?![=!])[^>]*>|\((?!\?)", re.DOTALL
)


def single_group(pattern: str, wanted: int) -> str | None:
    """The pattern with group `wanted` (0: all of it) as its only group, named hit; None if it has no such group.

    Arrow's extract_regex gives named groups only; RE2 has no back-references, so the others may lose their brackets.
    """
    seen = 0

    def rename(match: re.Match) -> str:
        nonlocal seen
        token = match.group()
        if not token.startswith("("):
            return token
        seen += 1
        return "(?P<hit>" if seen == wanted else "(?:"

    rewritten = _GROUP.sub(rename, pattern)
    if wanted == 0:
        return f"(?P<hit>{rewritten})"
    return rewritten if 0 < wanted <= seen else None


@function("regexp_extract", "ss?is", STRING, raises=True)
def _regexp_extract(text: Datum, pattern: Datum, *rest: Datum) -> pa.Array:
    """The match or one of its groups, '' if the pattern does not match."""

    def extract(t: pa.Array, p: str, group: int = 0, o: str = "") -> pa.Array:
        prefix, literal, _ = _flags(o, "regexp_extract")
        regex = single_group(re_quote(p) if literal else p, group)
        if regex is None:
            if not 0 <= group <= 9:
                raise QueryError(f"regexp_extract: group {group} is not within 0 to 9")
            pc.match_substring_regex(pa.array([""]), p)  # a bad pattern is an error all the same
            return pc.if_else(t.is_valid(), "", pa.scalar(None, STRING))
        found = pc.struct_field(pc.extract_regex(t, prefix + regex), "hit")
        return pc.if_else(t.is_valid(), pc.fill_null(found, ""), pa.scalar(None, STRING))

    return per_constant(extract, text, pattern, *rest, kind=STRING)
