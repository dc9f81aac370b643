"""Merging, intersecting and subtracting time intervals.

Used to find free observing slots: take the dark hours, subtract what is booked, and keep the
pieces that are long enough. An interval is a pair ``(start, end)`` with ``start < end``. It is
half-open, which means that one ending at 22:00 and another one starting at 22:00 touch without
overlapping.
"""

from __future__ import annotations

from collections.abc import Iterable

Interval = tuple[float, float]


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Join intervals that overlap or touch, and return them sorted.

    Sorting by start costs O(n log n). After that each interval has to be compared only with the
    last one in the result.

    >>> merge([(5, 7), (1, 3), (2, 4), (7, 8)])
    [(1, 4), (5, 8)]
    """
    result: list[Interval] = []
    for start, end in sorted(intervals):
        if start >= end:
            raise ValueError(f"empty or reversed interval: {start}..{end}")
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def intersect(left: Iterable[Interval], right: Iterable[Interval]) -> list[Interval]:
    """Return the stretches covered by both collections.

    >>> intersect([(0, 5), (8, 12)], [(3, 9)])
    [(3, 5), (8, 9)]
    """
    a, b = merge(left), merge(right)
    i = j = 0
    result: list[Interval] = []
    while i < len(a) and j < len(b):
        start = max(a[i][0], b[j][0])
        end = min(a[i][1], b[j][1])
        if start < end:
            result.append((start, end))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return result


def subtract(whole: Iterable[Interval], busy: Iterable[Interval]) -> list[Interval]:
    """Return what is left of the first collection when the second is cut out.

    >>> subtract([(0, 10)], [(2, 3), (5, 6)])
    [(0, 2), (3, 5), (6, 10)]
    """
    blocks = merge(busy)
    result: list[Interval] = []
    for start, end in merge(whole):
        cursor = start
        for busy_start, busy_end in blocks:
            if busy_end <= cursor or busy_start >= end:
                continue
            if busy_start > cursor:
                result.append((cursor, busy_start))
            cursor = max(cursor, busy_end)
        if cursor < end:
            result.append((cursor, end))
    return result


def free_slots(
    dark: Iterable[Interval], booked: Iterable[Interval], shortest: float
) -> list[Interval]:
    """Find the gaps between bookings that last at least ``shortest``.

    >>> free_slots([(20, 30)], [(21, 24), (24.5, 27)], shortest=1)
    [(20, 21), (27, 30)]
    """
    gaps = subtract(dark, booked)
    return [(start, end) for start, end in gaps if end - start >= shortest]


if __name__ == "__main__":
    import doctest

    failures, tests = doctest.testmod()
    print(f"intervals: {tests - failures} of {tests} examples pass")
