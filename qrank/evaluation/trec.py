"""TREC's files: topics, judgements and runs, as trec_eval and ranx read them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qrank.errors import InputError

_TOPIC = re.compile(r"<top(?:ic)?\b([^>]*)>(.*?)</top(?:ic)?>", re.DOTALL | re.IGNORECASE)
_NUMBER = re.compile(r"""\b(?:number|id|num)\s*=\s*["']?([^"'\s>]+)""", re.IGNORECASE)
_NUM = re.compile(r"<num(?:ber)?>\s*(?:Number:)?\s*([^<\s]+)", re.IGNORECASE)
_QUERY = re.compile(r"<(?:title|query)>\s*(?:Topic:)?([^<]*)", re.IGNORECASE)
_LINE = re.compile(r"([^\s:]+)(?:\t|:)\s*(.*\S)\s*")
_FALL = 2.5e-7  # of a score, that a float of 32 bits still shows


def topics(path: Path) -> dict[str, str]:
    """The queries of a topics file by their ids: `<top>` or `<topic>` elements, of which the title
    (or query) is taken, or lines of id and query with a tab or a colon between.

    Raises InputError when it can't be read, or has none.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise InputError(f"can't read {path}: {reason}") from error
    result = dict(_elements(text) if text.lstrip().startswith("<") else _lines(text, path))
    if not result:
        raise InputError(
            f"{path} has no topics", hint="they are <top> elements, or lines of id, tab and query"
        )
    return result


def _elements(text: str) -> Iterator[tuple[str, str]]:
    for attributes, body in _TOPIC.findall(text):
        number = _NUMBER.search(attributes) or _NUM.search(body)
        query = _QUERY.search(body)
        if number and query and query[1].strip():
            yield number[1], " ".join(html.unescape(query[1]).split())


def _lines(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"{path}:{number} is not a topic (id, tab, query)")
        yield match[1], match[2]


def judgement(line: str) -> tuple[str, str, int]:
    """(query, document, grade) of a line of judgements: BEIR's three columns, separated by tabs,
    or TREC's four (query, iteration, document, grade). Raises ValueError for another.

    >>> judgement("q1\\td 1\\t2"), judgement("301 0 FT911-1 -1")
    (('q1', 'd 1', 2), ('301', 'FT911-1', -1))
    """
    cells = line.rstrip("\r\n").split("\t")
    if len(cells) != 3:
        query, _, document, grade = line.split()
        cells = [query, document, grade]
    try:
        return cells[0], cells[1], int(float(cells[2]))
    except OverflowError:
        raise ValueError from None


def run_lines(rankings: Mapping[str, Mapping[str, float]], tag: str) -> Iterator[str]:
    """The lines of a run file: query, Q0, document, rank, score, tag. rankings: the documents of
    each query with their scores, best first.

    trec_eval sorts by score, which it reads as a float of 32 bits, and equal ones by document:
    so scores fall by a little at least.
    """
    for query, ranking in rankings.items():
        before = float("inf")
        for rank, (document, score) in enumerate(ranking.items(), 1):
            if rank > 1:
                score = min(score, before - (abs(before) * _FALL or 1e-30))
            before = score
            yield f"{word(query)} Q0 {word(document)} {rank} {score:.9g} {word(tag)}\n"


def word(name: str) -> str:
    """A name as one word: the format parts columns by blanks."""
    return re.sub(r"\s", "_", name) or "_"
