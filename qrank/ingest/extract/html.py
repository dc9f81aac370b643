"""HTML: headings, paragraphs, lists, tables, with the lines of the source (lxml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, BinaryIO

from qrank.errors import ExtractError
from qrank.ingest.decode import decode, decode_labelled
from qrank.ingest.extract.building import Builder, blanks_made_one, one_line, properties, truncated
from qrank.results import Document

if TYPE_CHECKING:
    from lxml.etree import _Element

# Elements that are never displayed; elements that are not read.
_HIDDEN = frozenset("head script style template noscript datalist rp".split())
_SKIPPED = _HIDDEN | frozenset(
    "nav iframe audio video canvas annotation annotation-xml".split()  # (of a formula: its source)
)
# Inline elements that separate the words beside them.
_BOXES = frozenset(
    "button textarea input img iframe object select audio video canvas embed meter progress "
    "marquee area svg math mi mn mo ms mtext".split()
)
_BLOCKS = frozenset(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form frameset header hgroup hr html legend li listing main menu nav "
    "noframes ol optgroup option p plaintext pre search section summary table xmp "
    "tbody tfoot thead title tr ul "
    "text".split()  # of a drawing (SVG)
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
MAX_TAG, MAX_SCRIPT = 65_536, 1 << 20  # characters
_OPEN_TAG = re.compile(r"<[a-zA-Z/!][^<>]*$")
_XHTML = re.compile(r"^\s*<\?xml|xmlns\s*=\s*[\"']http://www\.w3\.org/1999/xhtml")
_CHARSET = re.compile(
    rb"(?:<meta[^>]{0,200}charset|^\s{0,9}<\?xml[^>]{0,100}encoding)"
    rb"\s{0,9}=\s{0,9}[\"']?\s{0,9}([\w.:-]{1,40})",
    re.IGNORECASE,
)


def extract(file: BinaryIO) -> Iterator[Document]:
    """Yield the document, with the title of the page, else its first heading."""
    builder = Builder()
    data = file.read()
    text = decode_html(data)
    fields: dict[str, object] = {}
    title = add(builder, text, fields=fields)
    if _is_truncated(text):
        builder.note = "; ".join(filter(None, (builder.note, truncated(len(data)))))
    yield builder.document(title or builder.first_heading, fields)


def _is_truncated(text: str) -> bool:
    """Whether a page ends within a tag, a comment or a script. (Open elements are no sign of it, as
    many end tags may be omitted.)

    >>> [_is_truncated(text) for text in ("<p>a <a href='x", "<!-- a", "<p>a < b", "<b>2", "<p")]
    [True, True, False, False, True]
    """
    end = text[-MAX_TAG:].rstrip()
    if _OPEN_TAG.search(end):
        return True
    if text.rfind("<!--") > text.rfind("-->"):
        return True
    end = text[-MAX_SCRIPT:].lower()
    return any(end.rfind(f"<{name}") > end.rfind(f"</{name}") for name in ("script", "style"))


def decode_html(data: bytes) -> str:
    """Decode a page by its declared encoding, else by a guess. Raises NoTextError for binary."""
    named = _CHARSET.search(data[:4096])
    return decode_labelled(data, named[1].decode("ascii")) if named else decode(data)[0]


def add(
    builder: Builder,
    text: str,
    line: int | None = 0,
    *,
    fields: dict[str, object] | None = None,
) -> str:
    """Add a page's text to a document; returns the title.

    line: the number of lines of the file before it, None for text without line numbers. fields: the
    page's author and keywords are added to it. Raises ExtractError.
    """
    from lxml import etree

    if not text.strip():
        return ""
    if "\r" in text:
        text = re.sub(r"\r\n?", "\n", text)  # libxml2 only counts newlines
    if "<![CDATA[" in text and _XHTML.search(text[:4096]):  # in HTML, it would be a comment
        text = _without_cdata(text)
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise ExtractError("no HTML found") from error
    for problem in parser.error_log:
        if problem.type_name == "ERR_RESOURCE_LIMIT":  # libxml2's limit is 2048 nested elements
            where = "there" if line is None else f"line {problem.line + line}"
            builder.note = f"HTML nested too deeply from {where} on"
    if root is None:
        return ""
    metadata: dict[str, _Element] = {}
    for meta in root.iter("meta"):
        metadata.setdefault((meta.get("name") or meta.get("property") or "").lower(), meta)
    description = metadata.get("description", metadata.get("og:description"))
    if description is not None:
        builder.paragraph(description.get("content") or "", _source_line(description, line))
    if fields is not None:
        values = {name: each.get("content") or "" for name, each in metadata.items()}
        fields |= properties(values.get("author", ""), "", values.get("keywords", ""))
    _Reader(builder, line).read(root)
    return one_line(root.findtext(".//title") or "")


def _without_cdata(text: str) -> str:
    """A page with its CDATA sections converted to escaped text.

    >>> _without_cdata("<p>a <![CDATA[<b> & c]]>d <![CDATA[e")
    '<p>a &lt;b&gt; &amp; cd <![CDATA[e'
    """
    pieces = []
    at = 0
    while (start := text.find("<![CDATA[", at)) >= 0 and (end := text.find("]]>", start)) >= 0:
        pieces += [text[at:start], escape(text[start + 9 : end], quote=False)]
        at = end + 3
    return "".join((*pieces, text[at:]))


def _refers_to_note(element: _Element) -> bool:
    """Whether an element is a superscript link: a note number, not part of the word before it."""
    around = element.getparent()
    tags = (None if around is None else around.tag, element.tag)
    return tags in (("a", "sup"), ("sup", "a"))


def _source_line(element: _Element, before: int | None) -> int:
    """The line of the file that an element is on; before: see line in add."""
    line: Any = element.sourceline
    return 0 if before is None else int(line or 1) + before


class _Reader:
    """Walks the tree without recursion, as pages may be nested deeper than Python's limit."""

    def __init__(self, builder: Builder, line: int | None) -> None:
        self._builder = builder
        self._before = line
        self._buffer: list[str] = []
        self._line = 0  # of the start of the buffer
        self._pre = 0
        self._cells = 0  # of the current table row
        self._ruby_start = 0  # index in the buffer where the current ruby annotation (rt) starts
        self._ruby: list[str] = []

    def read(self, root: _Element) -> None:
        from lxml import etree

        skipped: _Element | None = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if skipped is not None:
                if event == "end" and element is skipped:
                    skipped = None
                    self._separate(str(element.tag))
                    self._text(element.tail, element)
                continue
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if tag in _SKIPPED or not tag:
                    skipped = element
                    self._separate(tag)
                    continue
                self._start(tag, element)
            else:
                self._end(tag, element)
                self._text(element.tail, element)
        self._flush()

    def _start(self, tag: str, element: _Element) -> None:
        if tag in _HEADINGS:
            self._flush()
        elif tag in ("td", "th"):
            if self._cells:
                self._buffer.append(" | ")
            self._cells += 1
        elif tag in _BLOCKS and self._cells:  # a cell's paragraphs stay in its row
            self._buffer.append(" ")
        elif tag in _BLOCKS:
            self._flush()
            self._pre += tag == "pre"
            if tag == "li":
                self._buffer.append("- ")
        elif tag == "br":
            self._buffer.append("\n")
        elif tag == "rt":
            self._ruby_start = len(self._buffer)
        elif _refers_to_note(element):
            self._buffer.append(" ")
        elif tag in _BOXES:
            self._buffer.append(" ")
            if tag in ("img", "area", "input"):
                self._text(element.get("alt"), element)
        if tag == "tr":
            self._flush()
            self._cells = 0
        self._text(element.text, element)

    def _end(self, tag: str, element: _Element) -> None:
        if tag in _HEADINGS:
            text = "".join(self._buffer)
            self._buffer = []
            self._builder.heading(_HEADINGS[tag], text, _source_line(element, self._before))
        elif tag in ("tr", "table"):
            self._flush()
            self._cells = 0
        elif tag in _BLOCKS and not self._cells:
            self._flush()
            self._pre -= tag == "pre" and self._pre > 0
        elif tag in _BOXES or (self._cells and tag in _BLOCKS):
            self._buffer.append(" ")
        elif tag == "rt":
            self._ruby += self._buffer[self._ruby_start :]
            del self._buffer[self._ruby_start :]
        elif tag == "ruby" and self._ruby:
            self._buffer.append(f" ({''.join(self._ruby)}) ")
            self._ruby = []

    def _separate(self, tag: str) -> None:
        """Separate the text before and after an element that is not read."""
        if tag in _BLOCKS and not self._cells:
            self._flush()
        elif tag and tag not in _HIDDEN:
            self._buffer.append(" ")

    def _text(self, text: str | None, element: _Element) -> None:
        if not text:
            return
        if not any(map(str.strip, self._buffer)):
            self._line = _source_line(element, self._before)
        self._buffer.append(text if self._pre else text.replace("\r", " ").replace("\n", " "))

    def _flush(self) -> None:
        text = "".join(self._buffer)
        self._buffer = []
        if text.strip(" -\n\t|"):
            self._builder.paragraph(text if self._pre else blanks_made_one(text), self._line)
