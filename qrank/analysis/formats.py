"""The formats of documents, by the suffixes of file names. Searches ask for them, too, so nothing
of what reads them is imported here."""

from __future__ import annotations

import os
from typing import NamedTuple


class Format(NamedTuple):
    """A format family: its suffixes, and the function that reads it, `module:function`.

    reads_text: the function is (text, suffix) -> (title, blocks) or (title, blocks, fields), else
    (file) -> documents. isolated: it runs in a worker process. records: its second argument is the
    fields to read. files: other files may be in it, and its second argument is the Reading.
    """

    name: str
    suffixes: str
    function: str
    reads_text: bool = False
    isolated: bool = True
    records: bool = False
    files: bool = False


_CODE = (
    "bash c cc clj cpp cs css cu cxx dart el erl ex exs fish fs go gradle groovy h hpp hs java jl "
    "js jsx cjs mjs kt kts less lisp lua m ml mm nim php pl pm proto ps1 py pyi r rb rs sass scala "
    "scm scss sh sol sql svelte swift tcl tf ts tsx cts mts v vb vim vue zig zsh"
)
TEXT = Format(
    "text", "txt text log asc nfo typ textile yaml yml toml ini cfg conf xml",
    "plain:extract", reads_text=True, isolated=False,
)  # fmt: skip
# A number is not only a suffix of manual pages: those files are recognized by their content.
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
    Format("pdf", "pdf", "pdf:extract", files=True),
    Format("docx", "docx docm dotx dotm", "office.detect:word", files=True),
    Format("pptx", "pptx pptm ppsx ppsm potx potm ppt pps pot", "office.detect:slides", files=True),
    Format(
        "sheet", "xlsx xlsm xlsb xltx xltm xls ods ots fods", "office.detect:sheets", files=True
    ),
    Format(
        "odf",
        "odt ott odp otp odg otg odm fodt fodp fodg",
        "office.detect:open_document",
        files=True,
    ),
    Format("doc", "doc dot", "office.detect:old_word", files=True),
    Format("rtf", "rtf", "office.detect:rich_text", files=True),
    Format("outlook", "msg", "office.detect:outlook", files=True),
    Format("tnef", "tnef", "mails.tnef:extract", files=True),
    Format("epub", "epub", "epub:extract"),
    Format("notebook", "ipynb", "notebook:extract"),
    Format("mail", "eml emlx", "mail:extract", files=True),
    Format("mbox", "mbox mbx", "mail:extract_mbox", files=True),
    Format("json", "json", "json_text:extract", isolated=False),
    Format("jsonl", "jsonl ndjson", "records:extract_jsonl", records=True),
    Format("csv", "csv tsv", "records:extract_csv", records=True),
    Format("subtitles", "srt vtt ass ssa", "subtitles:extract"),
    Format("archive", "zip tar tgz tbz tbz2 txz", "containers:extract", files=True),
)
BY_SUFFIX = {
    suffix: format
    for format in FORMATS
    for suffix in format.suffixes.split()
    if not suffix[0].isdigit()
}


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, without its dot; "fb2" for a book in a zip file."""
    if name[-8:].lower() == ".fb2.zip":
        return "fb2"
    return os.path.splitext(name)[1][1:].lower()  # noqa: PTH122  (faster; called for every file)


def has_lines(path: str) -> bool:
    """Whether a file with this name is read as plain text, so that line numbers of its chunks are
    line numbers of the file."""
    format = BY_SUFFIX.get(suffix_of(path))
    return format is None or format.reads_text
