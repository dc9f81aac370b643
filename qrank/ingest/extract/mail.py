"""E-mail: single messages (.eml) and mailboxes (mbox); a message is a part of its own."""

from __future__ import annotations

import email
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import TYPE_CHECKING, Any, BinaryIO

from qrank.ingest.decode import decode_labelled
from qrank.ingest.extract import MBOX, html
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

MAX_MESSAGE = 32 << 20  # bytes; what is beyond is cut
# Characters of a header that are parsed: Python's parser takes quadratic time.
MAX_HEADER, MAX_CONTENT_HEADER = 8000, 2000
MESSAGES_A_PART = 50  # what is handed on at once
_SHOWN = ("From", "To", "Cc", "Date", "Subject")


if TYPE_CHECKING:
    _EmailPolicy = EmailPolicy[EmailMessage]
else:
    _EmailPolicy = EmailPolicy


class _Policy(_EmailPolicy):
    """Headers that are too long, or on which Python's parser fails, are left as they are."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        if name.lower().startswith("content-"):
            value = value[:MAX_CONTENT_HEADER]
        elif len(value) > MAX_HEADER:
            return value
        try:
            return super().header_fetch_parse(name, value)
        except Exception:  # IndexError, AttributeError, RecursionError and more
            return value


_POLICY = _Policy()


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the message; its subject is the title."""
    builder = Builder()
    title, fields = _add(builder, file.read(MAX_MESSAGE), 1)
    yield builder.document(title, fields)


def extract_mbox(file: BinaryIO) -> Iterator[Document]:
    """Yield the messages of a mailbox, a few at a time."""
    builder = Builder()
    for count, (raw, line) in enumerate(_messages(file), 1):
        builder.part()
        _add(builder, raw, line)
        if count % MESSAGES_A_PART == 0:
            yield builder.document()
            builder = Builder()
    yield builder.document()


def _messages(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(message, line it begins on) of each; one begins after a line "From …", with a time when the
    first has one, that follows a blank line (RFC 4155)."""
    lines: list[bytes] = []
    size = start = 0
    blank = timed = True
    for number, line in enumerate(file, 1):
        if number == 1:
            timed = bool(MBOX.match(line))
        if blank and (MBOX.match(line) if timed else line.startswith(b"From ")):
            if lines:
                yield b"".join(lines), start
            lines, size, start = [], 0, number + 1
        elif start and size < MAX_MESSAGE:
            lines.append(line)
            size += len(line)
        blank = not line.strip()
    if lines:
        yield b"".join(lines), start


def _add(builder: Builder, raw: bytes, line: int) -> tuple[str, dict[str, object]]:
    message = email.message_from_bytes(raw, policy=_POLICY)
    headers = _headers(message)
    subject = headers.get("Subject", "")
    builder.headings(subject)
    builder.paragraph(_shown(headers), line)
    unseparated = any(isinstance(d, MissingHeaderBodySeparatorDefect) for d in message.defects)
    places = _Places(raw, line, has_headers=not unseparated)
    attached = ""  # the name of the text that is read
    for part in _parts(message):
        attached = _file_name(part)
        if attached:
            builder.part()
        builder.headings(subject, attached)
        if part is not message:
            builder.paragraph(_shown(_headers(part)), places.last)
        text = "" if part.is_multipart() else _text(part)
        if part.get_content_type() == "text/html":
            inner = Builder()
            html.add(inner, text, line=None)
            builder.note = builder.note or inner.note
            text = inner.document().text
        for paragraph in text.replace("\r\n", "\n").split("\n\n"):
            builder.paragraph(paragraph, lines=places.of(paragraph))
    names = [name for part in message.walk() if (name := _file_name(part))]
    if names:
        if attached:
            builder.part()
        builder.headings(subject)
        builder.paragraph("Attachments: " + ", ".join(names), places.last)
    fields = {name.lower(): value for name, value in headers.items()}
    return subject, dict(fields)


def _headers(message: EmailMessage) -> dict[str, str]:
    return {name: value for name in _SHOWN if (value := _header(message, name))}


def _shown(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _header(message: EmailMessage, name: str) -> str:
    return one_line(str(message.get(name) or ""))


def _file_name(part: EmailMessage) -> str:
    try:
        return one_line(part.get_filename() or "")
    except Exception:  # as above
        return ""


def _text(part: EmailMessage) -> str:
    """A part's text in the encoding that it names, else in the one it seems to have."""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return ""
    try:
        named = part.get_content_charset() or ""
    except (LookupError, ValueError, AttributeError):  # what it says is no name
        named = ""
    # (us-ascii is what programs say that don't know.)
    return decode_labelled(data, "" if named.lower() == "us-ascii" else named)


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The texts to read, in order, and the messages within that message, which may be texts."""
    pending = [message]
    while pending:
        part = pending.pop()
        if part.get_content_maintype() == "text" or (part is not message and _headers(part)):
            yield part
        if part.is_multipart():
            pending += reversed(_wanted(part))


def _wanted(part: EmailMessage) -> list[EmailMessage]:
    """What to read within a part: of alternatives the first with plain text, else the last."""
    inner = [each for each in part.get_payload() if isinstance(each, EmailMessage)]
    if part.get_content_type() != "multipart/alternative":
        return inner
    plain = [each for each in inner if any(map(_is_plain, each.walk()))]
    return plain[:1] or inner[-1:]


def _is_plain(part: EmailMessage) -> bool:
    return part.get_content_type() == "text/plain" and bool(_text(part).strip())


class _Places:
    """Finds the lines of the file that a paragraph is on, as far as it is not encoded."""

    def __init__(self, raw: bytes, first: int, *, has_headers: bool) -> None:
        lines = [line.strip() for line in raw.split(b"\n")]
        self._count = len(lines)
        self._first = first
        self._at = lines.index(b"") if has_headers and b"" in lines else 0
        self._of: dict[bytes, list[int]] = {}  # where each different line is
        for i, line in enumerate(lines):
            self._of.setdefault(line, []).append(i)

    @property
    def last(self) -> int:
        """The last line that was found."""
        return self._first + self._at

    def of(self, paragraph: str) -> Sequence[int]:
        """The line of the file of each line of a paragraph; an encoded one is all where the last
        one was found."""
        start = paragraph.strip().partition("\n")[0].strip().encode("utf-8", "replace")
        places = self._of.get(start, ()) if start else ()
        nearest = bisect_left(places, self._at)
        if nearest == len(places):
            return [self.last]
        i = places[nearest]
        self._at = min(i + paragraph.strip("\n").count("\n") + 1, self._count) - 1
        return range(self._first + i, self._first + self._at + 1)
