"""iCalendar (RFC 5545) and vCard (RFC 6350): each entry is a part with its name as heading."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from qrank.errors import NoTextError
from qrank.ingest.decode import decode, decode_labelled
from qrank.ingest.extract.building import Builder
from qrank.results import Document

_PROPERTY = re.compile(
    r"(?:[\w-]{1,60}\.)?(?P<name>[A-Za-z][\w-]{0,60})"
    r"(?P<parameters>(?:;(?:[^\":;]|\"[^\"]*\")*+)*+):(?P<value>.*)",
    re.DOTALL,
)
_PARAMETER = re.compile(r";([\w-]+)(?:=((?:\"[^\"]*\"|[^\";])*+))?")
_ESCAPE = re.compile(r"\\(.)")
_TIME = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)(?:T(\d\d):?(\d\d)(?::?\d\d)?(Z?))?")
_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")
_LABELS = {  # for properties whose names are not words
    "DTSTART": "start", "DTEND": "end", "TEL": "phone", "ADR": "address", "BDAY": "birthday",
    "N": "name", "ORG": "organization",
}  # fmt: skip
_TIMES = frozenset(
    "DTSTART DTEND DUE COMPLETED BDAY ANNIVERSARY RECURRENCE-ID EXDATE RDATE".split()
)
_SKIPPED = frozenset(  # properties for programs
    "UID DTSTAMP CREATED LAST-MODIFIED SEQUENCE TRANSP CLASS PRODID VERSION REV PHOTO LOGO SOUND "
    "KEY METHOD CALSCALE TRIGGER ACTION ATTACH-DATA GEO PRIORITY RRULE PERCENT-COMPLETE SOURCE "
    "TZOFFSETFROM TZOFFSETTO TZNAME TZID CLIENTPIDMAP REQUEST-STATUS MAILER X-ABLABEL "
    "X-WR-ALARMUID X-MOZ-GENERATION X-MOZ-LASTACK ACKNOWLEDGED DURATION REPEAT FBURL "
    "CALADRURI CALURI X-ABSHOWAS X-ABUID X-IMAGEHASH X-IMAGETYPE X-APPLE-STRUCTURED-LOCATION "
    "X-LIC-LOCATION X-ALT-DESC PROFILE BEGIN END".split()
)
_ENTRIES = ("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY", "VCARD")
MAX_DEPTH = 50


class _Property(NamedTuple):
    name: str
    parameters: dict[str, str]
    value: str
    line: int


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document of all entries, with the calendar's title, or that of a single entry.

    Raises NoTextError when there is no calendar and no card.
    """
    reader = _Reader()
    for each in _properties(file.read()):
        reader.add(each)
    yield reader.document()


class _Reader:
    """Converts properties to text, entry by entry."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._inside: list[str] = []  # the open components
        self._entry: list[_Property] = []
        self._title = ""
        self._names: list[str] = []
        self._fields: dict[str, object] = {}
        self._has_component = False

    def add(self, prop: _Property) -> None:
        kind = prop.value.strip().upper()
        if prop.name == "BEGIN":
            self._has_component = True
            if kind in _ENTRIES:
                self._close()
            if len(self._inside) < MAX_DEPTH:
                self._inside.append(kind)
        elif prop.name == "END":
            if kind in self._inside:
                del self._inside[self._inside.index(kind) :]
            if kind in _ENTRIES:
                self._close()
        elif "VTIMEZONE" in self._inside:
            pass
        elif any(kind in _ENTRIES for kind in self._inside):
            self._entry.append(prop)
        elif prop.name in ("X-WR-CALNAME", "NAME"):
            self._title = self._title or _text(prop)
        elif prop.name == "X-WR-CALDESC":
            self._builder.paragraph(_text(prop), prop.line)

    def document(self) -> Document:
        self._close()
        if not self._has_component:
            raise NoTextError("it contains no calendar and no card")
        is_single = len(self._names) == 1
        title = self._title or (self._names[0] if is_single else "")
        return self._builder.document(title, self._fields if is_single else None)

    def _close(self) -> None:
        """Add the open entry, if there is one."""
        entry, self._entry = self._entry, []
        if not entry:
            return
        by_name = {each.name: each for each in reversed(entry)}
        title_names = [n for n in ("SUMMARY", "FN", "N", "ORG") if n in by_name]
        name = _text(by_name[title_names[0]]) if title_names else ""
        self._names.append(name)
        self._builder.part()
        self._builder.headings(name)
        lines, numbers = [], []
        for each in entry:
            if each.name in _SKIPPED or each.parameters.get("ENCODING", "")[:1] in ("B", "b"):
                continue
            value = _text(each)
            if each.name == "N" and value == name:
                continue
            if value and not (each.value.startswith("data:") and len(value) > 500):
                lines.append(value if value == name else f"{_label(each)}: {value}")
                numbers += [each.line] * (value.count("\n") + 1)
        self._builder.paragraph("\n".join(lines), lines=numbers)
        self._builder.part()
        self._builder.headings()
        for name in ("DTSTART", "DTEND", "DUE"):
            if name in by_name:
                self._fields[_LABELS.get(name, name.lower())] = _time(by_name[name].value)


def _label(prop: _Property) -> str:
    return _LABELS.get(prop.name, prop.name.removeprefix("X-").lower())


def _text(prop: _Property) -> str:
    """A property's value as readable text.

    >>> _text(_Property("ADR", {}, ";;1 High St;Cork;;;Ireland", 1))
    '1 High St, Cork, Ireland'
    """
    value = prop.value
    if prop.name in _TIMES:
        zone = prop.parameters.get("TZID", "")
        return ", ".join(map(_time, value.split(","))) + f" {zone}".rstrip()
    if prop.name in ("N", "ADR", "ORG", "GENDER"):
        parts = [_unescaped(part).strip() for part in re.split(r"(?<!\\);", value)]
        if prop.name == "N":
            family, given, *rest = [*parts, "", ""]
            parts = [" ".join(filter(None, [*rest[1:2], given, *rest[:1], family, *rest[2:3]]))]
        return ", ".join(part for part in parts if part)
    value = _unescaped(value)
    if value[:7].lower() == "mailto:":
        value = value[7:]
    if name := prop.parameters.get("CN"):
        value = f"{name} <{value}>"
    return value.strip()


def _unescaped(value: str) -> str:
    return _ESCAPE.sub(lambda match: "\n" if match[1] in "nN" else match[1], value)


def _time(value: str) -> str:
    """A date or time in ISO form, without seconds; other values unchanged.

    >>> _time("20240503T093000Z"), _time("20240503"), _time("--0503")
    ('2024-05-03 09:30 UTC', '2024-05-03', '--0503')
    """
    match = _TIME.match(value.strip())
    if not match:
        return value.strip()
    day = f"{match[1]}-{match[2]}-{match[3]}"
    return f"{day} {match[4]}:{match[5]}{' UTC' if match[6] else ''}" if match[4] else day


def _properties(data: bytes) -> Iterator[_Property]:
    lines = _unfolded(data)
    text = decode(b"\n".join(line for _, line in lines))[0] if lines else ""
    numbers = [number for number, _ in lines]
    pending: list[str] = []
    start = 0
    for number, line in zip(numbers, text.split("\n"), strict=False):
        start = start if pending else number
        # A quoted-printable value continues in the next line after a "=".
        is_quoted = pending or "QUOTED-PRINTABLE" in line[:200].upper()
        if is_quoted and line.endswith("="):
            pending.append(line[:-1])
            continue
        match = _PROPERTY.match("".join([*pending, line]))
        pending = []
        if match:
            yield _property(match, start)
    if pending and (match := _PROPERTY.match("".join(pending))):
        yield _property(match, start)


def _property(match: re.Match[str], line: int) -> _Property:
    parameters: dict[str, str] = {}
    for name, value in _PARAMETER.findall(match["parameters"]):
        # In vCard 2.1, a parameter may be a value without a name.
        key = name.upper() if value else ("ENCODING" if name.upper() in _ENCODINGS else name)
        parameters[key] = (value or name).strip('"')
    value = match["value"]
    if parameters.get("ENCODING", "").upper() == "QUOTED-PRINTABLE":
        value = _from_quoted(value, parameters.get("CHARSET", "utf-8"))
    return _Property(match["name"].upper(), parameters, value, line)


_ENCODINGS = frozenset(("QUOTED-PRINTABLE", "BASE64", "B", "8BIT", "7BIT"))


def _from_quoted(value: str, charset: str) -> str:
    data = binascii.a2b_qp(value.encode("utf-8", "replace"))
    text = decode_labelled(data, charset)
    return text.replace("\r\n", "\n")


def _unfolded(data: bytes) -> Sequence[tuple[int, bytes]]:
    """(line number, line) with folded lines joined, in bytes, as they may be folded within a
    character."""
    if data.startswith(_MARKS):
        data = decode(data)[0].encode("utf-8")
    lines: list[tuple[int, list[bytes]]] = []
    for number, line in enumerate(
        data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), 1
    ):
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1][1].append(line[1:])
        else:
            lines.append((number, [line]))
    return [(number, b"".join(pieces)) for number, pieces in lines]
