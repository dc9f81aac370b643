"""Inputs that take a reader with a quadratic bug far too long: long runs, deep nesting, odd line
ends.

python tests/pathological.py SUFFIX FIRST STEP
python tests/pathological.py SUFFIX NAME

Reads every STEP-th of them, or one, of a megabyte each, as a file of that suffix (- for none), and
prints its name first. The process is killed when one takes more than LIMIT.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from html import escape
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from qrank.analysis.language import language
from qrank.errors import ExtractError
from qrank.ingest.extract import documents, is_isolated
from qrank.ingest.prepare import new_chunks

MEMORY = 4 << 30  # bytes of address space
# What a library takes all memory for, and crashes; in a worker that costs the file alone.
LEFT_OUT = {("c", "arrows of functions")}
LIMIT = 30  # seconds of processor time; what is linear takes one, CSV of a row a line six

CHARACTERS = "=-*#`|<>[({})]\"' \t.,:\\/_~+@&;!?\r\n\f0aé中\u0301\u200b\u2028"
PIECES = {  # name: what is repeated
    "words": "a b ",
    "long words": "a" * 5000 + " ",
    "apostrophes": "a'",
    "marks": "a\u0301",
    "marks out of order": "\u0301\u0323",
    "Thai marks": "\u0e48\u0e38",
    "signs": "c++ c# ",
    "capitals": "aB",
    "snake": "a_",
    "sentences": "A. ",
    "initials": "a.b.",
    "stops": ".) ",
    "quotes": "\"'",
    "quoted": 'a,"b""c",',
    "crlf": "a\r\n",
    "blank crlf": "\r\n",
    "cr": "a\r",
    "mixed ends": "\n\r",
    "blank lines": " \n",
    "tab lines": "\t\n",
    "paragraphs": "a\n\n",
    "spaced paragraphs": "a\n \t \n",
    "pages": "a\f",
    "headers": "K1: v\r\n",
    "headers of blanks": "K1:    \r\n \r\n",
    "folded headers": "K1: v\r\n v\r\n",
    "received": "Received: from a by b; c\n",
    "from lines": "From a@b Mon Jan  1 00:00:00 2024\n\n",
    "from alone": "\n\nFrom a\n",
    "boundaries": "--b\n\n",
    "table rows": "|a|b|\n",
    "table rules": "|-|-|\n",
    "rules": "---\n",
    "setext": "a\n===\n",
    "over and under": "===\na\n===\n",
    "indented rules": "   ===   \n",
    "headings": "# a\n",
    "headings of all levels": "# a\n## b\n### c\n",
    "hashes": "# ",
    "items": "- a\n",
    "nested items": "- ",
    "numbers": "1. a\n",
    "lists on a line": "+ 1. ",
    "quotations": "> ",
    "quotation lines": "> a\n",
    "fences": "```\na\n",
    "ticks of all lengths": "` `` ``` ```` ",
    "emphasis": "*a_",
    "stars": "**a*",
    "links": "[a](",
    "references": "[a][",
    "definitions": "[a]: b\n",
    "images": "![",
    "entities": "&a",
    "numeric entities": "&#1;",
    "autolinks": "<a<a",
    "tags": "<div>",
    "other tags": "<b><i>",
    "attributes": "<a b=",
    "one tag": " a='b'",
    "cells": "<table><tr><td>",
    "paragraphs of html": "<p>a",
    "options": "<select><option>",
    "formatting": "<font><p>",
    "comments": "<!-- -",
    "comment starts": "<!--",
    "declarations": "<![CDATA[",
    "charsets": "<meta ",
    "brackets": "[(",
    "square": "[",
    "all brackets": "[({<",
    "pairs": "()",
    "json": '{"a":',
    "json lists": '["a",',
    "json rows": '{"text": "a b"}\n',
    "short rows": "a,b\n",
    "separators": ",;\t|\n",
    "cues": "00:00:01,000 --> 00:00:02,000\na\n\n",
    "times": "1:",
    "arrows": "-->",
    "functions": "def a(): pass\n",
    "classes": "class A {\n",
    "braces": "a {",
    "ifs": "if (a) ",
    "else": "if a then b else ",
    "ternaries": "a ? b : ",
    "generics": "a<b",
    "templates": "template<",
    "arrows of functions": "a => ",
    "parameters": "a(b, ",
    "operators": "a + ",
    "minus": "- -",
    "casts": "(a)",
    "pointers": "*(",
    "here documents": "<<A\n",
    "dollars": "$(",
    "strings": 'f"{',
    "hash signs": "#define a ",
    "continued": "a \\\n",
    "comment lines": "// a\n",
    "comment blocks": "/* ",
    "decorators": "@a\n",
    "semicolons": "a;b",
    "colons": "a: ",
    "deep keys": "a:\n ",
    "colons of yaml": "? a\n: ",
    "front matter": "---\na: [\n",
    "front matter of toml": "+++\na = [\n",
    "directives": ".. a::\n",
    "roles": ":a:`",
    "hindi": "हिन्दी",
    "korean": "한국어",
    "emoji": "👩\u200d👩",
    "half width": "ｶﾞ",
    "surrogates": "\U00020000",
    "broken utf-8": "\udcff",
    "western": "\udce9a ",
    "escapes": "\x1b$B",
    "roff": ".TH a 1\n.SH a\na \\fBb\\fP\n",
    "roff conditions": ".if n .if n ",
    "roff blocks": ".if t \\{\n",
    "roff else": ".ie n a\n",
    "roff strings": ".ds a \\*a\\*a\n\\*a\n",
    "roff macros": ".de a\n",
    "roff arguments": '.BR a "b ""',
    "roff continued": ".TH a 1 \\\n",
    "roff joined": "a\\c\n",
    "roff escapes": "\\h'",
    "roff names": "\\[a\\f[",
    "roff tables": ".TS\nl.\na\tb\n",
    "mdoc": ".Dd a\n.Sh a\n.Op Fl a Ar b Oo Xr a 1 Ns\n",
    "mdoc calls": ".Op Op Dq Fn a ",
    "entries": "@a{b, c = {d}}\n",
    "entries without an end": "@a{b, c = {d\n",
    "fields without an end": "@a{b, c = {",
    "fields": "a = {b}, ",
    "abbreviations": "@string{a = a # a}\n",
    "events": "BEGIN:VEVENT\nSUMMARY:a\nEND:VEVENT\n",
    "components": "BEGIN:VEVENT\n",
    "folded properties": "SUMMARY:a\n b\n",
    "cards": "BEGIN:VCARD\nN;ENCODING=QUOTED-PRINTABLE:a=\n=41\nEND:VCARD\n",
    "parameters of a property": 'A;B="',
    "headlines": "* a :b:\n",
    "tags of headlines": "* a :b:c",
    "links of Org": "[[a][b",
    "footnotes": "[fn:a: ",
    "blocks of Org": "#+begin_src\n",
    "drawers": ":PROPERTIES:\n:a: b\n",
    "titles of AsciiDoc": "= a\n\n",
    "marks within words": "a__b**c",
    "delimited blocks": "----\na\n",
    "macros of AsciiDoc": "footnote:[a",
    "messages of gettext": 'msgid "a"\nmsgstr "b"\n',
    "messages without an end": 'msgid "a_b"\n',
    "strings of gettext": '"a&b"\n',
    "comments of gettext": "# a\n",
    "commands": "\\a{",
    "sections": "\\section{",
    "sections of lines": "\\section{a}\n",
    "titles": "\\title{a\n",
    "options of commands": "\\a[",
    "environments": "\\begin{a}",
    "verbatim": "\\begin{verbatim}\n",
    "verbatim ends": "\\end{verbatim}\n",
    "verb": "\\verb|a\\verb+b",
    "accents": "\\'{",
    "if false": "\\iffalse ",
    "broken comments": "a%\n",
    "authors": "\\author{a\\and ",
}


class Input(NamedTuple):
    name: str
    data: bytes


def inputs(size: int) -> Iterator[Input]:
    """All, each of about so many bytes."""
    for char in CHARACTERS:
        yield repeated(f"{char!r} alone", char, size)
        if char not in "\n":
            yield repeated(f"x, then {char!r}", char, size, "x")
    for name, piece in PIECES.items():
        yield repeated(name, piece, size)
    half = size // 2
    for start, end in ("[]", "()", "{}", ("<a>", "</a>"), ("<div>", "</div>"), ("'", '"')):
        yield repeated(f"{start} and {end}", start, half, after=end * (half // len(end)))
    yield Input("indentation", deeper(size))
    yield Input("indented list", deeper(size, "- a"))
    yield Input("indented keys", deeper(size, "a:"))
    yield Input("indented code", deeper(size, "if a:"))
    yield repeated("long front matter", "[", size, "---\na: ", "\n---\nb\n")
    yield repeated("long front matter of TOML", "[", size, "+++\na = ", "\n+++\nb\n")
    yield repeated("short front matter", "[", 6000, "---\na: ", "\n---\nb\n")
    yield repeated("short front matter of TOML", "[", 6000, "+++\na = ", "\n+++\nb\n")
    yield repeated("front matter of maps", "{a: ", 16000, "---\na: ", "\n---\nb\n")
    yield repeated("blanks within a line", " ", size, "a\n", "b\nc\n")
    yield repeated(
        "message", "--b\n\n", size, "Subject: a\nContent-Type: multipart/mixed; boundary=b\n\n"
    )
    yield repeated(
        "nested messages", "Content-Type: message/rfc822\n\n", size, "MIME-Version: 1.0\n"
    )
    yield repeated("addresses", "a@b,", size, "From: ")
    yield repeated("encoded words", "=?utf-8?q?a?= ", size, "Subject: ")
    yield repeated("encoded starts", "=?", size, "Subject: ")
    yield repeated("parameters of a header", "; a*0=b", size, "Content-Type: text/plain")
    yield repeated("comments of addresses", "(", size, "From: ")
    yield repeated("quotes in a header", '"\\', size, "To: ")
    yield repeated("file name", "a.", size, 'Content-Disposition: attachment; filename="')


def repeated(name: str, piece: str, size: int, before: str = "", after: str = "") -> Input:
    """A piece, so often that it makes size bytes."""
    data = piece.encode("utf-8", "surrogateescape")
    middle = data * max(1, size // len(data))
    return Input(name, before.encode() + middle + after.encode())


def deeper(size: int, line: str = "a") -> bytes:
    """Lines each indented one more than the one before."""
    lines, held = [], 0
    while held < size:
        lines.append(" " * len(lines) + line)
        held += len(lines[-1]) + 1
    return "\n".join(lines).encode()


_FILES = Path(__file__).parent / "files"
_REAL = {suffix: f"water.{suffix}" for suffix in ("docx", "pptx", "odt", "odp", "xlsx", "ods")}
_REAL["epub"] = "book.epub"
WRAPPED = (*_REAL, "fb2", "ipynb", "srt")  # what nothing would be read of otherwise
_SENTENCE = "The garden pump draws water from the old well behind the chapel."


def wrapped(suffix: str, data: bytes) -> bytes:
    """A file of a format with a text in it; the text itself for what is text by itself."""
    text = data.decode("utf-8", "replace")
    if suffix == "ipynb":
        cells = [{"cell_type": kind, "source": text} for kind in ("markdown", "code")]
        return json.dumps({"cells": cells}).encode()
    if suffix in ("jsonl", "ndjson"):
        return json.dumps({"title": text[:5000], "text": text}).encode() + b"\n"
    if suffix in ("csv", "tsv"):
        return f'title,text\na,"{text.replace(chr(34), chr(34) * 2)}"\n'.encode()
    if suffix == "eml":
        return b"Subject: a\nContent-Type: text/plain; charset=utf-8\n\n" + data
    if suffix in ("mbox", "mbx"):
        head = b"From a@b Mon Jan  1 00:00:00 2024\n"
        return head + b"Subject: a\nContent-Type: text/html; charset=utf-8\n\n" + data
    if suffix in ("srt", "vtt"):
        return b"1\n00:00:01,000 --> 00:00:02,000\n" + data
    if suffix in ("html", "htm", "xhtml"):
        return f"<html><body><pre>{escape(text)}</pre><p>{escape(text)}</body></html>".encode()
    if suffix == "fb2":
        section = f"<section><p>{escape(text)}</p></section>"
        return f"<FictionBook><body>{section}</body></FictionBook>".encode("utf-8", "replace")
    if suffix in _REAL:
        return _with_text(_FILES / _REAL[suffix], text)
    return data


def _with_text(path: Path, text: str) -> bytes:
    """A real office file or e-book in which a sentence is another text."""
    content = escape("".join(c for c in text if c.isprintable() or c in "\n\t"))
    out = BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", 8) as new:
        for info in old.infolist():
            held = old.read(info)
            if info.filename.endswith(("xml", "xhtml")):
                held = held.replace(_SENTENCE.encode(), content.encode("utf-8", "replace"))
            new.writestr(info.filename, held)
    return out.getvalue()


def read(suffix: str, data: bytes) -> None:
    """Make chunks of a file as qrank does. Raises what its reader raises, unless it is read in a
    worker process, or can't be read."""
    name = f"a.{suffix}" if suffix else "a"
    try:
        for document in documents(BytesIO(data), name):
            new_chunks(document, document.title, "a", language(document.text), name)
    except ExtractError:
        pass
    except Exception:
        if not is_isolated(name, lambda: data[:512]):
            raise


def main() -> None:
    suffix, *which = sys.argv[1:]
    suffix = suffix.strip("-")
    chosen: Iterable[Input] = (each for each in inputs(1 << 20) if each.name == which[0])
    if len(which) > 1:
        chosen = islice(inputs(1 << 20), int(which[0]), None, int(which[1]))
    with suppress(ValueError, OSError):  # not everywhere
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.RLIM_INFINITY))
    for each in chosen:
        if (suffix, each.name) in LEFT_OUT:
            continue
        print(each.name, flush=True)
        limit = int(time.process_time()) + LIMIT
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        read(suffix, wrapped(suffix, each.data) if suffix in WRAPPED else each.data)


if __name__ == "__main__":
    main()
