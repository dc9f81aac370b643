"""Bytes -> text: by a byte order mark, else UTF-8, else what charset-normalizer makes of it."""

from __future__ import annotations

import codecs
import re

from qrank.errors import NoTextError

SAMPLE = 65_536  # bytes that the guess of an encoding looks at
_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WESTERN = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœßúùûüÿýÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜŸÝ’‘“”„–—…«»°§€£©®·•ºª¿¡\xa0"
)
# For open(…, errors=…): in UTF-8 the bytes that are none are taken for cp1252's.
WESTERN = "qrank-western"
# Codecs that are for names or for programs; the first two take quadratic time.
_NO_ENCODINGS = frozenset("idna punycode unicode-escape raw-unicode-escape undefined".split())
_CYRILLIC = ("cp1251", "koi8-r", "cp866")
_CYRILLIC_WORD = re.compile(r"[\u0400-\u04ff]{3,}")
_PAIR = re.compile(r"[\x80-\uffff]{2}")


def decode(data: bytes) -> tuple[str, int]:
    """Return (text, bytes before it that are a byte order mark).

    Bytes that mean nothing in the encoding become U+FFFD. Raises NoTextError for binary data.
    """
    encoding, skipped = encoding_of(data)
    return data[skipped:].decode(encoding, "replace"), skipped


def encoding_of(data: bytes) -> tuple[str, int]:
    """Return (encoding, length of the byte order mark). Raises NoTextError for binary data."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    head = data[:8192]
    if b"\0" in head:
        return _wide(head), 0
    if b"\x1b$" in head:
        return "iso2022_jp", 0
    try:
        data.decode("utf-8")
        return "utf-8", 0
    except UnicodeDecodeError:
        return _guess(data), 0


def text_encoding(name: str) -> str:
    """Python's name of an encoding that a page or a mail says it has. Raises LookupError for one
    that texts are never in, ValueError for what is no name."""
    found = codecs.lookup(name).name
    if found.replace("_", "-") in _NO_ENCODINGS:
        raise LookupError(name)
    return found


def whole_lines(data: bytes) -> bytes:
    """The beginning of a file without its last line, which may end within a character; all of it
    when there is but one."""
    return data[: data.rfind(b"\n") + 1] or data


def line_end(text: str) -> str:
    """What ends the lines of a text, as they are counted: a newline, unless it has but carriage
    returns."""
    return "\r" if "\r" in text and "\n" not in text else "\n"


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: of mostly ASCII text every other byte is zero."""
    half = len(head) // 2
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[start::2].count(0), head[1 - start :: 2].count(0)
        if zeros > 0.4 * half and others == 0:
            return encoding
    raise NoTextError("binary file")


def _guess(data: bytes) -> str:
    sample = data[:SAMPLE]
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    if broken * 10 < beyond or (broken * 1000 < len(text) < 1000 * SAMPLE and beyond > broken):
        return "utf-8"  # a few bad bytes in good UTF-8, or the sample ended in a character
    if sum(sample.count(bytes([code])) for code in (*range(1, 8), *range(14, 27))) * 50 > len(
        sample
    ):
        raise NoTextError("binary file")
    if _is_western(sample):
        return "cp1252"
    if known := _cyrillic(sample):
        return known
    from charset_normalizer import from_bytes

    # Far apart encodings give themselves away in a few thousand bytes; more only takes time.
    best = from_bytes(_dense(sample), steps=5, chunk_size=1024).best()
    if best is None:
        raise NoTextError("binary file")
    return best.encoding


def _dense(sample: bytes, wanted: int = 8192) -> bytes:
    """The lines of a sample that have something beyond ASCII, where the encoding shows."""
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    return b"\n".join(lines)[:wanted] or sample[:wanted]


def _cyrillic(sample: bytes) -> str:
    """The encoding in which what lies beyond ASCII is Cyrillic words in small letters, the common
    ones often, if there is one: charset-normalizer takes a sentence of them for Chinese."""
    for encoding in _CYRILLIC:
        text = sample.decode(encoding, "replace")
        words = "".join(_CYRILLIC_WORD.findall(text))
        beyond = sum(char >= "\x80" for char in text)
        small = sum(char.islower() for char in words)
        common = sum(char in "оеаинт" for char in words)
        if len(words) > 0.8 * beyond and small > 0.7 * len(words) and common > 0.35 * len(words):
            return encoding
    return ""


def _is_western(sample: bytes) -> bool:
    """Whether what lies beyond ASCII is cp1252's: its letters one by one within words, its signs.

    charset-normalizer takes a short French text for Icelandic or Czech.
    """
    text = sample.decode("cp1252", "replace")
    beyond = [char for char in text if char >= "\x80"]
    ascii_letters = sum(char.isalpha() for char in text) - len(beyond)
    return (
        all(char in _WESTERN for char in beyond)
        and len(beyond) <= ascii_letters
        and 4 * len(_PAIR.findall(text)) <= len(beyond)
    )


def _as_western(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(WESTERN, _as_western)
