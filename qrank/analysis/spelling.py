"""Spelling suggestions, and edit distances of many words at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 2  # edits


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A word of a query that no document has, and the nearest that one has; edits: how far."""

    word: str
    instead: str
    edits: int = MOST


def within_two(word: str, others: Iterable[str]) -> list[str]:
    """Those of other words that two edits make of a word: a letter inserted, deleted or replaced,
    or two neighbours swapped.

    >>> within_two("recieve", ["receive", "receiver", "relieved", "derive", "believe"])
    ['receive', 'believe', 'receiver', 'relieved']
    """
    import numpy as np

    by_length: dict[int, list[str]] = defaultdict(list)
    for other in others:
        if abs(len(other) - len(word)) <= MOST:
            by_length[len(other)].append(other)
    near: list[str] = []
    for length, group in by_length.items():
        codes = np.frombuffer("".join(group).encode("utf-32-le"), "<u4").reshape(-1, length).T
        near += [group[i] for i in _near(word, np.ascontiguousarray(codes))]
    return near


def _near(word: str, letters: NDArray[np.uint32]) -> list[int]:
    """Which of some words of one length are near; letters: of shape (length, words)."""
    import numpy as np

    length, count = letters.shape
    far = MOST + 1
    codes = [ord(letter) for letter in word]
    left = np.arange(count)
    # Rows of the table of distances, each of shape (length + 1, words): of what comes before a
    # letter of the word. Only those next to its diagonal can be small enough.
    row = np.full((length + 1, count), far, np.uint8)
    for j in range(min(length, MOST) + 1):
        row[j] = j
    before = row
    for i in range(1, len(word) + 1):
        new = np.full_like(row, far)
        low, high = max(0, i - MOST), min(length, i + MOST)
        for j in range(low, high + 1):
            if j == 0:
                new[0] = i
                continue
            best = row[j - 1] + (letters[j - 1] != codes[i - 1])
            np.minimum(best, row[j] + 1, out=best)
            np.minimum(best, new[j - 1] + 1, out=best)
            if i > 1 and j > 1:
                swapped = (letters[j - 1] == codes[i - 2]) & (letters[j - 2] == codes[i - 1])
                np.minimum(best, np.where(swapped, before[j - 2] + 1, far), out=best)
            new[j] = best
        before, row = row, new
        near = row[low : high + 1].min(axis=0) <= MOST
        if near.mean() < 0.5:
            rows = np.flatnonzero(near)
            left, letters = left[rows], letters[:, rows]
            row, before = row[:, rows], before[:, rows]
            if not len(left):
                return []
    return [int(i) for i in left[row[length] <= MOST]]
