"""Finding near-duplicates: versions of a document, a page stored twice."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

SAME = 8  # words: equal texts of at least so many are copies whatever their title and headings
NEAR = 20  # words: shorter texts are never near-duplicates
SHARE = 0.8  # Jaccard similarity of word trigrams, from which texts are near-duplicates
_SKETCH = 8  # trigram hashes by which near-duplicates are looked up
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a near-duplicate of a result is; start_line and end_line count from 1."""

    id: str
    path: str
    member: str | None
    start_line: int
    end_line: int
    page: int | None


class Words(NamedTuple):
    """The words of a text. trigrams: hashes of its word trigrams, empty for a text of fewer than
    NEAR words. keys: near-duplicates share at least one of them."""

    words: tuple[str, ...]
    trigrams: frozenset[int]
    keys: tuple[object, ...]

    @classmethod
    def of(cls, text: str) -> Words:
        """Make it from a text."""
        words = tuple(_WORD.findall(text.lower()))
        triples = zip(words, words[1:], words[2:], strict=False)
        trigrams = frozenset(map(hash, triples)) if len(words) >= NEAR else frozenset()
        # As in MinHash: texts that share most trigrams share some of the smallest hashes.
        return cls(words, trigrams, (*sorted(trigrams)[:_SKETCH], words))


class Shape(NamedTuple):
    """What two chunks are compared by. above: title and headings; document: its location."""

    above: tuple[str, str]
    document: str
    text: Words

    def equals(self, other: Shape) -> bool:
        """Whether two texts have the same words; short ones need the same title and headings."""
        words = self.text.words
        if words != other.text.words or not words:
            return False
        return self.above == other.above or len(words) >= SAME

    def is_near(self, other: Shape) -> bool:
        """Whether two texts of different documents are near-duplicates. Rows and sections of one
        document are not compared: they may differ in a few words that matter."""
        trigrams, others = self.text.trigrams, other.text.trigrams
        if self.document == other.document or not (trigrams and others):
            return False
        common = len(trigrams & others)
        return common >= SHARE * (len(trigrams) + len(others) - common)
