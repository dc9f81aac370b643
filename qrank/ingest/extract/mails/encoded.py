"""Files encoded in the text of a mail: uuencode (POSIX) and yEnc (yenc.org, 1.3)."""

from __future__ import annotations

import binascii
import re

MAX_FILES = 1000  # of one text
_BEGIN = re.compile(
    rb"^(?:begin [0-7]{3,4} ([^\r\n]+)|=ybegin ([^\r\n]*?)name=([^\r\n]+))\r?\n", re.M
)
_YENC_END = re.compile(rb"^=yend [^\r\n]*\r?\n?", re.MULTILINE)
_YENC_PART = re.compile(rb"=ypart [^\r\n]*\r?\n")
_ESCAPE = re.compile(rb"=(.)", re.DOTALL)
_SHIFTED = bytes((byte - 42) & 0xFF for byte in range(256))


def split_files(text: bytes) -> tuple[bytes, list[tuple[str, bytes]], list[str]]:
    """(the text without encoded files, (name, content) of these, the names of files that are
    damaged or split over several mails)."""
    if not (b"begin " in text and _BEGIN.search(text)):
        return text, [], []
    texts: list[bytes] = []
    files: list[tuple[str, bytes]] = []
    damaged: list[str] = []
    at = 0
    while len(files) < MAX_FILES and (begin := _BEGIN.search(text, at)):
        name = (begin[1] or begin[3]).decode("utf-8", "replace").strip(' "')
        decoded = _uu(text, begin.end()) if begin[1] else _yenc(text, begin)
        if decoded is None:  # ordinary text
            texts.append(text[at : begin.end()])
            at = begin.end()
            continue
        data, end = decoded
        texts.append(text[at : begin.start()])
        if data is None:
            damaged.append(name)
        else:
            files.append((name, data))
        at = end
    return b"".join((*texts, text[at:])), files, damaged


def _uu(text: bytes, start: int) -> tuple[bytes | None, int] | None:
    """(content, offset of the text after it), with None as content of a damaged file; None when the
    line at start is not uuencoded."""
    pieces: list[bytes] = []
    at = start
    while at < len(text):
        end = text.find(b"\n", at) + 1 or len(text)
        line = text[at:end].rstrip(b"\r\n")
        if line.rstrip() == b"end":
            return b"".join(pieces), end
        try:
            pieces.append(_uu_line(line))
        except binascii.Error:
            return (None, at) if pieces else None
        at = end
    return (None, at) if pieces else None


def _uu_line(line: bytes) -> bytes:
    """The data of a line. Raises binascii.Error for an invalid one."""
    if not line.strip(b" `"):
        return b""
    size = (line[0] - 32) & 63
    needed = 1 + (size + 2) // 3 * 4  # the line may lack trailing spaces
    if not 32 < line[0] <= 96 or len(line) > needed + 3:
        raise binascii.Error
    return binascii.a2b_uu(line[:needed])


def _yenc(text: bytes, begin: re.Match[bytes]) -> tuple[bytes | None, int] | None:
    """As _uu, for a yEnc file; content is None for one that is split over several mails."""
    end = _YENC_END.search(text, begin.end())
    if end is None:
        return None
    if b"part=" in begin[2] or _YENC_PART.match(text, begin.end()):
        return None, end.end()
    lines = text[begin.end() : end.start()].replace(b"\r", b"").replace(b"\n", b"")
    data = _ESCAPE.sub(lambda match: bytes([(match[1][0] - 64) & 0xFF]), lines).translate(_SHIFTED)
    size = re.search(rb"size=(\d+)", begin[2])
    return (data if size and int(size[1]) == len(data) else None), end.end()
