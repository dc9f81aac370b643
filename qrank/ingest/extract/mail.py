"""E-mail: single messages (.eml) and mailboxes (mbox). Each message is a part."""

from __future__ import annotations

import codecs
import email
import io
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from email.errors import CloseBoundaryNotFoundDefect, MissingHeaderBodySeparatorDefect
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from qrank.ingest.decode import decode_labelled
from qrank.ingest.extract import MBOX, html, is_picture
from qrank.ingest.extract.building import Builder
from qrank.ingest.extract.mails import encoded, parts
from qrank.ingest.extract.mails.headers import header, words
from qrank.results import Document
from qrank.settings import READ_ALL, Reading

MAX_MESSAGE = 32 << 20  # bytes; longer ones are truncated
# Characters of a header that is parsed: Python's parser takes quadratic time.
MAX_HEADER, MAX_CONTENT_HEADER = 8000, 2000
MESSAGES_PER_DOCUMENT = 50  # of a mailbox
MAX_ATTACHED = 64 << 20  # bytes of a file's attachments that are read
MAX_STUB = 60  # words of a plain text that only refers to the HTML text
_COMMIT = re.compile(rb"From [0-9a-f]{40} ")  # git format-patch
_HEADER_LINE = re.compile(rb"[!-9;-~]+:|>From ")
_EMLX_SIZE = re.compile(rb"(\d{2,10})[ \t]*\n(?=[A-Za-z][\w-]*:)")
_WORDS = re.compile(r"\w{2,}")
_ADDRESS = re.compile(r"https?:\S+|\S+@\S+")
_PGP_MESSAGE = re.compile(
    r"-----BEGIN PGP MESSAGE-----.*?(?:-----END PGP MESSAGE-----|\Z)", re.DOTALL
)
_PGP_SIGNATURE = re.compile(
    r"-----BEGIN PGP SIGNATURE-----.*?(?:-----END PGP SIGNATURE-----|\Z)", re.DOTALL
)
_SMIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_NOT_READ = (  # signatures, keys, encrypted content, metadata of Mac files
    "application/pgp-signature", "application/pgp-keys", "application/pgp-encrypted",
    "application/pkcs7-signature", "application/x-pkcs7-signature", *_SMIME,
    "application/applefile",
)  # fmt: skip
_NAMES = {"application/pdf": "attached.pdf"}  # for attachments without a name
# Delivery and read reports, which consist of fields.
_REPORTS = ("message/delivery-status", "message/disposition-notification")
MIN_PICTURE = 4 << 10  # bytes; smaller images (logos) are not read by OCR
_HEADERS = (*("From", "To", "Cc", "Bcc", "Newsgroups", "Date", "Subject", "Keywords", "Comments"),)


if TYPE_CHECKING:
    _EmailPolicy = EmailPolicy[EmailMessage]
else:
    _EmailPolicy = EmailPolicy


class _Policy(_EmailPolicy):
    """Does not parse headers that are too long, or on which Python's parser fails."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        if name.lower().startswith("content-"):
            value = value[:MAX_CONTENT_HEADER]
            if name.lower() == "content-transfer-encoding":  # (it has no parameters)
                value = value.partition(";")[0].strip()
        elif len(value) > MAX_HEADER:
            return value
        return _parsed(name, value)

    def parse(self, name: str, value: str) -> Any:
        try:
            return super().header_fetch_parse(name, value)
        except Exception:  # IndexError, AttributeError, RecursionError and more
            return value


_POLICY = _Policy()


@lru_cache(maxsize=64)
def _parsed(name: str, value: str) -> Any:
    """A parsed header, cached: Python parses it at each access."""
    return _POLICY.parse(name, value)


def extract(file: BinaryIO, reading: Reading = READ_ALL) -> Iterator[Document]:
    """Yield the message, whose subject is the title, then the files attached to it."""
    reader = _MailReader(reading)
    data, line = _with_newlines(file.read(MAX_MESSAGE)), 1
    if size := _EMLX_SIZE.match(data):  # Apple Mail (.emlx): the size, the message, a property list
        data, line = data[size.end() : size.end() + int(size[1])], 2
    title, fields = reader.add(data, line)
    yield reader.document(title, fields)
    yield from reader.attachments()


def extract_mbox(file: BinaryIO, reading: Reading = READ_ALL) -> Iterator[Document]:
    """Yield the messages of a mailbox, MESSAGES_PER_DOCUMENT in each document, then the files
    attached to them."""
    reader = _MailReader(reading)
    for count, (raw, line) in enumerate(_messages(_lines_of(file)), 1):
        reader.add(raw, line, own=True)
        if count % MESSAGES_PER_DOCUMENT == 0:
            yield reader.document()
    yield reader.document()
    yield from reader.attachments()


def _with_newlines(data: bytes) -> bytes:
    """A mail without a byte order mark, its lines ended by newlines: some old Mac programs ended
    them by carriage returns."""
    data = data.removeprefix(codecs.BOM_UTF8)
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def _lines_of(file: BinaryIO) -> Iterable[bytes]:
    """The lines of a mailbox, as in `_with_newlines`."""
    head = file.read(1 << 16)
    file.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    if b"\r" in head and b"\n" not in head:
        return io.BytesIO(_with_newlines(file.read()))
    return file


def _messages(lines: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """The messages of a mailbox, each with the number of its first line.

    A message begins after a line "From …" that is followed by headers (RFC 4155). The line has a
    time, or in a mailbox whose first line has none, a blank line before it. Lines of git
    format-patch (with the hash of a commit) only count when the first line is one.
    """
    message_lines: list[bytes] = []
    size = start = 0
    blank = True
    timed = commits = False
    for number, (line, following) in enumerate(_with_next(lines), 1):
        if number == 1:
            timed, commits = bool(MBOX.match(line)), bool(_COMMIT.match(line))
        begins = MBOX.match(line) if timed else blank and line.startswith(b"From ")
        headed = _HEADER_LINE.match(following) or (blank and not following.strip())
        if begins and (number == 1 or (headed and (commits or not _COMMIT.match(line)))):
            if message_lines:
                yield b"".join(message_lines), start
            message_lines, size, start = [], 0, number + 1
        elif start and size < MAX_MESSAGE:
            message_lines.append(line)
            size += len(line)
        blank = not line.strip()
    if message_lines:
        yield b"".join(message_lines), start


def _with_next(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Each line with the next one, which is empty for the last."""
    return pairwise(chain(lines, [b""]))


class _MailReader:
    """Collects messages for documents, and their attachments."""

    def __init__(self, reading: Reading) -> None:
        self._builder = Builder()
        self._reading = reading
        self._files: dict[tuple[str, bytes], None] = {}
        self._skipped: list[tuple[str, str]] = []
        self._size = 0
        self._html_note = ""  # the first note on an HTML part
        self._encrypted = self._truncated = self._external = self._partial = 0  # parts

    def document(self, title: str = "", fields: Mapping[str, object] | None = None) -> Document:
        """The document of the messages added since the last one."""
        done, self._builder = self._builder, Builder()
        done.note = self._note()
        return done.document(title, fields)

    def attachments(self) -> Iterator[Document]:
        """The attached files, then the notes on what was skipped."""
        from qrank.ingest.extract.members import Members  # imported here: it imports this module

        members = Members(self._reading)
        for name, reason in self._skipped:
            members.skip(name, reason)
        for name, data in self._files:
            yield from members.read(name, io.BytesIO(data))
        yield from members.final_notes(self._note())

    def _note(self) -> str:
        """The note on what was skipped of the messages so far."""
        notes = [self._html_note]
        if self._encrypted:
            notes.append(f"{_count_parts(self._encrypted)} encrypted")
        if self._truncated:
            notes.append(f"{_count_parts(self._truncated)} truncated")
        if self._external:
            notes.append(f"{_count_parts(self._external)} not in the mail, but elsewhere")
        if self._partial:
            notes.append(f"{_count_parts(self._partial)} one of several mails, not put together")
        return "; ".join(filter(None, notes))

    def add(self, raw: bytes, line: int, *, own: bool = False) -> tuple[str, dict[str, object]]:
        """Add a message. Returns its subject and its headers as fields. own: the fields belong to
        the message's parts, not to the whole document."""
        builder = self._builder
        builder.part()
        message = email.message_from_bytes(raw, policy=_POLICY)
        for part in message.walk():
            parts.find_boundary(part)
        headers = _headers(message)
        fields: dict[str, object] = {name.lower(): value for name, value in headers.items()}
        builder.fields(fields if own else {})
        subject = headers.get("Subject", "")
        builder.headings(subject)
        builder.paragraph(_header_text(headers), line)
        unseparated = any(isinstance(d, MissingHeaderBodySeparatorDefect) for d in message.defects)
        lines = _Lines(raw, line, has_headers=not unseparated)
        attached = ""  # the file name of the current text part
        names: list[str] = []
        for part in _parts(message):
            attached = _file_name(part)
            if self._is_file(part, attached):
                continue
            if attached:
                builder.part()
            builder.headings(subject, attached)
            if part is not message:
                builder.paragraph(_header_text(_headers(part)), lines.last)
            if part.get_content_type() in _REPORTS:
                text = _report(part)
            else:
                text = "" if part.is_multipart() else self._shown_text(part, names)
            for paragraph in text.replace("\r\n", "\n").split("\n\n"):
                builder.paragraph(paragraph, lines=lines.of(paragraph))
        encrypted: set[int] = set()  # ids of the parts within encrypted ones
        for part in message.walk():
            if name := _file_name(part):
                names.append(name)
            if id(part) not in encrypted:
                self._take(part, name)
            if part.get_content_type() == "multipart/encrypted":
                encrypted.update(map(id, part.walk()))
        if names:
            if attached:
                builder.part()
            builder.headings(subject)
            builder.paragraph("Attachments: " + ", ".join(names), lines.last)
        return subject, fields

    def _is_file(self, part: EmailMessage, name: str) -> bool:
        """Whether a text part is a file of another format. If so, it is kept for `attachments`."""
        if part.is_multipart() or part.get_content_maintype() != "text":
            return False
        data = parts.payload(part)
        file = parts.file_name(part, name, data)
        if file and data.strip():
            is_unchanged = parts.is_rtf(data) or _charset(part) in ("", "utf-8")
            self._keep(file, data if is_unchanged else _text(part, data).encode("utf-8"))
        return bool(file)

    def _shown_text(self, part: EmailMessage, names: list[str]) -> str:
        """A part's text without markup, encrypted text and signatures.

        names: the names of files that are encoded in the text are added.
        """
        data, files, damaged = encoded.split_files(parts.payload(part))
        for name, content in files:
            names.append(name)
            self._keep(name, content)
        self._skipped += [(name, "damaged, or in several mails") for name in damaged]
        text = _text(part, data)
        kind = part.get_content_type()
        if kind in parts.HTML:
            text, note = _html_text(text)
            self._html_note = self._html_note or note
        elif kind in (parts.ENRICHED, parts.RICH):
            text = parts.plain(text, kind)
        if "-----BEGIN PGP" in text:
            self._encrypted += len(_PGP_MESSAGE.findall(text))
            text = _PGP_MESSAGE.sub("", _PGP_SIGNATURE.sub("", text))
        return text

    def _take(self, part: EmailMessage, name: str) -> None:
        """Keep an attached file for `attachments`; count parts that can't be read."""
        kind, main = part.get_content_type(), part.get_content_maintype()
        self._truncated += any(isinstance(d, CloseBoundaryNotFoundDefect) for d in part.defects)
        self._external += kind == "message/external-body"
        self._partial += kind == "message/partial"
        if kind == "multipart/encrypted" or (kind in _SMIME and _is_enveloped(part)):
            self._encrypted += 1
        elif not (
            part.is_multipart()
            or kind in _NOT_READ
            or main in ("text", "audio", "video", "message")
            or (main == "image" and not self._reading.ocr)
        ):
            data = part.get_payload(decode=True)
            min_size = MIN_PICTURE if main == "image" else 1
            unnamed = _NAMES.get(kind, "attachment")
            name = _picture_name(part, name) if main == "image" else name or unnamed
            if name and isinstance(data, bytes) and len(data) >= min_size:
                self._keep(name, data)

    def _keep(self, name: str, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_ATTACHED:
            self._skipped.append((name, f"more than {MAX_ATTACHED >> 20} MiB attached"))
        else:
            self._files[name, data] = None


def _picture_name(part: EmailMessage, name: str) -> str:
    """A file name for an image, with the suffix of its type; empty when it can't be read."""
    name = f"{PurePath(name or 'picture').stem}.{part.get_content_subtype()}"
    return name if is_picture(name) else ""


def _count_parts(count: int) -> str:
    return f"{count} part{'s are' if count > 1 else ' is'}"


def _is_enveloped(part: EmailMessage) -> bool:
    """Whether an S/MIME part is encrypted, not only signed."""
    return str(part.get_param("smime-type") or "enveloped").lower() != "signed-data"


def _html_text(text: str) -> tuple[str, str]:
    """(the text of an HTML part, the note on what was skipped)."""
    inner = Builder()
    html.add(inner, text, line=None)
    return inner.document().text, inner.note


def _headers(message: EmailMessage) -> dict[str, str]:
    return {name: value for name in _HEADERS if (value := header(message, name))}


def _header_text(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _file_name(part: EmailMessage) -> str:
    try:
        return words(part.get_filename() or "")
    except Exception:  # as in _Policy.parse
        return ""


def _report(part: EmailMessage) -> str:
    """The fields of a report, which Python parses as headers of messages in it."""
    inner = [each for each in part.get_payload() if isinstance(each, EmailMessage)]
    groups = ("\n".join(f"{n}: {v}" for n, v in each.raw_items()) for each in inner)
    return "\n\n".join(filter(None, groups))


def _text(part: EmailMessage, data: bytes | None = None) -> str:
    """A part's text, decoded as it declares, else by guessing. data: by default all of the part."""
    data = parts.payload(part) if data is None else data
    deleted = ""
    with suppress(LookupError, ValueError, AttributeError):
        deleted = str(part.get_param("delsp") or "")
    text = decode_labelled(data, _charset(part))
    # RFC 3676, DelSp=yes: a blank at the end of a line joins it to the next, and is deleted.
    return re.sub(r" \r?\n", "", text) if deleted.lower() == "yes" else text


def _charset(part: EmailMessage) -> str:
    """The encoding that a part declares. Empty for none, and for us-ascii, which programs declare
    that don't know the encoding."""
    try:
        named = (part.get_content_charset() or "").lower()
    except (LookupError, ValueError, AttributeError):  # an invalid name
        named = ""
    return "" if named == "us-ascii" else named


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """The text parts to read, in order, and the messages attached to the message."""
    pending = [message]
    while pending:
        part = pending.pop()
        if part.get_content_type() in _REPORTS:
            yield part
            continue
        if part.get_content_maintype() == "text" or (part is not message and _headers(part)):
            yield part
        if part.is_multipart():
            pending += reversed(_text_parts(part))


def _text_parts(part: EmailMessage) -> list[EmailMessage]:
    """The parts to read within a part: all, but of alternatives those of `_preferred` and calendar
    entries."""
    inner = [each for each in part.get_payload() if isinstance(each, EmailMessage)]
    if part.get_content_type() != "multipart/alternative":
        return inner
    entries = [each for each in inner if each.get_content_type() in parts.ENTRIES]
    texts = [each for each in inner if each not in entries]
    return _preferred(texts) + entries if texts else entries


def _preferred(inner: list[EmailMessage]) -> list[EmailMessage]:
    """The alternatives to read: the first with plain text, else the last (with HTML, if any). If
    the plain text lacks most words of the HTML, the HTML, and also a long plain text."""
    pages = [e for e in inner if any(p.get_content_type() == "text/html" for p in e.walk())]
    last = (pages or inner)[-1]
    plain = [each for each in inner if any(map(_is_plain, each.walk()))]
    if not plain or plain[0] is last:
        return [last]
    plain_words, other = _words(plain[0], "text/plain"), _words(last, "text/html")
    if 2 * len(plain_words & other) >= len(other):
        return plain[:1]
    return [last] if len(plain_words) <= MAX_STUB else [plain[0], last]


def _words(part: EmailMessage, kind: str) -> set[str]:
    """The words of the text parts of a type in a part, without addresses."""
    texts = [_text(each) for each in part.walk() if each.get_content_type() == kind]
    text = "\n".join(texts) if kind == "text/plain" else "\n".join(_html_text(t)[0] for t in texts)
    return set(_WORDS.findall(_ADDRESS.sub(" ", text).lower()))


def _is_plain(part: EmailMessage) -> bool:
    return part.get_content_type() == "text/plain" and bool(_text(part).strip())


class _Lines:
    """Finds the line numbers of the paragraphs of a message in the file; encoded ones have none."""

    def __init__(self, raw: bytes, first: int, *, has_headers: bool) -> None:
        lines = [line.strip() for line in raw.replace(b"\0", b" ").split(b"\n")]
        self._count = len(lines)
        self._first = first
        self._at = lines.index(b"") if has_headers and b"" in lines else 0
        self._of: dict[bytes, list[int]] = {}  # the indexes of each distinct line
        for i, line in enumerate(lines):
            self._of.setdefault(line, []).append(i)

    @property
    def last(self) -> int:
        """The last line that was found."""
        return self._first + self._at

    def of(self, paragraph: str) -> Sequence[int]:
        """The line number in the file of each line of a paragraph; that of the last found line for
        an encoded paragraph."""
        start = paragraph.strip().partition("\n")[0].strip().encode("utf-8", "replace")
        indexes = self._of.get(start, ()) if start else ()
        nearest = bisect_left(indexes, self._at)
        if nearest == len(indexes):
            return [self.last]
        i = indexes[nearest]
        self._at = min(i + paragraph.strip("\n").count("\n") + 1, self._count) - 1
        return range(self._first + i, self._first + self._at + 1)
