"""Matching chunks against literal texts and regular expressions (--literal, --regex).

Regular expressions are matched by RE2, in time linear in the length of the text. Python's `re`
backtracks, so a short pattern could take exponential time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qrank.errors import InputError

Span = tuple[int, int]
MOST_PATTERN = 10_000  # characters


class Matcher:
    """Finds the matches of regular expressions and literal texts in a text that has them all."""

    def __init__(self, patterns: Sequence[str], literals: Sequence[str]) -> None:
        """Raises InputError for an empty literal or pattern, one that is too long or not a valid
        regular expression, and when google-re2 is not installed."""
        finders: list[Callable[[str], Iterator[Span]]] = []
        for pattern in patterns:
            finders.append(_regex(pattern))
        for literal in literals:
            if not literal:
                raise InputError("--literal is empty", hint="give a text to search for")
            finders.append(_literal(literal))
        self._finders = finders

    def __call__(self, text: str) -> list[Span]:
        """The (start, end) of all matches, in characters; [] unless every pattern matches."""
        all_spans: list[Span] = []
        for finder in self._finders:
            spans = list(finder(text))
            if not spans:
                return []
            all_spans += spans
        return sorted(set(all_spans))


def matcher(patterns: Sequence[str], literals: Sequence[str]) -> Matcher | None:
    """A Matcher, or None without patterns and literals."""
    return Matcher(patterns, literals) if patterns or literals else None


def _regex(pattern: str) -> Callable[[str], Iterator[Span]]:
    try:
        import re2  # google-re2
    except ImportError:
        raise InputError("--regex needs google-re2", hint="pip install google-re2") from None
    if not pattern or len(pattern) > MOST_PATTERN:
        raise InputError("--regex is empty or too long", hint="give a regular expression")
    options = re2.Options()
    options.log_errors = False
    try:
        compiled: Any = re2.compile(f"(?m){pattern}", options)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        reason = reason.replace("(?m)", "", 1)
        raise InputError(
            f"--regex {pattern!r} is not a valid regular expression: {reason}",
            hint="use RE2's syntax (no backreferences, no lookaround), or -F for plain text",
        ) from None

    def find(text: str) -> Iterator[Span]:
        for match in compiled.finditer(text):
            if match.end() > match.start():
                yield match.span()

    return find


def _literal(literal: str) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        at = text.find(literal)
        while at >= 0:
            yield at, at + len(literal)
            at = text.find(literal, at + len(literal))

    return find
