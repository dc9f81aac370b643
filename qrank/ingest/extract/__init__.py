"""Files -> documents: one module per format family, chosen in the table of
analysis/formats.py."""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import PurePath
from typing import Any, BinaryIO

from qrank.analysis.formats import BY_SUFFIX, MAN, TEXT, Format, suffix_of
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
WINDOW = 4 << 20  # bytes of a text file that are read into one document


# Formats that are not read.
_BINARY = (
    "7z a aac apk avi avif bin bmp class db dcm deb dll dmg dylib exe flac gguf gif heic icns ico "
    "iso jar jpeg jpg lib m4a m4v mkv mov mp3 mp4 mpeg mpg npy npz o obj ogg onnx opus otf parquet "
    "pkl png psd pt pyc pyd rar rpm safetensors so sqlite tif tiff ttf war wasm wav webm "
    "webp whl wma wmv woff woff2"
)
_MARKUP = ("ps", "eps", "obj")  # valid UTF-8, but not readable text
# Formats of documents, whose message says that they are not supported.
_DOCUMENTS = (
    "accdb azw azw3 azw4 chm djv djvu hwp hwpx indd key kfx lit mdb mobi numbers odb one oxps "
    "pages pst pub vsd vsdx wpd wps xps"
)
_UNSUPPORTED = dict.fromkeys(_BINARY.split(), "binary file") | {
    suffix: f"{suffix.upper()} is not supported (--pre can convert it)"
    for suffix in (*_MARKUP, *_DOCUMENTS.split())
}
_ROFF = re.compile(
    rb"(?:[.'][ \t]*\r?\n|\s)*+(?:\\\"|[.'][ \t]*"
    rb"(?:\\\"|(?:TH|Dd|so|ig|de|if|ie|ds|nr|rn|lf|mso|SH|Sh|Dt|nh|ad|tr|als|pc|ft|nf)[ \t\r\n]))"
)
_PICTURES = frozenset("bmp gif jpeg jpg pbm pgm png pnm ppm tif tiff webp".split())
_XML = re.compile(rb"<\?xml[^>]{0,200}\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
_INPUT_ENCODING = re.compile(rb"^[ \t]*\\usepackage\[([\w-]{1,20})\]\{inputenc\}", re.MULTILINE)
_INPUT_ENCODINGS = {  # LaTeX's own names of encodings
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
HEAD = 1024  # bytes from which the format is detected
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # files of Microsoft Office before 2007
# Office files that are one XML file, often with the suffix .xml.
_OFFICE_XML = (
    (b"http://schemas.microsoft.com/office/2006/xmlPackage", "docx"),
    (b"http://schemas.microsoft.com/office/word/2003/wordml", "docx"),
    (b"urn:schemas-microsoft-com:office:spreadsheet", "xlsx"),
    (b"<office:document ", "odt"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Formats that are not plain text, though plain text files may have their suffixes (exports).
_NEVER_PLAIN = ("pdf", "docx", "pptx", "sheet", "odf", "rtf", "outlook", "tnef", "epub")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Formats of text that are read as plain text when they have no text, or are damaged.
_PLAIN_FALLBACK = "jsonl subtitles mail mbox gettext bibtex calendar contacts".split()
MBOX = re.compile(rb"From \S.{0,80} \d\d?:\d\d(?::\d\d)? .{0,40}\r?\n")  # RFC 4155
_LONE_CR = re.compile(r"\r(?!\n)")
_HEADER = re.compile(rb"[A-Za-z][\w-]*: ")
# Headers that only programs write. (A message in a Maildir has no suffix.)
_MAIL_HEADER = re.compile(
    rb"(?:Return-Path|Delivered-To|Received|Message-ID|MIME-Version): ", re.IGNORECASE
)


def is_picture(name: str) -> bool:
    """Whether a file is an image that OCR can read, by its name."""
    return suffix_of(name) in _PICTURES


def may_hold_files(name: str) -> bool:
    """Whether a file may have other files in it (such as attachments), by its name."""
    suffix = suffix_of(name)
    form = BY_SUFFIX.get(suffix)
    return form.files if form else suffix not in _UNSUPPORTED


def is_archive(name: str) -> bool:
    """Whether a file is an archive of files, by its name."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES:
        suffix = "tar" * (suffix_of(PurePath(name).stem) == "tar")
    form = BY_SUFFIX.get(suffix)
    return form is not None and form.name == "archive"


def is_isolated(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is read in a worker process. head: returns its first bytes."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES or is_archive(name):
        return True
    start = head()
    if compressed.suffix_by(start) and suffix not in _UNSUPPORTED:
        return True
    form = _format(suffix, start, None)
    return form is not None and form.isolated


def is_text(name: str, head: bytes) -> bool:
    """Whether a file's content is text as it is, by its name and first bytes."""
    suffix = suffix_of(name)
    if suffix in compressed.SUFFIXES or is_archive(name) or compressed.suffix_by(head):
        return False
    form = _format(suffix, head, None)
    return form is not None and (form.reads_text or form.records)


def _format(suffix: str, head: bytes, file: BinaryIO | None) -> Format | None:
    """The format of a file: by its suffix, unless its first bytes show another one. None for a
    format that is not read."""
    form = BY_SUFFIX.get(suffix)
    is_office = form is not None and form.function.startswith("office.")
    signature = _by_signature(head, file)
    # The readers of office files tell these apart themselves.
    may_be_office = head.startswith((b"PK", b"{\\rtf", _COMPOUND))
    if signature and not (is_office and may_be_office):
        return signature
    is_plain = looks_text(head)
    if form is not None and form.name in _NEVER_PLAIN:  # in any encoding
        is_plain = is_plain or head.startswith(_UTF_16) or not _CONTROL.search(head or b"\0")
    if suffix in _UNSUPPORTED:
        return _by_text(head) or (TEXT if is_plain and suffix not in _MARKUP else None)
    if form is None:
        return _by_text(head) or TEXT
    if form.name in _NEVER_PLAIN and is_plain and b"%PDF-" not in head:
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        if is_office and start.startswith((b"<", b"{\\rt")):
            return form
        return _by_text(head) or (BY_SUFFIX["csv"] if form.name == "sheet" else TEXT)
    return form


def looks_text(head: bytes) -> bool:
    """Whether a file's first bytes are text in UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(head) and not _CONTROL.search(head)


def format_of(file: BinaryIO, name: str) -> str:
    """The name of the format that a file is read as; empty for one that is not read."""
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
    """Whether a file has records (rows with fields), by its name."""
    form = BY_SUFFIX.get(suffix_of(name))
    return form is not None and form.records


def documents(file: BinaryIO, name: str, reading: Reading = READ_ALL) -> Iterator[Document]:
    """Yield the documents of a file, of a long text several. The format of a file whose suffix is
    not in the table is detected from its content; it is plain text by default.

    Raises NoTextError for a file without text (such as an image), ExtractError for one that is
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
    if suffix in compressed.SUFFIXES or (
        packed and suffix not in _UNSUPPORTED and not is_archive(name)
    ):
        inner = PurePath(name).stem if suffix in compressed.SUFFIXES else name
        if suffix_of(inner) in compressed.SUFFIXES:
            raise ExtractError("compressed twice")
        if not packed and (looks_text(head) or _by_signature(head, file)):  # not compressed
            yield from documents(file, inner, reading)
            return
        unpacked, damage = compressed.unpack(file, packed or suffix)
        with unpacked:
            if inner == name and compressed.suffix_by(unpacked.read(HEAD)):
                raise ExtractError("compressed twice")
            unpacked.seek(0)
            yield from with_damage(documents(unpacked, inner, reading), damage)
        return
    if reading.ocr and is_picture(name) and not _by_signature(head, file):
        yield from _function("ocr:extract")(file, reading)
        return
    form = _format(suffix, head, file)
    if form is None:
        raise NoTextError(_UNSUPPORTED[suffix])
    pending: list[Document] = []  # documents before the first with text
    is_sure = form.name not in _PLAIN_FALLBACK or not looks_text(head)
    try:
        for document in _read(file, form, suffix, reading):
            pending.append(document)
            is_sure = is_sure or bool(document.blocks)
            if is_sure:
                yield from pending
                pending.clear()
    except (NoTextError, ExtractError) as error:
        if suffix in _UNSUPPORTED and isinstance(error, NoTextError):
            raise NoTextError(_UNSUPPORTED[suffix]) from error
        if is_sure or (form.records and isinstance(error, NoTextError)):  # rows without text
            raise
        file.seek(0)
        yield from _read(file, TEXT, suffix, reading)
    else:
        yield from pending


def with_damage(source: Iterable[Document], damage: str) -> Iterator[Document]:
    """The documents of a file, then one with the note on its damage, if any. Raises ExtractError
    with that note when they can't be read."""
    note = member = ""
    try:
        for document in source:
            note, member = document.note or note, document.member
            yield document
    except ExtractError as error:  # or NoTextError, which is one
        if damage:
            raise ExtractError(damage) from error
        raise
    if damage:
        yield Document("", "", [], note="; ".join(filter(None, (note, damage))), member=member)


def _read(file: BinaryIO, form: Format, suffix: str, reading: Reading) -> Iterator[Document]:
    """Yield the documents of a file of a format. Raises NoTextError for a file without text."""
    function = _function(form.function)
    if form.reads_text:
        yield from _by_window(file, form, function, suffix)
    elif form.records:
        yield from function(file, reading.fields)
    else:
        empty, note = True, ""
        for document in function(file, reading) if form.files else function(file):
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


def _by_signature(head: bytes, file: BinaryIO | None) -> Format | None:
    """The format by the signature at the beginning of a file. Without file, to look into a zip
    file, any zip file is taken for docx."""
    if head.startswith(b"%PDF-"):
        return BY_SUFFIX["pdf"]
    if head.startswith(b"{\\rtf"):
        return BY_SUFFIX["rtf"]
    if head.startswith(b"PK\3\4"):
        return BY_SUFFIX["docx"] if file is None else _zip_format(file)
    if head.startswith(_COMPOUND):
        return BY_SUFFIX["msg"]  # its reader tells the formats of compound files apart
    if head.startswith(b"\x78\x9f\x3e\x22"):
        return BY_SUFFIX["tnef"]
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<?xml", b"<office:", b"<pkg:", b"<w:")):
        for mark, suffix in _OFFICE_XML:
            if mark in head:
                return BY_SUFFIX[suffix]
    return None


def _by_text(head: bytes) -> Format | None:
    """The format of a text file by its first bytes; None for plain text."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return BY_SUFFIX["html"]
    if MBOX.match(head):
        return BY_SUFFIX["mbox"]
    if _is_mail(head):
        return BY_SUFFIX["eml"]
    return MAN if _ROFF.match(head) else None


def _is_mail(head: bytes) -> bool:
    """Whether a text begins with the headers of a mail, of which one is never typed by hand.

    >>> _is_mail(b"To: a\\n b\\nReceived: c"), _is_mail(b"To: a\\n\\nReceived: c")
    (True, False)
    """
    in_header = False
    for line in head.split(b"\n"):
        if _MAIL_HEADER.match(line):
            return True
        # (A line that begins with white space continues the header before it.)
        in_header = bool(_HEADER.match(line)) or (in_header and line.startswith((b" ", b"\t")))
        if not in_header:
            return False
    return False


def _zip_format(file: BinaryIO) -> Format | None:
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


def _by_window(
    file: BinaryIO, form: Format, function: Callable[..., Any], suffix: str
) -> Iterator[Document]:
    """A text file's document; of one longer than WINDOW a document for each window, which ends
    between paragraphs where possible."""
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
    """The encoding that a text declares; empty if it declares none."""
    if form.name == "latex" and (named := _INPUT_ENCODING.search(data)):
        label = named[1].decode("ascii").lower()
        return _INPUT_ENCODINGS.get(label, label)
    declared = _XML.match(data)
    return declared[1].decode("ascii") if declared else ""


def _document(
    text: str, function: Callable[..., Any], suffix: str, offset: int, line: int
) -> Document:
    extracted: tuple[str, list[Block]] | tuple[str, list[Block], Mapping[str, object]]
    # A carriage return alone ends a line, too. The replacement keeps the length, and so offsets.
    extracted = function(_LONE_CR.sub("\n", text) if "\r" in text else text, suffix)
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
