"""Which texts are near copies of one another: versions of a document, a page stored twice."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

SAME = 8  # words, from which two equal texts are copies whatever is above them
NEAR = 20  # words, from which two texts can be near copies
SHARE = 0.8  # of their runs of three words, that near copies have in common
_RUN = 3  # words
_SKETCH = 8  # runs of a text by which others are looked up
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


class Shape(NamedTuple):
    """What is compared of a text. above: its title and headings; document: where it is from."""

    above: tuple[str, str]
    document: str
    words: tuple[str, ...]
    runs: frozenset[int]

    @classmethod
    def of(cls, text: str, above: tuple[str, str], document: str) -> Shape:
        """The shape of a text."""
        words = tuple(_WORD.findall(text.lower()))
        runs = (hash(words[i : i + _RUN]) for i in range(len(words) - _RUN + 1))
        return cls(above, document, words, frozenset(runs if len(words) >= NEAR else ()))

    def equals(self, other: Shape) -> bool:
        """Whether two texts have the same words; short ones must stand under the same headings."""
        if self.words != other.words or not self.words:
            return False
        return self.above == other.above or len(self.words) >= SAME

    def is_near(self, other: Shape) -> bool:
        """Whether two texts of different documents are versions of one. Those of one document,
        its rows and sections, may be much alike and yet say different things."""
        if self.document == other.document or not (self.runs and other.runs):
            return False
        common = len(self.runs & other.runs)
        return common >= SHARE * (len(self.runs) + len(other.runs) - common)


class Seen:
    """Texts in the order they come, to find those before that another may be a copy of.

    >>> seen = Seen()
    >>> shapes = [Shape.of(text, ("", ""), text) for text in ("green tea", "Tea", "green  tea!")]
    >>> [seen.before(shape) for shape in shapes]
    [[], [], [0]]
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_key: dict[object, list[int]] = defaultdict(list)

    def before(self, shape: Shape) -> list[int]:
        """The numbers, from 0, of texts that came before and may be like this one, which is
        counted, too."""
        # Near copies have most of their runs in common, so that some of the smallest are the same.
        keys = [*sorted(shape.runs)[:_SKETCH], shape.words]
        found = sorted({number for key in keys for number in self._by_key.get(key, ())})
        for key in keys:
            self._by_key[key].append(self._count)
        self._count += 1
        return found
