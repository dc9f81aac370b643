"""Fields of documents (front matter, headers of mails, columns of tables) as values that can be
compared: text, numbers, dates."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from typing import NamedTuple

TEXT, NUMBER, DATE, TRUTH = "text", "number", "date", "truth"
LONGEST = 200  # characters of a value that filters can match; longer ones are text to search
MOST_VALUES = 200  # of one document or row
LONGEST_NAME = 100  # characters
# Fields that may hold a document's date; the first that holds a valid date counts.
OWN_DATES = ("date", "published", "created", "updated", "modified", "lastmod")

# Properties of every file that filters can name like fields.
OF_FILE = ("path", "type", "ext", "size", "mtime", "title", "collection", "language")

_ISO = re.compile(
    r"(\d{4})-(\d\d?)(?:-(\d\d?)"
    r"(?:[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?)?)?",
    re.IGNORECASE,
)
_YEAR = re.compile(r"[12]\d{3}")
_MAIL = re.compile(r"(?:[A-Za-z]{3}, )?\d{1,2} [A-Za-z]{3} \d{4} \d\d?:\d\d")
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,18}(?:\.\d{1,18})?|\.\d{1,18})(?:e[+-]?\d{1,2})?", re.IGNORECASE
)
_AGO = re.compile(r"(\d{1,5})\s*(h|hours?|d|days?|w|weeks?|m|months?|y|years?)(?: ago)?", re.I)


class Value(NamedTuple):
    """A value of a field. folded: its text as compared; number: a number's value, a date's seconds
    since 1970, else None."""

    name: str
    kind: str
    text: str
    folded: str
    number: float | None


def field_name(name: str) -> str:
    """The name of a field as compared: case folded, whitespace collapsed, truncated.

    >>> field_name(" Order  Date")
    'order date'
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())[:LONGEST_NAME]


def folded(text: str) -> str:
    """A value's text as compared: case folded, whitespace collapsed.

    >>> folded(" Jane  SMITH ")
    'jane smith'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def values(fields: Mapping[str, object]) -> list[Value]:
    """All values of a document's fields without duplicates, at most MOST_VALUES; lists are
    flattened.

    >>> [(v.name, v.kind, v.text) for v in values({"tags": ["a", "b"], "Rating": 4})]
    [('tags', 'text', 'a'), ('tags', 'text', 'b'), ('rating', 'number', '4')]
    """
    result: dict[tuple[str, str], Value] = {}
    for name, value in fields.items():
        key = field_name(name)
        for item in _items(value):
            parsed = _value(key, item)
            if key and parsed and len(result) < MOST_VALUES:
                result.setdefault((key, parsed.folded), parsed)
    return [*result.values()]


def own_date(fields: Mapping[str, object]) -> float | None:
    """The date of a document by its fields (OWN_DATES), in seconds since 1970; None without one.

    >>> own_date({"title": "Tea"}), own_date({"created": "no", "updated": "1970-01-01T00:00:09Z"})
    (None, 9.0)
    """
    named = {field_name(name): value for name, value in fields.items()}
    for name in OWN_DATES:
        for item in _items(named.get(name)):
            span = date_span(str(item))
            if span:
                return span[0]
    return None


def number(text: str) -> float | None:
    """The number that a text consists of; None when it is not a number.

    >>> number("-1.5"), number("1,5"), number("nan")
    (-1.5, None, None)
    """
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def date_span(text: str, now: datetime | None = None) -> tuple[float, float] | None:
    """(start, end) in seconds since 1970 of a date, the end exclusive: a day, month or year is the
    whole span. A date without a time zone is in this machine's. None when the text is not a date.
    now: the base of relative dates (`2w`, two weeks ago; `today`; `yesterday`); without it they
    are not accepted.

    >>> start, end = date_span("2026-02-01")
    >>> end - start == 86400
    True
    >>> date_span("2026-02-30"), date_span("2w")
    (None, None)
    """
    text = text.strip()
    try:
        if match := _ISO.fullmatch(text):
            return _iso(match)
        if _YEAR.fullmatch(text):
            year = int(text)
            return seconds(datetime(year, 1, 1)), _first_of(year + 1, 1)
        if _MAIL.match(text):
            from email.utils import parsedate_to_datetime  # takes 10 ms to import

            start = parsedate_to_datetime(text).timestamp()
            return start, start + 1
        return _relative(text.casefold(), now) if now else None
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def seconds(moment: datetime) -> float:
    """A moment in seconds since 1970; one without a time zone is in this machine's."""
    try:
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):  # a year outside the range of the C library
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _later(moment: datetime, by: timedelta) -> float:
    """moment + by, in seconds since 1970; the last datetime where that overflows."""
    try:
        return seconds(moment + by)
    except OverflowError:
        return seconds(datetime.max)


def _first_of(year: int, month: int) -> float:
    return seconds(datetime.max if year > MAXYEAR else datetime(year, month, 1))


def _iso(match: re.Match[str]) -> tuple[float, float]:
    year, month, day, hour, minute, second, zone = match.groups()
    if day is None:
        first = datetime(int(year), int(month), 1)
        return seconds(first), _first_of(int(year) + int(month) // 12, int(month) % 12 + 1)
    whole = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0))
    if hour is None:
        return seconds(whole), _later(whole, timedelta(days=1))
    if zone:
        whole = whole.replace(tzinfo=datetime.strptime(zone.upper(), "%z").tzinfo)
    start = seconds(whole) + int(second or 0)
    return start, start + (1 if second else 60)


def _relative(text: str, now: datetime) -> tuple[float, float] | None:
    midnight = datetime.combine(now.date(), time())
    if text in ("today", "yesterday"):
        start = midnight - timedelta(days=text == "yesterday")
        return seconds(start), seconds(start + timedelta(days=1))
    if text == "now":
        return seconds(now), seconds(now)
    match = _AGO.fullmatch(text)
    if not match:
        return None
    count, unit = int(match[1]), match[2][0].lower()
    if unit == "h":
        start = now - timedelta(hours=count)
        return seconds(start), seconds(start)
    if unit in "dw":
        start = midnight - timedelta(days=count * (7 if unit == "w" else 1))
    else:
        start = datetime.combine(
            _months_before(now.date(), count * (12 if unit == "y" else 1)), time()
        )
    return seconds(start), seconds(start + timedelta(days=1))


def _months_before(day: date, count: int) -> date:
    """The same day, count months earlier; the last day of a month that is too short.

    >>> _months_before(date(2026, 3, 31), 1)
    datetime.date(2026, 2, 28)
    """
    from calendar import monthrange

    months = day.year * 12 + day.month - 1 - count
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _items(value: object) -> Iterator[object]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    elif value is not None and not isinstance(value, dict):
        yield value


def _value(name: str, value: object) -> Value | None:
    if isinstance(value, bool):
        text = str(value).lower()
        return Value(name, TRUTH, text, text, None)
    text = " ".join(str(value).split())
    if not text or len(text) > LONGEST:
        return None
    as_number = float(value) if isinstance(value, int | float) else number(text)
    of_date = name in OWN_DATES or name.endswith(("date", "_at"))
    span = None if _YEAR.fullmatch(text) and not of_date else date_span(text)
    if span:
        return Value(name, DATE, text, folded(text), span[0])
    kind = TEXT if as_number is None else NUMBER
    return Value(name, kind, text, folded(text), as_number)
