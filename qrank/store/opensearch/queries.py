"""Translating filters, terms and phrases to queries of the engine."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qrank.names import composed
from qrank.store.filters import Condition, FileTest, Filter, Phrase, Test

Query = dict[str, Any]
MOST_PREFIXED = 50  # terms to which a prefix is expanded, the most frequent ones
BETWEEN = "\x1f"  # separates field name, kind and value in an indexed value
_LETTERS = "0-9A-Za-z_\u00aa-\uffff"  # about the same as \\w
_OF_FILE = {"size": "size", "title": "folded_title", "path": "folded_location"}
_OF_FILE |= {"collection": "folded_collection", "language": "language"}


def every(*queries: Query) -> Query:
    """A query for what all of some queries match, without scoring."""
    return {"bool": {"filter": list(queries)}}


def any_of(queries: Sequence[Query]) -> Query:
    """A query for what any of some queries matches."""
    if len(queries) == 1:
        return queries[0]
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


def among(field: str, values: Sequence[int | str], size: int) -> Iterator[Query]:
    """Yield queries for the entries with one of some values, each for at most size of the values:
    the engines limit both the values of a query and the entries that it returns."""
    for at in range(0, len(values), size):
        yield {"terms": {field: list(values[at : at + size])}}


def has_vector(model: int) -> Query:
    """A query for the chunks with a vector of a model."""
    return {"exists": {"field": f"v{model}"}}


def has_no_vector(model: int) -> Query:
    """A query for the chunks without a vector of a model."""
    return {"bool": {"must_not": [has_vector(model)]}}


def phrase(phrase_: Phrase) -> Query:
    """A query for a phrase, with scoring."""
    field = "title_terms" if phrase_.title else "body" if phrase_.own else "terms"
    queries = [_sequence(field, phrase_.terms, phrase_.open_end)]
    return any_of(queries + [_sequence(field, terms, False) for terms in phrase_.variants])


def _sequence(field: str, terms: Sequence[str], open_end: bool) -> Query:
    if len(terms) == 1:
        return _prefix(field, terms[0]) if open_end else {"term": {field: {"value": terms[0]}}}
    kind = "match_phrase_prefix" if open_end else "match_phrase"
    return {kind: {field: {"query": " ".join(terms)}}}


def _prefix(field: str, start: str) -> Query:
    rewrite = f"top_terms_blended_freqs_{MOST_PREFIXED}"
    return {"prefix": {field: {"value": start, "rewrite": rewrite}}}


def scored(
    terms: Sequence[str],
    prefixes: Sequence[str],
    variants: Mapping[str, Sequence[str]],
    filter: Filter,
    passes: Sequence[Query],
    hidden: Sequence[Query],
) -> Query:
    """The query of `Store.bm25`. passes, hidden: queries that must, and must not match."""
    should: list[Query] = [{"term": {"terms": {"value": term}}} for term in terms]
    should += [_prefix("terms", start) for start in prefixes]
    for language, own in variants.items():
        in_language: Query = {"term": {"language": language}}
        words = [
            _prefix("terms", term[:-1]) if term[-1] == "*" else {"term": {"terms": {"value": term}}}
            for term in own
        ]
        should.append({"bool": {"filter": in_language, "should": words, "minimum_should_match": 1}})
    must = [phrase(each) for each in filter.required]
    if should:
        must.append({"bool": {"should": should, "minimum_should_match": 1}})
    refused = [*map(phrase, filter.excluded), *hidden]
    return {"bool": {"must": must, "filter": list(passes), "must_not": refused}}


def of_file(filter: Filter, exists: Callable[[Query], bool]) -> list[Query]:
    """The conditions of a filter on documents, without dates and fields. exists: tests whether any
    document matches a query."""
    result: list[Query] = []
    if filter.collections:
        result.append({"terms": {"collection": list(filter.collections)}})
    return result + _of_path(filter, exists)


def of_chunk(filter: Filter, exists: Callable[[Query], bool]) -> list[Query]:
    """The conditions of a filter on chunks, without phrases; exists: as in of_file."""
    result = of_file(filter, exists)
    bounds = {"gte": filter.since_ns, "lt": filter.until_ns}
    if times := {sign: moment for sign, moment in bounds.items() if moment is not None}:
        result.append({"range": {"date": times}})
    for condition in filter.conditions:
        result.append(_condition(condition, exists))
    return result


def _condition(condition: Condition, exists: Callable[[Query], bool]) -> Query:
    tests = any_of([
        _file_test(test, exists) if isinstance(test, FileTest) else _test(test)
        for test in condition.tests
    ])  # fmt: skip
    return {"bool": {"must_not": [tests]}} if condition.negated else tests


def _of_path(test: Filter | FileTest, exists: Callable[[Query], bool]) -> list[Query]:
    result: list[Query] = []
    names = [composed(name.rstrip("/")) for name in test.names]
    named: Query = {"terms": {"above": names}}
    if names and (not test.paths or exists(named)):
        result.append(named)
    elif test.paths:
        globs = [composed(glob) for glob in test.paths]
        result.append(any_of([_glob(f, glob) for glob in globs for f in ("composed", "location")]))
    if test.suffixes:
        ends = [suffix.lower()[::-1] for suffix in test.suffixes]
        result.append(any_of([{"prefix": {"reversed": {"value": end}}} for end in ends]))
    return result


def _glob(field: str, pattern: str) -> Query:
    """A query for a glob in which * and ? match slashes, too."""
    parts = re.findall(r"\[\^?\]?[^\]]*\]|.", pattern, re.DOTALL)
    if not any(len(part) > 1 for part in parts):
        return {"wildcard": {field: {"value": pattern.replace("\\", "\\\\")}}}
    expression = "".join(
        _bracket(part) if len(part) > 1 else {"*": ".*", "?": "."}.get(part) or escaped(part)
        for part in parts
    )
    return {"regexp": {field: {"value": expression, "flags": "NONE"}}}


def _bracket(part: str) -> str:
    inner = part[1:-1]
    negated = inner.startswith("^")
    characters = "".join(char if char == "-" else escaped(char) for char in inner[negated:])
    return f"[{'^' if negated else ''}{characters}]"


def escaped(text: str) -> str:
    """Text escaped for Lucene's regular expressions."""
    return "".join(char if char.isalnum() else f"\\{char}" for char in text)


def _wild(text: str) -> str:
    return re.sub(r"([*?\\])", r"\\\1", text)


def _text(field: str, before: str, test: Test | FileTest) -> list[Query]:
    """The conditions of a test on a text; before: a prefix of the indexed values."""
    result: list[Query] = []
    if test.text is not None:
        result.append({"term": {field: {"value": before + test.text}}})
    if test.part is not None:
        result.append({"wildcard": {field: {"value": f"{_wild(before)}*{_wild(test.part)}*"}}})
    if test.word is not None:
        start, end = f"(.*[^{_LETTERS}])?", f"([^{_LETTERS}].*)?"
        words = f"{escaped(before)}{start}{escaped(test.word)}{end}"
        result.append({"regexp": {field: {"value": words, "flags": "NONE"}}})
    return result


def _test(test: Test) -> Query:
    return any_of([_of_field(name, test) for name in test.names])


def _of_field(name: str, test: Test) -> Query:
    result = _text("field_values", name + BETWEEN, test)
    before = f"{name}{BETWEEN}{test.kind}{BETWEEN}"
    signs = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
    for sign, bound in test.bounds:
        # The other bound limits the range to numbers of the field.
        ends = {"gte": before} if sign.startswith("<") else {"lt": before + "g"}
        result.append({"range": {"field_numbers": ends | {signs[sign]: before + sortable(bound)}}})
    if test.kind and not test.bounds:
        result.append({"term": {"field_kinds": {"value": f"{name}{BETWEEN}{test.kind}"}}})
    return every(*result) if result else {"term": {"field_names": {"value": name}}}


def _file_test(test: FileTest, exists: Callable[[Query], bool]) -> Query:
    result: list[Query] = []
    if test.column == "mtime":
        signs = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
        result += [{"range": {"mtime": {signs[s]: round(b * 1e9)}}} for s, b in test.bounds]
    elif test.column:
        column = _OF_FILE[test.column]
        signs = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
        result += _text(column, "", test)
        result += [{"range": {column: {signs[s]: b}}} for s, b in test.bounds]
    result += _of_path_test(test, exists)
    return every(*result) if result else {"match_all": {}}


def _of_path_test(test: FileTest, exists: Callable[[Query], bool]) -> list[Query]:
    return _of_path(test, exists) if test.names or test.paths or test.suffixes else []


def sortable(number: float) -> str:
    """A number as text, such that the texts sort like the numbers.

    >>> sortable(-2.0) < sortable(-1.5) < sortable(0.0) < sortable(1e9)
    True
    """
    [bits] = struct.unpack(">Q", struct.pack(">d", number + 0.0))
    return f"{bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63):016x}"
