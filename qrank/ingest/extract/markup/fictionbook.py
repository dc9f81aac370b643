"""FictionBook: the text of a book under its chapters, then its notes; pictures are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import archive
from qrank.ingest.extract.building import Builder, blanks_made_one, one_line, properties
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

_PARAGRAPHS = frozenset("p v subtitle text-author date td th".split())
_SKIPPED = frozenset(("binary", "stylesheet", "description"))


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the book, also from a zip file. Raises ExtractError when there is none."""
    data = file.read()
    if data.startswith(b"PK"):
        file.seek(0)
        members = archive.open_zip(file)
        name = next((n for n in members.namelist() if n.lower().endswith((".fb2", ".fbz"))), "")
        if not name:
            raise ExtractError("it contains no book (.fb2)")
        data = archive.read(members, name)
    root = archive.parse_xml(_without_pictures(data), "the book")
    if _name(root) != "FictionBook":
        raise ExtractError("not a FictionBook")
    for link in root.iter("{*}a"):  # a note number is not part of the word before it
        if link.get("type") == "note" and (link.text or "")[:1].isalnum():
            link.text = f" {link.text}"
    book = _Book()
    book.read(root)
    yield book.document(root)


def _without_pictures(data: bytes) -> bytes:
    """The file without <binary> elements, except for their line ends, so that lines are right."""
    parts, at = [], 0
    while (start := data.find(b"<binary", at)) >= 0:
        end = data.find(b"</binary>", start)
        if end < 0:
            break
        parts += [data[at:start], b"\n" * data.count(b"\n", start, end)]
        at = end + len(b"</binary>")
    return b"".join([*parts, data[at:]])


class _Book:
    """Walks the tree without recursion."""

    def __init__(self) -> None:
        self._builder = Builder()

    def read(self, root: _Element) -> None:
        from lxml import etree

        depth = 0
        skipped: _Element | None = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            name = _name(element)
            if skipped is not None:
                skipped = None if event == "end" and element is skipped else skipped
            elif event == "start":
                depth += name == "section"
                if name in ("title", "tr") or name in _PARAGRAPHS or name in _SKIPPED or not name:
                    skipped = element
                    self._add(name, element, depth)
                elif name == "body":
                    self._builder.headings(element.get("name") or "")
            else:
                depth -= name == "section"
        for note in root.iter("{*}annotation"):
            self._builder.headings()
            for paragraph in note.iter("{*}p"):
                self._builder.paragraph(_text(paragraph), _line(paragraph))

    def _add(self, name: str, element: _Element, depth: int) -> None:
        line = _line(element)
        if name == "title":
            parts = [_text(each) for each in element.iter("{*}p")] or [_text(element)]
            self._builder.heading(depth + 1, " ".join(parts), line)
        elif name == "tr":
            self._builder.paragraph(" | ".join(filter(None, map(_text, element))), line)
        elif name in _PARAGRAPHS:
            self._builder.paragraph(blanks_made_one(_text(element)), line)

    def document(self, root: _Element) -> Document:
        """The book with the metadata of its description."""
        info = root.find("{*}description/{*}title-info")
        title, authors, keywords = "", [], ""
        fields: dict[str, object] = {}
        if info is not None:
            title = _text(info.find("{*}book-title"))
            keywords = _text(info.find("{*}keywords"))
            for author in info.findall("{*}author"):
                names = [
                    _text(author.find(f"{{*}}{part}-name")) for part in ("first", "middle", "last")
                ]
                authors.append(" ".join(filter(None, names)) or _text(author.find("{*}nickname")))
            for name in ("date", "lang", "genre"):
                if text := one_line(_text(info.find(f"{{*}}{name}"))):
                    fields[{"lang": "language"}.get(name, name)] = text[:200]
        return self._builder.document(title, properties(authors, "", keywords) | fields)


def _text(element: _Element | None) -> str:
    """The text of an element on one line."""
    pieces: Any = element.itertext() if element is not None else ()
    return one_line("".join(pieces))


def _line(element: _Element) -> int:
    line: Any = element.sourceline
    return int(line or 0)


def _name(element: _Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
