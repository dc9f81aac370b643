"""Spreadsheets of Excel (XLSX, XLSB, XLS): a sheet is a page, a row a paragraph; after the rows of
a sheet come its comments, shapes and charts."""

from __future__ import annotations

import html
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.extract.building import Builder, one_line
from qrank.ingest.extract.office import binary_book, cells, embedded, protected, sparse
from qrank.ingest.extract.office.older import xls
from qrank.ingest.extract.office.older.compound import Compound
from qrank.ingest.extract.office.package import Package, attribute, child, local, relation_id
from qrank.ingest.extract.office.story import Story
from qrank.results import Document
from qrank.settings import Reading

if TYPE_CHECKING:
    from lxml.etree import _Element
    from python_calamine import CalamineWorkbook

_HEADER = re.compile(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)\b[^>]*>([^<]{1,4000})</")


def extract(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    """Yield the sheets, long ones in parts, then the members. Raises ExtractError when it is not a
    spreadsheet."""
    start = file.read(2)
    if start != b"PK":
        yield from _older(file, reading)
        return
    package = Package(file)
    main = package.main("xl/workbook.xml")
    if main.endswith(".bin"):
        beside = _Binary(package, main).beside
        yield from cells.every_sheet(cells.workbook(file), beside)
        yield from embedded.members(package, reading)
        return
    book = _Book(package, main)
    try:
        workbook: CalamineWorkbook | None = cells.workbook(file)
    except ExtractError:  # sparse.py may still read it
        workbook = None
    yield from book.documents(workbook)
    yield from embedded.members(package, reading)


def _older(file: BinaryIO, reading: Reading) -> Iterator[Document]:
    if cells.has_password(file):
        file = protected.decrypted(file)
    workbook = cells.workbook(file)
    file.seek(0)
    try:
        compound = Compound(file)
        texts = xls.beside(compound)
        note = cells.without_values(xls.formulas_without_values(compound), are_read=False)
    except (ExtractError, struct.error):  # calamine also reads files that are not compound files
        yield from cells.every_sheet(workbook)
        return

    def beside(name: str, builder: Builder) -> None:
        for text in texts.get(name, ()):
            builder.paragraph(text)

    yield from cells.every_sheet(workbook, beside)
    if note:
        yield Document("", "", [], note=note)
    yield from embedded.members_of(compound, reading, note)


class _Binary:
    """Texts outside the cells of a workbook of binary parts (XLSB)."""

    def __init__(self, package: Package, main: str) -> None:
        self._package = package
        related = package.related(main)
        try:
            sheets = [*binary_book.sheets(package.data(main))]
        except ExtractError:
            sheets = []
        self._parts = {name: related[each].target for name, each in sheets if each in related}

    def beside(self, name: str, builder: Builder) -> None:
        """Add the texts outside the cells of a sheet."""
        part = self._parts.get(name)
        if not part:
            return
        package = self._package
        for comments in package.targets(part, "comments"):
            try:
                for text in binary_book.comments(package.data(comments)):
                    builder.paragraph(text)
            except ExtractError:
                package.omissions.add(f"{comments} (damaged)")
        _add_drawings(package, builder, part)


class _Book:
    """A workbook of XML parts."""

    def __init__(self, package: Package, main: str) -> None:
        self._package = package
        root = package.root(main)
        related = package.related(main)
        self._sheets = [
            (attribute(each, "name"), related.get(relation_id(each)))
            for each in root.iter("{*}sheet")
        ]
        folder = main.rpartition("/")[0]
        strings = package.targets(main, "sharedStrings") or [f"{folder}/sharedStrings.xml"]
        styles = package.targets(main, "styles") or [f"{folder}/styles.xml"]
        self._own = sparse.Sheets(package, root, strings[0], styles[0])
        self._headers: set[str] = set()

    def documents(self, workbook: CalamineWorkbook | None) -> Iterator[Document]:
        """Yield the sheets; workbook: reads most of them faster, if calamine can open it."""
        title, fields = self._package.properties()
        seen: set[str] = set()
        formula_note = ""  # on formulas without values
        for number, (name, relation) in enumerate(self._sheets, 1):
            if relation is None or not relation.target or relation.target in seen:
                continue
            part = relation.target
            seen.add(part)
            builder = Builder()
            builder.page(number)
            builder.headings(name)
            tail = b""
            if relation.kind == "worksheet":
                rows, tail = self._rows(workbook, name, part)
                try:
                    for document in cells.documents(builder, rows):
                        yield document._replace(title=title, fields=fields)
                except ExtractError:
                    self._package.omissions.add(f"{part} (damaged)")
            self._beside(builder, part, tail)
            formula_note = cells.without_values(self._own.formulas)
            builder.note = "; ".join(filter(None, (self._package.omissions.note(), formula_note)))
            yield builder.document(title, fields)
        if formula_note:
            self._package.omissions.add(formula_note)

    def _rows(
        self, workbook: CalamineWorkbook | None, name: str, part: str
    ) -> tuple[Iterator[list[str]], bytes]:
        """(the rows of a sheet, the end of its XML)."""
        try:
            is_sparse, tail = sparse.look(self._package, part)
        except ExtractError:
            is_sparse, tail = True, b""
        if workbook is None or is_sparse:
            return self._own.rows(part), tail
        return self._fast_rows(workbook, name, part), tail

    def _fast_rows(self, workbook: CalamineWorkbook, name: str, part: str) -> Iterator[list[str]]:
        """The rows by calamine; if it can't read the sheet, by sparse.py."""
        try:
            rows = cells.rows(workbook, name)
            first = next(rows, None)
        except ExtractError:
            yield from self._own.rows(part)
            return
        if first is not None:
            yield first
            yield from rows

    def _beside(self, builder: Builder, part: str, tail: bytes) -> None:
        """Add the comments, shapes, charts and page headers of a sheet, and note its files."""
        package = self._package
        threaded = package.targets(part, "threadedComment")
        for name in package.targets(part, "comments"):
            for text in _comments(package.xml(name), has_threads=bool(threaded)):
                builder.paragraph(text)
        for name in threaded:
            root = package.xml(name)
            for each in () if root is None else root.iter("{*}text"):
                builder.paragraph(each.text or "")
        _add_drawings(package, builder, part)
        for match in _HEADER.finditer(tail):
            text = cells.page_header(html.unescape(match[1].decode("utf-8", "replace")))
            if text and text not in self._headers:
                self._headers.add(text)
                builder.paragraph(text)


def _add_drawings(package: Package, builder: Builder, part: str) -> None:
    """Add the shapes and charts of a sheet, and note its embedded files in the package."""
    story = Story(package, builder)
    for name in package.targets(part, "drawing"):
        root = package.xml(name)
        if root is not None:
            story.read(root, name)
    for name in package.targets(part, "vmlDrawing"):
        for text in _controls(package.xml(name)):
            builder.paragraph(text)
    for name in package.targets(part, "package", "oleObject"):
        package.embedded[name] = None


def _comments(root: _Element | None, *, has_threads: bool) -> Iterator[str]:
    """Yield the comments of a sheet's cells; has_threads: without threaded ones, which are in
    another part."""
    authors = child(root, "authors")
    of_threads = {
        str(number)
        for number, each in enumerate(() if authors is None else authors)
        if has_threads and (each.text or "").startswith("tc=")
    }
    for comment in () if root is None else root.iter("{*}comment"):
        if attribute(comment, "authorId") not in of_threads:
            texts = (each.text or "" for each in comment.iter("{*}t"))
            yield "".join(texts)


def _controls(root: _Element | None) -> Iterator[str]:
    """Yield the texts of form controls, without comments, which are drawn in the same part."""
    for shape in () if root is None else root.iter("{*}shape"):
        if attribute(child(shape, "ClientData"), "ObjectType") == "Note":
            continue
        for box in shape:
            if local(box) == "textbox":
                yield one_line(" ".join(map(str, box.itertext())))
