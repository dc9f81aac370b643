"""The text of a part of an Office Open XML file: paragraphs, tables, shapes and what is in them.

Word, DrawingML and mathematical markup share their local names: `p`, `r`, `t`, `tbl`, `tr`, `tc`.
The content of text boxes, notes, alternative texts and charts within a paragraph is deferred, and
added after it as blocks of its own.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from qrank.errors import ExtractError
from qrank.ingest.extract.building import CHECKED, UNCHECKED, Builder, one_line
from qrank.ingest.extract.office import charts, embedded, equations
from qrank.ingest.extract.office.package import (
    Package,
    Relation,
    attribute,
    child,
    local,
    relation_id,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

# Properties, which have no text, and deleted text.
SKIPPED = frozenset(
    "pPr rPr sdtPr sdtEndPr sectPr tblGrid trPr tcPr tblPrEx del moveFrom instrText delText "
    "delInstrText bodyPr lstStyle endParaRPr tblGrid extLst themeOverride".split()
)
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_ALTERNATIVE_TEXTS = frozenset({"docPr", "cNvPr"})
_VML_SHAPES = frozenset("shape rect oval line roundrect polyline image arc curve".split())
SYMBOL = dict(
    zip(
        range(0x41, 0x7B),
        "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ",
        strict=True,
    )
)
MAX_REPEATED = 200  # characters of a cell that are repeated in each row it spans
MAX_CODE = 8  # hexadecimal digits


class Story:
    """Walks parts of a package, and adds their text to a document.

    Subclasses override `paragraph`, `numbered`, `shape` and `reference` for their format.
    """

    def __init__(self, package: Package, builder: Builder) -> None:
        self.package = package
        self.builder = builder
        self.part = ""  # the current part
        self._relations: dict[str, dict[str, Relation]] = {}
        self._read: set[str] = set()  # charts, diagrams and included files that were read
        # Deferred to the end of the current block: (part, action).
        self._deferred: deque[tuple[str, Callable[[], None]]] = deque()
        self._alternatives: set[str] = set()  # the alternative texts of the current block

    def read(self, root: _Element, part: str) -> None:
        """Add the content of a part."""
        self.part = part
        self.blocks([root])
        self.part = part

    def blocks(self, elements: Iterable[_Element], *, is_deferred: bool = False) -> None:
        """Add paragraphs, tables and shapes in order, including those in controls, insertions and
        groups. is_deferred: within another block, so that deferred actions are left to that."""
        pending = [*elements][::-1]
        while pending:
            element = pending.pop()
            name = local(element)
            if name in SKIPPED or not name:
                continue
            if name in ("p", "r", "oMath"):  # the last two only in unusual files
                self.paragraph(element, is_deferred=is_deferred)
            elif name == "tbl":
                self._table(element)
            elif name == "sp":
                self.shape(element)
            elif name == "altChunk":
                self._included(relation_id(element))
            elif not self.beside(element):
                pending += reversed(self.within(element))
            if self._deferred and not is_deferred:
                self.flush()
        self._alternatives.clear()

    def flush(self) -> None:
        """Run the deferred actions."""
        own = self.part
        while self._deferred:
            self.part, action = self._deferred.popleft()
            action()
        self.part = own
        self._alternatives.clear()

    def paragraph(self, element: _Element, *, is_deferred: bool = False) -> None:
        """Add a paragraph."""
        self.builder.paragraph(self.text(element))

    def numbered(self, element: _Element, *, alone: bool = False) -> str:
        """The text of a paragraph, after its number in formats with numbering. alone: return the
        number of an empty paragraph, too."""
        return self.text(element)

    def shape(self, element: _Element) -> None:
        """Add a shape, with its paragraphs as lines of one block."""
        self.builder.paragraph("\n".join(self.lines(element)))

    def reference(self, name: str, element: _Element) -> None:
        """Process a reference to a note or a comment."""

    def lines(self, shape: _Element) -> Iterator[str]:
        """Yield the non-empty paragraphs of a shape."""
        pending = [shape]
        while pending:
            element = pending.pop()
            name = local(element)
            if name == "p":
                text = self.text(element)
                if text.strip():
                    yield text
            elif name not in SKIPPED and name and not self.beside(element):
                pending += reversed(self.within(element))

    def text(self, element: _Element) -> str:
        """The text of a paragraph, or of an element in one."""
        pieces: list[str] = []
        pending = [element]
        while pending:
            each = pending.pop()
            name = local(each)
            if name == "t":
                pieces.append(each.text or "")
            elif name == "r" or name == "hyperlink":
                pending += reversed(each)
            elif name in SKIPPED or not name:
                continue
            elif name in _SIGNS:
                pieces.append(_SIGNS[name])
            elif name in ("p", "tbl", "txbxContent") and each is not element:
                self.defer(lambda inner=each: self.blocks([inner], is_deferred=True))  # type: ignore[misc]
            elif name == "oMath":
                pieces.append(equations.omml(each))
            elif name == "sym":
                pieces.append(_symbol(each))
            elif name == "ruby":  # the annotation is deferred
                base, reading = child(each, "rubyBase"), child(each, "rt")
                if base is not None:
                    pending.append(base)
                if reading is not None:
                    self.defer(
                        lambda inner=reading: self.builder.paragraph(self.text(inner))  # type: ignore[misc]
                    )
            elif name == "ddList":
                pieces.append(_selected_entry(each))
            elif name == "checkBox":
                pieces.append(_box(each))
            elif name.endswith("Reference"):
                self.reference(name, each)
            elif not self.beside(each):
                pending += reversed(self.within(each))
        return "".join(pieces)

    def within(self, element: _Element) -> list[_Element]:
        """The children to read; of alternatives for newer and older programs the first that this
        reader supports."""
        if local(element) != "AlternateContent":
            return [*element]
        choices = [each for each in element if local(each) == "Choice"]
        fallbacks = [each for each in element if local(each) == "Fallback"]
        for choice in choices + fallbacks:
            names = ("t", "chart", "relIds", "oleObj", "OLEObject", "oMath")
            if any(local(each) in names for each in choice.iter()):
                return [choice]
        return (choices + fallbacks)[:1]

    def beside(self, element: _Element) -> bool:
        """Defer the alternative text, chart, diagram or file of an element; returns whether it has
        no other content."""
        name = local(element)
        if name in _ALTERNATIVE_TEXTS:
            self._alternative(element.get("title", ""), element.get("descr", ""))
        elif name == "tblPr":
            for key in ("tblCaption", "tblDescription"):
                self._alternative(attribute(child(element, key), "val"))
            return True
        elif name == "textpath":
            self._alternative(element.get("string", ""))
        elif name in _VML_SHAPES:
            self._alternative(element.get("alt", ""))
        elif name == "chart":
            self._chart(relation_id(element))
            return True
        elif name == "relIds":
            self._diagram(relation_id(element, "dm"))
            return True
        elif name in ("OLEObject", "oleObj", "oleObject"):
            self._embedded(relation_id(element))
        elif name.endswith("Reference"):
            self.reference(name, element)
        return False

    def defer(self, action: Callable[[], None]) -> None:
        """Defer an action to the end of the current block."""
        self._deferred.append((self.part, action))

    def related(self, identity: str) -> Relation:
        """A relationship of the current part, by id; empty when there is none."""
        if self.part not in self._relations:
            self._relations[self.part] = self.package.related(self.part)
        return self._relations[self.part].get(identity, Relation("", ""))

    def _alternative(self, *texts: str) -> None:
        for text in texts:
            if text.strip() and text not in self._alternatives:
                self._alternatives.add(text)
                self.defer(lambda text=text: self.builder.paragraph(text))  # type: ignore[misc]

    def _chart(self, identity: str) -> None:
        name = self._once(self.related(identity).target)
        root = self.package.xml(name) if name else None
        if root is None:
            return

        def add() -> None:
            for text in charts.chart(root):
                self.builder.paragraph(text)
            for drawing in self.package.targets(name, "chartUserShapes"):
                self._paragraphs(drawing)

        self.defer(add)

    def _diagram(self, identity: str) -> None:
        name = self._once(self.related(identity).target)
        if name:
            self.defer(lambda: self._paragraphs(name))

    def _paragraphs(self, name: str) -> None:
        root = self.package.xml(name)
        if root is not None:
            self.builder.paragraph(charts.smart_art(root))

    def _embedded(self, identity: str) -> None:
        name = self.related(identity).target
        if name:
            self.package.embedded[name] = None

    def _included(self, identity: str) -> None:
        name = self._once(self.related(identity).target)
        if name:
            self.defer(lambda: self._include(name))

    def _include(self, name: str) -> None:
        try:
            data = self.package.data(name)
        except ExtractError as error:
            self.package.omissions.add(str(error))
            return
        embedded.include(self.builder, self.package.omissions, data, posixpath.basename(name))

    def _once(self, name: str) -> str:
        """A part's name the first time, then ""."""
        if name in self._read:
            return ""
        self._read.add(name)
        return name

    def _table(self, table: _Element) -> None:
        """Add a table, with rows as lines. A cell that spans columns is added once, one that spans
        rows in each of them, truncated (ECMA-376, part 1, 17.4: gridBefore, gridSpan, vMerge)."""
        lines = []
        above: dict[int, str] = {}  # by column: the text of the last cell that starts there
        for row in self._children(table, "tr"):
            if child(row, "trPr", "del") is not None:
                continue
            column = _number(row, "trPr", "gridBefore", default=0)
            cells = []
            for cell in self._children(row, "tc"):
                text = one_line(" ".join(self._cell(cell)))
                merged = child(cell, "tcPr", "vMerge")
                if merged is not None and attribute(merged, "val", "continue") == "continue":
                    text = text or above.get(column, "")[:MAX_REPEATED]
                above[column] = text
                cells.append(text)
                column += _number(cell, "tcPr", "gridSpan", default=1)
            lines.append(" | ".join(cells))
        if any(line.strip(" |") for line in lines):
            self.builder.paragraph("\n".join(lines))

    def _children(self, element: _Element, kind: str) -> Iterator[_Element]:
        """Yield the rows of a table, or the cells of a row, including those in controls and
        insertions, but not those of nested tables."""
        pending = [*element][::-1]
        while pending:
            each = pending.pop()
            name = local(each)
            if name == kind:
                yield each
            elif name not in SKIPPED and name not in ("tc", "tbl", "p") and not self.beside(each):
                pending += reversed(self.within(each))

    def _cell(self, cell: _Element) -> Iterator[str]:
        """Yield the paragraphs of a cell; nested tables are deferred."""
        pending = [*cell][::-1]
        while pending:
            element = pending.pop()
            name = local(element)
            if name == "p":
                yield self.numbered(element, alone=True)
            elif name == "tbl":
                self.defer(lambda inner=element: self._table(inner))  # type: ignore[misc]
            elif name == "altChunk":
                self._included(relation_id(element))
            elif name not in SKIPPED and not self.beside(element):
                pending += reversed(self.within(element))


def _symbol(element: _Element) -> str:
    """The character of a `sym` element; empty for one without an equivalent in Unicode."""
    code = attribute(element, "char")
    number = int(code, 16) if 0 < len(code) <= MAX_CODE and _is_hexadecimal(code) else 0
    if attribute(element, "font").lower() == "symbol":
        return SYMBOL.get(number & 0xFF, "")
    return chr(number) if 0x20 <= number < 0xD800 else ""


def _is_hexadecimal(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)


def _box(element: _Element) -> str:
    """A check box of a form: its state, else its default."""
    for kind in ("checked", "default"):
        state = child(element, kind)
        if state is not None:
            return UNCHECKED if attribute(state, "val") in ("0", "false", "off") else CHECKED
    return UNCHECKED


def _selected_entry(entries: _Element) -> str:
    """The selected entry of a drop-down form field."""
    values = [attribute(each, "val") for each in entries if local(each) == "listEntry"]
    for kind in ("result", "default"):
        at = attribute(child(entries, kind), "val")
        if at.isdecimal() and int(at[:6]) < len(values):
            return values[int(at[:6])]
    return "".join(values[:1])


def _number(element: _Element, *path: str, default: int) -> int:
    """The number in a descendant's `val`, or default."""
    value = attribute(child(element, *path), "val")
    return int(value[:4]) if value.isdecimal() else default
