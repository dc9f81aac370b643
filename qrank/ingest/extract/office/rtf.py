"""Rich Text Format: paragraphs, headings and tables, each followed by its notes, comments and text
boxes; then page headers.

Format: Rich Text Format Specification 1.9.1. Text is bytes in the encoding of its font, or \\uN
followed by \\ucN characters for programs that do not know it. A group that starts with \\* is
skipped when its first word is unknown.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import (
    CHECKED,
    UNCHECKED,
    Builder,
    one_line,
    properties,
    truncated,
)
from qrank.ingest.extract.office import embedded
from qrank.ingest.extract.office.older import compound
from qrank.results import Document
from qrank.settings import Reading

MAX_SIZE = 256 << 20  # bytes
_TOKEN = re.compile(
    rb"\\(?:([A-Za-z]{1,40})(-?\d{1,10})? ?|'([0-9A-Fa-f]{2})|(\r\n|[^A-Za-z]))"
    rb"|([{}])|[\r\n\0]+|([^\\{}\r\n\0]+)|\\"
)
_SIGNS = {
    "tab": "\t", "line": "\n", "softline": "\n", "lbr": "\n", "emdash": "—", "endash": "–",
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "emspace": "\u2003", "enspace": "\u2002", "qmspace": "\u2005", "zwj": "\u200d",
    "zwnj": "\u200c", "mden": "/", "msup": "^", "msub": "_", "ltrmark": "\u200e",
    "rtlmark": "\u200f", "zwbo": "\u200b",
}  # fmt: skip
_PARAGRAPHS = frozenset("par sect page column softpage".split())
# Groups without text of their own; groups within them may have some.
_SILENT = frozenset("pict object upr sp do shp shpgrp info mmathPict".split())
# Groups that are skipped, with all groups in them.
_SKIPPED = frozenset(
    "colortbl listtable listoverridetable rsidtbl revtbl xmlnstbl filetbl datafield xe rxe "
    "txe tc tcn nonshppict shprslt objclass objname blipuid template themedata "
    "colorschememapping latentstyles datastore ftnsep ftnsepc ftncn aftnsep aftnsepc aftncn "
    "nonesttables private mmathPict pgdsctbl bkmkstart bkmkend atnid atnauthor atndate atnref "
    "generator userprops pn pntxta pntxtb listpicture falt panose fontemb fname revtim "
    "creatim".split()
)
_GROUPS = {  # groups whose text is collected separately, by kind
    "footnote": "note", "annotation": "note", "shptxt": "note", "dptxbxtext": "note",
    "header": "head", "headerl": "head", "headerr": "head", "headerf": "head",
    "footer": "head", "footerl": "head", "footerr": "head", "footerf": "head",
    "title": "title", "author": "author", "subject": "subject", "keywords": "keywords",
    "sn": "sn", "sv": "sv", "ffl": "ffl", "fonttbl": "fonttbl", "stylesheet": "stylesheet",
}  # fmt: skip
# Groups that are read when they start with \*.
_STARRED = frozenset(
    [*_GROUPS, *_SILENT, "ud", "shpinst", "shppict", "picprop", "result", "fldrslt"]
    + "moMath moMathPara mmath background".split()
)
_INFORMATION = frozenset({"title", "author", "subject", "keywords"})
_CHARSETS = {
    77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "big5hkscs",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257",
    204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850", 2: "symbol",
}  # fmt: skip
_PAGES = {10000: "mac_roman", 65001: "utf-8", 936: "gb18030", 950: "big5hkscs", 1361: "johab"}
_HEADING = re.compile(r"(?:heading|title|titre|überschrift)\s*(\d?)(?:[,;].*)?", re.IGNORECASE)
_DEFAULT = "cp1252"
_EMBEDDED = 2  # kind of an object
_BOX, _LIST = 1, 2  # kinds of form fields
_UNSET = 25  # the value of \ffres for a form field with its default
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789abcdefABCDEF"))


@dataclass(slots=True)
class _State:
    """The state of a group, inherited by groups in it."""

    kind: str = "text"  # see _GROUPS
    silent: bool = False
    info: bool = False
    upr: bool = False  # in the first of two versions of a text, which is not in Unicode
    skip: bool = False
    deleted: bool = False
    fallback: int = 1  # characters after each \\uN for programs that do not know it (\\ucN)
    font: int = -1


@dataclass(slots=True)
class _FormField:
    """A check box or drop-down list, whose state is not in the text of the document."""

    kind: int = 0
    chosen: int = _UNSET
    default: int = 0
    entries: list[str] = field(default_factory=list)

    def shown(self) -> str:
        """The displayed text; empty for a text field, whose text is in the document."""
        chosen = self.default if self.chosen == _UNSET else self.chosen
        if self.kind == _BOX:
            return CHECKED if chosen else UNCHECKED
        return self.entries[chosen] if self.kind == _LIST and chosen < len(self.entries) else ""


class _Target:
    """Collects text: of the body, a note, a page header, a property of the file."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.cells: list[str] = []
        self.rows: list[str] = []
        self.in_table = False
        self.style = 0
        self.outline = -1
        self.done: list[tuple[int, str]] = []  # (level of a heading, text) of each paragraph


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, then its members. The title is that of its properties, else its first
    heading. Raises ExtractError."""
    data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise ExtractError(f"larger than {MAX_SIZE >> 20} MiB")
    objects: list[bytes] = []
    document = read(data, objects)
    yield document
    yield from embedded.members_in(map(_embedded_file, objects), reading, document.note)


def _embedded_file(packed: bytes) -> tuple[str, str, bytes] | None:
    """The file in an object ([MS-OLEDS] 2.2.5), see `compound.embedded_file`: a compound file, or a
    packaged file."""
    try:
        _, kind = struct.unpack_from("<2I", packed)
        at = 8
        for _ in range(3):  # the program, a topic, an item
            [length] = struct.unpack_from("<I", packed, at)
            at += 4 + length
        [size] = struct.unpack_from("<I", packed, at)
    except struct.error:
        return None
    content = packed[at + 4 : at + 4 + size]
    if kind != _EMBEDDED:
        return None
    if content.startswith(compound.MAGIC):
        return compound.embedded_file(content)
    return compound.unpacked(struct.pack("<I", len(content)) + content)


def read(data: bytes, objects: list[bytes] | None = None) -> Document:
    """The document in RTF data; objects: gets the embedded objects. Raises ExtractError when it is
    not RTF."""
    if not data.lstrip().startswith(b"{\\rt"):
        raise ExtractError("damaged, or not RTF")
    reader = _Reader()
    reader.read(data)
    if objects is not None:
        objects += reader.objects()
    builder = Builder()
    for level, text in reader.body.done:
        if level:
            builder.heading(level, text)
        else:
            builder.paragraph(text)
    builder.headings()
    builder.part()
    for text in dict.fromkeys(reader.heads):
        builder.paragraph(text)
    builder.note = reader.note
    values = {name: one_line(text) for name, text in reader.information.items()}
    fields = properties(
        values.get("author", ""), values.get("subject", ""), values.get("keywords", "")
    )
    return builder.document(values.get("title") or builder.first_heading, fields)


class _Reader:
    """Reads the tokens in one pass, without recursion."""

    def __init__(self) -> None:
        self.body = _Target()
        self.heads: list[str] = []
        self.information: dict[str, str] = {}
        self.note = ""
        self._targets = [self.body]
        self._notes: list[str] = []  # added after the current paragraph
        self._state = _State()
        self._stack: list[tuple[_State, bool]] = []  # (outer state, whether the group has a target)
        self._raw = bytearray()  # text that is not decoded yet
        self._half = ""  # the first surrogate of a pair of two \\uN
        self._left = 0  # fallback characters to skip
        self._page = _DEFAULT
        self._fonts: dict[int, str] = {}
        self._default_font = 0
        self._levels: dict[int, int] = {}  # of heading styles
        self._starred = False
        self._shape = ""  # the name of a shape's property
        self._form: _FormField | None = None  # the one that is being read
        self._objects: list[bytearray] = []  # hexadecimal digits

    def objects(self) -> Iterator[bytes]:
        """Yield the data of embedded objects."""
        for text in self._objects:
            digits = text.translate(None, _NO_DIGITS)
            yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode())

    def read(self, data: bytes) -> None:
        """Read a file's data."""
        at = 0
        while match := _TOKEN.match(data, at):
            at = match.end()
            word, number, code, sign, brace, text = match.groups()
            if brace == b"{":
                self._flush()
                self._left = 0
                self._stack.append((self._state, False))
                self._state = replace(self._state)
            elif brace:
                self._close()
            elif word:
                name = word.decode("ascii")
                value = int(number) if number else None
                if name == "bin":
                    end = at + max(0, value or 0)
                    if self._state.kind == "objdata":
                        self._objects[-1] += data[at:end].hex().encode()
                    at = end
                elif name == "formfield" and self._state.kind == "fldinst":
                    self._form = _FormField()
                    self._state.kind, self._state.skip, self._state.silent = name, False, True
                elif not self._state.skip:
                    self._word(name, value)
            elif self._state.skip:
                if text and self._state.kind == "objdata":
                    self._objects[-1] += text
            elif text:
                self._starred = False
                skipped = min(self._left, len(text))
                self._left -= skipped
                self._raw += text[skipped:]
            elif code:
                if self._left:
                    self._left -= 1
                else:
                    self._raw.append(int(code, 16))
            elif sign:
                self._sign(sign)
        while self._stack:
            self.note = truncated(len(data))
            self._close()
        self._flush()
        self._end_paragraph()
        self._end_table()

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign in (b"\r", b"\n", b"\r\n"):
            self._word("par", None)
        elif self._left:
            self._left -= 1
        elif sign in (b"~", b"_"):
            self._flush()
            self._add("-" if sign == b"_" else "\u00a0")
        elif sign in (b"\\", b"{", b"}"):
            self._raw += sign

    def _word(self, name: str, value: int | None) -> None:
        if name == "u" and value is not None:
            self._unicode(value)
            return
        if self._left and name not in _GROUPS:  # a control word counts as one character
            self._left -= 1
            return
        self._flush()
        starred, self._starred = self._starred, False
        state = self._state
        if name == "objdata":
            state.kind, state.skip = name, True
            self._objects.append(bytearray())
        elif name == "fldinst":
            state.kind, state.skip = name, True
        elif name in _SKIPPED or name.endswith("Pr") or (starred and name not in _STARRED):
            state.skip = True
        elif name in _GROUPS:
            self._open(name)
        elif name in _SILENT:
            state.silent = True
            state.info |= name == "info"
            state.upr |= name == "upr"
        elif name == "ud":
            state.silent, state.upr = state.info, False
        elif name in ("result", "moMath"):
            state.silent = False
        elif name in _PARAGRAPHS:
            self._paragraph()
        elif name in ("cell", "nestcell"):
            self._cell()
        elif name in ("row", "nestrow"):
            self._row()
        else:
            self._format(name, value)
            if name in _SIGNS:
                self._add(_SIGNS[name])

    def _format(self, name: str, value: int | None) -> None:
        state, target = self._state, self._targets[-1]
        if name == "f":
            state.font = value or 0
        elif name == "plain":
            state.font, state.deleted = -1, False
        elif name == "deleted":
            state.deleted = value != 0
        elif name == "uc":
            state.fallback = min(max(0, value or 0), 100)
        elif name == "pard":
            target.in_table, target.style, target.outline = False, 0, -1
        elif name == "intbl":
            target.in_table = True
        elif name == "s":
            target.style = value or 0
        elif name == "outlinelevel":
            target.outline = value if value is not None else -1
        elif name == "ansicpg" and value:
            self._page = _codec(value)
        elif name in ("mac", "pc", "pca"):
            self._page = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850"}[name]
        elif name == "deff":
            self._default_font = value or 0
        elif name == "fcharset" and state.kind == "fonttbl" and value in _CHARSETS:
            self._fonts[state.font] = _CHARSETS[value]
        elif self._form and state.kind == "formfield" and value is not None and value >= 0:
            if name == "fftype":
                self._form.kind = value
            elif name == "ffres":
                self._form.chosen = value
            elif name == "ffdefres":
                self._form.default = value
        elif name == "cpg" and state.kind == "fonttbl" and value:
            self._fonts[state.font] = _codec(value)

    def _unicode(self, value: int) -> None:
        if self._left:
            self._left -= 1
            return
        self._flush()
        self._left = self._state.fallback
        value &= 0xFFFF
        if 0xD800 <= value < 0xDC00:
            self._half = chr(value)
            return
        text = self._half + chr(value)
        self._half = ""
        self._add(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def _flush(self) -> None:
        """Decode the collected bytes."""
        if not self._raw:
            return
        data, font = bytes(self._raw), self._state.font
        self._raw.clear()
        codec = self._fonts.get(font if font >= 0 else self._default_font, self._page)
        if codec == "symbol":
            if self._state.kind == "text":
                from qrank.ingest.extract.office.story import SYMBOL

                self._add(
                    "".join(SYMBOL.get(each, chr(each) if each < 0x41 else "") for each in data)
                )
                return
            codec = self._page
        self._add(data.decode(codec, "replace"))

    def _add(self, text: str) -> None:
        if not self._state.silent and not self._state.skip and not self._state.deleted:
            self._targets[-1].pieces.append(text)

    def _open(self, name: str) -> None:
        """Start a group whose text is collected separately."""
        kind = _GROUPS[name]
        if self._state.upr or (kind in _INFORMATION and not self._state.info):
            return
        self._state.kind = kind
        self._state.silent = False
        self._state.deleted = False
        if self._stack and not self._stack[-1][1]:
            self._stack[-1] = (self._stack[-1][0], True)
            self._targets.append(_Target())

    def _close(self) -> None:
        self._flush()
        self._left = 0
        self._starred = False
        if not self._stack:
            return
        kind = self._state.kind
        if kind in ("fonttbl", "stylesheet") and self._targets[-1].pieces:
            if kind == "stylesheet":
                self._style()
            self._targets[-1].pieces.clear()
        before, has_target = self._stack.pop()
        if has_target:
            target = self._targets.pop()
            self._finish(target)
            text = "\n".join(text for _, text in target.done)
            if kind == "note":
                self._notes.append(text)
            elif kind == "head":
                self.heads.append(text)
            elif kind in _INFORMATION:
                self.information.setdefault(kind, text)
            elif kind == "ffl" and self._form:
                self._form.entries.append(text)
            elif kind == "sn":
                self._shape = text.strip()
            elif kind == "sv" and self._shape == "wzDescription":
                self._notes.append(text)
        self._state = before
        if kind == "fldinst" and before.kind != kind and self._form:
            self._add(self._form.shown())
            self._form = None

    def _style(self) -> None:
        target = self._targets[-1]
        match = _HEADING.fullmatch("".join(target.pieces).strip())
        if 0 <= target.outline < 9:
            self._levels[target.style] = target.outline + 1
        elif match and target.outline != 9:
            self._levels[target.style] = int(match[1] or 1)
        target.outline, target.style = -1, 0

    def _finish(self, target: _Target) -> None:
        self._targets.append(target)
        self._end_paragraph()
        self._end_table()
        self._targets.pop()

    def _paragraph(self) -> None:
        target = self._targets[-1]
        if target.in_table:
            if target.pieces:
                target.pieces.append(" ")
            return
        self._end_table()
        self._end_paragraph()

    def _end_paragraph(self) -> None:
        target = self._targets[-1]
        text = "".join(target.pieces)
        target.pieces.clear()
        if text.strip():
            level = target.outline + 1 if 0 <= target.outline < 9 else 0
            if target.outline < 0:
                level = self._levels.get(target.style, 0)
            target.done.append((level, text))
        if target is self.body:
            self._add_notes()

    def _add_notes(self) -> None:
        self.body.done += [(0, text) for text in self._notes]
        self._notes.clear()

    def _cell(self) -> None:
        target = self._targets[-1]
        target.cells.append(one_line("".join(target.pieces)))
        target.pieces.clear()

    def _row(self) -> None:
        target = self._targets[-1]
        if target.cells:
            target.rows.append(" | ".join(target.cells))
            target.cells = []

    def _end_table(self) -> None:
        self._row()
        target = self._targets[-1]
        if target.rows:
            target.done.append((0, "\n".join(target.rows)))
            target.rows = []
            if target is self.body:
                self._add_notes()


def _codec(page: int) -> str:
    """The codec of a Windows code page; cp1252 for an unknown one."""
    import codecs

    name = _PAGES.get(page, f"cp{page}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return _DEFAULT
