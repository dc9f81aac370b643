"""The text of a part of an Office Open XML file: paragraphs, tables, shapes, and what is beside.

Word, DrawingML and mathematical markup share their local names: `p`, `r`, `t`, `tbl`, `tr`, `tc`.
What stands beside a paragraph (a text box, a note, an alternative text, a chart) is set aside, and
follows it in blocks of its own, so that it never runs into the words around it.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from qrank.errors import ExtractError
from qrank.ingest.extract.building import Builder, one_line
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

# Properties, which hold no text, and what was deleted.
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
MAX_REPEATED = 200  # characters of a cell that are repeated in the rows it spans
MAX_CODE = 8  # hexadecimal digits


class Story:
    """Walks parts of a package, and adds their text to a document.

    Subclasses say what is particular to a format: `paragraph`, `shape`, `reference`.
    """

    def __init__(self, package: Package, builder: Builder) -> None:
        self.package = package
        self.builder = builder
        self.part = ""  # the part that is being read
        self._relations: dict[str, dict[str, Relation]] = {}
        self._read: set[str] = set()  # the charts, diagrams and files that were read
        # What follows the block that is being read: something to do, and the part it is of.
        self._aside: deque[tuple[str, Callable[[], None]]] = deque()
        self._alternatives: set[str] = set()  # the alternative texts of this block

    def read(self, root: _Element, part: str) -> None:
        """Add all that is in a part."""
        self.part = part
        self.blocks([root])
        self.part = part

    def blocks(self, elements: Iterable[_Element], *, aside: bool = False) -> None:
        """Add paragraphs, tables and shapes in order, those within controls, insertions and groups,
        too. aside: of a block that is being read; what is aside of them waits for its own turn."""
        pending = [*elements][::-1]
        while pending:
            element = pending.pop()
            name = local(element)
            if name in SKIPPED or not name:
                continue
            if name in ("p", "r", "oMath"):  # (the last two are in one, but where a file is odd)
                self.paragraph(element, aside=aside)
            elif name == "tbl":
                self._table(element)
            elif name == "sp":
                self.shape(element)
            elif name == "altChunk":
                self._included(relation_id(element))
            elif not self.beside(element):
                pending += reversed(self.within(element))
            if self._aside and not aside:
                self.flush()
        self._alternatives.clear()

    def flush(self) -> None:
        """Add what was set aside."""
        own = self.part
        while self._aside:
            self.part, action = self._aside.popleft()
            action()
        self.part = own
        self._alternatives.clear()

    def paragraph(self, element: _Element, *, aside: bool = False) -> None:
        """Add a paragraph."""
        self.builder.paragraph(self.text(element))

    def numbered(self, element: _Element, *, alone: bool = False) -> str:
        """The text of a paragraph, with a number where the format has such."""
        return self.text(element)

    def shape(self, element: _Element) -> None:
        """Add a shape: its paragraphs are lines of one block."""
        self.builder.paragraph("\n".join(self.lines(element)))

    def reference(self, name: str, element: _Element) -> None:
        """A reference to a note or a comment."""

    def lines(self, shape: _Element) -> Iterator[str]:
        """The paragraphs of a shape that say something; what is beside them is set aside."""
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
        """The text of a paragraph, or of what lies in one."""
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
                self.aside(lambda inner=each: self.blocks([inner], aside=True))  # type: ignore[misc]
            elif name == "oMath":
                pieces.append(equations.omml(each))
            elif name == "sym":
                pieces.append(_symbol(each))
            elif name == "ruby":  # the reading of a word follows, it does not part the word
                base, reading = child(each, "rubyBase"), child(each, "rt")
                if base is not None:
                    pending.append(base)
                if reading is not None:
                    self.aside(
                        lambda inner=reading: self.builder.paragraph(self.text(inner))  # type: ignore[misc]
                    )
            elif name == "ddList":
                pieces.append(_chosen_entry(each))
            elif name.endswith("Reference"):
                self.reference(name, each)
            elif not self.beside(each):
                pending += reversed(self.within(each))
        return "".join(pieces)

    def within(self, element: _Element) -> list[_Element]:
        """The children to read. Of alternatives that say the same for newer and older programs, the
        first that this reader knows."""
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
        """Set aside what an element says beside the text, a picture of which it is, say; whether
        that is all it holds."""
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

    def aside(self, action: Callable[[], None]) -> None:
        """Have something added after the block that is being read."""
        self._aside.append((self.part, action))

    def related(self, identity: str) -> Relation:
        """What a relationship of the part that is being read names."""
        if self.part not in self._relations:
            self._relations[self.part] = self.package.related(self.part)
        return self._relations[self.part].get(identity, Relation("", ""))

    def _alternative(self, *texts: str) -> None:
        for text in texts:
            if text.strip() and text not in self._alternatives:
                self._alternatives.add(text)
                self.aside(lambda text=text: self.builder.paragraph(text))  # type: ignore[misc]

    def _chart(self, identity: str) -> None:
        name = self._once(self.related(identity).target)
        root = self.package.xml(name) if name else None
        if root is None:
            return

        def add() -> None:
            for text in charts.chart(root):
                self.builder.paragraph(text)
            for drawn in self.package.targets(name, "chartUserShapes"):
                self._paragraphs(drawn)

        self.aside(add)

    def _diagram(self, identity: str) -> None:
        name = self._once(self.related(identity).target)
        if name:
            self.aside(lambda: self._paragraphs(name))

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
            self.aside(lambda: self._include(name))

    def _include(self, name: str) -> None:
        try:
            data = self.package.data(name)
        except ExtractError as error:
            self.package.missed.add(str(error))
            return
        embedded.include(self.builder, self.package.missed, data, posixpath.basename(name))

    def _once(self, name: str) -> str:
        """A part's name, but for the first time only."""
        if name in self._read:
            return ""
        self._read.add(name)
        return name

    def _table(self, table: _Element) -> None:
        """Rows as lines; a cell that spans several columns comes once, a short one that spans
        several rows in each of them (ECMA-376, part 1, 17.4: gridBefore, gridSpan, vMerge)."""
        lines = []
        above: dict[int, str] = {}  # by column: the text of the cell that begins there
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
        """The rows of a table or the cells of a row, those within controls and insertions, too;
        a table within is not looked into."""
        pending = [*element][::-1]
        while pending:
            each = pending.pop()
            name = local(each)
            if name == kind:
                yield each
            elif name not in SKIPPED and name not in ("tc", "tbl", "p") and not self.beside(each):
                pending += reversed(self.within(each))

    def _cell(self, cell: _Element) -> Iterator[str]:
        """The paragraphs of a cell; tables within are set aside."""
        pending = [*cell][::-1]
        while pending:
            element = pending.pop()
            name = local(element)
            if name == "p":
                yield self.numbered(element, alone=True)
            elif name == "tbl":
                self.aside(lambda inner=element: self._table(inner))  # type: ignore[misc]
            elif name == "altChunk":
                self._included(relation_id(element))
            elif name not in SKIPPED and not self.beside(element):
                pending += reversed(self.within(element))


def _symbol(element: _Element) -> str:
    """A sign of a font by its number; those of fonts of pictures have no letter."""
    code = attribute(element, "char")
    number = int(code, 16) if 0 < len(code) <= MAX_CODE and _is_hexadecimal(code) else 0
    if attribute(element, "font").lower() == "symbol":
        return SYMBOL.get(number & 0xFF, "")
    return chr(number) if 0x20 <= number < 0xD800 else ""


def _is_hexadecimal(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)


def _chosen_entry(entries: _Element) -> str:
    """What is chosen in the list of a form field."""
    values = [attribute(each, "val") for each in entries if local(each) == "listEntry"]
    for kind in ("result", "default"):
        at = attribute(child(entries, kind), "val")
        if at.isdecimal() and int(at[:6]) < len(values):
            return values[int(at[:6])]
    return "".join(values[:1])


def _number(element: _Element, *path: str, default: int) -> int:
    """A number that an element below holds; those out of range are the default."""
    value = attribute(child(element, *path), "val")
    return int(value[:4]) if value.isdecimal() else default
