"""gettext message files (.po): each message with its translations and comments for translators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from qrank.ingest.decode import decode, decode_labelled
from qrank.ingest.extract.building import Builder, one_line
from qrank.results import Document

_CHARSET = re.compile(rb"charset=([\w.:-]{1,40})", re.IGNORECASE)
_LINE = re.compile(r"(msgctxt|msgid_plural|msgid|msgstr(?:\[\d{1,3}\])?)?[ \t]*\"(.*)\Z")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9A-Fa-f]{1,2}|.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "", "a": "", "b": "", "f": "", "v": ""}
_HEADER = re.compile(r"^([\w-]+):[ \t]*(.*)$", re.MULTILINE)
# Mnemonics of menu items, within a word: E_xit, E&xit.
_MNEMONIC = re.compile(r"(?<=\w)[_&~](?=[^\W_])")
_HEADER_FIELDS = {"Language": "language", "Last-Translator": "author", "PO-Revision-Date": "date"}


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document of all messages, with the project's name, from the header, as title."""
    data = file.read()
    charset = _CHARSET.search(data[:8192])
    label = charset[1].decode("ascii") if charset else ""
    text = decode_labelled(data, label) if label else decode(data)[0]
    messages = _Messages()
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        messages.add(line, number)
    yield messages.document()


class _Messages:
    """Collects the lines of a message until the next one starts."""

    def __init__(self) -> None:
        self._builder = Builder()
        self._comments: list[tuple[str, int]] = []
        self._strings: list[tuple[str, list[str], int]] = []  # (keyword, pieces, line)
        self._title = ""
        self._fields: dict[str, object] = {}

    def add(self, line: str, number: int) -> None:
        line = line.strip()
        if line.startswith("#~"):  # obsolete
            line = line[2:].lstrip("| \t")
        if line.startswith("#"):
            if self._strings:
                self._close()
            if line[1:2] in ("", " ", ".") and (comment := line[2:].strip()):
                self._comments.append((comment, number))
        elif match := _LINE.match(line):
            keyword = match[1] or ""
            if keyword in ("msgctxt", "msgid") and self._begins(keyword):
                self._close()
            comment = match[2].removesuffix('"')
            if keyword or not self._strings:
                self._strings.append((keyword, [comment], number))
            else:
                self._strings[-1][1].append(comment)
        elif line:
            if self._strings:
                self._close()
            self._comments.append((line, number))  # not a message
        elif not line and self._strings:
            self._close()

    def document(self) -> Document:
        self._close()
        return self._builder.document(self._title, self._fields)

    def _begins(self, keyword: str) -> bool:
        """Whether a keyword starts a new message."""
        return any(other != "msgctxt" for other, _, _ in self._strings) or (
            keyword == "msgctxt" and bool(self._strings)
        )

    def _close(self) -> None:
        strings = [(name, _unescaped("".join(parts)), line) for name, parts, line in self._strings]
        comments = self._comments
        self._strings, self._comments = [], []
        if [name for name, parts, _ in strings if name == "msgid" and not parts]:
            self._header(next((parts for name, parts, _ in strings if name == "msgstr"), ""))
            strings = []
        lines, numbers = [], []
        for parts, line in [
            *comments,
            *((_plain(parts, strings), line) for _, parts, line in strings),
        ]:
            if parts.strip():
                lines.append(parts.strip())
                numbers += [line] * (parts.strip().count("\n") + 1)
        self._builder.paragraph("\n".join(lines), lines=numbers)

    def _header(self, text: str) -> None:
        for name, value in _HEADER.findall(text):
            if name == "Project-Id-Version":
                self._title = self._title or one_line(value)
            elif name in _HEADER_FIELDS and value.strip():
                self._fields.setdefault(_HEADER_FIELDS[name], one_line(value)[:1000])


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(
        lambda match: _ESCAPED.get(match[1], match[1] if len(match[1]) == 1 else ""), text
    )


def _plain(text: str, strings: list[tuple[str, str, int]]) -> str:
    """A string without the sign of its mnemonic. A word with such a sign that is the same in other
    strings of the message is a name, and left unchanged.

    >>> _plain("E_xit", [("msgid", "E_xit", 1), ("msgstr", "Be_enden", 2)])
    'Exit'
    """
    signs = _MNEMONIC.findall(text)
    if len(signs) != 1:
        return text
    word = next(word for word in text.split() if _MNEMONIC.search(word))
    others = [other for name, other, _ in strings if other != text and name != "msgctxt"]
    is_name = any(word in other for other in others)
    return text if is_name or not others else _MNEMONIC.sub("", text)
