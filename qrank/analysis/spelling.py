"""Spelling suggestions; edit distances of many words at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_EDITS = 2


class Suggestion(NamedTuple):
    """A word of a query that no document has, and the nearest one that some document has; edits:
    their distance."""

    word: str
    instead: str
    edits: int = MAX_EDITS


def within_two(word: str, others: Iterable[str]) -> list[str]:
    """The other words at most two edits from word: a letter inserted, deleted or replaced, or two
    adjacent letters swapped (optimal string alignment distance).

    >>> within_two("recieve", ["receive", "receiver", "relieved", "derive", "believe"])
    ['receive', 'believe', 'receiver', 'relieved']
    """
    import numpy as np

    by_length: dict[int, list[str]] = defaultdict(list)
    for other in others:
        if abs(len(other) - len(word)) <= MAX_EDITS:
            by_length[len(other)].append(other)
    near: list[str] = []
    for length, group in by_length.items():
        codes = np.frombuffer("".join(group).encode("utf-32-le"), "<u4").reshape(-1, length).T
        near += [group[i] for i in _near(word, np.ascontiguousarray(codes))]
    return near


def _near(word: str, letters: NDArray[np.uint32]) -> list[int]:
    """The indices of those words, all of one length, that are near; letters: their code points, of
    shape (length, words)."""
    import numpy as np

    length, count = letters.shape
    far = MAX_EDITS + 1
    codes = [ord(letter) for letter in word]
    indices = np.arange(count)  # of the words that may still be near
    # A row of the dynamic programming table is of shape (length + 1, words). Only cells next to
    # the diagonal can be small enough.
    row = np.full((length + 1, count), far, np.uint8)
    for j in range(min(length, MAX_EDITS) + 1):
        row[j] = j
    before = row
    for i in range(1, len(word) + 1):
        new = np.full_like(row, far)
        low, high = max(0, i - MAX_EDITS), min(length, i + MAX_EDITS)
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
        near = row[low : high + 1].min(axis=0) <= MAX_EDITS
        if near.mean() < 0.5:
            columns = np.flatnonzero(near)
            indices, letters = indices[columns], letters[:, columns]
            row, before = row[:, columns], before[:, columns]
            if not len(indices):
                return []
    return [int(i) for i in indices[row[length] <= MAX_EDITS]]
