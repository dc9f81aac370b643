"""No input makes a reader take quadratic time: a megabyte of each takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pathological import LIMIT
from support import extract

PROGRAM = Path(__file__).parent / "pathological.py"
# A reader of each kind; those of the main process twice, where a hang would be for ever.
READERS = (
    *("-", "txt", "md", "rst", "html", "csv", "jsonl", "eml", "mbox", "srt", "ipynb", "css"),
    *(
        "tex",
        "man",
        "bib",
        "ics",
        "vcf",
        "org",
        "adoc",
        "po",
        "fb2",
        "py",
        "c",
        "js",
        "docx",
        "pptx",
        "odt",
        "epub",
        "xlsx",
        "md",
        "-",
        "txt",
        "rst",
    ),
)
SLOW = ("csv", "py", "c", "js")  # seconds for many of them, though no more for longer ones


def complaint_of(*words: str) -> str:
    """What the program says when an input takes too long, or is more than its reader can take."""
    command = [sys.executable, PROGRAM, *words]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout
    name = run.stdout.splitlines()[-1]
    return f"{name}: more than {LIMIT} s, or an error\n{run.stderr}" if run.returncode else ""


@pytest.mark.parametrize("number", range(len(READERS)), ids=lambda number: READERS[number])
def test_a_megabyte_of_anything_is_read_in_its_time(number: int) -> None:
    """Each reader takes some of the inputs, so that all are read by one or another."""
    reader = READERS[number]
    step = len(READERS) * (4 if reader in SLOW else 1)
    assert not complaint_of(reader, str(number), str(step))


SLOW_ONCE = {  # input: the readers that took hours for it, or never came to an end
    "headers": ("-",),
    "headers of blanks": ("-",),
    "folded headers": ("-",),
    "'=' alone": ("rst", "rest"),
    "words": ("rst",),
    "x, then ' '": ("rst",),
    "apostrophes": ("txt", "md"),
    "short front matter": ("md",),
    "short front matter of TOML": ("md",),
    "front matter of maps": ("md",),
    "marks out of order": ("txt",),
    "Thai marks": ("txt",),
    "lists on a line": ("md",),
    "comment blocks": ("c",),
    "quotes in a header": ("eml",),
    "parameters of a header": ("eml",),
}


@pytest.mark.parametrize("name", SLOW_ONCE)
def test_what_once_was_slow_is_read_in_its_time(name: str) -> None:
    for reader in SLOW_ONCE[name]:
        assert not complaint_of(reader, name)


def test_text_is_read_whatever_its_front_matter_is() -> None:
    number = f"a = 0x{'f' * 9000}"
    deep = f"a = {'[' * 3000}{']' * 3000}"
    for fields in ("a = [[", "[" * 5000, ".".join("a" * 7000) + " = 1", number, deep):
        document = extract("a.md", f"+++\n{fields}\n+++\nThe text.\n".encode())
        assert document.text.endswith("The text.\n")
        assert not document.fields
    for fields in (
        "a: " + "[" * 5000,
        "- " * 5000 + "a",
        "a: !!timestamp x",
        "a: !!int ''",
        "? []",
    ):
        document = extract("a.md", f"---\n{fields}\n---\nThe text.\n".encode())
        assert document.text.endswith("The text.\n")
        assert not document.fields
    kept = extract("a.md", b"---\na: 0xffffffffffffffffffffff\nb: [1, 2]\n---\nThe text.\n")
    assert kept.fields == {"b": [1, 2]}


def test_control_characters_of_fields_are_left_out() -> None:
    document = extract("a.md", b'+++\ntitle = "a\\u001b[31m\\u0000b"\n"k\\u0007" = 1\n+++\nText.\n')
    assert document.title == "ab"
    assert document.fields == {"title": "ab", "k": 1}


@pytest.mark.parametrize("name", ["punycode", "idna", "unicode_escape", "undefined", "rot13"])
def test_what_is_no_encoding_of_texts_is_not_used(name: str) -> None:
    """Python has codecs of names that take quadratic time."""
    page = f"<meta charset={name}><p>" + "Tea and \u00e9lan. " * 50_000
    assert "élan" in extract("a.html", page.encode()).text
    mail = f"Subject: a\nContent-Type: text/plain; charset={name}\n\n" + "Tea and élan. " * 50_000
    assert "élan" in extract("a.eml", mail.encode()).text


def test_a_long_header_of_a_mail_is_kept() -> None:
    to = ", ".join(f"Person {i} <p{i}@example.org>" for i in range(1000))
    document = extract("a.eml", f"Subject: Tea\nTo: {to}\n\nThe text.\n".encode())
    assert document.title == "Tea"
    assert "p999@example.org" in document.text
