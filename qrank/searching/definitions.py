"""Finding the definitions of a name in source code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from qrank.analysis.formats import BY_SUFFIX, suffix_of
from qrank.results import StoredChunk

_SYMBOL = re.compile(r"(?:[\w$]+(?:\.|::|->|#))*([^\W\d][\w$]*)(?:\(\))?")
MAX_LINE = 300  # characters; of a longer line, only what is around the name is examined
MAX_PIECES = 20  # of one long line
_KEYWORDS = (
    "class const def define enum fn fun func function impl interface let macro macro_rules! mod "
    "module namespace object package proc protocol record static struct sub trait type typedef "
    "union val var"
)
_DEFINES = "|".join(map(re.escape, _KEYWORDS.split()))


def symbol(query: str) -> str:
    """The last identifier of a query that is a single name, as in source code; else "".

    >>> symbol("add"), symbol("Store.add()"), symbol("std::sort"), symbol("two words")
    ('add', 'add', 'sort', '')
    """
    match = _SYMBOL.fullmatch(query.strip())
    return match[1] if match else ""


def defines(stored: StoredChunk, name: str) -> bool:
    """Whether a chunk of source code defines a name."""
    format = BY_SUFFIX.get(suffix_of(stored.location))
    if format is None or format.name != "code" or name not in stored.chunk.text:
        return False
    if stored.chunk.heading.rpartition(" > ")[2] == name:
        return True
    lines = [*stored.chunk.text.split("\n"), ""]
    return any(
        _is_definition(piece, name, follows[:MAX_LINE])
        for line, follows in pairwise(lines)
        if name in line
        for piece in _pieces(line, name)
    )


def _pieces(line: str, name: str) -> Iterator[str]:
    """The line, or if it is long, what is around each occurrence of the name: the regular
    expressions of _is_definition take quadratic time.

    >>> long = "def " + "a.b:" * 50_000 + "add();" * 50_000 + "function add(x){}"
    >>> any(_is_definition(piece, "add") for piece in _pieces(long, "add"))
    False
    >>> any(_is_definition(piece, "x") for piece in _pieces(long + ";def x", "x"))
    True
    """
    if len(line) <= MAX_LINE:
        yield line
        return
    at = line.find(name)
    for _ in range(MAX_PIECES):
        if at < 0:
            return
        # A ; in front says that this is not the beginning of the line.
        before = line[:at] if at <= MAX_LINE // 2 else f";{line[at - MAX_LINE // 2 : at]}"
        yield before + line[at : at + MAX_LINE // 2]
        at = line.find(name, at + len(name))


def _is_definition(line: str, name: str, follows: str = "") -> bool:
    """Whether a line of code, with the one that follows, defines a name: after a keyword, by an
    assignment that is not indented, or as a C-like function (type, name, parentheses, {).

    >>> [_is_definition(line, "add") for line in ("def add(x):", "add = 1", "int add(int x) {")]
    [True, True, True]
    >>> [_is_definition(line, "add") for line in ("x = add(1)", "return add(x);", "class Adder:")]
    [False, False, False]
    """
    own = re.escape(name) + r"(?![\w$])"
    if re.search(rf"(?<![\w.])(?:{_DEFINES})\s+(?:\([^()]*\)\s*)?(?:[\w.]+[.:]+)?{own}", line):
        return True
    if re.match(rf"(?:export\s+)?{own}\s*(?::[^=]*)?=(?!=)", line):
        return True
    before, middle, after = line.partition(name)
    words = before.split()
    return bool(
        middle
        and words
        and words[0] not in ("return", "await", "new", "throw", "else", "yield", "case", "not")
        and re.fullmatch(r"[\w\s<>\[\],*&:~]+[\s*&:]", before)
        and re.match(r"\s*\([^;]*\)[^;]*\{", f"{after}\n{follows}")
    )
