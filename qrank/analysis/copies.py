"""Finding near-duplicates: versions of a document, a page stored twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

SAME = 8  # words, from which two equal texts are copies whatever is above them
NEAR = 20  # words, from which two texts can be near copies
SHARE = 0.8  # of their runs of three words, that near copies have in common
_SKETCH = 8  # runs of three words, by which near copies are looked up
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a near copy of a result is; start_line and end_line count from 1."""

    id: str
    path: str
    member: str | None
    start_line: int
    end_line: int
    page: int | None


class Words(NamedTuple):
    """What is compared of a text alone. keys: near copies have at least one of them in common."""

    words: tuple[str, ...]
    runs: frozenset[int]
    keys: tuple[object, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """The words of a text."""
        words = tuple(_WORD.findall(text.lower()))
        trigrams = zip(words, words[1:], words[2:], strict=False)
        runs = frozenset(map(hash, trigrams)) if len(words) >= NEAR else frozenset()
        # Near copies have most of their runs in common, so that some of the smallest are the same.
        return cls(words, runs, (*sorted(runs)[:_SKETCH], words))


class Shape(NamedTuple):
    """What is compared of a chunk. above: its title and headings; document: where it is from."""

    above: tuple[str, str]
    document: str
    text: Words

    def equals(self, other: Shape) -> bool:
        """Whether two texts have the same words; short ones must stand under the same headings."""
        words = self.text.words
        if words != other.text.words or not words:
            return False
        return self.above == other.above or len(words) >= SAME

    def is_near(self, other: Shape) -> bool:
        """Whether two texts of different documents are versions of one. Those of one document,
        its rows and sections, may be much alike and yet say different things."""
        runs, others = self.text.runs, other.text.runs
        if self.document == other.document or not (runs and others):
            return False
        common = len(runs & others)
        return common >= SHARE * (len(runs) + len(others) - common)
