"""Files -> documents: one module per format family, chosen in the table below."""

from __future__ import annotations

import codecs
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import PurePath
from typing import Any, BinaryIO

from qrank.errors import ExtractError, NoTextError
from qrank.ingest.decode import (
    decode,
    decode_labelled,
    encoding_of,
    line_end,
    on_error,
    whole_lines,
    without_nuls,
)
from qrank.ingest.extract import compressed
from qrank.markup.visible import long_data
from qrank.results import Block, Document
from qrank.settings import READ_ALL, Reading

VERSION = 27  # part of the index: a change makes every file be extracted and chunked again
WINDOW = 4 << 20  # bytes of a text file that are read at once


@dataclass(frozen=True, slots=True)
class Format:
    """A format family: its suffixes, and the function that reads it, `module:function`.

    reads_text: the function is (text, suffix) -> (title, blocks) or (title, blocks, fields), else
    (file) -> documents. isolated: it runs in a worker process. records: it takes fields, too.
    holds: there may be files in it, so that it takes the reading, too.
    """

    name: str
    suffixes: str
    function: str
    reads_text: bool = False
    isolated: bool = True
    records: bool = False
    holds: bool = False


_CODE = (
    "bash c cc clj cpp cs css cu cxx dart el erl ex exs fish fs go gradle groovy h hpp hs java jl "
    "js jsx cjs mjs kt kts less lisp lua m ml mm nim php pl pm proto ps1 py pyi r rb rs sass scala "
    "scm scss sh sol sql svelte swift tcl tf ts tsx cts mts v vb vim vue zig zsh"
)
TEXT = Format(
    "text", "txt text log asc nfo typ textile yaml yml toml ini cfg conf xml",
    "plain:extract", reads_text=True, isolated=False,
)  # fmt: skip
# Numbers end other names, too: those pages are known by how they begin.
MAN = Format("man", "man mdoc roff 1 2 3 4 5 6 7 8 9 1ssl 3pm 3perl 3x", "markup.man:extract")
FORMATS = (
    TEXT,
    Format("markdown", "md markdown mdown mkd mdx qmd rmd", "markdown:extract", True, False),
    Format("rst", "rst rest", "rst:extract", True, False),
    Format("latex", "tex ltx latex", "markup.latex:extract", True),
    Format("org", "org", "markup.org:extract", True),
    Format("asciidoc", "adoc asciidoc", "markup.asciidoc:extract", True),
    MAN,
    Format("gettext", "po pot", "markup.gettext:extract"),
    Format("fictionbook", "fb2 fbz", "markup.fictionbook:extract"),
    Format("bibtex", "bib", "markup.bibtex:extract"),
    Format("calendar", "ics ical vcs ifb", "markup.cards:extract"),
    Format("contacts", "vcf vcard", "markup.cards:extract"),
    Format("code", _CODE, "code:extract", True),
    Format("html", "html htm xhtml", "html:extract"),
    Format("pdf", "pdf", "pdf:extract", holds=True),
    Format("docx", "docx docm dotx dotm", "office.detect:word", holds=True),
    Format("pptx", "pptx pptm ppsx ppsm potx potm ppt pps pot", "office.detect:slides", holds=True),
    Format(
        "sheet", "xlsx xlsm xlsb xltx xltm xls ods ots fods", "office.detect:sheets", holds=True
    ),
    Format(
        "odf",
        "odt ott odp otp odg otg odm fodt fodp fodg",
        "office.detect:open_document",
        holds=True,
    ),
    Format("doc", "doc dot", "office.detect:old_word", holds=True),
    Format("rtf", "rtf", "office.detect:rich_text", holds=True),
    Format("outlook", "msg", "office.detect:outlook", holds=True),
    Format("tnef", "tnef", "mails.tnef:extract", holds=True),
    Format("epub", "epub", "epub:extract"),
    Format("notebook", "ipynb", "notebook:extract"),
    Format("mail", "eml emlx", "mail:extract", holds=True),
    Format("mbox", "mbox mbx", "mail:extract_mbox", holds=True),
    Format("json", "json", "json_text:extract", isolated=False),
    Format("jsonl", "jsonl ndjson", "records:extract_jsonl", records=True),
    Format("csv", "csv tsv", "records:extract_csv", records=True),
    Format("subtitles", "srt vtt ass ssa", "subtitles:extract"),
    Format("archive", "zip tar tgz tbz tbz2 txz", "containers:extract", holds=True),
)
BY_SUFFIX = {
    suffix: format
    for format in FORMATS
    for suffix in format.suffixes.split()
    if not suffix[0].isdigit()
}
# What no reader here makes text of, and why: not even opened.
_BINARY = (
    "7z a aac apk avi avif bin bmp class db dcm deb dll dmg dylib exe flac gguf gif heic icns ico "
    "iso jar jpeg jpg lib m4a m4v mkv mov mp3 mp4 mpeg mpg npy npz o obj ogg onnx opus otf parquet "
    "pkl png psd pt pyc pyd rar rpm safetensors so sqlite tif tiff ttf war wasm wav webm "
    "webp whl wma wmv woff woff2"
)
_MARKED_UP = ("ps", "eps", "obj")  # text by its bytes alone: the markup hides the words
# Documents all the same.
_UNKNOWN = (
    "accdb azw azw3 azw4 chm djv djvu hwp hwpx indd key kfx lit mdb mobi numbers odb one oxps "
    "pages pst pub vsd vsdx wpd wps xps"
)
_UNREAD = dict.fromkeys(_BINARY.split(), "binary file") | {
    suffix: f"{suffix.upper()} is not supported (--pre can convert it)"
    for suffix in (*_MARKED_UP, *_UNKNOWN.split())
}
_ROFF = re.compile(
    rb"(?:[.'][ \t]*\r?\n|\s)*+(?:\\\"|[.'][ \t]*"
    rb"(?:\\\"|(?:TH|Dd|so|ig|de|if|ie|ds|nr|rn|lf|mso|SH|Sh|Dt|nh|ad|tr|als|pc|ft|nf)[ \t\r\n]))"
)
_PICTURES = frozenset("bmp gif jpeg jpg pbm pgm png pnm ppm tif tiff webp".split())
_XML = re.compile(rb"<\?xml[^>]{0,200}\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
_INPUT_ENCODING = re.compile(rb"^[ \t]*\\usepackage\[([\w-]{1,20})\]\{inputenc\}", re.MULTILINE)
_INPUT_ENCODINGS = {  # LaTeX's names that are no labels elsewhere
    **{f"latin{n}": f"iso-8859-{n}" for n in (1, 2, 3, 4)},
    "latin5": "iso-8859-9",
    "latin9": "iso-8859-15",
    "latin10": "iso-8859-16",
    "ansinew": "windows-1252",
    "applemac": "macintosh",
    "utf8": "utf-8",
    "utf8x": "utf-8",
    **{f"cp{n}": f"windows-{n}" for n in range(1250, 1259)},
}
HEAD = 1024  # bytes that show what a file is
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # files of Microsoft Office before 2007
# Office files that are one XML file, which is called .xml as often as not.
_OFFICE_XML = (
    (b"http://schemas.microsoft.com/office/2006/xmlPackage", "docx"),
    (b"http://schemas.microsoft.com/office/word/2003/wordml", "docx"),
    (b"urn:schemas-microsoft-com:office:spreadsheet", "xlsx"),
    (b"<office:document ", "odt"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# What is never plain text itself, though plain text is found under its suffixes (exports, say).
_NEVER_PLAIN = ("pdf", "docx", "pptx", "sheet", "odf", "rtf", "outlook", "tnef", "epub")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ELSE_PLAIN = ("jsonl", "subtitles", "mail", "mbox", "gettext", "bibtex", "calendar", "contacts")
MBOX = re.compile(rb"From \S.{0,80} \d\d?:\d\d(?::\d\d)? .{0,40}\r?\n")  # RFC 4155
_ALONE = re.compile(r"\r(?!\n)")
_HEADER = re.compile(rb"[A-Za-z][\w-]*: ")
# Headers that programs write, none a person does: a message of a Maildir, say, has no suffix.
_MAIL_HEADER = re.compile(
    rb"(?:Return-Path|Delivered-To|Received|Message-ID|MIME-Version): ", re.IGNORECASE
)


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, without its dot; a book in a zip file has the book's."""
    if name[-8:].lower() == ".fb2.zip":
        return "fb2"
    return os.path.splitext(name)[1][1:].lower()  # noqa: PTH122  (asked of every file twice)


def is_picture(name: str) -> bool:
    """Whether a file is a picture that can be read (OCR), by its name."""
    return suffix_of(name) in _PICTURES


def may_hold_files(name: str) -> bool:
    """Whether there may be other files in a file (attachments, say), by its name."""
    suffix = suffix_of(name)
    form = BY_SUFFIX.get(suffix)
    return form.holds if form else suffix not in _UNREAD


def is_archive(name: str) -> bool:
    """Whether a file is an archive of files, by its name."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES:
        suffix = "tar" * (suffix_of(PurePath(name).stem) == "tar")
    form = BY_SUFFIX.get(suffix)
    return form is not None and form.name == "archive"


def is_isolated(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is read in a worker process; head: gives its first bytes."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES or is_archive(name):
        return True
    start = head()
    if compressed.suffix_by(start) and suffix not in _UNREAD:
        return True
    form = _format(suffix, start, None)
    return form is not None and form.isolated


def is_text(name: str, head: bytes) -> bool:
    """Whether a file, which begins so, is a text by itself; nothing has to be extracted of it."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES or is_archive(name) or compressed.suffix_by(head):
        return False
    form = _format(suffix, head, None)
    return form is not None and (form.reads_text or form.records)


def _format(suffix: str, head: bytes, file: BinaryIO | None) -> Format | None:
    """The format of a file: what its suffix says, unless its first bytes show that it is another;
    None when it is of none that is read."""
    form = BY_SUFFIX.get(suffix)
    is_office = form is not None and form.function.startswith("office.")
    sure = _signed(head, file)
    # (Office files are looked into by their reader.)
    looked_into = head.startswith((b"PK", b"{\\rtf", _COMPOUND))
    if sure and not (is_office and looked_into):
        return sure
    is_plain = looks_text(head)
    if form is not None and form.name in _NEVER_PLAIN:  # in any encoding
        is_plain = is_plain or head.startswith(_WIDE) or not _CONTROL.search(head or b"\0")
    if suffix in _UNREAD:
        return _sniffed(head) or (TEXT if is_plain and suffix not in _MARKED_UP else None)
    if form is None:
        return _sniffed(head) or TEXT
    if form.name in _NEVER_PLAIN and is_plain and b"%PDF-" not in head:
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if is_office and start.startswith((b"<", b"{\\rt")):
            return form
        return _sniffed(head) or (BY_SUFFIX["csv"] if form.name == "sheet" else TEXT)
    return form


def looks_text(head: bytes) -> bool:
    """Whether a file that begins so is text in UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and not _CONTROL.search(head)


def format_of(file: BinaryIO, name: str) -> str:
    """The name of the format that a file is read as; empty when it is of none."""
    suffix = suffix_of(name)
    if is_archive(name):
        return "archive"
    head = file.read(HEAD)
    file.seek(0)
    if suffix in compressed.SUFFIXES:
        return f"{format_of(io.BytesIO(), PurePath(name).stem)} in {suffix}"
    form = _format(suffix, head, file)
    return form.name if form else ""


def takes_fields(name: str) -> bool:
    """Whether a file holds records."""
    form = BY_SUFFIX.get(suffix_of(name))
    return form is not None and form.records


def documents(file: BinaryIO, name: str, reading: Reading = READ_ALL) -> Iterator[Document]:
    """Yield what is in a file, a long one in stretches; any suffix not in the table is looked
    into, and read as plain text.

    Raises NoTextError when there is no text in it (an image, say), ExtractError when it is
    damaged or too large.
    """
    suffix = suffix_of(name)
    if is_archive(name):
        if not reading.archives:
            raise NoTextError("an archive (--archives reads it)")
        suffix = "tar"
    head = file.read(HEAD)
    file.seek(0)
    packed = compressed.suffix_by(head)
    if suffix in compressed.SUFFIXES or (packed and suffix not in _UNREAD and not is_archive(name)):
        inner = PurePath(name).stem if suffix in compressed.SUFFIXES else name
        if suffix_of(inner) in compressed.SUFFIXES:
            raise ExtractError("compressed twice")
        if not packed and (looks_text(head) or _signed(head, file)):  # it is not, whatever its name
            yield from documents(file, inner, reading)
            return
        unpacked, damage = compressed.unpack(file, packed or suffix)
        with unpacked:
            if inner == name and compressed.suffix_by(unpacked.read(HEAD)):
                raise ExtractError("compressed twice")
            unpacked.seek(0)
            yield from with_damage(documents(unpacked, inner, reading), damage)
        return
    if reading.ocr and is_picture(name) and not _signed(head, file):
        yield from _function("ocr:extract")(file, reading)
        return
    form = _format(suffix, head, file)
    if form is None:
        raise NoTextError(_UNREAD[suffix])
    pending: list[Document] = []  # what came before there was any text
    is_sure = form.name not in _ELSE_PLAIN or not looks_text(head)
    try:
        for document in _read(file, form, suffix, reading):
            pending.append(document)
            is_sure = is_sure or bool(document.blocks)
            if is_sure:
                yield from pending
                pending.clear()
    except (NoTextError, ExtractError) as error:
        if suffix in _UNREAD and isinstance(error, NoTextError):
            raise NoTextError(_UNREAD[suffix]) from error
        if is_sure or (form.records and isinstance(error, NoTextError)):  # rows, but no text
            raise
        file.seek(0)
        yield from _read(file, TEXT, suffix, reading)
    else:
        yield from pending


def with_damage(found: Iterable[Document], damage: str) -> Iterator[Document]:
    """Documents, and after them what is said of the file around them. Raises ExtractError when that
    is why they can't be read."""
    note = member = ""
    try:
        for document in found:
            note, member = document.note or note, document.member
            yield document
    except ExtractError as error:  # or NoTextError, which is one
        if damage:
            raise ExtractError(damage) from error
        raise
    if damage:
        yield Document("", "", [], note="; ".join(filter(None, (note, damage))), member=member)


def _read(file: BinaryIO, form: Format, suffix: str, reading: Reading) -> Iterator[Document]:
    """Yield what is in a file of a format. Raises NoTextError when there is no text in it."""
    function = _function(form.function)
    if form.reads_text:
        yield from _stretches(file, form, function, suffix)
    elif form.records:
        yield from function(file, reading.fields)
    else:
        empty, note = True, ""
        for document in function(file, reading) if form.holds else function(file):
            empty = empty and not document.blocks
            note = document.note or note
            yield document
        if empty:
            raise NoTextError("; ".join(filter(None, ("no text", note))))


@cache
def _function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    reader: Callable[..., Any] = getattr(import_module(f"qrank.ingest.extract.{module}"), function)
    return reader


def _signed(head: bytes, file: BinaryIO | None) -> Format | None:
    """The format that a file's first bytes show beyond doubt; without the file any zip will do."""
    if head.startswith(b"%PDF-"):
        return BY_SUFFIX["pdf"]
    if head.startswith(b"{\\rtf"):
        return BY_SUFFIX["rtf"]
    if head.startswith(b"PK\3\4"):
        return BY_SUFFIX["docx"] if file is None else _zipped(file)
    if head.startswith(_COMPOUND):
        return BY_SUFFIX["msg"]  # or what else it turns out to be
    if head.startswith(b"\x78\x9f\x3e\x22"):
        return BY_SUFFIX["tnef"]
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<office:", b"<pkg:", b"<w:")):
        for mark, suffix in _OFFICE_XML:
            if mark in head:
                return BY_SUFFIX[suffix]
    return None


def _sniffed(head: bytes) -> Format | None:
    """The format of a text, as far as its first bytes show one that is not plain."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return BY_SUFFIX["html"]
    if MBOX.match(head):
        return BY_SUFFIX["mbox"]
    if _is_mail(head):
        return BY_SUFFIX["eml"]
    return MAN if _ROFF.match(head) else None


def _is_mail(head: bytes) -> bool:
    """Whether a text begins with headers, one of which only programs write.

    >>> _is_mail(b"To: a\\n b\\nReceived: c"), _is_mail(b"To: a\\n\\nReceived: c")
    (True, False)
    """
    in_header = False
    for line in head.split(b"\n"):
        if _MAIL_HEADER.match(line):
            return True
        # (A line that begins with a blank goes on with the header above it.)
        in_header = bool(_HEADER.match(line)) or (in_header and line.startswith((b" ", b"\t")))
        if not in_header:
            return False
    return False


def _zipped(file: BinaryIO) -> Format | None:
    try:
        names = [name.replace("\\", "/") for name in zipfile.ZipFile(file).namelist()[:1000]]
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        names = []
    file.seek(0)
    marks = (("word/", "docx"), ("ppt/", "pptx"), ("xl/", "xlsx"), ("META-INF/container", "epub"))
    for mark, suffix in (*marks, ("content.xml", "odt")):
        if any(name.startswith(mark) for name in names):
            return BY_SUFFIX[suffix]
    return None


def _stretches(
    file: BinaryIO, form: Format, function: Callable[..., Any], suffix: str
) -> Iterator[Document]:
    """A text file's document; of one longer than a window, a document a window, which ends
    between paragraphs where it can."""
    data = file.read(WINDOW)
    if len(data) < WINDOW:
        text, offset = decode(data)
        if not offset and (label := _named_encoding(data, form)):
            text = decode_labelled(data, label)
        yield _document(text, function, suffix, offset, 0)
        return
    encoding, offset = encoding_of(whole_lines(data))
    decoder = codecs.getincrementaldecoder(encoding)(on_error(encoding))
    data = data[offset:]
    rest, line = "", 0
    while True:
        rest += decoder.decode(data, final=not data)
        end = len(rest)
        if data:
            end = max(rest.rfind("\n\n") + 2, rest.rfind("\n") + 1 if "\n\n" not in rest else 0, 1)
            end = end if end > 1 else rest.rfind(" ") + 1 or len(rest)
        text, rest = rest[:end], rest[end:]
        text = without_nuls(text)
        yield _document(text, function, suffix, offset, line)
        offset += len(text.encode("utf-8"))
        line += text.count(line_end(text))
        if not data:
            return
        data = file.read(WINDOW)


def _named_encoding(data: bytes, form: Format) -> str:
    """The encoding that a text itself names; empty where it names none."""
    if form.name == "latex" and (named := _INPUT_ENCODING.search(data)):
        label = named[1].decode("ascii").lower()
        return _INPUT_ENCODINGS.get(label, label)
    declared = _XML.match(data)
    return declared[1].decode("ascii") if declared else ""


def _document(
    text: str, function: Callable[..., Any], suffix: str, offset: int, line: int
) -> Document:
    extracted: tuple[str, list[Block]] | tuple[str, list[Block], Mapping[str, object]]
    # A carriage return alone ends a line, too; of the same length, so that offsets hold.
    extracted = function(_ALONE.sub("\n", text) if "\r" in text else text, suffix)
    fields = extracted[2] if len(extracted) == 3 else {}
    blocks = _without_data(extracted[1], text)
    return Document(text, extracted[0], blocks, offset, line, fields=fields)


def _without_data(blocks: list[Block], text: str) -> list[Block]:
    """The blocks without the long base64 data in them, a picture say."""
    for start, end in long_data(text):
        blocks_left = []
        for block in blocks:
            if block.end <= start or end <= block.start:
                blocks_left.append(block)
                continue
            before = block._replace(end=max(block.start, start))
            blocks_left += [
                b for b in (before, block._replace(start=min(block.end, end))) if b.end > b.start
            ]
        blocks = blocks_left
    return blocks
