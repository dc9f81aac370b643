"""Manual pages: their sections are headings, their words whole, their lines the source's."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Run, extract

from qrank.errors import NoTextError

MAN = r"""'\" t
.\" A comment with the word pelican.
.ie \n(.g .ds Aq \(aq
.el       .ds Aq '
.de IX
..
.de Tip
\fITip:\fR \\$1
..
.TH KETTLE 1 "May 2024" "kettle 2.1" "User Commands"
.SH NAME
kettle \- boil water
.IX Header "nothing of this"
.SH SYNOPSIS
.BR kettle " [" \-t | \-\-temperature =\fIDEGREES\fR ]
.SH "EXIT STATUS"
.TP
\fB\-q\fR, \fB\-\-quiet\fR
Zitter\fIbewegung\fP is not\& shown; na\('ive, caf\[u00E9], don\*(Aqt.
.IP \(bu 2
One \
line
.SS Sub\-section
.nf
    indented  code
.fi
.if t .RS wrong
.if n \{\
On a terminal.
.\}
.ie t \{\
.B wrong
wrong \{ again \}
.\}
.el right
.Tip handy
See \c
.UR https://example.org/a
the page
.UE .
.TS
tab(;) allbox;
l l.
cell one;T{
cell two
T}
_
.TE
"""


def test_a_page_is_read_as_it_is_shown() -> None:
    document = extract("kettle.1", MAN.encode())
    assert document.title == "KETTLE(1)"
    assert document.fields == {
        "section": "1",
        "date": "May 2024",
        "source": "kettle 2.1",
        "manual": "User Commands",
    }
    headings = dict.fromkeys(block.heading for block in document.blocks)
    sections = [("NAME",), ("SYNOPSIS",), ("EXIT STATUS",), ("EXIT STATUS", "Sub-section")]
    assert list(headings) == sections
    assert "kettle [-t|--temperature=DEGREES]" in document.text
    assert "-q, --quiet\nZitterbewegung is not shown; naíve, café, don't." in document.text
    assert "• One line" in document.text
    assert "    indented  code" in document.text
    assert "On a terminal." in document.text
    assert "right\nhandy\nSee the page\n<https://example.org/a>." in document.text
    assert "cell one" in document.text
    assert "cell two" in document.text
    for absent in ("pelican", "wrong", "nothing of this", "T{", "tab(", "\\"):
        assert absent not in document.text
    lines = MAN.split("\n")
    assert document.lines
    for number, line in zip(document.lines, document.text.split("\n"), strict=True):
        if line.startswith(("One", "indented", "handy")):
            assert line.split()[0] in lines[number - 1]


MDOC = r""".Dd May 3, 2024
.Dt KETTLE 8
.Os
.Sh NAME
.Nm kettle
.Nd boil water
.Sh SYNOPSIS
.Nm
.Op Fl tq Ns Ar degrees
.Op Fl Fl quiet
.Ar file ...
.Sh DESCRIPTION
The
.Nm
utility
.Pq see Xr teapot 1 ,
writes to
.Pa /dev/stove .
.Bl -tag -width indent
.It Fl a | Fl b Ar cup
Both at once.
.El
.Fn boil "int degrees" "char *cup"
.Dq quoted text ;
.Pf ( Ev HOME )
"""


def test_a_page_of_bsd_is_read_as_it_is_shown() -> None:
    document = extract("kettle.8", MDOC.encode())
    assert document.title == "KETTLE(8)"
    assert "kettle\n– boil water" in document.text
    assert "kettle\n[-tqdegrees]\n[--quiet]\nfile ..." in document.text
    assert "(see teapot(1),)\nwrites to\n/dev/stove." in document.text
    assert "-a | -b cup\nBoth at once." in document.text
    assert "boil(int degrees, char *cup)\n“quoted text;”\n(HOME)" in document.text


def test_a_compressed_page_is_found(qrank: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "kettle.1.gz").write_bytes(gzip.compress(MAN.encode()))
    (tmp_path / "other.md").write_text("--quiet here, too.\n")
    qrank("index", str(tmp_path), "--no-embed", "--type", "man")
    [result] = qrank("search", '"--quiet"', "--mode", "bm25", "--jsonl").lines()
    assert result["title"] == "KETTLE(1)"
    assert result["fields"]["manual"] == "User Commands"


def test_a_number_at_the_end_of_a_name_does_not_make_a_page() -> None:
    document = extract("system.log.1", b".\nNov 24 10:31:05 host: .TH is \\fBnot\\fR meant\n")
    assert "\\fBnot\\fR" in document.text
    with pytest.raises(NoTextError, match="a link to man1/kettle"):
        extract("boil.1", b".so man1/kettle.1\n")


@pytest.mark.parametrize(
    "broken",
    [
        *(".if t \\{", ".de XX", ".ig", ".TS", ".TS\nl l.\na\tb", "\\", "\\f", "\\f[", "\\h'"),
        *(
            ".BR",
            '.BR "',
            ".ie",
            ".el",
            ".if",
            ".SH",
            ".IP",
            ".ds",
            ".ds a",
            ".so",
            "\\*(",
            ".ie n",
        ),
        *(".Dd\n.Fl", ".Dd\n.Xr", ".Dd\n.Op Oo", ".Dd\n.Fn", ".Dd\n.Sh", ".Dd\n.It", ".Dt\n.In"),
    ],
)
def test_what_is_broken_is_read_as_far_as_it_goes(broken: str) -> None:
    page = f".TH A 1\n.SH NAME\nThe kestrel.\n{broken}"
    assert "The kestrel." in extract("a.1", page.encode()).text
    assert "The kestrel." in extract("a.1", (page + "\n").encode()).text


@pytest.mark.skipif(not shutil.which("man"), reason="there is no man")
@pytest.mark.parametrize(
    "name", ["ls.1", "bash.1", "git-rebase.1", "sshd.8", "regex.7", "perlre.1"]
)
def test_real_pages_have_the_words_that_man_shows(name: str) -> None:
    folder = Path("/usr/share/man") / f"man{name[-1]}"
    path = folder / f"{name}.gz"
    if not path.exists():
        pytest.skip(f"there is no {path}")
    document = extract(path.name, path.read_bytes())
    variables = {
        "MANWIDTH": "400",
        "MANOPT": "--nh --nj",
        "LC_ALL": "C.UTF-8",
        "PATH": "/bin:/usr/bin",
    }
    shown = subprocess.run(
        ["man", "-P", "cat", "-l", path], env=variables, capture_output=True, check=True
    )
    text = re.sub(".\b", "", shown.stdout.decode())
    text = re.sub("\x1b\\[[0-9;]*m", "", text)
    there = Counter(re.findall(r"[^\W_]+", text))
    here = Counter(re.findall(r"[^\W_]+", f"{document.title} {document.fields} {document.text}"))
    missing = there - here
    assert sum(missing.values()) < 0.01 * sum(there.values()) + 4, missing
