"""git's glob patterns (wildmatch.c) as regular expressions of bytes.

The expressions match in linear time, however many stars a pattern has: the first match of a piece
between two stars is as good as any later one, so it is in an atomic group, without backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES: dict[bytes, Callable[[int], bool]] = {
    b"alnum": lambda c: chr(c).isalnum(),
    b"alpha": lambda c: chr(c).isalpha(),
    b"blank": lambda c: c in b" \t",
    b"cntrl": lambda c: c < 32 or c == 127,
    b"digit": lambda c: c in b"0123456789",
    b"graph": lambda c: 32 < c < 127,
    b"lower": lambda c: chr(c).islower(),
    b"print": lambda c: 32 <= c < 127,
    b"punct": lambda c: 32 < c < 127 and not chr(c).isalnum(),
    b"space": lambda c: c in b" \t\n\r",  # as in git
    b"upper": lambda c: chr(c).isupper(),
    b"xdigit": lambda c: c in b"0123456789abcdefABCDEF",
}
_ANY = frozenset(range(1, 256)) - {ord("/")}


class MalformedError(ValueError):
    """A pattern that matches nothing: a bracket without an end, or an unknown character class."""


def expression(pattern: bytes, *, fold: bool = False) -> bytes:
    """The regular expression, for `fullmatch`, of the paths that a pattern matches. fold: ignore
    case; the paths must be in lower case.

    Raises MalformedError.

    >>> expression(b"*a*b.md"), expression(b"docs/**/x?")
    (b'(?>[^/]*?a)[^/]*b\\\\.md', b'docs/(?:.*?/)??x[^/]')
    """
    done = b""  # finished sections
    stars = b""  # the `**` before this section
    section = b""  # the names between two `**`
    name = [b""]  # the pieces between the stars of a name
    for kind, piece in _pieces(pattern, fold):
        if kind == "star":
            name.append(b"")
        elif kind == "char":
            name[-1] += piece
        elif kind == "slash":
            section += _name(name) + piece
            name = [b""]
        else:
            section += _name(name)
            name = [b""]
            done += b"(?>%s%s)" % (stars, section) if stars else section
            stars, section = piece, b""
    return done + stars + section + _name(name)


def _name(pieces: list[bytes]) -> bytes:
    first, *others = pieces
    if not others:
        return first
    return first + b"".join(b"(?>[^/]*?%s)" % each for each in others[:-1]) + b"[^/]*" + others[-1]


def _pieces(pattern: bytes, fold: bool) -> Iterator[tuple[str, bytes]]:
    """Yield a pattern's parts as (kind, expression); kind: char, star, slash, or stars (a `**` that
    matches folders)."""
    at = 0
    while at < len(pattern):
        char = pattern[at : at + 1]
        if char == b"*":
            start = at
            while pattern[at : at + 1] == b"*":
                at += 1
            rest = pattern[at : at + 2]
            folders = at - start > 1 and (start == 0 or pattern[start - 1 : start] == b"/")
            if folders and rest.startswith(b"/"):
                at += 1
                yield "stars", b"(?:.*?/)??"
            elif folders and rest in (b"", b"\\/"):
                yield "stars", b".*?"
            else:
                yield "star", b""
            continue
        if char == b"?":
            yield "char", b"[^/]"
        elif char == b"[":
            members, at = _class(pattern, at, fold)
            yield "char", _set(members)
        elif char == b"/":
            yield "slash", b"/"
        else:
            if char == b"\\":
                at += 1
                char = pattern[at : at + 1]
                if not char or (fold and char.isupper()):  # not folded in git either
                    raise MalformedError
            elif fold:
                char = char.lower()
            yield ("slash" if char == b"/" else "char"), re.escape(char)
        at += 1


def _class(pattern: bytes, at: int, fold: bool) -> tuple[frozenset[int], int]:
    """(the bytes that the bracket expression at an offset matches, the offset of its end)."""
    at += 1
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before = 0  # the byte that may start a range
    first = True
    while first or pattern[at : at + 1] != b"]":
        first = False
        if at >= len(pattern):
            raise MalformedError
        char = pattern[at]
        if char == ord("-") and before and pattern[at + 1 : at + 2] not in (b"", b"]"):
            end, at = _escaped(pattern, at + 1)
            members.update(range(before, end + 1))
            if fold:
                members.update(c + 32 for c in range(before, end + 1) if chr(c).isupper())
            before = 0
        elif char == ord("[") and pattern[at + 1 : at + 2] == b":":
            end = pattern.find(b"]", at + 2)
            if end < 0:
                raise MalformedError
            if end > at + 2 and pattern[end - 1] == ord(":"):
                members.update(_named(pattern[at + 2 : end - 1], fold))
                at, before = end, 0
            else:
                members.add(char)
                before = char
        else:
            char, at = _escaped(pattern, at)
            members.add(char)
            before = char
        at += 1
    return (_ANY - members if negated else _ANY & members), at


def _escaped(pattern: bytes, at: int) -> tuple[int, int]:
    """(the byte at an offset, or after a backslash there, its offset)."""
    at += pattern[at : at + 1] == b"\\"
    if at >= len(pattern):
        raise MalformedError
    return pattern[at], at


def _named(name: bytes, fold: bool) -> set[int]:
    """The bytes of a character class ([:alpha:])."""
    contains = _CLASSES.get(name)
    if contains is None:
        raise MalformedError
    members = {char for char in range(128) if contains(char)}
    return members | set(b"abcdefghijklmnopqrstuvwxyz") if fold and name == b"upper" else members


def _set(members: frozenset[int]) -> bytes:
    if not members:
        return b"(?!)"
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"
