"""Decoding bytes: by a byte order mark, as UTF-8, by a guess, or by a declared encoding."""

from __future__ import annotations

import codecs
import re

from qrank.errors import NoTextError
from qrank.ingest.guess import better, guess
from qrank.ingest.labels import codec_of

SAMPLE = 65_536  # bytes that an encoding is guessed by
_MARKS = (  # UTF-32 before UTF-16, whose mark is a prefix of UTF-32's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Error handlers: invalid bytes in UTF-8 are decoded as cp1252; in Japanese encodings, characters
# that are not in JIS X 0208 are decoded as in Windows' code page.
_AS_WESTERN, _AS_WINDOWS = "qrank-western", "qrank-windows"
_JAPANESE = ("euc_jp", "iso2022_jp_ext")
_ESCAPES = re.compile(rb"\x1b\$[@B]|\x1b\([IJ]|\x1b\$\(D")
_HZ = re.compile(rb"~\{((?:[\x21-\x77][\x21-\x7e])+)~\}")  # RFC 1843
_LEAST_HZ = 8  # bytes: four characters
_TWO_BYTES = ("gb18030", "cp932", "cp949", "big5hkscs", "euc_jp", "johab")
_KOREAN_ESCAPE = b"\x1b$)C"
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_NULS = re.compile(rb"\0+")
# Control characters that are not in texts, unlike form feeds and those for terminals.
_CONTROLS = bytes([*range(1, 8), *range(14, 27)])
# Limits for text with NULs in it, in bytes of text: in total, for each run of NULs, the same if it
# is not valid UTF-8, for each control character.
_MIN_TEXT, _PER_NULS, _PER_NULS_OTHER, _PER_CONTROL = 8, 32, 100, 500
_MIN_WIDE = 4  # characters of text in UTF-16 or UTF-32
_SEQUENCE = re.compile(r"[^\x00-\u07ff]")  # three bytes of UTF-8, or four


def decode(data: bytes) -> tuple[str, int]:
    """Return (text, length of the byte order mark in bytes).

    Invalid bytes are decoded as `on_error` says. Raises NoTextError for binary data.
    """
    encoding, skipped = encoding_of(data)
    return without_nuls(data[skipped:].decode(encoding, on_error(encoding))), skipped


def without_nuls(text: str) -> str:
    """A text with a blank for each NUL, which many programs can't handle. Offsets stay the same."""
    return text.replace("\0", " ")


def decode_labelled(data: bytes, label: str, *, default: str = "") -> str:
    """Decode a page or a mail by its declared encoding, unless that is clearly wrong: the bytes are
    valid UTF-8, or invalid in the declared encoding but valid in another.

    default: the codec where there is no declared encoding, and none can be guessed.
    """
    return without_nuls(_decode_labelled(data, label, default))


def _decode_labelled(data: bytes, label: str, default: str) -> str:
    try:
        codec = codec_of(label)
    except LookupError:
        codec = ""
    mark = _mark(data)
    if mark or not codec:
        return _decoded(data, default)
    if codec.startswith(("utf-16", "utf-32")):
        # The declaration was read as ASCII, so it is wrong, unless there are zero bytes.
        return _decoded(data, codec) if b"\0" in data[:8192] else _decoded(data, "utf-8")
    if not data.isascii() and codec != "utf-8":
        try:
            text = data.decode("utf-8")
            # (Two bytes of UTF-8 may be one Chinese character as well.)
            if len(_beyond(text)) > 1 and (codec not in _TWO_BYTES or _SEQUENCE.search(text)):
                return text
        except UnicodeDecodeError:
            pass
    text = data.decode(codec, on_error(codec) if codec in _JAPANESE else "replace")
    wrong = text.count("\ufffd")
    if codec == "utf-8" and wrong and _mostly_utf8(text):
        return data.decode("utf-8", _AS_WESTERN)
    if wrong * 20 <= len(_beyond(text)) or (wrong == 1 and text.endswith("\ufffd")):
        likely = better(data, codec)
        return text if likely == codec else data.decode(likely, on_error(likely))
    return _decoded(data, codec)


def _decoded(data: bytes, default: str) -> str:
    try:
        return decode(data)[0]
    except NoTextError:
        return data.decode(default or "utf-8", "replace")


def encoding_of(data: bytes) -> tuple[str, int]:
    """Return (encoding, length of the byte order mark). Raises NoTextError for binary data."""
    if mark := _mark(data):
        return mark
    head = data[:8192]
    if b"\0" in head:
        if encoding := _wide_ascii(head):
            return encoding, 0
        remainder = _delete_nuls(data)
        if remainder is None:
            return _wide(head), 0
        data = remainder
    if data.isascii():
        return _escaped(data) if b"\x1b" in data or b"~{" in data else "utf-8", 0
    try:
        data.decode("utf-8")
        return "utf-8", 0
    except UnicodeDecodeError:
        return _guess(data), 0


def on_error(encoding: str) -> str:
    """The error handler (`errors` of open and decode) for invalid bytes in an encoding: "replace",
    or one of those registered here."""
    if encoding in _JAPANESE:
        return _AS_WINDOWS
    return _AS_WESTERN if encoding == "utf-8" else "replace"


def _mark(data: bytes) -> tuple[str, int] | None:
    """(encoding, length) of the byte order mark; None without one."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding, len(mark)
    return None


def _escaped(data: bytes) -> str:
    """The encoding of ASCII bytes that contain escape characters (maybe terminal colours) or ~{
    (maybe source code): HZ, ISO-2022-KR, ISO-2022-JP, or UTF-8."""
    sample = data[:SAMPLE]
    runs = _HZ.findall(sample)
    chinese = b"".join(runs)
    if len(chinese) >= _LEAST_HZ and sample.count(b"~{") == len(runs):
        usual = sum(0x21 <= row <= 0x23 or 0x30 <= row <= 0x57 for row in chinese[::2])
        if usual * 2 > 0.9 * len(chinese):  # most are punctuation or frequent characters
            return "hz"
    if _KOREAN_ESCAPE in data:
        return "iso2022_kr"
    return "iso2022_jp_ext" if _ESCAPES.search(data) else "utf-8"


def _beyond(text: str) -> str:
    """The characters of a text that are not ASCII."""
    return "".join(char for char in text if char >= "\x80")


def whole_lines(data: bytes) -> bytes:
    """The start of a file without its last line, which may be truncated within a character; all of
    it when there is only one line."""
    return data[: data.rfind(b"\n") + 1] or data


def line_end(text: str) -> str:
    """The line terminator by which lines are counted: a newline, or a carriage return when the text
    has no newline."""
    return "\r" if "\r" in text and "\n" not in text else "\n"


def _wide_ascii(head: bytes) -> str:
    """The encoding of mostly ASCII text in UTF-16 without a byte order mark, where every other byte
    is zero; empty for other data."""
    head = head[: len(head) & ~3]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[start::2].count(0), head[1 - start :: 2]
        if zeros > 0.2 * len(head) and 0 not in others and not _controls(others):
            return encoding
    return ""


def _delete_nuls(data: bytes) -> bytes | None:
    """A text without its NULs: few ones, or long runs, as a crash leaves them in a log. None when
    it is not text in an encoding that extends ASCII."""
    sample = data.strip(b"\0")[:8192]
    text = sample.replace(b"\0", b"")
    runs = len(_NULS.findall(sample))
    if len(text) < _MIN_TEXT or _controls(text) * _PER_CONTROL > len(text):
        return None
    if runs > 1 + len(text) // _PER_NULS or sample[257:262] == b"ustar":  # tar
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(text)
    except UnicodeDecodeError:
        if runs * _PER_NULS_OTHER > len(text):
            return None
    return data.replace(b"\0", b"")


def _controls(data: bytes) -> int:
    return len(data) - len(data.translate(None, _CONTROLS))


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32 without a mark. Raises NoTextError when it is neither."""
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        text = head.decode(encoding, "replace")
        if text[-1:] == "\ufffd":  # the sample ended within a character
            text = text[:-1]
        words = "".join(text.split())
        usual = sum(
            char < "\u3100" or "\u4e00" <= char <= "\u9fff" or char > "\uabff" for char in words
        )
        is_usual = len(words) >= _MIN_WIDE and usual > 0.95 * len(words)
        if is_usual and words.isprintable() and "\ufffd" not in words:
            return encoding
    raise NoTextError("binary file")


def _guess(data: bytes) -> str:
    first = _BEYOND_ASCII.search(data)
    start = data.rfind(b"\n", 0, first.start() if first else 0) + 1
    sample = data[start : start + SAMPLE]
    if _mostly_utf8(sample.decode("utf-8", "replace")):
        return "utf-8"
    if _controls(sample) * 50 > len(sample):
        raise NoTextError("binary file")
    return guess(sample)


def _mostly_utf8(text: str) -> bool:
    """Whether text is UTF-8 with a few invalid bytes, or with some lines in another encoding."""
    broken = text.count("\ufffd")
    return len(_beyond(text)) > 3 * broken


def _as_western(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if error.reason == "unexpected end of data":  # a truncated character
        return "\ufffd", error.end
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    """Decode a pair of bytes that is not in JIS X 0208 as in Windows' code page 932 (①, ㈱)."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    pair = bytes(byte & 0x7F for byte in error.object[error.start : error.start + 2])
    if len(pair) < 2 or min(pair) < 0x21:
        return "\ufffd", error.end
    row, cell = pair[0] - 0x21, pair[1] - 0x21
    high = (0x81 if row < 62 else 0xC1) + row // 2
    low = 0x9F + cell if row % 2 else 0x40 + cell + (cell >= 63)
    text = bytes((high, low)).decode("cp932", "replace")
    return (text, error.start + 2) if len(text) == 1 else ("\ufffd", error.end)


codecs.register_error(_AS_WESTERN, _as_western)
codecs.register_error(_AS_WINDOWS, _as_windows)
