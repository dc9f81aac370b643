"""OpenDocument, zipped or flat: texts, presentations, drawings, spreadsheets, and their members.

Format: OASIS OpenDocument 1.3, part 3. The content of frames, notes and comments within a paragraph
is deferred, and added after it.
"""

from __future__ import annotations

import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract import archive
from qrank.ingest.extract.building import Builder, Omissions, one_line, properties
from qrank.ingest.extract.office import cells, embedded, equations
from qrank.ingest.extract.office.package import attribute, child, local
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    import zipfile

    from lxml.etree import _Element

_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_FORM = "{urn:oasis:names:tc:opendocument:xmlns:form:1.0}"
# Elements without text to read, or with deleted text.
_SKIPPED = frozenset(
    "tracked-changes sequence-decls variable-decls user-field-decls dde-connection-decls scripts "
    "script settings meta font-face-decls styles automatic-styles master-styles "
    "content-validations event-listeners binary-data note-citation page-thumbnail".split()
)
_SKIPPED_IN_TEXT = frozenset("script note-citation event-listeners binary-data".split())
# Names that programs give to pages.
_DEFAULT_NAME = re.compile(r"(?:page|slide|seite|folie|diapo)\s*\d+", re.IGNORECASE)
# Classes of shapes that are repeated on all slides.
_REPEATED = frozenset("header footer page-number date-time".split())
_VALUES = ("string-value", "date-value", "time-value", "boolean-value", "value")
_NONE = "\0"  # default for a missing attribute
_HEADERS = frozenset("header footer header-left footer-left header-first footer-first".split())
_FORM_TEXTS = ("label", "current-value", "value")
_PASSWORDS = frozenset({"password"})
MAX_BLANKS = 80  # spaces of one element
MAX_DEPTH = 2  # of nested documents


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the document, of a spreadsheet one for each sheet, then its members. The title is that
    of its properties, else its first heading. Raises ExtractError."""
    start = file.read(4)
    file.seek(0)
    omissions = Omissions()
    zipped = archive.open_zip(file) if start.startswith(b"PK") else None
    if zipped is None:
        root = archive.parse_xml(file.read(archive.MAX_XML + 1), "document")
        roots = {"content.xml": root, "styles.xml": root, "meta.xml": root}
    else:
        if reason := archive.truncation_note(zipped):
            omissions.add(reason)
        if _is_encrypted(zipped):
            raise ExtractError("encrypted")
        if _is_huge_sheet(zipped):
            yield from cells.every_sheet(cells.workbook(file))
            return
        roots = {"content.xml": archive.xml(zipped, "content.xml")}
        for name in ("styles.xml", "meta.xml"):
            try:
                if name in zipped.NameToInfo:
                    roots[name] = archive.xml(zipped, name)
            except ExtractError:
                omissions.add(f"{name} (damaged)")
    body = child(roots["content.xml"], "body")
    if body is None:
        raise ExtractError("damaged, or not an OpenDocument file")
    title, fields = _properties(roots.get("meta.xml"))
    reader = _Reader(zipped, omissions)
    sheets = child(body, "spreadsheet")
    if sheets is not None:
        for builder in reader.sheets(sheets):
            builder.note = omissions.note()
            yield builder.document(title, fields)
    else:
        reader.read(body)
    if formula_note := cells.without_values(reader.formulas):
        omissions.add(formula_note)
    builder = reader.builder
    builder.headings()
    builder.part()
    if "styles.xml" in roots:
        reader.masters(roots["styles.xml"])
    builder.note = omissions.note()
    yield builder.document(title or builder.first_heading, fields)
    yield from embedded.members(reader, reading)


def _is_encrypted(zipped: zipfile.ZipFile) -> bool:
    name = "META-INF/manifest.xml"
    try:
        return name in zipped.NameToInfo and b"encryption-data" in archive.read(zipped, name)
    except ExtractError:
        return False


def _is_huge_sheet(zipped: zipfile.ZipFile) -> bool:
    """Whether it is a spreadsheet with more XML than this reader parses."""
    info = zipped.NameToInfo.get("content.xml")
    if info is None or info.file_size <= archive.MAX_XML or "mimetype" not in zipped.NameToInfo:
        return False
    return b"spreadsheet" in archive.read(zipped, "mimetype")


def _properties(root: _Element | None) -> tuple[str, dict[str, object]]:
    meta = None if root is None else next(root.iter("{*}meta"), None)
    values: dict[str, list[str]] = {}
    for each in () if meta is None else meta:
        values.setdefault(local(each), []).append(each.text or "")
    authors = values.get("initial-creator") or values.get("creator") or []
    title = "".join(values.get("title", [])[:1])
    subject = "".join(values.get("subject", [])[:1])
    return title, properties(authors, subject, values.get("keyword", []))


class _Reader:
    """Walks the tree of a document, and of documents in it."""

    def __init__(self, zipped: zipfile.ZipFile | None, omissions: Omissions) -> None:
        self.builder = Builder()
        self.embedded: list[str] = []  # names of embedded files of other formats
        self.formulas = 0  # without a value, so far
        self._zip = zipped
        self.omissions = omissions
        self._folder = ""  # of the current document within the zip file
        self._depth = 0
        self._slide = 0
        # Deferred to the end of the current block: (folder, depth, action).
        self._deferred: deque[tuple[str, int, Callable[[], None]]] = deque()
        self._unread = set() if zipped is None else set(zipped.namelist())
        self._repeated_texts: set[str] = set()  # headers and footers that were added

    def data(self, name: str) -> bytes:
        """The content of an embedded file. Raises ExtractError."""
        assert self._zip is not None
        return archive.read(self._zip, name)

    def read(self, element: _Element) -> None:
        """Add the content of an element."""
        self._blocks([element])

    def sheets(self, book: _Element) -> Iterator[Builder]:
        """Yield a builder for each sheet, then set a new one for the rest of the document."""
        for number, sheet in enumerate(each for each in book if local(each) == "table"):
            self.builder = Builder()
            self.builder.page(number + 1)
            self.builder.headings(attribute(sheet, "name"))
            self._rows(sheet)
            self._flush()
            yield self.builder
        self.builder = Builder()

    def masters(self, styles: _Element) -> None:
        """Add the headers and footers of pages, and the texts of slide masters, without
        duplicates."""
        for page in styles.iterfind(".//{*}master-page"):
            for each in page:
                if local(each) in _HEADERS or str(each.tag).startswith(_DRAW):
                    if attribute(each, "placeholder") == "true":
                        continue
                    self._add_once(each)
                    self._flush()

    def _add_once(self, element: _Element) -> None:
        """Add a header or footer, unless it was added before; skip page numbers and dates."""
        text = one_line("".join(map(str, element.itertext())))
        if text not in self._repeated_texts and attribute(element, "class") not in (
            "page-number",
            "date-time",
        ):
            self._repeated_texts.add(text)
            self._blocks(element, is_deferred=True)

    def _flush(self) -> None:
        own = self._folder, self._depth
        while self._deferred:
            self._folder, self._depth, action = self._deferred.popleft()
            action()
        self._folder, self._depth = own

    def _later(self, action: Callable[[], None]) -> None:
        """Defer an action to the end of the current block."""
        self._deferred.append((self._folder, self._depth, action))

    def _blocks(self, elements: Iterable[_Element], *, is_deferred: bool = False) -> None:
        """Add paragraphs, headings, tables and slides in order. is_deferred: within another block,
        so that deferred actions are left to that."""
        pending = [*elements][::-1]
        while pending:
            element = pending.pop()
            name = local(element)
            if name in _SKIPPED or name.endswith("-source") or not name:
                continue
            if name == "h" and not is_deferred:
                level = attribute(element, "outline-level", "1")
                self.builder.heading(
                    int(level[:3]) if level.isdecimal() else 1, self._text(element)
                )
            elif name in ("p", "h"):
                self.builder.paragraph(self._text(element))
            elif name == "table":
                self._table(element)
            elif name == "page" and element.tag == f"{_DRAW}page":
                self._page(element)
            elif name in ("title", "desc") and not len(element):
                self.builder.paragraph(element.text or "")
            elif name in ("footer-decl", "header-decl"):
                self.builder.paragraph(self._text(element))
            elif name == "math":
                self.builder.paragraph(equations.mathml(element))
            elif name == "object":
                self._object(element)
            elif attribute(element, "class") in _REPEATED:
                self._add_once(element)
            elif name == "object-ole":
                self._embed(posixpath.normpath(attribute(element, "href")))
            else:
                self._add_text(element)
                pending += reversed(element)
                continue
            if not is_deferred:
                self._flush()
        if not is_deferred:
            self._flush()

    def _page(self, page: _Element) -> None:
        """Add a slide or a page of a drawing under its title, or a name given by the user."""
        if not self._depth:
            self._slide += 1
            self.builder.page(self._slide)
        name = attribute(page, "name")
        self.builder.headings("" if _DEFAULT_NAME.fullmatch(name) else name)
        for shape in page:
            if attribute(shape, "class") == "title":
                text = " ".join(self._text(each) for each in shape.iter("{*}p"))
                if text.strip():
                    self.builder.headings()
                    self.builder.heading(1, text)
                self._flush()
        for shape in page:
            if attribute(shape, "class") != "title":
                self._blocks([shape], is_deferred=True)
                self._flush()

    def _text(self, element: _Element) -> str:
        """The text of a paragraph, with its spaces, tabs and line breaks."""
        pieces: list[str] = []
        pending: list[_Element | str] = [element]
        while pending:
            each = pending.pop()
            if isinstance(each, str):
                pieces.append(each)
                continue
            name = local(each)
            if name in _SKIPPED_IN_TEXT or not name:
                continue
            if name == "s":
                count = attribute(each, "c", "1")
                pieces.append(" " * min(int(count[:3]) if count.isdecimal() else 1, MAX_BLANKS))
            elif name == "tab":
                pieces.append("\t")
            elif name == "line-break":
                pieces.append("\n")
            elif name == "ruby":  # the annotation is deferred
                base, reading = child(each, "ruby-base"), child(each, "ruby-text")
                if base is not None:
                    pending.append(base)
                if reading is not None:
                    self._later(lambda e=reading: self.builder.paragraph(self._text(e)))  # type: ignore[misc]
            elif each is not element and (
                name in ("note", "annotation", "p", "h", "list", "table", "title", "desc")
                or str(each.tag).startswith(_DRAW)
                or name == "scene"
            ):
                inside = child(each, "note-body") if name == "note" else each
                if inside is not None:
                    self._later(lambda e=inside: self._blocks([e], is_deferred=True))  # type: ignore[misc]
            else:
                if each.text:
                    inner: list[_Element | str] = [each.text]
                else:
                    inner = []
                for part in each:
                    inner.append(part)
                    if part.tail:
                        inner.append(part.tail)
                if name == "number":
                    inner.append(" ")
                pending += reversed(inner)
        return "".join(pieces)

    def _table(self, table: _Element) -> None:
        """Add a table, with its rows as lines."""
        lines = [" | ".join(self._cells(row)) for row in self._inside(table, "table-row")]
        self.builder.paragraph("\n".join(line for line in lines if line.strip(" |")))

    def _rows(self, sheet: _Element) -> None:
        """Add a sheet, with its rows as paragraphs; repeated rows and cells are added once."""
        for row in self._inside(sheet, "table-row"):
            line = " | ".join(self._cells(row)).rstrip(" |")
            if line:
                self.builder.paragraph(line)
            self._flush()

    def _inside(self, element: _Element, kind: str) -> Iterator[_Element]:
        """Yield the rows of a table, including those in groups; other content is deferred."""
        pending = [*element][::-1]
        while pending:
            each = pending.pop()
            name = local(each)
            if name == kind:
                yield each
            elif name.startswith("table-") and not name.endswith("-source"):
                pending += reversed(each)
            elif name not in _SKIPPED:
                self._later(lambda e=each: self._blocks([e], is_deferred=True))  # type: ignore[misc]

    def _cells(self, row: _Element) -> Iterator[str]:
        for cell in row:
            if local(cell) not in ("table-cell", "covered-table-cell"):
                continue
            texts = [*self._paragraphs(cell)]
            if not texts:
                texts = [attribute(cell, name) for name in _VALUES if attribute(cell, name)][:1]
            if not texts and attribute(cell, "string-value", _NONE) == _NONE:
                texts = (
                    [formula] if (formula := cells.formula_text(attribute(cell, "formula"))) else []
                )
                self.formulas += len(texts)
            text = one_line(" ".join(texts))
            if text or local(cell) == "table-cell":
                yield text

    def _paragraphs(self, cell: _Element) -> Iterator[str]:
        """Yield the paragraphs of a cell, including those in lists; other content is deferred."""
        pending = [*cell][::-1]
        while pending:
            each = pending.pop()
            name = local(each)
            if name in ("p", "h"):
                yield self._text(each)
            elif name in ("list", "list-item", "list-header", "section"):
                pending += reversed(each)
            elif name not in _SKIPPED:
                self._later(lambda e=each: self._blocks([e], is_deferred=True))  # type: ignore[misc]

    def _add_text(self, element: _Element) -> None:
        """Add the label and value of a form control."""
        if str(element.tag).startswith(_FORM) and local(element) not in _PASSWORDS:
            texts = {attribute(element, name): None for name in _FORM_TEXTS}
            self.builder.paragraph(" ".join(text for text in texts if text))

    def _object(self, element: _Element) -> None:
        """Add a document in the document: an equation, a chart, a sheet."""
        inner = next((each for each in element if local(each) in ("document", "math")), None)
        if inner is None:
            target = attribute(element, "href")
            folder = posixpath.normpath(posixpath.join(self._folder, target)).lstrip("/")
            inner = self._content(folder)
        else:
            folder = self._folder
        if inner is None:
            return
        if self._depth >= MAX_DEPTH:
            self.omissions.count("document nested too deeply", 1)
            return
        own, self._folder, self._depth = (self._folder, self._depth), folder, self._depth + 1
        body = inner if local(inner) == "math" else child(inner, "body")
        if body is not None:
            self._blocks([body], is_deferred=True)
        self._folder, self._depth = own

    def _embed(self, name: str) -> None:
        if name in self._unread:
            self._unread.remove(name)
            self.embedded.append(name)

    def _content(self, folder: str) -> _Element | None:
        name = f"{folder}/content.xml"
        if self._zip is None or name not in self._unread:
            if self._zip is not None and folder in self._unread:  # a file, not a folder
                self._embed(folder)
            return None
        self._unread.remove(name)
        try:
            return archive.xml(self._zip, name)
        except ExtractError:
            self.omissions.add(f"{name} (damaged)")
            return None
